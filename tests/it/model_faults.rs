//! A model provider that fails in every way that was seen: each reply ends exactly once, the user's message
//! stays, the answer says what happened, and the next message is answered.

use crate::{
    faulty_model::{End, FaultyModel, Gate, Noted, Script, done, finish, text, usage},
    live_client::LiveClient,
    server::{Client, Server},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

const SSE: &str = "text/event-stream";

#[tokio::test]
async fn a_limited_rate_is_waited_for() {
    let world = World::start(&[]);
    let limited = Script::Status(429, "retry-after: 1\r\n", String::new());
    world.model.answer("limited", vec![limited]);
    let begun = Instant::now();
    let (status, answer) = world.chat("limited").await;
    assert_eq!((status, &answer["message"]["content"]), (200, &json!("Well said.")), "{answer}");
    assert_eq!(answer["usage"]["total_tokens"], 18);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(world.model.asked("limited"), 2);
    world.check_ends(answer["conversation"]["id"].as_str().unwrap(), &["completed"]);
}

#[tokio::test]
async fn a_server_error_that_passes_is_not_noticed() {
    let world = World::start(&[]);
    world.model.answer("shaky", vec![Script::Status(500, "", "<html>".into()), Script::Status(503, "", String::new())]);
    let (status, answer) = world.chat("shaky").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(world.model.asked("shaky"), 3);
}

#[tokio::test]
async fn server_errors_that_stay_fail_the_reply() {
    fails(&[], Script::Status(500, "", "{\"error\":\"secret of the provider\"}".into()), "AI_API_ERROR").await;
}

#[tokio::test]
async fn a_rate_that_stays_limited_fails_the_reply() {
    fails(&[], Script::Status(429, "", String::new()), "AI_API_ERROR").await;
}

#[tokio::test]
async fn a_provider_that_never_answers_fails_the_reply() {
    fails(SHORT, Script::Silence, "AI_API_ERROR").await;
}

#[tokio::test]
async fn a_provider_that_falls_silent_fails_the_reply() {
    fails(SHORT, Script::Chunks(SSE, vec![text("Once ")], End::Silence), "AI_API_ERROR").await;
}

#[tokio::test]
async fn a_provider_that_drips_for_ever_fails_the_reply() {
    let drip = Script::Chunks(SSE, vec![text("x ")], End::Drip(Duration::from_millis(100)));
    fails(SHORT, drip, "AI_API_ERROR").await;
}

#[tokio::test]
async fn a_provider_that_sends_comments_for_ever_fails_the_reply() {
    let drip = Script::Chunks(SSE, vec![b": processing\n\n".to_vec()], End::Drip(Duration::from_millis(50)));
    fails(SHORT, drip, "AI_API_ERROR").await;
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_the_limit_and_the_call_is_closed() {
    const LIMIT: usize = 12_345;
    let world = World::start(&[("ADVISOR_REPLY_CHARS_MAX", "12345")]);
    let endless = Script::Chunks(SSE, vec![text(&"é ".repeat(5_000))], End::Drip(Duration::ZERO));
    world.model.answer("tell me all", vec![endless]);
    let (status, answer) = world.chat("tell me all").await;
    assert_eq!(status, 200, "{answer}");
    let said = answer["message"]["content"].as_str().unwrap();
    assert_eq!(said, "é ".repeat(LIMIT).chars().take(LIMIT).collect::<String>());
    world.model.until(&Noted::Left("tell me all".into()));
    assert_eq!(world.model.asked("tell me all"), 1);
    let conversation = answer["conversation"]["id"].as_str().unwrap();
    let stored = world.user.get(&format!("/api/conversations/{conversation}")).await;
    assert_eq!(messages(&stored)[1]["contentJson"]["finishReason"], "length");
    world.check_ends(conversation, &["completed"]);
    // Who has said too much once is asked again.
    world.send(conversation, "go on", None).await;
    world.settled(conversation).await;
    world.check_ends(conversation, &["completed", "completed"]);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_fails_the_reply() {
    fails(&[], Script::Chunks(SSE, vec![text("Once "), text("upon")], End::Cut), "AI_API_ERROR").await;
}

#[tokio::test]
async fn an_answer_without_a_finish_reason_fails_the_reply() {
    fails(&[], Script::Chunks(SSE, vec![text("Once "), done()], End::Good), "AI_API_ERROR").await;
}

#[tokio::test]
async fn a_page_of_html_fails_the_reply() {
    let page = b"<html><body>Login</body></html>".to_vec();
    fails(&[], Script::Chunks("text/html", vec![page.clone()], End::Good), "AI_API_ERROR").await;
    fails(&[], Script::Chunks("application/json", vec![page], End::Good), "AI_API_ERROR").await;
}

#[tokio::test]
async fn bytes_that_are_no_text_fail_the_reply() {
    let broken = b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n".to_vec();
    fails(&[], Script::Chunks(SSE, vec![text("Once "), broken, finish(), done()], End::Good), "AI_API_ERROR").await;
}

#[tokio::test]
async fn an_empty_answer_and_a_blank_one_are_none() {
    fails(&[], Script::Chunks(SSE, vec![finish(), usage(), done()], End::Good), "NO_AI_RESPONSE").await;
    fails(&[], Script::Chunks(SSE, vec![text(" \n"), finish(), done()], End::Good), "NO_AI_RESPONSE").await;
}

#[tokio::test]
async fn a_wrong_key_fails_the_reply_at_the_first_call() {
    let world = fails(&[], Script::Status(401, "", "{\"error\":\"sk-wrong\"}".into()), "AI_API_ERROR").await;
    assert_eq!((world.model.asked("by chat"), world.model.asked("by command")), (1, 1));
}

#[tokio::test]
async fn a_missing_end_after_the_finish_reason_does_no_harm() {
    let world = World::start(&[]);
    world.model.answer("abrupt", vec![Script::Chunks(SSE, vec![text("Whole."), finish()], End::Cut)]);
    let (status, answer) = world.chat("abrupt").await;
    assert_eq!((status, &answer["message"]["content"]), (200, &json!("Whole.")), "{answer}");
}

#[tokio::test]
async fn a_missing_usage_is_estimated_and_marked() {
    let world = World::start(&[]);
    world.model.answer("uncounted", vec![Script::Chunks(SSE, vec![text("Some words."), finish(), done()], End::Good)]);
    let (status, answer) = world.chat("uncounted").await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["usage"]["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{answer}");
    assert!(answer["message"]["tokensUsed"].as_u64().is_some_and(|tokens| tokens > 0), "{answer}");
    let conversation = answer["conversation"]["id"].as_str().unwrap();
    let stored = world.user.get(&format!("/api/conversations/{conversation}")).await;
    assert_eq!(stored["messages"][1]["contentJson"]["usage"]["estimated"], true, "{stored}");
}

#[tokio::test]
async fn stopping_a_reply_closes_the_call_and_keeps_the_text_so_far() {
    let world = World::start(&[]);
    world.model.answer("stop me", vec![Script::Chunks(SSE, vec![text("So "), text("far")], End::Silence)]);
    let conversation = world.conversation().await;
    let path = format!("/api/conversations/{conversation}");
    let mut device = LiveClient::connect(&world.user, std::slice::from_ref(&path), None).await;
    let reply = world.send(&conversation, "stop me", None).await.remove(0);
    device.until("the text", |device| device.drafts.get(&reply).is_some_and(|(_, text)| text == "So far")).await;

    let asked = Instant::now();
    world.user.command("StopReply", &json!({"replyId": reply})).await;
    let left = world.model.until(&Noted::Left("stop me".into()));
    assert!(left.duration_since(asked) < Duration::from_secs(2), "{:?}", left.duration_since(asked));
    device.until("the message", |device| messages(&device.data[&path]).len() == 2).await;
    let stored = world.user.get(&path).await;
    let message = &messages(&stored)[1];
    assert_eq!((&message["id"], &message["content"]), (&json!(reply), &json!("So far")), "{stored}");
    assert_eq!(message["contentJson"]["finishReason"], "stopped", "{message}");
    assert_eq!(stored["replies"], json!([]));
    world.check_ends(&conversation, &["stopped"]);
    // Stopping what has been stopped changes nothing, and the next message is answered.
    world.user.command("StopReply", &json!({"replyId": reply})).await;
    world.send(&conversation, "go on", None).await;
    device.until("the next reply", |device| messages(&device.data[&path]).len() == 4).await;
    world.check_ends(&conversation, &["stopped", "completed"]);
}

#[tokio::test]
async fn replies_to_one_message_run_side_by_side() {
    let world = World::start(&[]);
    let both = Script::Together(Arc::new(Barrier::new(2)), vec!["Together.".into()]);
    world.model.answer("both of you", vec![both.clone(), both]);
    let conversation = world.conversation().await;
    let advisors = world.user.get("/api/advisors").await;
    let ids = json!([advisors[0]["id"], advisors[1]["id"]]);
    let replies = world.send(&conversation, "both of you", Some(ids.clone())).await;
    let stored = world.settled(&conversation).await;
    let written: HashMap<_, _> = messages(&stored)[1..]
        .iter()
        .map(|message| (message["id"].as_str().unwrap(), (&message["advisorId"], message["content"].as_str().unwrap())))
        .collect();
    assert_eq!(written.len(), 2, "{stored}");
    for (reply, advisor) in replies.iter().zip(ids.as_array().unwrap()) {
        assert_eq!(written[reply.as_str()], (advisor, "Together."));
    }
    world.check_ends(&conversation, &["completed", "completed"]);
}

#[tokio::test]
async fn a_later_message_waits_for_the_replies_to_an_earlier_one() {
    let world = World::start(&[]);
    let gate = Arc::<Gate>::default();
    world.model.answer("first", vec![Script::Held(Arc::clone(&gate), vec!["One.".into()])]);
    let conversation = world.conversation().await;
    world.send(&conversation, "first", None).await;
    world.model.until(&Noted::Asked("first".into()));
    world.send(&conversation, "second", None).await;
    // Another conversation is not held up; when its reply is there, the second message has waited long enough.
    let (status, _) = world.chat("elsewhere").await;
    assert_eq!(status, 200);
    assert_eq!(world.model.asked("second"), 0);
    gate.open();

    let stored = world.settled(&conversation).await;
    let contents: Vec<&str> = messages(&stored).iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(contents, ["first", "second", "One.", "Well said."]);
    let noted = world.model.noted();
    let at = |noted_at: Noted| noted.iter().position(|noted| *noted == noted_at).unwrap();
    assert!(at(Noted::Answered("first".into())) < at(Noted::Asked("second".into())), "{noted:?}");
    world.check_ends(&conversation, &["completed", "completed"]);
}

/// So that a provider's silence need not be waited for long.
const SHORT: &[(&str, &str)] = &[("ADVISOR_MODEL_TIMEOUT_MS", "1500")];

/// A provider that fails always: what `/api/chat` and `SendMessage` make of it, and what comes after.
async fn fails(variables: &[(&str, &str)], script: Script, code: &str) -> World {
    let world = World::start(variables);
    for message in ["by chat", "by command"] {
        world.model.answer(message, vec![script.clone(); 9]);
    }
    let (status, problem) = world.chat("by chat").await;
    assert_eq!((status, &problem["error"], &problem["code"]), (502, &json!(code), &json!(code)), "{problem}");
    assert!(!problem.to_string().contains("secret") && !problem.to_string().contains("sk-wrong"), "{problem}");
    let conversation = problem["conversationId"].as_str().expect("the problem names the conversation").to_owned();
    world.check_failed(&conversation, "by chat", code).await;
    world.check_ends(&conversation, &["failed"]);

    // The next message is answered, and the failed reply is gone from sight.
    world.send(&conversation, "again", None).await;
    let stored = world.settled(&conversation).await;
    assert_eq!(stored["replies"], json!([]), "{stored}");
    let contents: Vec<&str> = messages(&stored).iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(contents, ["by chat", "again", "Well said."]);

    let other = world.conversation().await;
    world.send(&other, "by command", None).await;
    world.settled(&other).await;
    world.check_failed(&other, "by command", code).await;
    world.check_ends(&other, &["failed"]);
    world.check_ends(&conversation, &["failed", "completed"]);
    world
}

/// A server, its provider, and a user.
struct World {
    model: FaultyModel,
    server: Server,
    user: Client,
}

impl World {
    fn start(variables: &[(&str, &str)]) -> Self {
        let model = FaultyModel::start();
        let variables = [&[("ADVISOR_MODEL_URL", model.url.as_str())], variables].concat();
        let server = Server::start_with(&variables);
        let user = server.client("user_1", &[]);
        Self { model, server, user }
    }

    async fn chat(&self, content: &str) -> (u16, Value) {
        let body = json!({"messages": [{"role": "user", "content": content}]});
        let (status, answer) = self.user.send(Method::POST, "/api/chat", Some(&body)).await;
        (status.as_u16(), answer)
    }

    async fn conversation(&self) -> String {
        let answer = self.user.command("StartConversation", &json!({})).await;
        answer["result"]["conversationId"].as_str().unwrap().to_owned()
    }

    /// Sends a message; gives the ids of its replies.
    async fn send(&self, conversation: &str, content: &str, advisors: Option<Value>) -> Vec<String> {
        let mut body = json!({"conversationId": conversation, "content": content});
        if let Some(advisors) = advisors {
            body["advisorIds"] = advisors;
        }
        let answer = self.user.command("SendMessage", &body).await;
        let replies = answer["result"]["replies"].as_array().unwrap();
        replies.iter().map(|reply| reply["replyId"].as_str().unwrap().to_owned()).collect()
    }

    /// The conversation once no reply runs in it.
    async fn settled(&self, conversation: &str) -> Value {
        let path = format!("/api/conversations/{conversation}");
        let mut device = LiveClient::connect(&self.user, std::slice::from_ref(&path), None).await;
        let settled = |device: &LiveClient| {
            let data = device.data.get(&path);
            data.is_some_and(|data| data["replies"].as_array().unwrap().iter().all(|reply| reply["status"] == "failed"))
        };
        device.until("all replies", settled).await;
        self.user.get(&path).await
    }

    /// The message is there, and its reply has failed and says why.
    async fn check_failed(&self, conversation: &str, content: &str, error: &str) {
        let stored = self.user.get(&format!("/api/conversations/{conversation}")).await;
        let messages = messages(&stored);
        assert_eq!((messages.len(), &messages[0]["content"]), (1, &json!(content)), "{stored}");
        let replies = stored["replies"].as_array().unwrap();
        assert_eq!(replies.len(), 1, "{stored}");
        assert_eq!((&replies[0]["status"], &replies[0]["error"]), (&json!("failed"), &json!(error)), "{stored}");
        assert_eq!(replies[0]["messageId"], messages[0]["id"]);
    }

    /// Each reply of the log has exactly one end, and these are all of them.
    fn check_ends(&self, conversation: &str, expected: &[&str]) {
        let events = self.server.events(&format!("conversation-{conversation}"));
        let mut ends: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut in_order = Vec::new();
        for event in &events {
            let kind = event["type"].as_str().unwrap();
            let end = ["completed", "failed", "stopped"]
                .into_iter()
                .find(|end| kind == format!("conversation.reply_{end}.v1"));
            if let Some(end) = end {
                ends.entry(event["data"]["replyId"].as_str().unwrap()).or_default().push(end);
                in_order.push(end);
            }
        }
        assert!(ends.values().all(|ends| ends.len() == 1), "{ends:?}");
        assert_eq!(in_order, expected, "{events:#?}");
    }
}

fn messages(conversation: &Value) -> &[Value] {
    conversation["messages"].as_array().unwrap()
}
