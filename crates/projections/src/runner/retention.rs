//! How long change rows are kept: by number and by age, cut off piece by piece.

use super::RunnerLimits;
use crate::{
    StoreError, changes,
    store::{Statement, Store, Write},
};
use advisor_eventlog::Position;
use advisor_events::Timestamp;

/// Rows that one commit removes at most.
pub const CUT_ROWS: u64 = 4_000;
/// Time between two looks at the age of the oldest rows.
pub const LOOK_MS: i64 = 10_000;

pub(super) struct Retention {
    kept_max: u64,
    kept_ms: i64,
    first: u64,
    next: u64,
    looked_at: Timestamp,
}

/// What has to be cut off.
pub(super) struct Cut {
    pub(super) write: Write,
    /// Changes are kept after this position from now on.
    pub(super) kept_after: Position,
}

impl Retention {
    pub(super) async fn load(limits: &RunnerLimits, store: &dyn Store) -> Result<Self, StoreError> {
        let answers = store.read(vec![Statement::new(changes::EXTENT, vec![])]).await?;
        let mut extent = (None, None);
        if let Some(row) = answers.into_iter().flatten().next() {
            let mut cells = row.into_cells();
            extent = (cells.optional_number::<u64>()?, cells.optional_number::<u64>()?);
        }
        let next = extent.1.map_or(1, |last| last + 1);
        Ok(Self {
            kept_max: limits.changes_kept_max,
            kept_ms: i64::try_from(limits.changes_kept_for.as_millis()).unwrap_or(i64::MAX),
            first: extent.0.unwrap_or(next),
            next,
            looked_at: Timestamp(0),
        })
    }

    /// Numbers for as many new rows.
    pub(super) fn number(&mut self, rows: usize) -> std::ops::Range<u64> {
        let first = self.next;
        self.next += u64::try_from(rows).unwrap_or(u64::MAX);
        first..self.next
    }

    /// What has to be cut off now, if anything.
    pub(super) async fn cut(&mut self, now: Timestamp, store: &dyn Store) -> Result<Option<Cut>, StoreError> {
        let too_many = self.next - self.first > self.kept_max;
        if !too_many && now < self.looked_at.plus_ms(LOOK_MS) {
            return Ok(None);
        }
        self.looked_at = now;
        // By number, what is too much, by age, a piece whose youngest row is too old.
        let surplus = (self.next - self.first).saturating_sub(self.kept_max).min(CUT_ROWS);
        let piece = if too_many { surplus } else { CUT_ROWS };
        let last = (self.first + piece).saturating_sub(1);
        let answers = store.read(vec![Statement::new(changes::OLDEST_UP_TO, vec![last.into()])]).await?;
        let Some(row) = answers.into_iter().flatten().next() else { return Ok(None) };
        let mut cells = row.into_cells();
        let (sequence, kept_after, at) = (cells.number::<u64>()?, cells.position()?, cells.time()?);
        if !too_many && at >= now.plus_ms(self.kept_ms.saturating_neg()) {
            return Ok(None);
        }
        self.first = sequence + 1;
        Ok(Some(Cut { write: Write::Run(Statement::new(changes::TRIM, vec![sequence.into()])), kept_after }))
    }
}
