//! What a projection is: a pure fold of events into rows of one table.

use crate::{
    advisors::Advisors, conversations::Conversations, deletions::Deletions, departures::Departures, messages::Messages,
    owners::Owners, replies::Replies, rows::Rows, rows::Writes, table::Table, users::Users,
};
use advisor_eventlog::Position;
use advisor_events::{Event, StreamName, Timestamp};

/// An event as projections see it: its personal fields are opened, or erased.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub revision: u64,
    /// Its place in the log.
    pub position: Position,
    /// The command's time.
    pub recorded_at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Folds events into the rows of one table, and does nothing else.
pub trait Projection: Send + Sync {
    /// Changes whenever the same events would make other rows than before: a new generation is filled.
    fn version(&self) -> u32;
    /// Its table, whose name is also the projection's.
    fn table(&self) -> Table;
    /// Says which rows, of whatever table, [`apply`](Self::apply) will look at.
    fn keys(&self, fact: &Fact, rows: &mut Rows);
    /// Says what the event makes of the rows of its own table. `rows` are as they were before the event, for all
    /// projections, so that their order means nothing.
    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes);
}

/// Every projection.
pub fn all() -> [&'static dyn Projection; 8] {
    [&Users, &Advisors, &Conversations, &Messages, &Replies, &Owners, &Deletions, &Departures]
}

/// What the tables of this build hold: other words mean that they must be filled anew.
pub fn layout() -> String {
    let words = all().map(|projection| format!("{}.v{}", projection.table().name, projection.version()));
    format!("{} consumption.v1 parked.v1", words.join(" "))
}
