//! SIGKILL at any moment.

use super::{
    after::{account, all_events, check},
    chance,
    checker::violations,
    load::{Entry, Load},
    rounds,
    watchers::Watchers,
};
use crate::{build::Build, server::Server};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let (history, events) = trial(Build::usual(), rounds("ADVISOR_TEST_KILLS", 30)).await;
    check_that_planted_faults_are_found(&history, &events);
}

/// Kills so often, each time under load; then once asks the server to end.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
pub(super) async fn trial(build: Build, kills: usize) -> (Vec<Entry>, Vec<Value>) {
    let mut server = Server::start_build(&build, &[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    let (mut in_flight, mut hits, mut past) = (0, 0, Vec::new());
    for kill in 0..kills {
        load.answers(100 + chance(400)).await;
        // The moment within a command is left to chance: nothing tells when one is half done.
        tokio::time::sleep(Duration::from_micros(chance(20_000) as u64)).await;
        let caught = load.in_flight();
        (in_flight, hits) = (in_flight + caught, hits + usize::from(caught > 0));
        tokio::task::block_in_place(|| server.kill());
        load.gone();
        tokio::task::block_in_place(|| server.start_again());
        if kill % 5 == 4 {
            check_that_the_past_stands(&mut past, &server);
        }
        load.serve(&server.url);
    }
    load.answers(200).await;
    let (code, took) = tokio::task::block_in_place(|| server.terminate());
    load.gone();
    tokio::task::block_in_place(|| server.start_again());
    load.serve(&server.url);
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    load.answers(200).await;
    let (history, users) = load.end(&server).await;
    let checked = check(&server, &history, &users).await;
    check_that_the_past_stands(&mut past, &server);
    let watched = watchers.end(&checked.events).await;
    println!(
        "{}; {} events; {kills} kills, {hits} of them with {in_flight} commands in flight; {} replays; {watched}",
        account(&history),
        checked.events.len(),
        checked.replayed,
    );
    assert!(hits * 10 >= kills * 9, "nearly all kills have to hit commands in flight");
    (history, checked.events)
}

/// What the log held stands where it stood, in the same words.
fn check_that_the_past_stands(past: &mut Vec<Value>, server: &Server) {
    let events = all_events(server);
    let changed = past.iter().zip(&events).position(|(was, is)| was != is);
    assert!(changed.is_none() && past.len() <= events.len(), "the past was rewritten at event {changed:?}");
    *past = events;
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
