//! Where a generation stands: the last event that is in its rows, the log it came from, and who may go on.

use crate::{
    Query,
    store::{Row, RowError, Statement, Store, StoreError, Write},
};
use advisor_eventlog::Position;
use uuid::Uuid;

/// Where a generation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The generation.
    pub generation: u64,
    /// The last event whose rows are there; [`Position::START`] before the first.
    pub position: Position,
    /// That event's id.
    pub event_id: Option<Uuid>,
    /// The identity of the log that the rows were made from.
    pub log_identity: Option<String>,
    /// The number of the owner: only who holds it may write.
    pub fence: u64,
    /// Changes after this position are kept; `None` before the generation has caught up for the first time.
    pub changes_after: Option<Position>,
}

pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS checkpoint (id BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL, layout TEXT NOT NULL, position BIGINT NOT NULL, event_id TEXT, log_identity TEXT,
    fence BIGINT NOT NULL, changes_after BIGINT)";
pub(crate) const BEGIN: &str = "INSERT INTO checkpoint (id, generation, layout, position, fence)
    VALUES (1, $1, $2, 0, 0) ON CONFLICT (id) DO NOTHING";
pub(crate) const LAYOUT: &str = "SELECT layout FROM checkpoint WHERE id = 1";
/// What every read begins with.
pub(crate) const STAND: &str = "SELECT generation, position, changes_after FROM checkpoint WHERE id = 1";

const SELECT: &str =
    "SELECT generation, position, event_id, log_identity, fence, changes_after FROM checkpoint WHERE id = 1";
const TAKE_OVER: &str = "UPDATE checkpoint SET fence = $1 WHERE id = 1 AND fence < $1";
const ADVANCE: &str = "UPDATE checkpoint SET position = $1, event_id = $2, log_identity = $3, changes_after = $4
    WHERE id = 1 AND position = $5 AND fence = $6";

/// Every text of SQL here.
pub(crate) const TEXTS: [&str; 6] = [BEGIN, LAYOUT, STAND, SELECT, TAKE_OVER, ADVANCE];

/// The checkpoint as it is.
pub fn read() -> Query<Checkpoint> {
    Query::one(Statement::new(SELECT, vec![]), |row| {
        let mut cells = row.into_cells();
        let (generation, position) = (cells.number()?, cells.position()?);
        let event_id = cells.optional_text()?.map(|id| Uuid::parse_str(&id)).transpose();
        Ok(Checkpoint {
            generation,
            position,
            event_id: event_id.map_err(|_| RowError("UUID"))?,
            log_identity: cells.optional_text()?,
            fence: cells.number()?,
            changes_after: cells.optional_number()?.map(Position),
        })
    })
}

/// Makes the holder of this fence the owner: whoever was it before can't write any more, and can't become it again.
/// Durably, since no two may be given the same number.
pub(crate) async fn take_over(store: &dyn Store, fence: u64) -> Result<(), StoreError> {
    store.write_durably(vec![Write::Guard(Statement::new(TAKE_OVER, vec![fence.into()]))]).await
}

/// The checkpoint as it is.
pub(crate) async fn load(store: &dyn Store) -> Result<Checkpoint, StoreError> {
    let (statements, decoder) = read().into_parts();
    Ok(decoder.decode(store.read(statements).await?)?)
}

/// The step of a write that moves the checkpoint, if it still stands where the write began.
pub(crate) fn advance(from: &Checkpoint, to: &Checkpoint) -> Write {
    Write::Guard(Statement::new(
        ADVANCE,
        vec![
            to.position.into(),
            to.event_id.map(|id| id.to_string()).into(),
            to.log_identity.clone().into(),
            to.changes_after.into(),
            from.position.into(),
            from.fence.into(),
        ],
    ))
}

/// What every read begins with.
pub(crate) struct Stand {
    pub(crate) generation: u64,
    pub(crate) position: Position,
    /// Whether the generation has ever come to the end of the log.
    pub(crate) is_whole: bool,
}

impl Stand {
    pub(crate) fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        let (generation, position) = (cells.number()?, cells.position()?);
        Ok(Self { generation, position, is_whole: cells.optional_number::<u64>()?.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Generation, given::doors::Door, sqlite::in_memory::InMemory};
    use std::sync::Arc;

    #[tokio::test]
    async fn an_owner_that_another_one_has_followed_can_not_write_though_the_checkpoint_stands_where_it_stood() {
        let door = Door::to(&Arc::new(InMemory::new()));
        Generation::over(1, Arc::clone(&door) as _).await.unwrap();
        take_over(door.as_ref(), 3).await.unwrap();
        let seen = load(door.as_ref()).await.unwrap();
        let moved = Checkpoint { position: Position(7), ..seen.clone() };

        take_over(door.as_ref(), 4).await.unwrap();

        let written = door.write(vec![advance(&seen, &moved)]).await;
        assert!(matches!(written, Err(StoreError::Superseded)), "{written:?}");
        assert!(matches!(take_over(door.as_ref(), 4).await, Err(StoreError::Superseded)), "nor be it again");
        let now = Checkpoint { fence: 4, ..seen };
        door.write(vec![advance(&now, &moved)]).await.unwrap();
        assert_eq!(load(door.as_ref()).await.unwrap().position, Position(7));
    }
}
