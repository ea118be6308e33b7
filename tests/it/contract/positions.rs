//! `x-position`, `min_position`, `ETag` and `If-Match`.

use super::{assert_problem, nobody, server};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn every_query_says_where_it_was_read_and_waits_for_what_is_asked() {
    let server = server();
    let user = server.client("ann", &[]);
    let started = user.command("StartConversation", &json!({})).await;
    let id = started["result"]["conversationId"].as_str().unwrap();
    let position = started["position"].as_u64().unwrap();
    for path in [
        "/api/me".to_owned(),
        "/api/advisors".to_owned(),
        "/api/advisors/nadia-okafor-v1".to_owned(),
        "/api/conversations".to_owned(),
        format!("/api/conversations/{id}"),
        format!("/api/conversations/{id}/messages"),
    ] {
        let read = user.fetch(&format!("{path}?min_position={position}")).await;
        assert_eq!(read.status, 200, "{path}: {}", read.text);
        assert!(read.header("x-position").parse::<u64>().unwrap() >= position, "{path}");
        for wrong in ["x", "-1", "1.5", "", "9007199254740991", "99999999999999999999999"] {
            let refused = user.fetch(&format!("{path}?min_position={wrong}")).await;
            assert_problem(&refused, 400, "INVALID_POSITION");
        }
        if path != "/api/advisors" && path != "/api/advisors/nadia-okafor-v1" {
            assert_eq!(nobody(&server).fetch(&format!("{path}?min_position=x")).await.status, 401);
        }
        let refused = user.ask(Method::GET, &path, &[("accept", "image/png")], None).await;
        assert_problem(&refused, 406, "NOT_ACCEPTABLE");
    }
}

#[tokio::test]
async fn a_change_of_what_has_changed_in_the_meantime_is_refused() {
    let server = server();
    let user = server.client("ann", &[]);
    let id = user.conversation().await;
    let path = format!("/api/conversations/{id}");
    let seen = user.fetch(&path).await.header("etag").to_owned();
    assert!(seen.starts_with('"') && seen.ends_with('"'), "{seen}");
    let rename = async |tag: &str, title: &str| {
        user.ask(Method::PATCH, &path, &[("if-match", tag)], Some(&json!({"title": title}))).await
    };
    assert_eq!(rename(&seen, "One").await.status, 200);
    assert_problem(&rename(&seen, "Two").await, 412, "PRECONDITION_FAILED");
    assert_problem(&rename("\"other\"", "Two").await, 412, "PRECONDITION_FAILED");
    assert_problem(&rename("unquoted", "Two").await, 400, "INVALID_IF_MATCH");
    assert_eq!(rename("*", "Any").await.status, 200);
    let now = user.fetch(&path).await;
    assert_ne!(now.header("etag"), seen);
    let stale = [("if-match", seen.as_str())];
    let command = json!({"conversationId": id, "title": "Two"});
    let refused = user.ask(Method::POST, "/api/commands/RenameConversation", &stale, Some(&command)).await;
    assert_problem(&refused, 412, "PRECONDITION_FAILED");
    assert_problem(&user.ask(Method::DELETE, &path, &stale, None).await, 412, "PRECONDITION_FAILED");
    assert_eq!(user.get(&path).await["title"], "Any");
    let fresh = [("if-match", now.header("etag"))];
    assert_eq!(user.ask(Method::DELETE, &path, &fresh, None).await.status, 204);

    let operator = server.client("ops", &["--role", "operator"]);
    let advisor = "/api/advisors/nadia-okafor-v1";
    let seen = operator.fetch(advisor).await.header("etag").to_owned();
    let form = json!({"firstName": "N", "lastName": "O", "title": "T", "jsonConfiguration": "{}"});
    let change = async || operator.ask(Method::PATCH, advisor, &[("if-match", seen.as_str())], Some(&form)).await;
    assert_eq!(change().await.status, 200);
    assert_problem(&change().await, 412, "PRECONDITION_FAILED");
}
