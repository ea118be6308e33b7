//! What events make of the rows of conversations.

use super::{ConversationRow, LastMessage};
use crate::{
    messages::Sender,
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    table::{Table, TableRow},
};
use advisor_events::{
    Event, MessageId, Personal,
    conversation::{ConversationEvent, MessageDeleted, MessageEdited, ReplyFailed, ReplyFailure, Started},
    user::UserEvent,
};

/// Messages from which on a conversation may get a title from its content.
const TITLE_MESSAGES_MIN: u64 = 4;
/// A title of more characters than these asks for a better one.
const TITLE_CHARS_MAX: usize = 30;

/// The projection of conversations.
pub struct Conversations;

impl Projection for Conversations {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        ConversationRow::TABLE
    }

    fn keys(&self, fact: &Fact, rows: &mut Rows) {
        let Event::Conversation(event) = &fact.event else { return };
        rows.conversations.want(fact.stream.as_str());
        match event {
            ConversationEvent::MessageEdited(event) => rows.messages.want(event.message_id.as_str()),
            ConversationEvent::MessageDeleted(event) => rows.messages.want(event.message_id.as_str()),
            ConversationEvent::ReplyCompleted(event) => rows.replies.want(event.reply_id.as_str()),
            ConversationEvent::ReplyFailed(event) => rows.replies.want(event.reply_id.as_str()),
            ConversationEvent::ReplyStopped(event) => rows.replies.want(event.reply_id.as_str()),
            ConversationEvent::Started(_)
            | ConversationEvent::Renamed(_)
            | ConversationEvent::AdvisorAssigned(_)
            | ConversationEvent::MessageSent(_)
            | ConversationEvent::ReplyStarted(_)
            | ConversationEvent::ReplyStopRequested(_)
            | ConversationEvent::Deleted(_) => {}
        }
    }

    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes) {
        match &fact.event {
            Event::Conversation(event) => match rows.conversations.get(fact.stream.as_str()) {
                None => begin(event, fact, writes),
                Some(row) => go_on(row, event, &Context { fact, rows }, writes),
            },
            Event::User(UserEvent::Deleted(event)) => {
                writes.conversations.remove_where("user_id", event.user_id.0.clone());
            }
            Event::Log(_) | Event::User(_) | Event::Advisor(_) => {}
        }
    }
}

struct Context<'a> {
    fact: &'a Fact,
    rows: &'a Rows,
}

/// Where there is no conversation, nothing but its start means anything.
fn begin(event: &ConversationEvent, fact: &Fact, writes: &mut Writes) {
    if let ConversationEvent::Started(event) = event {
        writes.conversations.put(started(event, fact));
    }
}

fn go_on(row: &ConversationRow, event: &ConversationEvent, context: &Context<'_>, writes: &mut Writes) {
    if let ConversationEvent::Deleted(_) = event {
        writes.conversations.remove(row);
        return;
    }
    let mut changed = ConversationRow { position: context.fact.position, ..row.clone() };
    if change(&mut changed, event, context) == Touch::Told {
        changed.updated_at = context.fact.recorded_at;
    }
    changed.wants_title = wants_title(&changed);
    writes.conversations.put(changed);
}

/// Whether an event moves `updatedAt`.
#[derive(PartialEq)]
enum Touch {
    Told,
    Silent,
}

fn change(row: &mut ConversationRow, event: &ConversationEvent, context: &Context<'_>) -> Touch {
    match event {
        ConversationEvent::Renamed(event) => {
            row.title = event.title.known().cloned();
            row.title_source = Some(event.source);
        }
        ConversationEvent::AdvisorAssigned(event) => row.active_advisor_id = Some(event.advisor_id.clone()),
        ConversationEvent::MessageSent(event) => {
            add(row, event.message_id.clone(), &event.content, (Sender::User, context.fact));
            row.failed_replies.clear();
        }
        ConversationEvent::MessageEdited(event) => edit(row, event),
        ConversationEvent::MessageDeleted(event) => delete(row, event, context),
        ConversationEvent::ReplyCompleted(event) => {
            if context.rows.replies.get(event.reply_id.as_str()).is_some() {
                add(row, event.reply_id.clone().into(), &event.content, (Sender::Advisor, context.fact));
            }
        }
        ConversationEvent::ReplyStopped(event) => {
            let is_known = context.rows.replies.get(event.reply_id.as_str()).is_some();
            if is_known && !crate::messages::is_empty(&event.content) {
                add(row, event.reply_id.clone().into(), &event.content, (Sender::Advisor, context.fact));
            }
        }
        ConversationEvent::ReplyFailed(event) => fail(row, event, context),
        ConversationEvent::ReplyStarted(_) | ConversationEvent::ReplyStopRequested(_) => return Touch::Silent,
        ConversationEvent::Started(_) | ConversationEvent::Deleted(_) => return Touch::Silent,
    }
    Touch::Told
}

fn started(event: &Started, fact: &Fact) -> ConversationRow {
    ConversationRow {
        id: event.conversation_id.clone(),
        user_id: event.user_id.clone(),
        title: event.title.as_ref().and_then(Personal::known).cloned(),
        title_source: None,
        active_advisor_id: event.active_advisor_id.clone(),
        created_at: fact.recorded_at,
        updated_at: fact.recorded_at,
        message_count: 0,
        last_message: None,
        position: fact.position,
        wants_title: false,
        failed_replies: Vec::new(),
    }
}

fn add(row: &mut ConversationRow, id: MessageId, content: &Personal<String>, (sender, fact): (Sender, &Fact)) {
    row.message_count += 1;
    let content = content.known().map_or("", String::as_str);
    row.last_message = Some(LastMessage::new(id, content, fact.recorded_at, sender));
}

fn edit(row: &mut ConversationRow, event: &MessageEdited) {
    let content = event.content.known().map_or("", String::as_str);
    if let Some(last) = row.last_message.take_if(|last| last.id == event.message_id) {
        row.last_message = Some(LastMessage::new(last.id, content, last.created_at, last.sender));
    }
}

fn delete(row: &mut ConversationRow, event: &MessageDeleted, context: &Context<'_>) {
    if context.rows.messages.get(event.message_id.as_str()).is_some() {
        row.message_count = row.message_count.saturating_sub(1);
    }
    row.last_message.take_if(|last| last.id == event.message_id);
}

/// A reply whose message was deleted leaves nothing; any other stays until the next message.
fn fail(row: &mut ConversationRow, event: &ReplyFailed, context: &Context<'_>) {
    let is_known = context.rows.replies.get(event.reply_id.as_str()).is_some();
    if is_known && event.reason != ReplyFailure::MessageDeleted {
        row.failed_replies.push(event.reply_id.clone());
    }
}

fn wants_title(row: &ConversationRow) -> bool {
    let is_poor = match row.title.as_deref() {
        None | Some("" | "New Conversation") => true,
        Some(title) => title.chars().count() > TITLE_CHARS_MAX,
    };
    row.title_source.is_none() && row.message_count >= TITLE_MESSAGES_MIN && is_poor
}
