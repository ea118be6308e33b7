//! Conversations through HTTP: the contract's routes, the commands, and whose they are.

use super::can_be_an_id;
use crate::{
    test_api::TestApi,
    test_talk::{ANA, BEN, KIM, LEO, keyed},
};
use http::{Request, StatusCode};
use serde_json::{Value, json};

const START_TIME: &str = "2025-09-16T08:15:30.000Z";

#[test]
fn what_can_be_an_id_is_short_and_plain() {
    for id in ["0198c2b2-7f0e-7c4e-9b1f-2f1f6d1c3a55", "clx3k9s0h0000", "a"] {
        assert!(can_be_an_id(id), "{id}");
    }
    for id in ["", "a b", "é", "a/b", "a\0b", &"a".repeat(129)] {
        assert!(!can_be_an_id(id), "{id}");
    }
}

#[tokio::test]
async fn a_conversation_starts_with_the_oldest_advisor_and_a_title_of_its_own() {
    let app = TestApi::with_advisors().await;
    let answer = app.post(ANA, "/api/conversations", json!({"unknown": 1})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        json!({
            "id": answer.body["id"], "title": "New Conversation", "createdAt": START_TIME, "updatedAt": START_TIME,
            "activeAdvisor": {"id": KIM, "name": "Kim Novak", "title": "Coach"}
        })
    );
    let answer = app.post(ANA, "/api/conversations", json!({"title": "Plans", "advisorId": LEO})).await;
    assert_eq!((&answer.body["title"], &answer.body["activeAdvisor"]["id"]), (&json!("Plans"), &json!(LEO)));
}

#[tokio::test]
async fn a_conversation_starts_without_any_advisor() {
    let app = TestApi::start().await;
    let answer = app.post(ANA, "/api/conversations", json!({"title": null, "advisorId": null})).await;
    assert_eq!((answer.status, &answer.body["activeAdvisor"]), (StatusCode::OK, &Value::Null));
}

#[tokio::test]
async fn starting_with_what_does_not_fit_is_refused() {
    let app = TestApi::with_advisors().await;
    let unusable = app.post(ANA, "/api/conversations", json!({"advisorId": "nobody"})).await;
    assert_eq!(unusable.problem(), (400, "ADVISOR_NOT_FOUND"));
    let long = app.post(ANA, "/api/conversations", json!({"title": "x".repeat(201)})).await;
    assert_eq!(long.problem(), (400, "VALIDATION_ERROR"));
    assert_eq!(long.body["details"][0]["pointer"], json!("/title"));
    let command = app.command(ANA, "StartConversation", json!({"advisorId": "nobody"})).await;
    assert_eq!(command.problem(), (422, "ADVISOR_NOT_FOUND"));
    let command = app.command(ANA, "StartConversation", json!({"title": ""})).await;
    assert_eq!(command.problem(), (422, "VALIDATION_ERROR"));
    let command = app.command(ANA, "StartConversation", json!({"userId": BEN})).await;
    assert_eq!(command.problem(), (422, "VALIDATION_ERROR"));
    assert_eq!(app.get(ANA, "/api/conversations").await.body, json!([]));
}

#[tokio::test]
async fn the_list_shows_the_last_message_and_the_newest_conversation_first() {
    let app = TestApi::with_advisors().await;
    let first = app.conversation(ANA).await;
    app.clock.advance(1);
    let second = app.conversation(ANA).await;
    app.conversation(BEN).await;
    app.clock.advance(1);
    app.message(ANA, &first, &"é".repeat(101)).await;
    let answer = app.get(ANA, "/api/conversations").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body[0],
        json!({
            "id": first, "title": "New Conversation", "createdAt": START_TIME,
            "updatedAt": "2025-09-16T08:15:32.000Z", "messageCount": 1,
            "lastMessage": {
                "content": format!("{}...", "é".repeat(100)), "createdAt": "2025-09-16T08:15:32.000Z", "sender": "user"
            },
            "activeAdvisor": {"id": KIM, "name": "Kim Novak", "title": "Coach"}
        })
    );
    assert_eq!(answer.body[1]["id"], json!(second));
    assert_eq!(answer.body[1]["lastMessage"], Value::Null);
    assert_eq!(answer.body.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_conversation_shows_its_messages_with_cards_and_its_replies() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let reply = app.question(ANA, &id, "Hi @Leo Li").await;
    app.start_reply(&id, &reply, 1).await;
    let answer = app.get(ANA, &format!("/api/conversations/{id}")).await;
    let message = answer.body["messages"][0]["id"].clone();
    assert_eq!(answer.body["activeAdvisor"]["id"], json!(LEO));
    assert_eq!(
        answer.body["messages"],
        json!([{
            "id": message, "sender": "user", "content": "Hi @Leo Li", "createdAt": START_TIME, "mentions": [LEO],
            "advisor": null, "advisorId": null, "contentJson": null, "tokensUsed": null, "editedAt": null
        }])
    );
    assert_eq!(
        answer.body["replies"],
        json!([{
            "replyId": reply, "messageId": message, "advisorId": LEO, "status": "streaming", "attempt": 1, "text": ""
        }])
    );
    assert_eq!(answer.body["hasMore"], json!(false));

    app.complete_reply(&id, &reply, "Hello").await;
    let answer = app.get(ANA, &format!("/api/conversations/{id}")).await;
    let replied = &answer.body["messages"][1];
    assert_eq!(
        (&replied["id"], &replied["content"], &replied["sender"]),
        (&json!(reply), &json!("Hello"), &json!("advisor"))
    );
    assert_eq!((&replied["advisor"]["name"], &replied["advisorId"]), (&json!("Leo Li"), &json!(LEO)));
    assert_eq!((&replied["tokensUsed"], &replied["contentJson"]["finishReason"]), (&json!(12), &json!("stop")));
    assert_eq!(answer.body["replies"], json!([]));
}

#[tokio::test]
async fn title_and_advisor_are_changed_together() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    app.message(ANA, &id, "Hi").await;
    app.clock.advance(1);
    let answer =
        app.patch(ANA, &format!("/api/conversations/{id}"), json!({"title": "New", "activeAdvisorId": LEO})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        json!({
            "success": true,
            "conversation": {
                "id": id, "title": "New", "activeAdvisorId": LEO, "createdAt": START_TIME,
                "updatedAt": "2025-09-16T08:15:31.000Z", "messageCount": 1
            },
            "updated": {"title": "New", "activeAdvisorId": LEO}
        })
    );
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    assert_eq!((&seen["title"], &seen["activeAdvisor"]["id"]), (&json!("New"), &json!(LEO)));
    let nothing = app.patch(ANA, &format!("/api/conversations/{id}"), json!({})).await;
    assert_eq!((nothing.status, &nothing.body["updated"]), (StatusCode::OK, &json!({})));
}

#[tokio::test]
async fn a_change_that_does_not_fit_is_refused() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let path = format!("/api/conversations/{id}");
    let unusable = app.patch(ANA, &path, json!({"title": "New", "activeAdvisorId": "nobody"})).await;
    assert_eq!(unusable.problem(), (400, "ADVISOR_NOT_FOUND"));
    for body in [json!({"title": ""}), json!({"title": "x".repeat(201)}), json!({"title": 1}), json!([])] {
        assert_eq!(app.patch(ANA, &path, body.clone()).await.problem(), (400, "VALIDATION_ERROR"), "{body}");
    }
    assert_eq!(app.get(ANA, &path).await.body["title"], json!("New Conversation"));
}

#[tokio::test]
async fn somebody_elses_advisor_can_not_become_the_active_one() {
    let app = TestApi::with_advisors().await;
    let document = json!({"advisorId": "nia", "persona": {"name": "Nia", "title": "Coach"}});
    app.command(BEN, "CreateAdvisor", document).await;
    let id = app.conversation(ANA).await;
    let foreign = app.patch(ANA, &format!("/api/conversations/{id}"), json!({"activeAdvisorId": "nia"})).await;
    let unknown = app.patch(ANA, &format!("/api/conversations/{id}"), json!({"activeAdvisorId": "nobody"})).await;
    assert_eq!(foreign.problem(), (400, "ADVISOR_NOT_FOUND"));
    assert_eq!(without_id(foreign.body), without_id(unknown.body));
    let body = json!({"conversationId": id, "advisorId": "nia"});
    assert_eq!(app.command(ANA, "AssignAdvisor", body).await.problem(), (422, "ADVISOR_NOT_FOUND"));
}

#[tokio::test]
async fn a_change_of_what_has_been_changed_is_refused_where_the_tag_is_expected() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let path = format!("/api/conversations/{id}");
    let tag = app.get(ANA, &path).await.header("etag").unwrap().to_owned();
    app.message(ANA, &id, "Hi").await;
    let matching = |tag: &str| Request::patch(&path).header("if-match", tag.to_owned());
    let stale = app.ask(ANA, matching(&tag), Some(json!({"title": "New"}))).await;
    assert_eq!(stale.problem(), (412, "PRECONDITION_FAILED"));
    let tag = app.get(ANA, &path).await.header("etag").unwrap().to_owned();
    let fresh = app.ask(ANA, matching(&tag), Some(json!({"title": "New"}))).await;
    assert_eq!(fresh.status, StatusCode::OK);
    let stale = app.ask(ANA, Request::delete(&path).header("if-match", tag), None).await;
    assert_eq!(stale.problem(), (412, "PRECONDITION_FAILED"));
}

#[tokio::test]
async fn the_tag_of_a_conversation_stands_while_a_reply_runs() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let reply = app.question(ANA, &id, "Hi").await;
    app.start_reply(&id, &reply, 1).await;
    let path = format!("/api/conversations/{id}");
    let tag = app.get(ANA, &path).await.header("etag").unwrap().to_owned();
    let answer = app.ask(ANA, Request::patch(&path).header("if-match", tag), Some(json!({"title": "New"}))).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_with_its_messages() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let message = app.message(ANA, &id, "Hi").await;
    let path = format!("/api/conversations/{id}");
    let answer = app.delete(ANA, &path).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::NO_CONTENT, &Value::Null));
    assert_eq!(app.delete(ANA, &path).await.problem(), (404, "CONVERSATION_NOT_FOUND"));
    assert_eq!(app.get(ANA, &path).await.problem(), (404, "CONVERSATION_NOT_FOUND"));
    assert_eq!(app.delete(ANA, &format!("/api/messages/{message}")).await.problem(), (404, "MESSAGE_NOT_FOUND"));
    let body = json!({"conversationId": id, "content": "Hi", "advisorIds": []});
    assert_eq!(app.command(ANA, "SendMessage", body).await.problem(), (404, "CONVERSATION_NOT_FOUND"));
    assert_eq!(app.get(ANA, "/api/conversations").await.body, json!([]));
}

#[tokio::test]
async fn what_can_not_be_an_id_is_refused_before_anything_is_looked_for() {
    let app = TestApi::start().await;
    for id in ["a%20b", "%C3%A9", &"a".repeat(129)] {
        assert_eq!(app.delete(ANA, &format!("/api/conversations/{id}")).await.problem(), (400, "INVALID_ID"), "{id}");
    }
}

#[tokio::test]
async fn somebody_elses_conversation_is_answered_like_one_that_never_was() {
    let app = TestApi::with_advisors().await;
    let foreign = app.conversation(BEN).await;
    let own = app.conversation(ANA).await;
    let message = app.message(BEN, &foreign, "secret").await;
    let reply = app.question(BEN, &foreign, "Hi").await;
    let unknown = "0198c2b2-7f0e-5c4e-9b1f-2f1f6d1c3a55";
    for (theirs, nobodys) in [(foreign.as_str(), unknown), (message.as_str(), unknown), (reply.as_str(), unknown)] {
        for (method, path, body) in requests() {
            let ask = async |id: &str| {
                let body = body.as_ref().map(|body| replaced(body, id));
                let request = Request::builder().method(method).uri(path.replace("{id}", id));
                app.ask(ANA, request, body).await
            };
            let (theirs, nobodys) = (ask(theirs).await, ask(nobodys).await);
            assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{method} {path} {:?}", theirs.body);
            assert_eq!((theirs.status, &theirs.body), (nobodys.status, &nobodys.body), "{method} {path}");
        }
    }
    assert_eq!(
        app.get(BEN, &format!("/api/conversations/{foreign}")).await.body["messages"].as_array().unwrap().len(),
        2
    );
    assert_eq!(app.get(ANA, &format!("/api/conversations/{own}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_told_to_who_is_not_signed_in() {
    let app = TestApi::with_advisors().await;
    for (method, path, body) in requests() {
        let request = Request::builder().method(method).uri(path.replace("{id}", "x"));
        let answer = app.ask_signed_out(request, body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(answer.body["error"], json!("AUTH_REQUIRED"));
    }
    for path in ["/api/me", "/api/conversations", "/api/conversations?min_position=abc"] {
        assert_eq!(app.ask_signed_out(Request::get(path), None).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn one_key_starts_one_conversation_however_often_it_is_sent() {
    let app = TestApi::with_advisors().await;
    let first = app.ask(ANA, keyed(Request::post("/api/conversations"), "k"), Some(json!({"title": "A"}))).await;
    app.clock.advance(60);
    let again = app.ask(ANA, keyed(Request::post("/api/conversations"), "k"), Some(json!({"title": "A"}))).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = app.ask(ANA, keyed(Request::post("/api/conversations"), "k"), Some(json!({"title": "B"}))).await;
    assert_eq!(other.problem(), (422, "IDEMPOTENCY_KEY_REUSED"));
    let other_route = app.command_as(ANA, "k", "StartConversation", json!({"title": "A"})).await;
    assert_eq!(other_route.problem(), (422, "IDEMPOTENCY_KEY_REUSED"));
    let somebody_else =
        app.ask(BEN, keyed(Request::post("/api/conversations"), "k"), Some(json!({"title": "A"}))).await;
    assert_eq!(somebody_else.status, StatusCode::OK);
    assert_ne!(somebody_else.body["id"], first.body["id"]);
    assert_eq!(app.get(ANA, "/api/conversations").await.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_done_is_answered_again_though_it_could_not_be_done_any_more() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let assigned = json!({"conversationId": id, "advisorId": LEO});
    let first = app.command_as(ANA, "assign", "AssignAdvisor", assigned.clone()).await;
    app.command(crate::test_api::OPERATOR, "SetAdvisorStatus", json!({"advisorId": LEO, "status": "archived"})).await;
    let again = app.command_as(ANA, "assign", "AssignAdvisor", assigned.clone()).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(app.command_as(ANA, "new", "AssignAdvisor", assigned).await.problem(), (422, "ADVISOR_NOT_FOUND"));

    let deleted = json!({"conversationId": id});
    let first = app.command_as(ANA, "delete", "DeleteConversation", deleted.clone()).await;
    let again = app.command_as(ANA, "delete", "DeleteConversation", deleted).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
}

#[tokio::test]
async fn fifty_requests_with_one_key_start_one_conversation() {
    let app = TestApi::with_advisors().await;
    let asked = (0..50).map(|_| app.command_as(ANA, "k", "StartConversation", json!({})));
    let answers = futures::future::join_all(asked).await;
    let id = &answers[0].body["result"]["conversationId"];
    for answer in &answers {
        assert_eq!((answer.status, &answer.body["result"]["conversationId"]), (StatusCode::OK, id));
    }
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count(), 1);
    assert_eq!(app.get(ANA, "/api/conversations").await.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_position_is_waited_for_and_one_that_never_comes_is_refused() {
    let app = TestApi::with_advisors().await;
    let answer = app.command(ANA, "StartConversation", json!({})).await;
    let position = answer.body["position"].as_u64().unwrap();
    assert!(answer.header("x-position").unwrap().parse::<u64>().unwrap() >= position);
    let seen = app.get(ANA, &format!("/api/conversations?min_position={position}")).await;
    assert_eq!(seen.body.as_array().unwrap().len(), 1);
    for bad in [(position + 1_000).to_string(), "abc".to_owned(), "-1".to_owned(), "9223372036854775807".to_owned()] {
        let answer = app.get(ANA, &format!("/api/conversations?min_position={bad}")).await;
        assert_eq!(answer.problem(), (400, "INVALID_POSITION"), "{bad}");
    }
}

#[tokio::test]
async fn who_does_not_want_to_wait_is_answered_at_once() {
    let app = TestApi::with_advisors().await;
    let request = Request::post("/api/commands/StartConversation").header("prefer", "respond-async");
    let answer = app.ask(ANA, request, Some(json!({}))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert!(answer.body["result"]["conversationId"].is_string());
    assert!(answer.header("x-position").is_some());
}

#[tokio::test]
async fn queries_answer_in_json_only() {
    let app = TestApi::with_advisors().await;
    for path in ["/api/conversations", "/api/me", "/api/advisors"] {
        let answer = app.ask(ANA, Request::get(path).header("accept", "image/png"), None).await;
        assert_eq!(answer.problem(), (406, "NOT_ACCEPTABLE"), "{path}");
    }
}

#[tokio::test]
async fn a_command_of_no_name_is_unknown() {
    let app = TestApi::start().await;
    let answer = app.command(ANA, "EatCake", json!({})).await;
    assert_eq!(answer.problem(), (404, "UNKNOWN_COMMAND"));
    assert_eq!(app.get(ANA, "/api/commands/StartConversation").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_person_who_asks_is_shown_to_themselves() {
    let app = TestApi::start().await;
    let answer = app.get(ANA, "/api/me").await;
    assert_eq!(
        answer.body,
        json!({
            "id": ANA, "email": null, "name": null, "image": null, "plan": "free", "tier": "free", "roles": ["user"],
            "createdAt": START_TIME, "updatedAt": START_TIME
        })
    );
    assert_eq!(app.get(crate::test_api::OPERATOR, "/api/me").await.body["roles"], json!(["user", "operator"]));
}

/// Every route and verb that names something of a person's, by conversation, message or reply.
fn requests() -> Vec<(&'static str, &'static str, Option<Value>)> {
    let mut requests = vec![
        ("GET", "/api/conversations/{id}", None),
        ("PATCH", "/api/conversations/{id}", Some(json!({"title": "Mine"}))),
        ("DELETE", "/api/conversations/{id}", None),
        ("GET", "/api/conversations/{id}/messages", None),
        ("PATCH", "/api/messages/{id}", Some(json!({"content": "Mine"}))),
        ("DELETE", "/api/messages/{id}", None),
        ("POST", "/api/chat", Some(json!({"messages": [{"role": "user", "content": "Hi"}], "conversationId": "{id}"}))),
    ];
    for (name, body) in [
        ("RenameConversation", json!({"conversationId": "{id}", "title": "Mine"})),
        ("AssignAdvisor", json!({"conversationId": "{id}", "advisorId": LEO})),
        ("DeleteConversation", json!({"conversationId": "{id}"})),
        ("SendMessage", json!({"conversationId": "{id}", "content": "Hi"})),
        ("SendMessage", json!({"conversationId": "{id}", "content": "Hi", "advisorIds": []})),
        ("EditMessage", json!({"messageId": "{id}", "content": "Hi"})),
        ("DeleteMessage", json!({"messageId": "{id}"})),
        ("StopReply", json!({"replyId": "{id}"})),
    ] {
        requests.push(("POST", command_path(name), Some(body)));
    }
    requests
}

fn command_path(name: &str) -> &'static str {
    match name {
        "RenameConversation" => "/api/commands/RenameConversation",
        "AssignAdvisor" => "/api/commands/AssignAdvisor",
        "DeleteConversation" => "/api/commands/DeleteConversation",
        "SendMessage" => "/api/commands/SendMessage",
        "EditMessage" => "/api/commands/EditMessage",
        "DeleteMessage" => "/api/commands/DeleteMessage",
        _ => "/api/commands/StopReply",
    }
}

fn replaced(body: &Value, id: &str) -> Value {
    serde_json::from_str(&body.to_string().replace("{id}", id)).unwrap()
}

fn without_id(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("commandId");
    body
}
