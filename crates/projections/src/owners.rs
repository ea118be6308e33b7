//! Whose every conversation is, or was before it was deleted: what a command that names one is resolved by.

use crate::{
    Query, deletions,
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    store::{Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow},
};
use advisor_events::{ConversationId, Event, StreamName, UserId, conversation::ConversationEvent, user::UserEvent};

/// Whose a conversation is or was. It outlives the conversation, since commands that were done before its deletion
/// are answered again after it; it does not outlive its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRow {
    /// The conversation's stream.
    pub stream: StreamName,
    /// Whose it is.
    pub user_id: UserId,
}

impl TableRow for OwnerRow {
    const TABLE: Table = Table {
        name: "owners",
        key: "stream",
        columns: &[Column::text("stream"), Column::text("user_id")],
        indexes: &[("owners_of_user", "user_id", "")],
        groups: &[("user_id", "user_id = $1")],
    };
    const KEPT: bool = false;

    fn key(&self) -> String {
        self.stream.to_string()
    }

    fn group(&self, _column: &str) -> Option<&str> {
        Some(self.user_id.as_str())
    }

    /// Nobody looks at it but commands.
    fn concern(&self) -> Option<Concern> {
        None
    }

    fn into_values(self) -> Vec<Value> {
        vec![self.key().into(), self.user_id.0.into()]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self { stream: StreamName::from_text(cells.text()?), user_id: cells.id()? })
    }
}

/// Whose a conversation is or was.
pub fn of_conversation(id: &ConversationId) -> Query<Option<UserId>> {
    const SQL: &str = "SELECT user_id FROM owners WHERE stream = $1";
    let stream = StreamName::conversation(id);
    Query::optional(Statement::new(SQL, vec![(&stream).into()]), |row| row.into_cells().id())
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    of_conversation(&ConversationId::from("c")).into_statements()
}

/// The projection of owners.
pub struct Owners;

impl Projection for Owners {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        OwnerRow::TABLE
    }

    fn keys(&self, fact: &Fact, rows: &mut Rows) {
        if let Event::Conversation(ConversationEvent::Started(event)) = &fact.event {
            deletions::want(&event.user_id, rows);
        }
    }

    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes) {
        match &fact.event {
            Event::Conversation(ConversationEvent::Started(event)) if !deletions::is_deleted(&event.user_id, rows) => {
                writes.owners.put(OwnerRow { stream: fact.stream.clone(), user_id: event.user_id.clone() });
            }
            Event::User(UserEvent::Deleted(event)) => writes.owners.remove_where("user_id", event.user_id.0.clone()),
            Event::Conversation(_) | Event::User(_) | Event::Log(_) | Event::Advisor(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{opened, read_side::told, story};

    #[tokio::test]
    async fn a_conversation_has_its_owner_even_after_its_deletion() {
        let story = opened("this log")
            .started("c", "ana")
            .started("Gespräch 1", "ana")
            .started("gone", "ana")
            .deleted(("gone", "ana"))
            .started("bens", "ben");
        let (side, _) = told(&story).await;

        for (id, owner) in [
            ("c", Some("ana")),
            ("Gespräch 1", Some("ana")),
            ("gone", Some("ana")),
            ("bens", Some("ben")),
            ("none", None),
        ] {
            assert_eq!(side.read(of_conversation(&id.into())).await, owner.map(UserId::from), "{id}");
        }
    }

    #[test]
    fn nobody_owns_anything_any_more_who_was_deleted() {
        let rows = story().started("c", "ana").started("bens", "ben").user_deleted("ana").started("late", "ana").fold();

        let left: Vec<_> = rows.owners.all().into_iter().map(|row| row.user_id.as_str()).collect();
        assert_eq!(left, ["ben"]);
    }
}
