//! What one person asks for beside the load, and how long it takes.

use super::load::{Entry, Outcome};
use crate::{
    live_client::LiveClient,
    server::{Answer, Client, PATIENCE},
};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// Starts a conversation of this title, which is the command's key, too.
pub(super) async fn start(client: &Client, title: &str) -> Answer {
    let headers = [("idempotency-key", title)];
    client.ask(Method::POST, "/api/commands/StartConversation", &headers, Some(&json!({"title": title}))).await
}

/// Starts one that must be refused for now, by who knows why and not by the last bound of a command alone; tells how
/// long that takes.
pub(super) async fn refused(client: &Client, title: &str) -> Duration {
    let begun = Instant::now();
    let answer = start(client, title).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(!answer.header("retry-after").is_empty(), "{:?}", answer.headers);
    assert_ne!(answer.body["code"], "TIMED_OUT", "{}", answer.text);
    begun.elapsed()
}

/// Repeats that until it is known to be done.
pub(super) async fn until_done(client: &Client, title: &str) -> Entry {
    let begun = Instant::now();
    let mut tries = 1;
    loop {
        tries += 1;
        let answer = start(client, title).await;
        match answer.status {
            200 => return entry(title, answer, tries),
            503 => assert!(begun.elapsed() < PATIENCE, "it does not heal: {}", answer.text),
            _ => panic!("{}: {}", answer.status, answer.text),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How long it takes until a device at another process shows what was begun here.
pub(super) async fn until_seen(here: &Client, device: &mut LiveClient, query: &str, title: &str) -> (Duration, Entry) {
    let begun = Instant::now();
    let answer = start(here, title).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shows = |device: &LiveClient| {
        let list = device.data.get(query).and_then(|list| list.as_array());
        list.is_some_and(|list| list.iter().any(|item| item["title"] == title))
    };
    device.until("what was begun elsewhere", shows).await;
    (begun.elapsed(), entry(title, answer, 1))
}

/// What the first person asked for beside the load.
pub(super) fn entry(title: &str, answer: Answer, tries: u32) -> Entry {
    Entry {
        user: "user_0".to_owned(),
        name: "StartConversation",
        key: title.to_owned(),
        body: json!({"title": title}),
        outcome: Outcome::Done(answer.body),
        tries,
    }
}
