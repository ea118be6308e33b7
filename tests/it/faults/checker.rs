//! What a log must be, given what was sent and what was answered.

use super::load::{Entry, Outcome};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Whose command, its id, on which stream.
type CommandKey<'a> = (&'a str, &'a str, &'a str);

/// Whether the event is the end of a reply.
pub(super) fn is_end(event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap();
    ["conversation.reply_completed.v1", "conversation.reply_failed.v1", "conversation.reply_stopped.v1"].contains(&kind)
}

/// Everything that is not as it must be.
pub(super) fn violations(history: &[Entry], events: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    check_order(events, &mut found);
    check_replies(events, &mut found);
    let commands = by_command(events);
    let left: HashSet<(&str, &str)> = commands.keys().map(|(user, key, _)| (*user, *key)).collect();
    let mut known = HashSet::new();
    for entry in history {
        match &entry.outcome {
            Outcome::Done(answer) => {
                let key = (entry.user.as_str(), entry.key.as_str(), answer["stream"].as_str().unwrap());
                known.insert(key);
                check_done(entry, answer, commands.get(&key).map_or(&[], Vec::as_slice), &mut found);
            }
            Outcome::Refused(status) => {
                if left.contains(&(entry.user.as_str(), entry.key.as_str())) {
                    found.push(format!("{} was refused with {status} and left something: {entry:?}", entry.key));
                }
            }
        }
    }
    for key in commands.keys().filter(|key| key.2.starts_with("conversation-") && !known.contains(*key)) {
        found.push(format!("nobody sent {key:?}, or nobody was told"));
    }
    found
}

/// Positions grow, revisions are dense, event ids are there once.
fn check_order(events: &[Value], found: &mut Vec<String>) {
    let (mut position, mut revisions, mut ids) = (0, HashMap::new(), HashSet::new());
    for event in events {
        let at = event["position"].as_u64().unwrap();
        if at <= position {
            found.push(format!("position {at} stands behind {position}"));
        }
        position = at;
        let next = revisions.entry(event["stream"].as_str().unwrap()).or_insert(0);
        let revision = event["revision"].as_u64().unwrap();
        if revision != *next {
            found.push(format!("revision {revision} of {} stands where {next} must be", event["stream"]));
        }
        *next = revision + 1;
        if !ids.insert(event["metadata"]["eventId"].as_str().unwrap()) {
            found.push(format!("the event {} is there twice", event["metadata"]["eventId"]));
        }
    }
}

/// Each reply has one end, and none has an end that nobody asked for.
fn check_replies(events: &[Value], found: &mut Vec<String>) {
    let mut ends: HashMap<&str, usize> = HashMap::new();
    for event in events {
        for reply in event["data"]["replies"].as_array().into_iter().flatten() {
            ends.entry(reply["replyId"].as_str().unwrap()).or_default();
        }
    }
    for event in events.iter().filter(|event| is_end(event)) {
        let reply = event["data"]["replyId"].as_str().unwrap();
        match ends.get_mut(reply) {
            Some(ends) => *ends += 1,
            None => found.push(format!("the reply {reply} ends and was never asked for")),
        }
    }
    found.extend(ends.iter().filter(|(_, ends)| **ends != 1).map(|(reply, ends)| format!("{reply} has {ends} ends")));
}

fn by_command(events: &[Value]) -> HashMap<CommandKey<'_>, Vec<&Value>> {
    let mut commands: HashMap<CommandKey<'_>, Vec<&Value>> = HashMap::new();
    for event in events {
        let metadata = &event["metadata"];
        if metadata["actor"]["kind"] != "user" {
            continue;
        }
        let (user, key) = (metadata["actor"]["id"].as_str().unwrap(), metadata["commandId"].as_str().unwrap());
        commands.entry((user, key, event["stream"].as_str().unwrap())).or_default().push(event);
    }
    commands
}

/// An acknowledged command left its events, all of them, once, where its answer says.
fn check_done(entry: &Entry, answer: &Value, events: &[&Value], found: &mut Vec<String>) {
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap().trim_start_matches("conversation.").trim_end_matches(".v1"))
        .collect();
    let right = match entry.name {
        "StartConversation" => kinds == ["started"],
        "RenameConversation" => kinds == ["renamed"],
        "SendMessage" => matches!(kinds.as_slice(), ["message_sent"] | ["advisor_assigned", "message_sent"]),
        "EditMessage" => kinds == ["message_edited"],
        "DeleteMessage" => matches!(kinds.as_slice(), ["message_deleted"] | ["message_deleted", "reply_failed"]),
        "StopReply" => kinds.is_empty() || kinds == ["reply_stop_requested"] || kinds == ["reply_stopped"],
        other => panic!("{other} is not expected"),
    };
    if !right {
        found.push(format!("{} {} was acknowledged and left {kinds:?}", entry.name, entry.key));
        return;
    }
    let Some(last) = events.last() else { return };
    if (&last["revision"], &last["position"]) != (&answer["revision"], &answer["position"]) {
        found.push(format!("{} {} does not stand where its answer says: {answer}", entry.name, entry.key));
    }
    for field in ["title", "content", "messageId"] {
        let said = entry.body.get(field);
        if said.is_some_and(|said| events.iter().all(|event| event["data"][field] != *said)) {
            found.push(format!("{} {} has another {field} in the log", entry.name, entry.key));
        }
    }
    for made in ["conversationId", "messageId"] {
        let said = answer["result"].get(made);
        if said.is_some_and(|said| events.iter().all(|event| event["data"][made] != *said)) {
            found.push(format!("{} {} made another {made} than its answer says", entry.name, entry.key));
        }
    }
}
