//! What events make of the rows of messages.

use super::{MessageRow, Sender};
use crate::{
    conversations::ConversationRow,
    projection::{Fact, Projection},
    replies::ReplyRow,
    rows::{Rows, Writes},
    table::{Table, TableRow},
};
use advisor_events::{
    Event, Personal,
    conversation::{ConversationEvent, MessageEdited, MessageSent, ReplyCompleted, ReplyStopped, Usage},
    user::UserEvent,
};
use serde_json::{Map, Value, json};

/// The projection of messages.
pub struct Messages;

impl Projection for Messages {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        MessageRow::TABLE
    }

    fn keys(&self, fact: &Fact, rows: &mut Rows) {
        let Event::Conversation(event) = &fact.event else { return };
        match event {
            ConversationEvent::MessageSent(_) => rows.conversations.want(fact.stream.as_str()),
            ConversationEvent::MessageEdited(event) => rows.messages.want(event.message_id.as_str()),
            ConversationEvent::MessageDeleted(event) => rows.messages.want(event.message_id.as_str()),
            ConversationEvent::ReplyCompleted(event) => rows.replies.want(event.reply_id.as_str()),
            ConversationEvent::ReplyStopped(event) => rows.replies.want(event.reply_id.as_str()),
            ConversationEvent::Started(_)
            | ConversationEvent::Renamed(_)
            | ConversationEvent::AdvisorAssigned(_)
            | ConversationEvent::ReplyStarted(_)
            | ConversationEvent::ReplyStopRequested(_)
            | ConversationEvent::ReplyFailed(_)
            | ConversationEvent::Deleted(_) => {}
        }
    }

    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes) {
        match &fact.event {
            Event::Conversation(event) => apply(event, fact, rows, writes),
            Event::User(UserEvent::Deleted(event)) => {
                writes.messages.remove_where("user_id", event.user_id.0.clone());
            }
            Event::Log(_) | Event::User(_) | Event::Advisor(_) => {}
        }
    }
}

/// Whether a stopped reply came to nothing. What has been erased was something.
pub(crate) fn is_empty(content: &Personal<String>) -> bool {
    content.known().is_some_and(String::is_empty)
}

fn apply(event: &ConversationEvent, fact: &Fact, rows: &Rows, writes: &mut Writes) {
    match event {
        ConversationEvent::MessageSent(event) => {
            if let Some(conversation) = rows.conversations.get(fact.stream.as_str()) {
                writes.messages.put(sent(event, conversation, fact));
            }
        }
        ConversationEvent::MessageEdited(event) => {
            if let Some(row) = rows.messages.get(event.message_id.as_str()) {
                writes.messages.put(edited(row, event, fact));
            }
        }
        ConversationEvent::MessageDeleted(event) => {
            if let Some(row) = rows.messages.get(event.message_id.as_str()) {
                writes.messages.remove(row);
            }
        }
        ConversationEvent::ReplyCompleted(event) => {
            if let Some(reply) = rows.replies.get(event.reply_id.as_str()) {
                writes.messages.put(completed(event, reply, fact));
            }
        }
        ConversationEvent::ReplyStopped(event) => {
            if let Some(reply) = rows.replies.get(event.reply_id.as_str()).filter(|_| !is_empty(&event.content)) {
                writes.messages.put(stopped(event, reply, fact));
            }
        }
        ConversationEvent::Deleted(event) => {
            writes.messages.remove_where("conversation_id", event.conversation_id.0.clone());
        }
        ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::ReplyStarted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::ReplyFailed(_) => {}
    }
}

fn sent(event: &MessageSent, conversation: &ConversationRow, fact: &Fact) -> MessageRow {
    MessageRow {
        id: event.message_id.clone(),
        conversation_id: conversation.id.clone(),
        user_id: conversation.user_id.clone(),
        sender: Sender::User,
        advisor_id: None,
        content: words(&event.content),
        content_json: event.content_json.as_ref().and_then(Personal::known).cloned(),
        mentions: event.mentions.clone(),
        tokens_used: None,
        created_at: fact.recorded_at,
        edited_at: None,
        revision: fact.revision,
        text_revision: fact.revision,
        position: fact.position,
    }
}

fn edited(row: &MessageRow, event: &MessageEdited, fact: &Fact) -> MessageRow {
    MessageRow {
        content: words(&event.content),
        edited_at: Some(fact.recorded_at),
        text_revision: fact.revision,
        position: fact.position,
        ..row.clone()
    }
}

fn completed(event: &ReplyCompleted, reply: &ReplyRow, fact: &Fact) -> MessageRow {
    let about = About {
        usage: Some(event.usage),
        model: Some(&event.model),
        finish_reason: &event.finish_reason,
        is_demo: event.is_demo,
    };
    replied(reply, words(&event.content), &about, fact)
}

fn stopped(event: &ReplyStopped, reply: &ReplyRow, fact: &Fact) -> MessageRow {
    let about =
        About { usage: event.usage, model: event.model.as_deref(), finish_reason: "stopped", is_demo: event.is_demo };
    replied(reply, words(&event.content), &about, fact)
}

fn replied(reply: &ReplyRow, content: String, about: &About<'_>, fact: &Fact) -> MessageRow {
    MessageRow {
        id: reply.id.clone().into(),
        conversation_id: reply.conversation_id.clone(),
        user_id: reply.user_id.clone(),
        sender: Sender::Advisor,
        advisor_id: Some(reply.advisor_id.clone()),
        content,
        content_json: Some(about.to_json()),
        mentions: Vec::new(),
        tokens_used: about.usage.map(|usage| u64::from(usage.total_tokens)),
        created_at: fact.recorded_at,
        edited_at: None,
        revision: fact.revision,
        text_revision: fact.revision,
        position: fact.position,
    }
}

/// What is told of a reply beside its text.
struct About<'a> {
    usage: Option<Usage>,
    model: Option<&'a str>,
    finish_reason: &'a str,
    is_demo: bool,
}

impl About<'_> {
    /// The form that clients know.
    fn to_json(&self) -> Value {
        let mut json = Map::new();
        if let Some(usage) = self.usage {
            json.insert("usage".into(), usage_json(usage));
        }
        if let Some(model) = self.model {
            json.insert("model".into(), model.into());
        }
        json.insert("finishReason".into(), self.finish_reason.into());
        if self.is_demo {
            json.insert("isDemo".into(), true.into());
        }
        Value::Object(json)
    }
}

fn usage_json(usage: Usage) -> Value {
    let mut json = json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    });
    if let Some(json) = json.as_object_mut().filter(|_| usage.estimated) {
        json.insert("estimated".into(), true.into());
    }
    json
}

fn words(content: &Personal<String>) -> String {
    content.known().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{Story, recorded_at, story};

    const AT: (&str, &str) = ("c", "ana");

    #[test]
    fn a_sent_message_is_the_users() {
        let row = message(&asked(), "m");

        assert_eq!((row.sender, row.content.as_str(), row.created_at), (Sender::User, "text of m", recorded_at(2)));
        assert_eq!((row.revision, row.text_revision, row.edited_at), (1, 1, None));
        assert_eq!((row.user_id.as_str(), row.mentions[0].as_str()), ("ana", "nadia"));
    }

    #[test]
    fn an_edited_message_keeps_its_place_and_says_where_its_text_stands() {
        let row = message(&asked().edited(AT, "m", "better"), "m");

        assert_eq!((row.content.as_str(), row.edited_at), ("better", Some(recorded_at(3))));
        assert_eq!((row.revision, row.text_revision, row.created_at), (1, 2, recorded_at(2)));
    }

    #[test]
    fn a_completed_reply_becomes_the_advisors_message() {
        let row = message(&asked().completed(AT, "r", "an answer"), "r");

        assert_eq!((row.sender, row.advisor_id.unwrap().as_str()), (Sender::Advisor, "nadia"));
        assert_eq!((row.content.as_str(), row.tokens_used), ("an answer", Some(15)));
        assert_eq!(
            row.content_json.unwrap(),
            json!({
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "estimated": true},
                "model": "a model",
                "finishReason": "stop",
                "isDemo": true,
            })
        );
    }

    #[test]
    fn a_stopped_reply_becomes_a_message_of_what_had_come() {
        let row = message(&asked().stopped(AT, "r", "half"), "r");

        assert_eq!((row.content.as_str(), row.tokens_used), ("half", None));
        assert_eq!(row.content_json.unwrap(), json!({"model": "a model", "finishReason": "stopped"}));
    }

    #[test]
    fn a_stopped_reply_of_which_nothing_had_come_becomes_none() {
        assert_eq!(asked().stopped(AT, "r", "").fold().messages.all().len(), 1);
    }

    #[test]
    fn a_deleted_message_is_gone() {
        assert!(asked().message_deleted(AT, "m").fold().messages.all().is_empty());
    }

    #[test]
    fn an_erased_text_is_empty() {
        let sent = MessageSent {
            message_id: "m".into(),
            content: Personal::Erased,
            content_json: Some(Personal::Erased),
            mentions: vec![],
            replies: vec![],
        };
        let row =
            message(&story().started("c", "ana").conversation("c", "ana", ConversationEvent::MessageSent(sent)), "m");

        assert_eq!((row.content.as_str(), row.content_json), ("", None));
    }

    fn asked() -> Story {
        story().started("c", "ana").sent(AT, "m", &["r"])
    }

    fn message(story: &Story, id: &str) -> MessageRow {
        let rows = story.fold();
        let messages = rows.messages.all();
        (*messages.iter().find(|row| row.id.as_str() == id).unwrap()).clone()
    }
}
