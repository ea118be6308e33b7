//! What events make of the rows of replies.

use super::{ReplyRow, ReplyStatus};
use crate::{
    conversations::ConversationRow,
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    table::{Concern, Table, TableRow},
};
use advisor_events::{
    Event, ReplyId,
    conversation::{ConversationEvent, MessageSent, ReplyFailed, ReplyFailure, ReplyStarted},
    user::UserEvent,
};

/// The projection of replies.
pub struct Replies;

impl Projection for Replies {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        ReplyRow::TABLE
    }

    fn keys(&self, fact: &Fact, rows: &mut Rows) {
        let Event::Conversation(event) = &fact.event else { return };
        if let ConversationEvent::MessageSent(_) = event {
            rows.conversations.want(fact.stream.as_str());
        }
        if let Some(reply_id) = reply_of(event) {
            rows.replies.want(reply_id.as_str());
        }
    }

    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes) {
        match &fact.event {
            Event::Conversation(ConversationEvent::MessageSent(event)) => {
                if let Some(conversation) = rows.conversations.get(fact.stream.as_str()) {
                    ask(event, conversation, fact, writes);
                }
            }
            Event::Conversation(ConversationEvent::Deleted(event)) => {
                writes.replies.remove_where("conversation_id", event.conversation_id.0.clone());
            }
            Event::Conversation(event) => {
                if let Some(row) = reply_of(event).and_then(|reply_id| rows.replies.get(reply_id.as_str())) {
                    go_on(row, event, fact, writes);
                }
            }
            Event::User(UserEvent::Deleted(event)) => {
                writes.replies.remove_where("user_id", event.user_id.0.clone());
            }
            Event::Log(_) | Event::User(_) | Event::Advisor(_) => {}
        }
    }
}

/// The reply that an event goes on with.
fn reply_of(event: &ConversationEvent) -> Option<&ReplyId> {
    match event {
        ConversationEvent::ReplyStarted(event) => Some(&event.reply_id),
        ConversationEvent::ReplyStopRequested(event) => Some(&event.reply_id),
        ConversationEvent::ReplyCompleted(event) => Some(&event.reply_id),
        ConversationEvent::ReplyFailed(event) => Some(&event.reply_id),
        ConversationEvent::ReplyStopped(event) => Some(&event.reply_id),
        ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageSent(_)
        | ConversationEvent::MessageEdited(_)
        | ConversationEvent::MessageDeleted(_)
        | ConversationEvent::Deleted(_) => None,
    }
}

/// The failed replies have been seen: the next message takes them away, and asks for its own.
fn ask(event: &MessageSent, conversation: &ConversationRow, fact: &Fact, writes: &mut Writes) {
    for reply_id in &conversation.failed_replies {
        let concern = Concern::in_conversation(reply_id.as_str(), &conversation.user_id, &conversation.id);
        writes.replies.remove_unseen(reply_id.as_str(), Some(concern));
    }
    for (reply, place) in event.replies.iter().zip(0..) {
        writes.replies.put(ReplyRow {
            id: reply.reply_id.clone(),
            conversation_id: conversation.id.clone(),
            user_id: conversation.user_id.clone(),
            message_id: event.message_id.clone(),
            advisor_id: reply.advisor_id.clone(),
            status: ReplyStatus::Pending,
            attempt: 0,
            attempts_counted: 0,
            claim: None,
            stop_requested: false,
            error: None,
            asked_position: fact.position,
            revision: fact.revision,
            place,
            position: fact.position,
        });
    }
}

fn go_on(row: &ReplyRow, event: &ConversationEvent, fact: &Fact, writes: &mut Writes) {
    let row = ReplyRow { position: fact.position, ..row.clone() };
    match event {
        ConversationEvent::ReplyStarted(event) => writes.replies.put(started(row, event)),
        ConversationEvent::ReplyStopRequested(_) => writes.replies.put(ReplyRow { stop_requested: true, ..row }),
        ConversationEvent::ReplyFailed(ReplyFailed { reason, .. }) if *reason != ReplyFailure::MessageDeleted => {
            writes.replies.put(ReplyRow { status: ReplyStatus::Failed, error: Some(*reason), ..row });
        }
        ConversationEvent::ReplyFailed(_)
        | ConversationEvent::ReplyCompleted(_)
        | ConversationEvent::ReplyStopped(_) => writes.replies.remove(&row),
        ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageSent(_)
        | ConversationEvent::MessageEdited(_)
        | ConversationEvent::MessageDeleted(_)
        | ConversationEvent::Deleted(_) => {}
    }
}

fn started(row: ReplyRow, event: &ReplyStarted) -> ReplyRow {
    ReplyRow {
        status: ReplyStatus::Streaming,
        attempt: event.attempt,
        attempts_counted: row.attempts_counted + u32::from(!event.after_release),
        claim: Some(event.claim.clone()),
        ..row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{Story, story};

    const AT: (&str, &str) = ("c", "ana");

    #[test]
    fn replies_that_are_asked_for_are_pending_in_their_order() {
        let rows = story().started("c", "ana").sent(AT, "m", &["b", "a"]).fold();

        let places: Vec<_> = rows.replies.all().iter().map(|row| (row.id.as_str().to_owned(), row.place)).collect();
        assert_eq!(places, [("a".to_owned(), 1), ("b".to_owned(), 0)]);
        assert!(rows.replies.all().iter().all(|row| row.status == ReplyStatus::Pending && row.attempt == 0));
    }

    #[test]
    fn an_attempt_that_follows_a_release_is_not_counted() {
        let row = reply(&asked().reply_started(AT, "r", 1).reply_started(AT, "r", 2).reply_started(AT, "r", 3));

        assert_eq!((row.attempt, row.attempts_counted, row.status), (3, 2, ReplyStatus::Streaming));
        assert_eq!(row.claim.as_deref(), Some("claim 3"));
    }

    #[test]
    fn a_stop_that_was_asked_for_is_seen() {
        assert!(reply(&asked().reply_started(AT, "r", 1).stop_requested(AT, "r")).stop_requested);
    }

    #[test]
    fn a_reply_that_has_become_a_message_is_gone() {
        assert!(asked().completed(AT, "r", "text").fold().replies.all().is_empty());
        assert!(asked().stopped(AT, "r", "text").fold().replies.all().is_empty());
        assert!(asked().stopped(AT, "r", "").fold().replies.all().is_empty());
    }

    #[test]
    fn a_failed_reply_stays_until_the_next_message() {
        let failed = asked().failed(AT, "r", ReplyFailure::AiApiError);

        let row = reply(&failed);
        assert_eq!((row.status, row.error), (ReplyStatus::Failed, Some(ReplyFailure::AiApiError)));
        let next = failed.sent(AT, "n", &["s"]).fold();
        let left: Vec<_> = next.replies.all().iter().map(|row| row.id.as_str().to_owned()).collect();
        assert_eq!(left, ["s"]);
    }

    #[test]
    fn a_reply_that_still_runs_stays_when_the_next_message_comes() {
        assert_eq!(asked().sent(AT, "n", &["s"]).fold().replies.all().len(), 2);
    }

    #[test]
    fn a_reply_whose_message_was_deleted_leaves_nothing() {
        let rows = asked().message_deleted(AT, "m").failed(AT, "r", ReplyFailure::MessageDeleted).fold();

        assert!(rows.replies.all().is_empty());
        assert!(rows.conversations.all()[0].failed_replies.is_empty());
    }

    fn asked() -> Story {
        story().started("c", "ana").sent(AT, "m", &["r"])
    }

    fn reply(story: &Story) -> ReplyRow {
        story.fold().replies.all()[0].clone()
    }
}
