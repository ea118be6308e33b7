//! Messages and replies that have gone, each with the conversation that it was in: a command about one that is sent
//! again must be led to the stream that remembers it.

use crate::{
    Query,
    messages::is_empty,
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    store::{Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow},
};
use advisor_events::{ConversationId, Event, UserId, conversation::ConversationEvent, user::UserEvent};

/// A message or a reply that has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartureRow {
    /// Its id.
    pub id: String,
    /// Whose it was.
    pub user_id: UserId,
    /// Where it was.
    pub conversation_id: ConversationId,
}

impl TableRow for DepartureRow {
    const TABLE: Table = Table {
        name: "departures",
        key: "id",
        columns: &[Column::text("id"), Column::text("user_id"), Column::text("conversation_id")],
        indexes: &[("departures_of_user", "user_id", "")],
        groups: &[("user_id", "user_id = $1")],
    };
    const KEPT: bool = false;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn group(&self, column: &str) -> Option<&str> {
        (column == "user_id").then_some(self.user_id.as_str())
    }

    /// Nobody looks at it but commands.
    fn concern(&self) -> Option<Concern> {
        None
    }

    fn into_values(self) -> Vec<Value> {
        vec![self.id.into(), self.user_id.0.into(), self.conversation_id.0.into()]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self { id: cells.text()?, user_id: cells.id()?, conversation_id: cells.id()? })
    }
}

/// Where a message or a reply of this person was before it went.
pub fn conversation_of(person: &UserId, id: &str) -> Query<Option<ConversationId>> {
    const SQL: &str = "SELECT conversation_id FROM departures WHERE id = $1 AND user_id = $2";
    Query::optional(Statement::new(SQL, vec![id.into(), person.into()]), |row| row.into_cells().id())
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    conversation_of(&UserId::from("user"), "m").into_statements()
}

/// The projection of what has gone.
pub struct Departures;

impl Projection for Departures {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        DepartureRow::TABLE
    }

    fn keys(&self, fact: &Fact, rows: &mut Rows) {
        let Event::Conversation(event) = &fact.event else { return };
        match gone(event) {
            Some(Gone::Message(id)) => rows.messages.want(id),
            Some(Gone::Reply(id)) => rows.replies.want(id),
            None => {}
        }
    }

    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes) {
        match &fact.event {
            Event::Conversation(event) => {
                if let Some(row) = departure(event, rows) {
                    writes.departures.put(row);
                }
            }
            Event::User(UserEvent::Deleted(event)) => {
                writes.departures.remove_where("user_id", event.user_id.0.clone());
            }
            Event::Log(_) | Event::User(_) | Event::Advisor(_) => {}
        }
    }
}

/// What an event takes away, by its id.
enum Gone<'a> {
    Message(&'a str),
    Reply(&'a str),
}

/// A reply that ends in a message is found as that; one that fails is shown for a while, and goes without a word.
fn gone(event: &ConversationEvent) -> Option<Gone<'_>> {
    match event {
        ConversationEvent::MessageDeleted(event) => Some(Gone::Message(event.message_id.as_str())),
        ConversationEvent::ReplyFailed(event) => Some(Gone::Reply(event.reply_id.as_str())),
        ConversationEvent::ReplyStopped(event) if is_empty(&event.content) => {
            Some(Gone::Reply(event.reply_id.as_str()))
        }
        ConversationEvent::ReplyStopped(_)
        | ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageSent(_)
        | ConversationEvent::MessageEdited(_)
        | ConversationEvent::ReplyStarted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::ReplyCompleted(_)
        | ConversationEvent::Deleted(_) => None,
    }
}

fn departure(event: &ConversationEvent, rows: &Rows) -> Option<DepartureRow> {
    let (id, user_id, conversation_id) = match gone(event)? {
        Gone::Message(id) => rows.messages.get(id).map(|row| (id, &row.user_id, &row.conversation_id))?,
        Gone::Reply(id) => rows.replies.get(id).map(|row| (id, &row.user_id, &row.conversation_id))?,
    };
    Some(DepartureRow { id: id.to_owned(), user_id: user_id.clone(), conversation_id: conversation_id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{opened, read_side::told};
    use advisor_events::conversation::ReplyFailure;

    const AT: (&str, &str) = ("c", "ana");

    #[tokio::test]
    async fn what_has_gone_is_found_by_its_owner_alone_also_in_read_models_that_are_made_anew() {
        let story = opened("this log")
            .started("c", "ana")
            .sent(AT, "m", &["r", "s", "t"])
            .failed(AT, "r", ReplyFailure::NoAiResponse)
            .stopped(AT, "s", "")
            .stopped(AT, "t", "half")
            .sent(AT, "n", &[])
            .message_deleted(AT, "m");
        let (side, _) = told(&story).await;

        for id in ["m", "r", "s"] {
            assert_eq!(side.read(conversation_of(&"ana".into(), id)).await, Some("c".into()), "{id}");
            assert_eq!(side.read(conversation_of(&"eve".into(), id)).await, None, "{id}");
        }
        for id in ["n", "t", "never"] {
            assert_eq!(side.read(conversation_of(&"ana".into(), id)).await, None, "{id}");
        }
    }

    #[tokio::test]
    async fn nothing_that_has_gone_is_known_of_a_person_who_was_deleted() {
        let story = opened("this log").registered("ana").started("c", "ana").sent(AT, "m", &[]);
        let story = story.message_deleted(AT, "m").registered("ben").started("d", "ben").sent(("d", "ben"), "o", &[]);
        let (side, _) = told(&story.message_deleted(("d", "ben"), "o").user_deleted("ana")).await;

        assert_eq!(side.read(conversation_of(&"ana".into(), "m")).await, None);
        assert_eq!(side.read(conversation_of(&"ben".into(), "o")).await, Some("d".into()));
    }
}
