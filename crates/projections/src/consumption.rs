//! What a generation has consumed: how many events, and a digest over them in their order.
//!
//! Every commit of the runner carries both. Whoever folds the same over the log sees at the checkpoint whether an
//! event was left out, taken twice or taken in another order; what is kept of every thousandth event tells where.

use crate::{
    Query, StoreError,
    checkpoint::{self, Checkpoint},
    store::{Row, RowError, Statement, Store, Value, Write},
};
use advisor_eventlog::Position;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use uuid::Uuid;

/// Events between two milestones.
pub const MILESTONE_EVENTS: u64 = 1_000;

pub(crate) const CREATE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS consumption (id BIGINT NOT NULL PRIMARY KEY, consumed BIGINT NOT NULL,
        digest TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS milestones (consumed BIGINT NOT NULL PRIMARY KEY, position BIGINT NOT NULL,
        digest TEXT NOT NULL)",
];
const SELECT: &str = "SELECT consumed, digest FROM consumption WHERE id = 1";
const PUT: &str = "INSERT INTO consumption (id, consumed, digest) VALUES (1, $1, $2)
    ON CONFLICT (id) DO UPDATE SET consumed = excluded.consumed, digest = excluded.digest";
const MILESTONES: &str = "SELECT consumed, position, digest FROM milestones ORDER BY consumed";
const ADD_MILESTONE: &str = "INSERT INTO milestones (consumed, position, digest) VALUES ($1, $2, $3)";

/// How many events were consumed, and the digest over them: SHA-256 of the digest before, the position (8 bytes,
/// big-endian) and the event's id (16 bytes), from 32 zeros on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumption {
    /// How many.
    pub consumed: u64,
    /// The digest.
    pub digest: [u8; 32],
}

/// What had been consumed with one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// That event's position.
    pub position: Position,
    /// With it.
    pub consumption: Consumption,
}

impl Consumption {
    /// With one event more.
    #[must_use]
    pub fn and(self, position: Position, id: Uuid) -> Self {
        let digest = Sha256::new()
            .chain_update(self.digest)
            .chain_update(position.0.to_be_bytes())
            .chain_update(id.as_bytes())
            .finalize();
        Self { consumed: self.consumed + 1, digest: digest.into() }
    }

    /// The digest in hexadecimal.
    pub fn digest_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.digest)
    }

    fn from_cells(consumed: u64, digest: &str) -> Result<Self, RowError> {
        let bytes = data_encoding::HEXLOWER.decode(digest.as_bytes()).ok();
        let digest = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(RowError("digest"))?;
        Ok(Self { consumed, digest })
    }
}

/// What the generation has consumed up to its checkpoint.
pub(crate) async fn load(store: &dyn Store) -> Result<Consumption, StoreError> {
    let (statements, decoder) = read().into_parts();
    Ok(decoder.decode(store.read(statements).await?)?)
}

/// Takes in a batch; gives the steps that write what was consumed with it.
pub(crate) fn advance(from: Consumption, events: impl Iterator<Item = (Position, Uuid)>) -> (Consumption, Vec<Write>) {
    let mut to = from;
    let mut milestones = Vec::new();
    for (position, id) in events {
        to = to.and(position, id);
        if to.consumed.is_multiple_of(MILESTONE_EVENTS) {
            milestones.push(vec![to.consumed.into(), position.into(), to.digest_hex().into()]);
        }
    }
    let mut steps = vec![Write::Run(Statement::new(PUT, vec![to.consumed.into(), to.digest_hex().into()]))];
    if !milestones.is_empty() {
        steps.push(Write::Each { sql: Cow::Borrowed(ADD_MILESTONE), params: milestones });
    }
    (to, steps)
}

/// Where a generation stands, what it has consumed up to there, and its milestones: all of one moment.
pub(crate) fn whole() -> Query<(Checkpoint, Consumption, Vec<Milestone>)> {
    let milestones = Query::many(Statement::new(MILESTONES, vec![]), milestone);
    checkpoint::read().zip(read()).zip(milestones).map(|((at, consumption), milestones)| (at, consumption, milestones))
}

fn read() -> Query<Consumption> {
    let nothing_yet = Option::unwrap_or_default;
    Query::optional(Statement::new(SELECT, vec![]), |row| {
        let mut cells = row.into_cells();
        Consumption::from_cells(cells.number()?, &cells.text()?)
    })
    .map(nothing_yet)
}

fn milestone(row: Row) -> Result<Milestone, RowError> {
    let mut cells = row.into_cells();
    let (consumed, position) = (cells.number()?, cells.position()?);
    Ok(Milestone { position, consumption: Consumption::from_cells(consumed, &cells.text()?)? })
}

/// Every text of SQL here.
pub(crate) fn statements() -> [Statement; 4] {
    [SELECT, PUT, MILESTONES, ADD_MILESTONE].map(|sql| Statement::new(sql, Vec::<Value>::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_never_changes_from_build_to_build() {
        let one = Consumption::default().and(Position(7), Uuid::from_u128(1));
        assert_eq!(one.digest_hex(), "122bfa7cedccb3b45b13c7373ddbf43ce4ad544cab60602374a0051b0275cc35");
    }

    #[test]
    fn order_repeats_and_gaps_are_told_apart() {
        let fold = |events: &[u64]| {
            events.iter().fold(Consumption::default(), |all, n| all.and(Position(*n), Uuid::from_u128(u128::from(*n))))
        };
        let digests = [&[1, 2, 3][..], &[1, 3, 2], &[1, 2, 2, 3], &[1, 3], &[1, 2]].map(|events| fold(events).digest);
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
    }
}
