//! Whose something is decides before its stream is looked at.

use crate::{
    test_api::{Answer, TestApi},
    test_talk::{ANA, BEN, LEO},
};
use advisor_eventlog::EventLog;
use advisor_events::{AdvisorId, ConversationId, StreamName};
use http::{Method, Request};
use serde_json::{Value, json};

/// Every command that names a conversation, an advisor, a message or a reply by itself.
const NAMING: &[(Named, &str, &str, &str)] = &[
    (Named::Conversation, "POST", "/api/commands/RenameConversation", r#"{"conversationId":"ID","title":"x"}"#),
    (Named::Conversation, "POST", "/api/commands/AssignAdvisor", r#"{"conversationId":"ID","advisorId":"leo-li-v1"}"#),
    (Named::Conversation, "POST", "/api/commands/AssignAdvisor", r#"{"conversationId":"ID","advisorId":"nobody"}"#),
    (Named::Conversation, "POST", "/api/commands/SendMessage", r#"{"conversationId":"ID","content":"x"}"#),
    (
        Named::Conversation,
        "POST",
        "/api/commands/SendMessage",
        r#"{"conversationId":"ID","content":"x","advisorIds":[]}"#,
    ),
    (
        Named::Conversation,
        "POST",
        "/api/commands/SendMessage",
        r#"{"conversationId":"ID","content":"x","advisorIds":["nobody"]}"#,
    ),
    (
        Named::Conversation,
        "POST",
        "/api/chat",
        r#"{"conversationId":"ID","messages":[{"role":"user","content":"@Leo"}]}"#,
    ),
    (Named::Conversation, "PATCH", "/api/conversations/ID", r#"{"title":"x"}"#),
    (Named::Conversation, "DELETE", "/api/conversations/ID", ""),
    (Named::Conversation, "POST", "/api/commands/DeleteConversation", r#"{"conversationId":"ID"}"#),
    (Named::Message, "POST", "/api/commands/EditMessage", r#"{"messageId":"ID","content":"x"}"#),
    (Named::Message, "PATCH", "/api/messages/ID", r#"{"content":"x"}"#),
    (Named::Message, "DELETE", "/api/messages/ID", ""),
    (Named::Message, "POST", "/api/commands/DeleteMessage", r#"{"messageId":"ID"}"#),
    (Named::Message, "POST", "/api/commands/StopReply", r#"{"replyId":"ID"}"#),
    (
        Named::Advisor,
        "POST",
        "/api/commands/ReviseAdvisor",
        r#"{"advisorId":"ID","document":{"persona":{"name":"K","title":"x"}}}"#,
    ),
    (Named::Advisor, "POST", "/api/commands/SetAdvisorStatus", r#"{"advisorId":"ID","status":"archived"}"#),
    (Named::Advisor, "POST", "/api/commands/SetAdvisorVisibility", r#"{"advisorId":"ID","visibility":"public"}"#),
    (
        Named::Advisor,
        "PATCH",
        "/api/advisors/ID",
        r#"{"firstName":"K","lastName":"L","title":"x","jsonConfiguration":"{}"}"#,
    ),
    (Named::Advisor, "DELETE", "/api/advisors/ID", ""),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Conversation,
    Message,
    Advisor,
}

#[tokio::test]
async fn the_stream_of_somebody_elses_thing_is_never_read() {
    let app = TestApi::with_advisors().await;
    let (open, gone) = (app.conversation(ANA).await, app.conversation(ANA).await);
    let message = app.message(ANA, &open, "Mine").await;
    app.delete(ANA, &format!("/api/conversations/{gone}")).await;
    let document = json!({"persona": {"name": "Pia Roe", "title": "Private"}});
    let advisor = app.command(ANA, "CreateAdvisor", document).await.body["result"]["advisorId"].clone();
    let advisor = advisor.as_str().unwrap();
    let theirs = [
        StreamName::conversation(&ConversationId::from(open.as_str())),
        StreamName::conversation(&ConversationId::from(gone.as_str())),
        StreamName::advisor(&AdvisorId::from(advisor)),
    ];
    // Ben is known, so that no stream of his own is looked at.
    app.conversation(BEN).await;
    app.log.streams_read();
    for naming in NAMING {
        let ids: &[&str] = match naming.0 {
            Named::Conversation => &[&open, &gone, "never"],
            Named::Message => &[&message, "never"],
            Named::Advisor => &[advisor, "never"],
        };
        for id in ids {
            let answer = ask(&app, BEN, naming, id).await;
            assert_eq!(answer.status, 404, "{naming:?} {id}: {}", answer.body);
            let read = app.log.streams_read();
            assert!(read.iter().all(|stream| !theirs.contains(stream)), "{naming:?} reads {read:?}");
            assert_eq!(read, [], "{naming:?}: {id} costs what no other id does");
        }
    }
}

#[tokio::test]
async fn what_was_done_in_a_conversation_is_answered_again_after_its_deletion() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let conversation = json!(id);
    let commands = [
        ("RenameConversation", json!({"conversationId": conversation, "title": "Plans"})),
        ("AssignAdvisor", json!({"conversationId": conversation, "advisorId": LEO})),
        ("SendMessage", json!({"conversationId": conversation, "content": "Hi", "advisorIds": []})),
        ("DeleteConversation", json!({"conversationId": conversation})),
    ];
    let mut first = Vec::new();
    for (name, body) in &commands {
        let answer = app.command_as(ANA, name, name, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("idempotency-replayed")), (200, None), "{name}");
        first.push(answer.body);
    }
    for ((name, body), first) in commands.iter().zip(first) {
        let again = app.command_as(ANA, name, name, body.clone()).await;
        assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (200, Some("true")), "{name}");
        assert_eq!(again.body, first, "{name}");
        let new = app.command(ANA, name, body.clone()).await;
        assert_eq!(new.problem(), (404, "CONVERSATION_NOT_FOUND"), "{name}");
    }
}

#[tokio::test]
async fn the_log_is_asked_for_what_the_read_side_can_not_know_yet_and_for_nothing_of_somebody_elses() {
    let app = TestApi::with_advisors().await;
    let before = app.conversation(ANA).await;
    app.conversation(BEN).await;
    app.stop_reading().await;
    let after = app.conversation(ANA).await;
    let body = |id: &str| json!({"conversationId": id, "title": "Plans"});
    assert!(app.api.reader.position() < app.log.head().await.unwrap(), "the read side stands still");
    assert_eq!(app.command(ANA, "RenameConversation", body(&after)).await.status, 200);
    assert_eq!(app.command(ANA, "RenameConversation", body(&before)).await.status, 200);
    app.log.streams_read();
    let foreign = app.command(BEN, "RenameConversation", body(&before)).await;
    assert_eq!(foreign.problem(), (404, "CONVERSATION_NOT_FOUND"));
    assert_eq!(app.log.streams_read(), []);
    // Nobody but the log knows whose it is.
    let foreign = app.command(BEN, "RenameConversation", body(&after)).await;
    assert_eq!(foreign.problem(), (404, "CONVERSATION_NOT_FOUND"));
}

async fn ask(app: &TestApi, user: &str, (_, method, path, body): &(Named, &str, &str, &str), id: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(&body.replace("ID", id)).unwrap());
    app.ask(user, Request::builder().method(method).uri(path.replace("ID", id)), body).await
}
