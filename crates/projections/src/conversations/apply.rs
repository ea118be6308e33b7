//! What events make of the rows of conversations.

use super::{ConversationRow, LastMessage};
use crate::{
    deletions,
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
            ConversationEvent::Started(event) => deletions::want(&event.user_id, rows),
            ConversationEvent::Renamed(_)
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
                None => begin(event, &Context { fact, rows }, writes),
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
fn begin(event: &ConversationEvent, context: &Context<'_>, writes: &mut Writes) {
    if let ConversationEvent::Started(event) = event
        && !deletions::is_deleted(&event.user_id, context.rows)
    {
        writes.conversations.put(started(event, context.fact));
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
        ConversationEvent::ReplyStarted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::Started(_)
        | ConversationEvent::Deleted(_) => return Touch::Silent,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{Story, recorded_at, story};
    use advisor_eventlog::Position;
    use advisor_events::conversation::TitleSource;

    const AT: (&str, &str) = ("c", "ana");

    #[test]
    fn a_started_conversation_is_empty() {
        let row = conversation(&story().started("c", "ana"));

        assert_eq!((row.message_count, row.last_message, row.wants_title), (0, None, false));
        assert_eq!((row.created_at, row.updated_at, row.position), (recorded_at(1), recorded_at(1), Position(1)));
    }

    #[test]
    fn messages_and_replies_that_ended_as_one_are_counted() {
        let row = conversation(&two_messages());

        assert_eq!(row.message_count, 2);
        let last = row.last_message.unwrap();
        assert_eq!(
            (last.content.as_str(), last.sender, last.created_at),
            ("an answer", Sender::Advisor, recorded_at(3))
        );
        assert_eq!((row.updated_at, row.position), (recorded_at(3), Position(3)));
    }

    #[test]
    fn a_stopped_reply_without_text_is_no_message() {
        let asked = story().started("c", "ana").sent(AT, "m", &["r"]);

        assert_eq!(conversation(&asked.clone().stopped(AT, "r", "")).message_count, 1);
        assert_eq!(conversation(&asked.stopped(AT, "r", "half")).message_count, 2);
    }

    #[test]
    fn a_long_last_message_is_shown_by_its_first_hundred_characters() {
        let long = "é".repeat(101);
        let row = conversation(&story().started("c", "ana").sent(AT, "m", &[]).edited(AT, "m", &long));

        assert_eq!(row.last_message.unwrap().content, format!("{}...", "é".repeat(100)));
    }

    #[test]
    fn deleting_the_last_message_leaves_it_to_queries_to_find_the_one_before() {
        let row = conversation(&two_messages().message_deleted(AT, "r"));

        assert_eq!((row.message_count, row.last_message), (1, None));
    }

    #[test]
    fn deleting_an_earlier_message_leaves_the_last_one() {
        let row = conversation(&two_messages().message_deleted(AT, "m"));

        assert_eq!(row.message_count, 1);
        assert_eq!(row.last_message.unwrap().id.as_str(), "r");
    }

    #[test]
    fn deleting_a_message_that_is_not_there_counts_nothing() {
        let row = conversation(&two_messages().message_deleted(AT, "other"));

        assert_eq!(row.message_count, 2);
    }

    #[test]
    fn beginning_a_reply_moves_the_position_and_not_the_time() {
        let row = conversation(&story().started("c", "ana").sent(AT, "m", &["r"]).reply_started(AT, "r", 1));

        assert_eq!((row.position, row.updated_at), (Position(3), recorded_at(2)));
    }

    #[test]
    fn four_messages_under_a_poor_title_want_a_better_one() {
        let long = "A title of thirty-one character";
        assert_eq!(long.chars().count(), 31);
        for title in ["", "New Conversation", long] {
            let story = story().conversation("c", "ana", started_as(title)).sent(AT, "1", &[]).sent(AT, "2", &[]);
            assert!(!conversation(&story.clone().sent(AT, "3", &[])).wants_title, "{title}");
            assert!(conversation(&story.sent(AT, "3", &[]).sent(AT, "4", &[])).wants_title, "{title}");
        }
    }

    #[test]
    fn a_good_title_or_one_that_was_set_or_made_before_wants_no_other() {
        let four = |story: Story| (1..=4).fold(story, |story, message| story.sent(AT, &message.to_string(), &[]));
        let good = story().conversation("c", "ana", started_as("A title of just thirty letters"));
        let by_user = story().started("c", "ana").renamed("c", "ana", "New Conversation", TitleSource::User);
        let made = story().started("c", "ana").renamed("c", "ana", "", TitleSource::Content);

        for story in [good, by_user, made] {
            assert!(!conversation(&four(story)).wants_title);
        }
    }

    #[test]
    fn a_deleted_conversation_takes_all_that_is_in_it_along() {
        let rows = two_messages().sent(AT, "n", &["s"]).deleted(AT).fold();

        assert!(rows.conversations.all().is_empty());
        assert!(rows.messages.all().is_empty());
        assert!(rows.replies.all().is_empty());
    }

    #[test]
    fn what_comes_after_a_deletion_means_nothing() {
        let rows = two_messages().deleted(AT).sent(AT, "n", &["s"]).completed(AT, "s", "late").fold();

        assert!(rows.conversations.all().is_empty());
        assert!(rows.messages.all().is_empty());
        assert!(rows.replies.all().is_empty());
    }

    #[test]
    fn a_conversation_whose_id_does_not_fit_a_stream_name_is_found_by_its_stream() {
        let at = ("Gespräch 1", "ana");
        let rows = story().started(at.0, at.1).sent(at, "m", &["r"]).completed(at, "r", "text").fold();

        let row = rows.conversations.all()[0];
        assert_eq!((row.id.as_str(), row.message_count), ("Gespräch 1", 2));
        assert!(rows.messages.all().iter().all(|message| message.conversation_id == row.id));
    }

    fn two_messages() -> Story {
        story().started("c", "ana").sent(AT, "m", &["r"]).completed(AT, "r", "an answer")
    }

    fn started_as(title: &str) -> ConversationEvent {
        ConversationEvent::Started(Started {
            conversation_id: "c".into(),
            user_id: "ana".into(),
            title: Some(title.to_owned().into()),
            active_advisor_id: None,
        })
    }

    fn conversation(story: &Story) -> ConversationRow {
        story.fold().conversations.all()[0].clone()
    }
}
