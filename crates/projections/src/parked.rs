//! Streams that are parked: from the first event on that can't be applied, none of theirs is, in any projection.
//!
//! Their rows stand as they were before that event. The log is the queue: nothing is copied, and whoever reads the
//! stream on from there finds all that waits.

use crate::{
    Query,
    store::{Row, RowError, Statement, Value, Write},
    table::{Column, Table},
};
use advisor_eventlog::Position;
use advisor_events::{StreamName, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Why an event can't be applied, however often it is tried: a class alone, with nothing of what the event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Poison {
    /// Its data is not what was written.
    Checksum,
    /// It does not have the shape of its type.
    Shape,
    /// The person has a key, and a sealed field does not open under it.
    Seal,
    /// A projection has panicked at it.
    Panic,
}

impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "checksum",
            Self::Shape => "shape",
            Self::Seal => "seal",
            Self::Panic => "panic",
        })
    }
}

/// A stream that is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedStream {
    /// Which.
    pub stream: StreamName,
    /// Revision of the first event that is not applied.
    pub revision: u64,
    /// Its position.
    pub position: Position,
    /// Its id.
    pub event_id: Uuid,
    /// Why it is not.
    pub reason: Poison,
    /// When that was found.
    pub parked_at: Timestamp,
    /// How many events of the stream wait behind it, up to the checkpoint.
    pub queued: u64,
}

const TABLE: Table = Table {
    name: "parked",
    key: "stream",
    columns: &[
        Column::text("stream"),
        Column::int("revision"),
        Column::int("position"),
        Column::text("event_id"),
        Column::text("reason"),
        Column::int("parked_at"),
        Column::int("queued"),
    ],
    indexes: &[],
    groups: &[],
};

/// What makes the table.
pub(crate) fn create() -> Vec<String> {
    TABLE.create()
}

/// All that are parked, the earliest first.
pub fn all() -> Query<Vec<ParkedStream>> {
    const SQL: &str =
        "SELECT stream, revision, position, event_id, reason, parked_at, queued FROM parked ORDER BY position";
    Query::many(Statement::new(SQL, vec![]), ParkedStream::from_row)
}

/// A stream, if it is parked: what is shown of it is older than the position of the read.
pub fn find(stream: &StreamName) -> Query<Option<ParkedStream>> {
    const SQL: &str =
        "SELECT stream, revision, position, event_id, reason, parked_at, queued FROM parked WHERE stream = $1";
    Query::optional(Statement::new(SQL, vec![stream.into()]), ParkedStream::from_row)
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let queries = [all().into_statements(), find(&StreamName::log()).into_statements()];
    let writes = [TABLE.upsert(), TABLE.delete()].map(|sql| Statement::new(sql, vec![]));
    queries.into_iter().flatten().chain(writes).collect()
}

/// Writes that a stream is parked, and how many events wait.
pub(crate) fn put(parked: &ParkedStream) -> Write {
    Write::Run(Statement::new(TABLE.upsert(), parked.values()))
}

/// Writes that a stream is parked no more.
pub(crate) fn remove(stream: &StreamName) -> Write {
    Write::Run(Statement::new(TABLE.delete(), vec![stream.into()]))
}

impl ParkedStream {
    fn values(&self) -> Vec<Value> {
        vec![
            (&self.stream).into(),
            self.revision.into(),
            self.position.into(),
            self.event_id.to_string().into(),
            self.reason.to_string().into(),
            self.parked_at.into(),
            self.queued.into(),
        ]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self {
            stream: StreamName::from_text(cells.text()?),
            revision: cells.number()?,
            position: cells.position()?,
            event_id: Uuid::parse_str(&cells.text()?).map_err(|_| RowError("UUID"))?,
            reason: cells.word()?,
            parked_at: cells.time()?,
            queued: cells.number()?,
        })
    }
}
