//! People who were deleted: what has to be erased of them, and whose later events mean nothing.

use crate::{
    Query,
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    store::{Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow},
};
use advisor_eventlog::Position;
use advisor_events::{Event, StreamName, Timestamp, UserId, user::UserEvent};

/// A person who was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionRow {
    /// Who it was.
    pub user_id: UserId,
    /// The event that says so.
    pub position: Position,
    /// When it was asked for.
    pub deleted_at: Timestamp,
}

impl TableRow for DeletionRow {
    const TABLE: Table = Table {
        name: "deletions",
        key: "stream",
        columns: &[Column::text("stream"), Column::text("user_id"), Column::int("position"), Column::int("deleted_at")],
        indexes: &[("deletions_by_position", "position", "")],
        groups: &[],
    };
    const KEPT: bool = false;

    fn key(&self) -> String {
        StreamName::user(&self.user_id).to_string()
    }

    fn group(&self, _column: &str) -> Option<&str> {
        None
    }

    /// Nobody looks at it but workers.
    fn concern(&self) -> Option<Concern> {
        None
    }

    fn into_values(self) -> Vec<Value> {
        vec![self.key().into(), self.user_id.0.into(), self.position.into(), self.deleted_at.into()]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        cells.text()?;
        Ok(Self { user_id: cells.id()?, position: cells.position()?, deleted_at: cells.time()? })
    }
}

/// Deletions after a position, the earliest first.
pub fn after(position: Position, limit: u32) -> Query<Vec<DeletionRow>> {
    const SQL: &str = "SELECT stream, user_id, position, deleted_at FROM deletions
        WHERE position > $1 ORDER BY position LIMIT $2";
    Query::many(Statement::new(SQL, vec![position.into(), limit.into()]), DeletionRow::from_row)
}

/// A person's deletion.
pub fn of_user(user: &UserId) -> Query<Option<DeletionRow>> {
    const SQL: &str = "SELECT stream, user_id, position, deleted_at FROM deletions WHERE stream = $1";
    Query::optional(Statement::new(SQL, vec![(&StreamName::user(user)).into()]), DeletionRow::from_row)
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let queries = [after(Position::START, 1).into_statements(), of_user(&UserId::from("user")).into_statements()];
    queries.into_iter().flatten().collect()
}

/// Says that [`is_deleted`] will be asked of this person.
pub(crate) fn want(user: &UserId, rows: &mut Rows) {
    rows.deletions.want(StreamName::user(user).as_str());
}

/// Whether the person was deleted before: a command that was on its way then makes nothing of theirs come back.
pub(crate) fn is_deleted(user: &UserId, rows: &Rows) -> bool {
    rows.deletions.get(StreamName::user(user).as_str()).is_some()
}

/// The projection of deletions.
pub struct Deletions;

impl Projection for Deletions {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        DeletionRow::TABLE
    }

    fn keys(&self, _: &Fact, _: &mut Rows) {}

    fn apply(&self, fact: &Fact, _: &Rows, writes: &mut Writes) {
        if let Event::User(UserEvent::Deleted(event)) = &fact.event {
            writes.deletions.put(DeletionRow {
                user_id: event.user_id.clone(),
                position: fact.position,
                deleted_at: fact.recorded_at,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{opened, read_side::told, recorded_at, story};
    use advisor_events::advisor::Visibility;

    #[tokio::test]
    async fn deletions_are_listed_in_their_order_from_a_position_on() {
        let story = opened("this log").registered("ana").registered("ben").user_deleted("ben").user_deleted("ana");
        let (side, _) = told(&story).await;

        let listed = side.read(after(Position::START, 10)).await;

        let who: Vec<_> = listed.iter().map(|row| row.user_id.as_str()).collect();
        assert_eq!(who, ["ben", "ana"]);
        assert_eq!(listed[0].deleted_at, recorded_at(4));
        assert_eq!(side.read(after(listed[0].position, 10)).await, listed[1..]);
        assert_eq!(side.read(after(Position::START, 1)).await, listed[..1]);
        assert_eq!(side.read(of_user(&"ana".into())).await.as_ref(), listed.get(1));
        assert_eq!(side.read(of_user(&"eve".into())).await, None);
    }

    #[test]
    fn what_a_deleted_person_still_begins_leaves_no_row() {
        let rows = story()
            .registered("ana")
            .user_deleted("ana")
            .started("late", "ana")
            .sent(("late", "ana"), "m", &["r"])
            .advisor("mine", Some("ana"), Visibility::Private)
            .fold();

        assert!(rows.conversations.all().is_empty());
        assert!(rows.messages.all().is_empty());
        assert!(rows.replies.all().is_empty());
        assert!(rows.advisors.all().is_empty());
    }

    #[test]
    fn a_public_advisor_of_a_deleted_person_stays() {
        let rows = story().user_deleted("ana").advisor("for-all", Some("ana"), Visibility::Public).fold();

        assert_eq!(rows.advisors.all().len(), 1);
    }
}
