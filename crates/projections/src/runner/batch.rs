//! From events to what has to be written.

use super::{RunnerError, parking::Parking, source::Ready};
use crate::{
    StoreError,
    parked::Poison,
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    store::{Statement, Store, Write},
    table::Concern,
};

use advisor_proof::{Mutant, is_planted};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Events that are applied without a pause: a millisecond or two.
pub const EVENTS_AT_A_STRETCH: usize = 500;

/// Rows that a batch changed, to be told of: each with its table's name.
pub(super) type Told = Vec<(&'static str, Concern)>;

/// What events are folded with.
pub(super) struct Fold<'a> {
    pub(super) projections: &'a [&'static dyn Projection],
    pub(super) rows: &'a mut Rows,
    pub(super) parking: &'a mut Parking,
    pub(super) store: &'a dyn Store,
}

/// Applies events to the rows; gives what has to be written, and what to tell.
pub(super) async fn apply(events: &mut [Ready], fold: Fold<'_>) -> Result<(Vec<Write>, Told), RunnerError> {
    let Fold { projections, rows, parking, store } = fold;
    for event in &mut *events {
        want(event, projections, rows);
    }
    load(rows, store).await?;
    let mut writes = Writes::default();
    for events in events.chunks(EVENTS_AT_A_STRETCH) {
        for (index, event) in events.iter().enumerate() {
            if is_planted(Mutant::RowsDependOnBatches) && index % 4 == 3 {
                continue;
            }
            let Some(fact) = parking.pass(event)? else { continue };
            if made(fact, projections, rows, &mut writes).is_ok() {
                rows.take(&mut writes);
            } else {
                writes = Writes::default();
                parking.park(event, Poison::Panic)?;
            }
        }
        // While we catch up, others want their turn too.
        tokio::task::yield_now().await;
    }
    let mut told = Vec::new();
    let mut steps: Vec<Write> = rows.tables().into_iter().flat_map(|table| table.flush(&mut told)).collect();
    steps.extend(parking.writes());
    Ok((steps, told))
}

/// A projection that panics even here makes the event one that can't be applied.
fn want(event: &mut Ready, projections: &[&dyn Projection], rows: &mut Rows) {
    let Ok(fact) = &event.event else { return };
    let keys = || projections.iter().for_each(|projection| projection.keys(fact, rows));
    if catch_unwind(AssertUnwindSafe(keys)).is_err() {
        event.spoil(Poison::Panic);
    }
}

/// What all projections make of an event. Rows are only looked at: if one panics, nothing but `writes` is void.
fn made(fact: &Fact, projections: &[&dyn Projection], rows: &Rows, writes: &mut Writes) -> std::thread::Result<()> {
    let apply = || projections.iter().for_each(|projection| projection.apply(fact, rows, writes));
    catch_unwind(AssertUnwindSafe(apply))
}

/// Reads what is wanted and not in memory, all of it at one moment.
async fn load(rows: &mut Rows, store: &dyn Store) -> Result<(), StoreError> {
    let loads: Vec<Vec<Statement>> = rows.tables().into_iter().map(|table| table.loads()).collect();
    let counts: Vec<usize> = loads.iter().map(Vec::len).collect();
    let statements: Vec<Statement> = loads.into_iter().flatten().collect();
    if !statements.is_empty() {
        let mut answers = store.read(statements).await?.into_iter();
        for (table, count) in rows.tables().into_iter().zip(counts) {
            for rows in answers.by_ref().take(count) {
                table.loaded(rows)?;
            }
        }
    }
    for table in rows.tables() {
        table.all_loaded();
    }
    Ok(())
}
