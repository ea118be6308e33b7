//! At the edge of each quota: the last that is taken, the first that is refused, and repeats beyond it.

use crate::{
    settings::Quotas,
    test_api::{Answer, OPERATOR, TestApi},
    test_talk::{ANA, BEN, keyed},
};
use http::{Request, StatusCode};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn a_person_begins_as_many_conversations_as_they_may_by_whatever_route() {
    let app = with(Quotas { conversations_per_person_max: 2, ..Quotas::default() }).await;
    let chat = json!({"messages": [{"role": "user", "content": "Hello?"}]});
    let last = async || begin(&app, "last").await;
    let first = app.conversation(ANA).await;
    assert_eq!(last().await.status, StatusCode::OK);

    for (path, body) in
        [("/api/commands/StartConversation", json!({})), ("/api/conversations", json!({})), ("/api/chat", chat)]
    {
        let refused = app.ask(ANA, keyed(Request::post(path), "further"), Some(body)).await;
        assert_eq!(refused.problem(), (422, "QUOTA_EXCEEDED"), "{path}");
        assert_eq!(refused.body["commandId"], "further", "{path}");
    }
    assert_eq!(app.get(ANA, "/api/conversations").await.body.as_array().unwrap().len(), 2);
    // What was accepted is answered as it was, others go on, and what is deleted makes room.
    let again = last().await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::OK, Some("true")));
    app.conversation(BEN).await;
    assert_eq!(app.delete(ANA, &format!("/api/conversations/{first}")).await.status, StatusCode::NO_CONTENT);
    app.conversation(ANA).await;
}

#[tokio::test]
async fn a_person_makes_as_many_advisors_as_they_may_and_operators_any() {
    let app = with(Quotas { advisors_per_person_max: 1, ..Quotas::default() }).await;
    let document = |name: &str| json!({"persona": {"name": name, "title": "Tester"}});
    let made = app.command_as(ANA, "first", "CreateAdvisor", document("Kim Doe")).await;
    assert_eq!(made.status, StatusCode::OK, "{:?}", made.body);
    let refused = app.command_as(ANA, "second", "CreateAdvisor", document("Leo Li")).await;
    assert_eq!((refused.problem(), &refused.body["commandId"]), ((422, "QUOTA_EXCEEDED"), &json!("second")));
    let form = json!({"firstName": "Leo", "lastName": "Li", "title": "Tester", "jsonConfiguration": "{}"});
    let refused = app.post(ANA, "/api/advisors", form).await;
    assert_eq!(refused.problem(), (422, "QUOTA_EXCEEDED"));

    let again = app.command_as(ANA, "first", "CreateAdvisor", document("Kim Doe")).await;
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&made.body, Some("true")));
    let another = app.command_as(ANA, "first", "CreateAdvisor", document("Leo Li")).await;
    assert_eq!(another.problem(), (422, "IDEMPOTENCY_KEY_REUSED"));
    // One that is archived is still there.
    let id = made.body["result"]["advisorId"].as_str().unwrap();
    assert_eq!(app.delete(ANA, &format!("/api/advisors/{id}")).await.status, StatusCode::OK);
    assert_eq!(app.command(ANA, "CreateAdvisor", document("Leo Li")).await.problem(), (422, "QUOTA_EXCEEDED"));
    for user in [BEN, OPERATOR, OPERATOR] {
        let name = format!("Of {user}");
        assert_eq!(app.command(user, "CreateAdvisor", document(&name)).await.status, StatusCode::OK, "{user}");
    }
}

#[tokio::test]
async fn a_conversation_takes_as_many_messages_as_it_may() {
    let app = with(Quotas { messages_per_conversation_max: 3, ..Quotas::default() }).await;
    let id = app.conversation(ANA).await;
    let send = |content: &str| json!({"conversationId": id, "content": content, "advisorIds": []});
    app.question(ANA, &id, "And the reply to this is the second.").await;
    let third = app.command_as(ANA, "third", "SendMessage", send("The third.")).await;
    assert_eq!(third.status, StatusCode::OK);
    let refused = app.command_as(ANA, "fourth", "SendMessage", send("The fourth.")).await;
    assert_eq!((refused.problem(), &refused.body["commandId"]), ((422, "QUOTA_EXCEEDED"), &json!("fourth")));
    let again = app.command_as(ANA, "third", "SendMessage", send("The third.")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::OK, Some("true")));
    let other = app.conversation(ANA).await;
    app.message(ANA, &other, "In another one there is room.").await;
}

async fn with(quotas: Quotas) -> TestApi {
    let mut app = TestApi::with_advisors().await;
    Arc::make_mut(&mut app.api.settings).quotas = quotas;
    app
}

async fn begin(app: &TestApi, key: &str) -> Answer {
    app.ask(ANA, keyed(Request::post("/api/conversations"), key), Some(json!({}))).await
}
