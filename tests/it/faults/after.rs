//! What must be true after any fault, once the server runs again and nobody commands it any more.

use super::{
    chance,
    checker::{self, violations},
    fold,
    load::{Entry, Outcome},
};
use crate::server::{Client, PATIENCE, Server};
use reqwest::Method;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashSet},
    io::{BufRead, BufReader},
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long nothing may happen while replies are open.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// What was checked, to be told beside the result.
pub(super) struct Checked {
    pub(super) events: Vec<Value>,
    pub(super) replayed: usize,
}

/// The history agrees with the log, every query with the log's fold, every repeat with the first answer, the read
/// models with a fold of their own program, and no word was logged.
pub(super) async fn check(server: &Server, history: &[Entry], users: &[Client]) -> Checked {
    let events = tokio::task::block_in_place(|| until_all_replies_have_ended(server));
    let found = violations(history, &events);
    assert!(found.is_empty(), "{} violations: {:#?}", found.len(), &found[..found.len().min(10)]);
    check_reads(server, users).await;
    let replayed = check_replays(server, users, history).await;
    let verified = server.advisor(&["verify"]);
    assert!(verified.status.success(), "verify: {}", String::from_utf8_lossy(&verified.stdout));
    let log = server.log_text();
    assert!(!log.contains("words "), "words of people were logged");
    let ready = reqwest::get(format!("{}/readyz?verbose", server.url)).await.unwrap();
    assert_eq!(ready.status(), 200);
    Checked { events, replayed }
}

/// A short account of a history.
pub(super) fn account(history: &[Entry]) -> String {
    let count = |wanted: fn(&Entry) -> bool| history.iter().filter(|entry| wanted(entry)).count();
    format!(
        "{} commands: {} acknowledged, {} refused, {} of unknown outcome repeated",
        history.len(),
        count(|entry| matches!(entry.outcome, Outcome::Done(_))),
        count(|entry| matches!(entry.outcome, Outcome::Refused(..))),
        count(|entry| entry.tries > 1),
    )
}

/// Follows the log until every reply that was asked for has its end; gives all events so far.
fn until_all_replies_have_ended(server: &Server) -> Vec<Value> {
    let wanted = all_events(server).last().unwrap()["position"].as_u64().unwrap();
    let mut child = server.begin(&["events", "tail", "--open", "--follow"]);
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let (mut events, mut open) = (Vec::<Value>::new(), HashSet::new());
    loop {
        let line = lines.recv_timeout(ENDED_WITHIN).unwrap_or_else(|_| panic!("{} replies have no end", open.len()));
        let event: Value = serde_json::from_str(&line).unwrap();
        for reply in event["data"]["replies"].as_array().into_iter().flatten() {
            open.insert(reply["replyId"].as_str().unwrap().to_owned());
        }
        if checker::is_end(&event) {
            open.remove(event["data"]["replyId"].as_str().unwrap());
        }
        let position = event["position"].as_u64().unwrap();
        events.push(event);
        if position >= wanted && open.is_empty() {
            break;
        }
    }
    drop(child.kill());
    drop(child.wait());
    events
}

pub(super) fn all_events(server: &Server) -> Vec<Value> {
    let output = server.advisor(&["events", "tail", "--open"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// What every query answers is the fold of the log, at one position.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
async fn check_reads(server: &Server, users: &[Client]) {
    for _ in 0..20 {
        let events = all_events(server);
        let folded = fold::conversations(&events);
        until_read(&users[0], events.last().unwrap()["position"].as_u64().unwrap()).await;
        let mut read = BTreeMap::new();
        for user in users {
            for item in user.get("/api/conversations").await.as_array().unwrap() {
                let id = item["id"].as_str().unwrap();
                let whole = user.get(&format!("/api/conversations/{id}")).await;
                read.insert(id.to_owned(), fold::Conversation::read(item, &whole));
            }
        }
        // A title may still have been made meanwhile: then everything is read once more.
        if all_events(server).len() == events.len() {
            let messages: usize = folded.values().map(|conversation| conversation.messages.len()).sum();
            for (id, expected) in &folded {
                assert_eq!(read.get(id), Some(expected), "the log does not say so of {id}");
            }
            assert_eq!(read.len(), folded.len(), "the log does not say so of the list");
            println!("{} conversations with {messages} messages read as the log says", read.len());
            return;
        }
    }
    panic!("the log does not come to rest");
}

/// Waits until the read models have taken an event in: another process may bring them forward.
async fn until_read(user: &Client, position: u64) {
    let path = format!("/api/conversations?min_position={position}");
    let begun = Instant::now();
    while user.ask(Method::GET, &path, &[], None).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE, "the read models do not reach {position}");
    }
}

/// Everything that was acknowledged is acknowledged again in the same words, and nothing is appended.
async fn check_replays(server: &Server, users: &[Client], history: &[Entry]) -> usize {
    let before = all_events(server);
    let left: HashSet<_> = before.iter().filter_map(|event| event["metadata"]["commandId"].as_str()).collect();
    let mut replayed = 0;
    for entry in history {
        let Outcome::Done(answer) = &entry.outcome else { continue };
        // What had been stopped already left nothing, and is decided anew.
        if !left.contains(entry.key.as_str()) || (entry.tries == 1 && chance(8) > 0) {
            continue;
        }
        let user = &users[entry.user.trim_start_matches("user_").parse::<usize>().unwrap()];
        let path = format!("/api/commands/{}", entry.name);
        let request = user.request(Method::POST, &path).header("idempotency-key", &entry.key).json(&entry.body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{entry:?}");
        assert_eq!(response.headers()["idempotency-replayed"], "true", "{entry:?}");
        assert_eq!(response.json::<Value>().await.unwrap(), *answer, "{entry:?}");
        replayed += 1;
    }
    assert_eq!(all_events(server).len(), before.len(), "a replay appended something");
    replayed
}
