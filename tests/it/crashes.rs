//! A server that is killed at any moment, under load: what was acknowledged is there exactly once, what was not
//! is there once or not at all, and what is read is what the log says.
//!
//! Sixteen clients write what they sent and what they heard into a history; a checker compares it with the log.
//! The checker itself is checked: histories and logs with a planted fault have to fail.

mod checker;
mod fold;
mod load;

use crate::{
    faulty_model::{End, FaultyModel, Noted, Script, text},
    server::{Client, PATIENCE, Server},
};
use checker::violations;
use load::{Entry, Load, Outcome};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    io::{BufRead, BufReader},
    time::Duration,
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

const KILLS: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let mut server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin(&server).await;
    let mut killed_in_flight = 0;
    for _ in 0..KILLS {
        load.answers(100 + chance(400)).await;
        // The moment within a command is left to chance: nothing tells when one is half done.
        tokio::time::sleep(Duration::from_micros(chance(20_000) as u64)).await;
        killed_in_flight += load.in_flight();
        tokio::task::block_in_place(|| server.kill());
        load.gone();
        tokio::task::block_in_place(|| server.start_again());
        load.serve(&server.url);
    }
    load.answers(200).await;
    let terminated_in_flight = load.in_flight();
    let (code, took) = tokio::task::block_in_place(|| server.terminate());
    load.gone();
    tokio::task::block_in_place(|| server.start_again());
    load.serve(&server.url);
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    load.answers(200).await;
    let (history, users) = load.end(&server).await;

    let events = until_all_replies_have_ended(&server);
    let found = violations(&history, &events);
    assert!(found.is_empty(), "{} violations: {:#?}", found.len(), &found[..found.len().min(10)]);
    check_that_planted_faults_are_found(&history, &events);
    check_reads(&server, &users).await;
    let replayed = check_replays(&server, &users, &history).await;

    let count = |wanted: fn(&Entry) -> bool| history.iter().filter(|entry| wanted(entry)).count();
    println!(
        "{} commands: {} acknowledged, {} refused, {} of unknown outcome repeated; {} events; {KILLS} kills with \
         {killed_in_flight} commands in flight; SIGTERM with {terminated_in_flight} in flight took {took:?}; \
         {replayed} replays",
        history.len(),
        count(|entry| matches!(entry.outcome, Outcome::Done(_))),
        count(|entry| matches!(entry.outcome, Outcome::Refused(..))),
        count(|entry| entry.tries > 1),
        events.len(),
    );
    let ready = reqwest::get(format!("{}/readyz?verbose", server.url)).await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(killed_in_flight > KILLS, "most kills have to hit commands in flight");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_waits_when_the_server_ends_is_told_so_and_waits_on_under_the_same_key() {
    let model = FaultyModel::start();
    model.answer("wait", vec![Script::Chunks("text/event-stream", vec![text("Half ")], End::Silence)]);
    let mut server = Server::start_with(&[("ADVISOR_MODEL_URL", &model.url)]);
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

/// Follows the log until every reply that was asked for has its end; gives all events so far.
fn until_all_replies_have_ended(server: &Server) -> Vec<Value> {
    let wanted = all_events(server).last().unwrap()["position"].as_u64().unwrap();
    let mut child = server.begin(&["events", "tail", "--open", "--follow"]);
    let (mut events, mut open) = (Vec::<Value>::new(), HashSet::new());
    let begun = std::time::Instant::now();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
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
        assert!(begun.elapsed() < PATIENCE, "{} replies have no end", open.len());
    }
    drop(child.kill());
    drop(child.wait());
    events
}

fn all_events(server: &Server) -> Vec<Value> {
    let output = server.advisor(&["events", "tail", "--open"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// A checker that finds nothing proves nothing unless it finds what was put there.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
fn check_that_planted_faults_are_found(history: &[Entry], events: &[Value]) {
    let last = |kind: &str| events.iter().rposition(|event| event["type"] == kind).unwrap();
    let (sent, ended) = (last("conversation.message_sent.v1"), last("conversation.reply_completed.v1"));
    let streams_last = events.iter().rposition(|event| event["stream"] == events[sent]["stream"]).unwrap();
    let doubled = |mut event: Value, id: &str| {
        event["revision"] = json!(events[streams_last]["revision"].as_u64().unwrap() + 1);
        event["position"] = json!(events[events.len() - 1]["position"].as_u64().unwrap() + 1);
        event["metadata"]["eventId"] = json!(id);
        event
    };
    let mut planted: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut plant = |what, change: &dyn Fn(&mut Vec<Value>)| {
        let mut changed = events.to_vec();
        change(&mut changed);
        planted.push((what, changed));
    };
    plant("an acknowledged event is lost from the middle", &|events| drop(events.remove(sent)));
    plant("the end of the log is lost", &|events| events.truncate(sent));
    plant("a command is done twice", &|events| events.push(doubled(events[sent].clone(), "another")));
    plant("an event has another's place", &|events| events.push(events[sent].clone()));
    plant("a word is changed", &|events| events[sent]["data"]["content"] = json!("something else"));
    plant("a reply has no end", &|events| drop(events.remove(ended)));
    plant("a reply has two ends", &|events| {
        let mut end = doubled(events[ended].clone(), "another");
        end["stream"] = events[streams_last]["stream"].clone();
        events.push(end);
    });
    plant("two events change places", &|events| events.swap(sent, sent - 1));
    plant("an event was never asked for", &|events| {
        let mut event = doubled(events[sent].clone(), "another");
        event["metadata"]["commandId"] = json!("never sent");
        events.push(event);
    });
    for (what, changed) in planted {
        let found = violations(history, &changed);
        println!("planted: {what}: {} violations, such as: {}", found.len(), found.first().map_or("", String::as_str));
        assert!(!found.is_empty(), "not found: {what}");
    }
}

/// What every query answers is the fold of the log, at one position.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
async fn check_reads(server: &Server, users: &[Client]) {
    for _ in 0..20 {
        let events = all_events(server);
        let folded = fold::conversations(&events);
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
                assert_eq!(read.get(id), Some(expected), "{id}");
            }
            assert_eq!(read.len(), folded.len());
            println!("{} conversations with {messages} messages read as the log says", read.len());
            return;
        }
    }
    panic!("the log does not come to rest");
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

/// A number below `most`, another one every time.
fn chance(most: usize) -> usize {
    usize::try_from(Uuid::new_v4().as_u128() % most as u128).unwrap()
}
