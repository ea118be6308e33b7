//! Conversations as the log tells them, and as queries show them.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is compared of a conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    title: String,
    /// Id, sender and text, in order.
    pub(super) messages: Vec<(String, &'static str, String)>,
    failed: BTreeSet<String>,
    /// As the list counts them.
    count: u64,
}

impl Conversation {
    /// As the list and the query of one show it.
    pub(super) fn read(item: &Value, whole: &Value) -> Self {
        assert_eq!(item["title"], whole["title"]);
        let message = |message: &Value| {
            let sender = if message["sender"] == "user" { "user" } else { "advisor" };
            (text(&message["id"]), sender, text(&message["content"]))
        };
        Self {
            title: text(&whole["title"]),
            messages: whole["messages"].as_array().unwrap().iter().map(message).collect(),
            failed: whole["replies"].as_array().unwrap().iter().map(|reply| text(&reply["replyId"])).collect(),
            count: item["messageCount"].as_u64().unwrap(),
        }
    }

    fn apply(&mut self, kind: &str, data: &Value) {
        match kind {
            "conversation.started.v1" | "conversation.renamed.v1" => self.title = text(&data["title"]),
            "conversation.message_sent.v1" => {
                self.failed.clear();
                self.messages.push((text(&data["messageId"]), "user", text(&data["content"])));
            }
            "conversation.message_edited.v1" => {
                let id = text(&data["messageId"]);
                let message = self.messages.iter_mut().find(|message| message.0 == id);
                message.unwrap().2 = text(&data["content"]);
            }
            "conversation.message_deleted.v1" => {
                let id = text(&data["messageId"]);
                self.messages.retain(|message| message.0 != id);
            }
            "conversation.reply_completed.v1" | "conversation.reply_stopped.v1" => {
                let content = text(&data["content"]);
                if !content.is_empty() {
                    self.messages.push((text(&data["replyId"]), "advisor", content));
                }
            }
            // A reply that its message took along leaves nothing.
            "conversation.reply_failed.v1" if data["reason"] != "MESSAGE_DELETED" => {
                self.failed.insert(text(&data["replyId"]));
            }
            _ => {}
        }
        self.count = self.messages.len() as u64;
    }
}

/// Every conversation of the log, by its id.
pub(super) fn conversations(events: &[Value]) -> BTreeMap<String, Conversation> {
    let mut all: BTreeMap<String, Conversation> = BTreeMap::new();
    for event in events {
        if let Some(id) = event["stream"].as_str().unwrap().strip_prefix("conversation-") {
            all.entry(id.to_owned()).or_default().apply(event["type"].as_str().unwrap(), &event["data"]);
        }
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
