//! `Idempotency-Key` on every route that changes something.

use super::{assert_problem, said, server, texts};
use crate::server::{Answer, Client};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashSet;

#[tokio::test]
async fn fifty_requests_with_one_key_have_one_effect() {
    let server = server();
    let user = server.client("ann", &[]);
    let path = "/api/commands/StartConversation";
    let started = at_once(&user, path, &json!({"title": "Once"})).await;
    let id = started["result"]["conversationId"].as_str().unwrap();
    assert_eq!(started["commandId"], path);
    assert_eq!(texts(&user.get("/api/conversations").await, "id"), [id]);
    let body = json!({"conversationId": id, "content": "Once", "advisorIds": []});
    at_once(&user, "/api/commands/SendMessage", &body).await;
    assert_eq!(user.get("/api/conversations").await[0]["messageCount"], 1);
    let form = json!({"firstName": "A", "lastName": "B", "title": "T", "jsonConfiguration": "{}"});
    at_once(&user, "/api/advisors", &form).await;
    assert_eq!(user.get("/api/advisors").await.as_array().unwrap().len(), 5);
    assert_eq!(server.events(&format!("conversation-{id}")).len(), 2);
}

#[tokio::test]
async fn a_repeat_answers_the_same_on_every_route_and_another_body_is_refused() {
    let server = server();
    let user = server.client("ann", &[]);
    let form = |title: &str| json!({"firstName": "A", "lastName": "B", "title": title, "jsonConfiguration": "{}"});
    let mut named = form("T");
    named["firstName"] = json!("Another");
    let made = user.post("/api/advisors", &form("T")).await;
    let advisor = made.body["id"].as_str().unwrap();
    let talked = user.chat(&said("Hi")).await;
    let id = talked.body["conversation"]["id"].as_str().unwrap();
    let message = user.say(id, "One").await;
    let (title, other) = (json!({"title": "A"}), json!({"title": "B"}));
    let text = |content: &str| json!({"content": content});
    let command = |title: &str| json!({"conversationId": id, "title": title});
    let chat = |content: &str| json!({"conversationId": id, "messages": [{"role": "user", "content": content}]});
    for (number, (method, path, body, another)) in [
        (Method::POST, "/api/advisors".to_owned(), form("T"), form("U")),
        (Method::POST, "/api/advisors".to_owned(), form("T"), named.clone()),
        (Method::PATCH, format!("/api/advisors/{advisor}"), form("V"), form("W")),
        (Method::POST, "/api/conversations".to_owned(), title.clone(), other.clone()),
        (Method::PATCH, format!("/api/conversations/{id}"), title, other),
        (Method::PATCH, format!("/api/messages/{message}"), text("Two"), text("Three")),
        (Method::POST, "/api/commands/RenameConversation".to_owned(), command("C"), command("D")),
        (Method::POST, "/api/chat".to_owned(), chat("Hi"), chat("Ho")),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key {number}");
        let headers = [("idempotency-key", key.as_str())];
        let first = user.ask(method.clone(), &path, &headers, Some(&body)).await;
        let again = user.ask(method.clone(), &path, &headers, Some(&body)).await;
        assert!(first.status < 300, "{path}: {}", first.text);
        assert_eq!((first.status, &first.text), (again.status, &again.text), "{path}");
        let replayed = [&first, &again].map(|answer| answer.header("idempotency-replayed"));
        assert_eq!(replayed, ["", "true"], "{path}");
        assert_problem(&user.ask(method, &path, &headers, Some(&another)).await, 422, "IDEMPOTENCY_KEY_REUSED");
    }
    for path in
        [format!("/api/messages/{message}"), format!("/api/conversations/{id}"), format!("/api/advisors/{advisor}")]
    {
        let headers = [("idempotency-key", path.as_str())];
        let first = user.ask(Method::DELETE, &path, &headers, None).await;
        let again = user.ask(Method::DELETE, &path, &headers, None).await;
        assert!(first.status < 300, "{path}: {}", first.text);
        assert_eq!((first.status, &first.text), (again.status, &again.text), "{path}");
        assert_eq!(again.header("idempotency-replayed"), "true", "{path}");
    }
}

#[tokio::test]
async fn one_key_in_two_conversations_mixes_nothing_up() {
    let server = server();
    let user = server.client("ann", &[]);
    let (one, two) = (user.conversation().await, user.conversation().await);
    let mut ids = HashSet::new();
    for id in [&one, &two] {
        let body = json!({"conversationId": id, "content": id});
        let headers = [("idempotency-key", "same")];
        let sent = user.ask(Method::POST, "/api/commands/SendMessage", &headers, Some(&body)).await;
        if sent.status == 422 {
            assert_problem(&sent, 422, "IDEMPOTENCY_KEY_REUSED");
            continue;
        }
        assert_eq!(sent.status, 200, "{}", sent.text);
        assert!(ids.insert(sent.body["result"]["messageId"].clone()), "two messages have one id");
        assert!(ids.insert(sent.body["result"]["replies"][0]["replyId"].clone()), "two replies have one id");
    }
    assert_eq!(user.get(&format!("/api/conversations/{one}")).await["messages"][0]["content"], json!(one));

    // Two people may use the same key.
    let bob = server.client("bob", &[]);
    let headers = [("idempotency-key", "same")];
    let started =
        async |who: &Client| who.ask(Method::POST, "/api/commands/StartConversation", &headers, Some(&json!({}))).await;
    let (ours, theirs) = (started(&user).await, started(&bob).await);
    assert_ne!(ours.body["result"], theirs.body["result"]);
    assert_eq!(theirs.header("idempotency-replayed"), "");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let server = server();
    let user = server.client("ann", &[]);
    let long = "k".repeat(129);
    for path in ["/api/commands/StartConversation", "/api/conversations", "/api/chat", "/api/mentions"] {
        for key in ["", long.as_str(), " "] {
            let refused = user.ask(Method::POST, path, &[("idempotency-key", key)], Some(&said("x"))).await;
            assert_problem(&refused, 400, "INVALID_IDEMPOTENCY_KEY");
        }
    }
    assert_eq!(user.get("/api/conversations").await, json!([]));
}

/// Fifty times the same at once; gives what all of them answered.
async fn at_once(user: &Client, path: &str, body: &Value) -> Value {
    let headers = [("idempotency-key", path)];
    let answers: Vec<Answer> = join_all((0..50).map(|_| user.ask(Method::POST, path, &headers, Some(body)))).await;
    for answer in &answers {
        assert!(answer.status < 300, "{}", answer.text);
        assert_eq!((answer.status, &answer.text), (answers[0].status, &answers[0].text), "{path}");
    }
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(first, 1, "{path}");
    answers[0].body.clone()
}
