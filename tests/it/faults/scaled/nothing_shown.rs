//! Who can't read says so: what is not known to be empty is never shown as empty, and nobody is told that theirs is not
//! there.

use super::engines::Postgres;
use crate::{
    build::Build,
    faults::asks::refused,
    server::{Client, Server},
};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_away_every_query_is_503() {
    trial(&Build::usual()).await;
}

pub(in crate::faults) async fn trial(build: &Build) {
    let postgres = Postgres::start();
    let engines = [("ADVISOR_EVENT_LOG_URL", postgres.url()), ("ADVISOR_READ_MODEL_URL", postgres.url())];
    let server = Server::start_build(build, &engines.each_ref().map(|(name, url)| (*name, url.as_str())));
    let user = server.client("user_1", &[]);
    user.until_ready().await;
    let started = user.command("StartConversation", &json!({"title": "There"})).await;
    let id = started["result"]["conversationId"].as_str().unwrap();
    user.command("SendMessage", &json!({"conversationId": id, "content": "Hi", "advisorIds": []})).await;
    let queries = [
        "/api/me".to_owned(),
        "/api/advisors".to_owned(),
        "/api/conversations".to_owned(),
        format!("/api/conversations/{id}"),
        format!("/api/conversations/{id}/messages"),
    ];
    let mut before = Vec::new();
    for query in &queries {
        before.push(user.get(query).await);
    }

    tokio::task::block_in_place(|| postgres.crash());
    for query in &queries {
        away(&user, query).await;
    }
    away(&user, &format!("/api/live?query=/api/conversations/{id}")).await;
    refused(&user, "while it is away").await;

    tokio::task::block_in_place(|| postgres.run());
    user.until_ready().await;
    for (query, before) in queries.iter().zip(&before) {
        assert_eq!(user.get(query).await, *before, "{query}");
    }
}

async fn away(user: &Client, path: &str) {
    let answer = user.ask(Method::GET, path, &[], None).await;
    assert_eq!(answer.status, 503, "{path} is answered by who can't know: {}", answer.text);
    assert!(!answer.header("retry-after").is_empty(), "{path}: {:?}", answer.headers);
    assert!(!answer.text.contains("postgres"), "{path}: {}", answer.text);
}
