//! SIGTERM: the orderly end.

use super::checker;
use crate::{
    build::Build,
    faulty_model::{End, FaultyModel, Noted, Script, text},
    server::{Client, Server},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::task::TaskTracker;

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_waits_when_the_server_ends_is_told_so_and_waits_on_under_the_same_key() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let model = FaultyModel::start();
    model.answer("wait", vec![Script::Chunks("text/event-stream", vec![text("Half ")], End::Silence)]);
    let mut server = Server::start_build(&build, &[("ADVISOR_MODEL_URL", &model.url)]);
    let user = server.client("user_1", &[]);
    let chat = |user: &Client| {
        let body = json!({"messages": [{"role": "user", "content": "wait"}]});
        user.request(Method::POST, "/api/chat").header("idempotency-key", "k").json(&body).send()
    };
    let waiting = TaskTracker::new().spawn(chat(&user));
    let (code, took) = tokio::task::block_in_place(|| {
        model.until(&Noted::Asked("wait".into()));
        server.terminate()
    });
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let told = waiting.await.unwrap().unwrap();
    assert_eq!(told.status(), 503);
    assert!(told.headers().contains_key("retry-after") && told.headers().contains_key("x-request-id"));
    let problem: Value = told.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["commandId"]), (&json!("SHUTTING_DOWN"), &json!("k")), "{problem}");
    let conversation = problem["conversationId"].as_str().unwrap();

    tokio::task::block_in_place(|| server.start_again());
    let answer: Value = chat(&user.at(&server)).await.unwrap().json().await.unwrap();
    assert_eq!(answer["message"]["content"], "Well said.", "{answer}");
    assert_eq!(answer["conversation"]["id"], conversation);
    // The attempt that was given up in good order is not counted, and there is one end.
    let events = server.events(&format!("conversation-{conversation}"));
    let started: Vec<_> = events.iter().filter(|event| event["type"] == "conversation.reply_started.v2").collect();
    assert_eq!(started.len(), 2, "{events:#?}");
    assert_eq!(started[1]["data"]["afterRelease"], true, "{events:#?}");
    assert_eq!(events.iter().filter(|event| checker::is_end(event)).count(), 1);
}
