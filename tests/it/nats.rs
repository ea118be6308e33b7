//! A server whose bus is a real NATS server, which is not there, comes, dies and comes back: it costs time alone.

use crate::{live_client::LiveClient, server::Server};
use advisor_bus::contract::server::{LOGIN, NatsServer};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_the_bus_is_there_or_not_messages_and_replies_are_pushed_to_who_looks() {
    let mut nats = NatsServer::prepare("");
    let mut server = Server::start_with(&[("ADVISOR_BUS_URL", &nats.url()), ("ADVISOR_DEMO_DELAY_MS", "5")]);
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({})).await;
    let conversation = started["result"]["conversationId"].as_str().unwrap().to_owned();
    let query = format!("/api/conversations/{conversation}");
    let mut device = LiveClient::connect(&user, std::slice::from_ref(&query), None).await;

    for (turn, word) in ["not there yet", "there", "dead", "back"].into_iter().enumerate() {
        match turn {
            0 => {}
            2 => nats.kill(),
            _ => nats.run(),
        }
        let text = format!("@Nadia the bus is {word}");
        let sent = user.command("SendMessage", &json!({"conversationId": conversation, "content": text})).await;
        let reply = sent["result"]["replies"][0]["replyId"].as_str().unwrap().to_owned();
        let told = |device: &LiveClient, id: &str| {
            let shown = device.data.get(&query).and_then(|shown| shown["messages"].as_array());
            shown.is_some_and(|messages| messages.iter().any(|message| message["id"] == id))
        };
        let message = sent["result"]["messageId"].as_str().unwrap();
        device.until("the message", |device| told(device, message)).await;
        device
            .until("some of the reply's text, or the whole", |device| {
                device.drafts.contains_key(&reply) || told(device, &reply)
            })
            .await;
        device.until("the whole reply", |device| told(device, &reply)).await;
    }
    assert!(device.resets.is_empty(), "{:?}", device.resets);
    assert_eq!(server.terminate().0, Some(0));

    let log = server.log_text();
    assert!(log.contains("the bus is away") && log.contains("the bus is connected"), "{log}");
    for secret in LOGIN.split(':').skip(1).chain(["a-pass word"]) {
        assert!(!log.contains(secret), "the login's password stands in the log");
    }
    // Each attempt to connect would be many lines.
    assert!(log.matches("bus is away").count() <= 4, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_does_not_answer_does_not_hold_up_the_end() {
    let mut nats = NatsServer::prepare("");
    nats.run();
    let mut server = Server::start_with(&[("ADVISOR_BUS_URL", &nats.url())]);
    let user = server.client("user_1", &[]);
    user.command("StartConversation", &json!({})).await;
    nats.signal("STOP");
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    // It is asked at the end, unless it was already seen to be away.
    let log = server.log_text();
    let (_, end) = log.split_once("stopping").unwrap();
    assert!(end.contains("the bus does not answer") || log.contains("the bus is away"), "{log}");
}
