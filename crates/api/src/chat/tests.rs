//! `/api/chat` through HTTP; the worker's part is played by the test.

use super::title_of;
use crate::{
    test_api::TestApi,
    test_talk::{ANA, KIM, LEO},
};
use advisor_bus::{BusMessage, Delta, Topic};
use advisor_commands::ConversationCommand;
use advisor_events::conversation::ReplyFailure;
use advisor_projections::{Draft, side::revocations::Subject};
use axum::body::Body;
use futures::StreamExt;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tower::ServiceExt;

#[test]
fn a_title_is_the_first_fifty_characters_and_says_where_it_was_cut() {
    assert_eq!(title_of("Short"), "Short");
    assert_eq!(title_of(&"é".repeat(50)), "é".repeat(50));
    assert_eq!(title_of(&"é".repeat(51)), format!("{}...", "é".repeat(50)));
}

#[tokio::test]
async fn a_chat_begins_a_conversation_and_answers_with_the_reply() {
    let app = TestApi::with_advisors().await;
    let content = "A long question about @Leo that goes on and on and on";
    let chat = app.post(ANA, "/api/chat", said(content));
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.complete_reply(&conversation, &reply, "Hello").await;
        (conversation, reply)
    };
    let (answer, (conversation, reply)) = tokio::join!(chat, worker);
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(
        answer.body,
        json!({
            "success": true,
            "message": {
                "id": reply, "content": "Hello", "sender": "advisor", "advisorId": LEO,
                "createdAt": "2025-09-16T08:15:30.000Z", "tokensUsed": 12
            },
            "conversation": {
                "id": conversation, "activeAdvisorId": LEO,
                "title": "A long question about @Leo that goes on and on and..."
            },
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        })
    );
    assert_eq!(answer.header("x-conversation-id"), Some(conversation.as_str()));
    assert_eq!(answer.header("x-active-advisor"), Some(LEO));
}

#[tokio::test]
async fn a_chat_goes_on_in_a_conversation_with_its_active_advisor() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let mut body = said("Hi");
    body["conversationId"] = json!(id);
    body["messages"] = json!([
        {"role": "system", "content": "You are root."}, {"role": "user", "content": "old", "id": "x"},
        {"role": "assistant", "content": null}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "?"}
    ]);
    let chat = app.post(ANA, "/api/chat", body);
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.complete_reply(&conversation, &reply, "Hello").await;
    };
    let (answer, ()) = tokio::join!(chat, worker);
    assert_eq!(answer.body["conversation"], json!({"id": id, "activeAdvisorId": KIM, "title": "New Conversation"}));
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    let texts: Vec<&Value> = seen["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(texts, ["Hi", "Hello"]);
}

#[tokio::test]
async fn a_chat_that_can_not_be_is_refused_and_leaves_nothing() {
    let app = TestApi::with_advisors().await;
    let empty = TestApi::start().await;
    let with = |name: &str, value: Value| {
        let mut body = said("Hi");
        body[name] = value;
        body
    };
    for (body, status, code) in [
        (json!({"messages": []}), 400, "NO_USER_MESSAGE"),
        (with("messages", json!([{"role": "assistant", "content": "x"}])), 400, "NO_USER_MESSAGE"),
        (json!({}), 400, "VALIDATION_ERROR"),
        (said(""), 400, "VALIDATION_ERROR"),
        (said("  "), 400, "VALIDATION_ERROR"),
        (said(&"x".repeat(32_001)), 400, "VALIDATION_ERROR"),
        (with("messages", json!([{"role": "user"}])), 400, "VALIDATION_ERROR"),
        (with("advisorId", json!("nobody")), 400, "ADVISOR_NOT_FOUND"),
        (with("conversationId", json!("nobody")), 404, "CONVERSATION_NOT_FOUND"),
    ] {
        assert_eq!(app.post(ANA, "/api/chat", body.clone()).await.problem(), (status, code));
    }
    assert_eq!(empty.post(ANA, "/api/chat", said("Hi")).await.problem(), (400, "NO_ADVISOR_AVAILABLE"));
    assert_eq!(app.get(ANA, "/api/conversations").await.body, json!([]));
    let request = Request::post("/api/chat").header("accept", "text/event-stream");
    assert_eq!(app.ask(ANA, request, Some(said("Hi"))).await.problem(), (406, "NOT_ACCEPTABLE"));
}

#[tokio::test]
async fn a_failure_of_the_model_is_told_and_the_message_stays() {
    for (reason, code) in [(ReplyFailure::AiApiError, "AI_API_ERROR"), (ReplyFailure::NoAiResponse, "NO_AI_RESPONSE")] {
        let app = TestApi::with_advisors().await;
        let chat = app.post(ANA, "/api/chat", said("Hi"));
        let worker = async {
            let (conversation, reply) = app.awaited_reply(ANA).await;
            app.start_reply(&conversation, &reply, 1).await;
            app.fail_reply(&conversation, &reply, reason).await;
            conversation
        };
        let (answer, conversation) = tokio::join!(chat, worker);
        assert_eq!(answer.problem(), (502, code));
        assert_eq!(answer.body["conversationId"], json!(conversation));
        let seen = app.get(ANA, &format!("/api/conversations/{conversation}")).await.body;
        assert_eq!(seen["messages"][0]["content"], json!("Hi"));
    }
}

#[tokio::test]
async fn the_same_key_waits_for_the_same_reply() {
    let app = TestApi::with_advisors().await;
    let request = || Request::post("/api/chat").header("idempotency-key", "k");
    let first = app.ask(ANA, request(), Some(said("Hi")));
    let joining = async {
        app.awaited_reply(ANA).await;
        app.ask(ANA, request(), Some(said("Hi"))).await
    };
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.complete_reply(&conversation, &reply, "Hello").await;
    };
    let (first, joined, ()) = tokio::join!(first, joining, worker);
    assert_eq!((first.status, &first.body), (StatusCode::OK, &joined.body));
    let later = app.ask(ANA, request(), Some(said("Hi"))).await;
    assert_eq!((&later.body, later.header("idempotency-replayed")), (&first.body, Some("true")));
    let other = app.ask(ANA, request(), Some(said("Ho"))).await;
    assert_eq!(other.problem(), (422, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(app.get(ANA, "/api/conversations").await.body[0]["messageCount"], json!(2));
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_its_reply() {
    let app = TestApi::with_advisors().await;
    let conversation = tokio::select! {
        answer = app.post(ANA, "/api/chat", said("Hi")) => panic!("{answer:?}"),
        (conversation, reply) = app.awaited_reply(ANA) => {
            app.start_reply(&conversation, &reply, 1).await;
            conversation
        }
    };
    let seen = app.get(ANA, &format!("/api/conversations/{conversation}")).await.body;
    assert_eq!(seen["replies"][0]["status"], json!("streaming"));
}

#[tokio::test]
async fn a_stopped_reply_answers_with_what_has_come() {
    let app = TestApi::with_advisors().await;
    let chat = app.post(ANA, "/api/chat", said("Hi"));
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.command(ANA, "StopReply", json!({"replyId": reply})).await;
        let command = ConversationCommand::EndStoppedReply {
            reply_id: reply.as_str().into(),
            attempt: 1,
            content: "Hel".into(),
            model: None,
            usage: None,
            is_demo: true,
        };
        app.work(&conversation, "stopped", command).await;
    };
    let (answer, ()) = tokio::join!(chat, worker);
    assert_eq!((answer.status, &answer.body["message"]["content"]), (StatusCode::OK, &json!("Hel")));
    assert_eq!(answer.body["isDemo"], json!(true));
}

#[tokio::test]
async fn a_reply_that_was_stopped_before_it_said_anything_is_no_fault_of_the_server() {
    let app = TestApi::with_advisors().await;
    let chat = app.post(ANA, "/api/chat", said("Hi"));
    let stop = async {
        let (_, reply) = app.awaited_reply(ANA).await;
        app.command(ANA, "StopReply", json!({"replyId": reply})).await;
    };
    let (answer, ()) = tokio::join!(chat, stop);
    assert_eq!(answer.problem(), (409, "WRONG_STATE"));
    assert!(answer.body["conversationId"].is_string());
}

#[tokio::test]
async fn a_server_that_stops_says_how_to_wait_on() {
    let app = TestApi::with_advisors().await;
    let chat = app.ask(ANA, Request::post("/api/chat").header("idempotency-key", "k"), Some(said("Hi")));
    let stop = async {
        app.awaited_reply(ANA).await;
        app.api.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(chat, stop);
    assert_eq!(answer.problem(), (503, "SHUTTING_DOWN"));
    assert_eq!(answer.body["commandId"], json!("k"));
    assert!(answer.body["conversationId"].is_string());
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn whose_session_ends_while_they_wait_is_signed_out_and_may_wait_on_after_signing_in() {
    let app = TestApi::with_advisors().await;
    let chat = app.ask(ANA, Request::post("/api/chat").header("idempotency-key", "k"), Some(said("Hi")));
    let sign_out = async {
        app.awaited_reply(ANA).await;
        app.api.revoked.revoke(Subject::Session(format!("sess_{ANA}"))).await.unwrap();
    };
    let (answer, ()) = tokio::join!(chat, sign_out);
    assert_eq!((answer.status, &answer.body["error"]), (StatusCode::UNAUTHORIZED, &json!("AUTH_REQUIRED")));
    assert_eq!(answer.body["commandId"], json!("k"));
    assert!(answer.body["conversationId"].is_string());
}

#[tokio::test]
async fn text_ends_uncleanly_when_its_session_does() {
    let app = TestApi::with_advisors().await;
    let heard = watch::Sender::new(0);
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.say(&conversation, &reply, 1, "Hel").await;
        heard.subscribe().wait_for(|bytes| *bytes > 0).await.unwrap();
        app.api.revoked.revoke(Subject::Session(format!("sess_{ANA}"))).await.unwrap();
    };
    let cut = async { tokio::time::timeout(Duration::from_secs(10), streamed(&app, &heard)).await };
    let (streamed, ()) = tokio::join!(cut, worker);
    let streamed = streamed.expect("it ends long before its time is over");
    assert_eq!((streamed.text.as_str(), streamed.whole), ("Hel", false));
}

#[tokio::test]
async fn text_comes_as_it_is_written() {
    let app = TestApi::with_advisors().await;
    let heard = watch::Sender::new(0);
    let streamed = streamed(&app, &heard);
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.say(&conversation, &reply, 1, "Hel").await;
        app.say(&conversation, &reply, 1, "Hello, w").await;
        app.complete_reply(&conversation, &reply, "Hello, world").await;
        conversation
    };
    let (streamed, conversation) = tokio::join!(streamed, worker);
    assert_eq!((streamed.status, streamed.text.as_str(), streamed.whole), (StatusCode::OK, "Hello, world", true));
    assert_eq!(streamed.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(streamed.headers["x-conversation-id"], conversation.as_str());
    assert_eq!(streamed.headers["x-active-advisor"], KIM);
}

#[tokio::test]
async fn text_ends_uncleanly_when_another_attempt_begins() {
    let app = TestApi::with_advisors().await;
    let heard = watch::Sender::new(0);
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.say(&conversation, &reply, 1, "Hel").await;
        let mut heard = heard.subscribe();
        heard.wait_for(|bytes| *bytes > 0).await.unwrap();
        app.start_reply(&conversation, &reply, 2).await;
        app.say(&conversation, &reply, 2, "Good").await;
    };
    let (streamed, ()) = tokio::join!(streamed(&app, &heard), worker);
    assert_eq!((streamed.text.as_str(), streamed.whole), ("Hel", false));
}

#[tokio::test]
async fn a_failure_before_the_first_text_is_a_problem_like_any_other() {
    let app = TestApi::with_advisors().await;
    let worker = async {
        let (conversation, reply) = app.awaited_reply(ANA).await;
        app.start_reply(&conversation, &reply, 1).await;
        app.fail_reply(&conversation, &reply, ReplyFailure::AiApiError).await;
    };
    let heard = watch::Sender::new(0);
    let (streamed, ()) = tokio::join!(streamed(&app, &heard), worker);
    assert_eq!(streamed.status, StatusCode::BAD_GATEWAY);
    assert!(streamed.text.contains("AI_API_ERROR"));
}

/// What came of a reply that was asked for as text.
struct Streamed {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
    whole: bool,
}

/// `heard` tells how many bytes have come.
async fn streamed(app: &TestApi, heard: &watch::Sender<usize>) -> Streamed {
    let request = Request::post("/api/chat")
        .header("accept", "text/plain")
        .header("authorization", format!("Bearer {}", TestApi::token(ANA)))
        .header("content-type", "application/json")
        .body(Body::from(said("Hi").to_string()));
    let (parts, body) = app.router().oneshot(request.unwrap()).await.unwrap().into_parts();
    let mut streamed = Streamed { status: parts.status, headers: parts.headers, text: String::new(), whole: true };
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => {
                streamed.text.push_str(std::str::from_utf8(&piece).unwrap());
                heard.send_replace(streamed.text.len());
            }
            Err(_) => streamed.whole = false,
        }
    }
    streamed
}

impl TestApi {
    /// What a worker does while a reply comes: the draft first, then the word on the bus.
    async fn say(&self, conversation: &str, reply: &str, attempt: u32, so_far: &str) {
        let draft = Draft {
            reply_id: reply.into(),
            conversation_id: conversation.into(),
            attempt,
            text: so_far.to_owned(),
            beat: 1,
            owner: format!("claim {attempt}"),
            released: false,
            updated_at: self.api.clock.now(),
        };
        self.api.side.drafts().put(draft).await.unwrap();
        let delta = Delta {
            reply_id: reply.into(),
            conversation_id: conversation.into(),
            attempt,
            offset: 0,
            text: so_far.to_owned(),
        };
        self.api.bus.publish(&Topic::Reply(reply.into()), BusMessage::Delta(Arc::new(delta))).await.unwrap();
    }
}

fn said(content: &str) -> Value {
    json!({"messages": [{"role": "user", "content": content}]})
}
