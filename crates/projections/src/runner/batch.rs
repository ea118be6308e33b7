//! From events to what has to be written.

use super::source::Ready;
use crate::{
    StoreError,
    projection::{Fact, all},
    rows::{Rows, Writes},
    store::{Statement, Store, Write},
    table::Concern,
};

use advisor_proof::{Mutant, is_planted};

/// Events that are applied without a pause: a millisecond or two.
pub const EVENTS_AT_A_STRETCH: usize = 500;

/// Rows that a batch changed, to be told of: each with its table's name.
pub(super) type Told = Vec<(&'static str, Concern)>;

/// Applies events to `rows`; gives what has to be written, and what to tell.
pub(super) async fn apply(
    events: &[Ready],
    rows: &mut Rows,
    store: &dyn Store,
) -> Result<(Vec<Write>, Told), StoreError> {
    for event in events {
        want(&event.fact, rows);
    }
    load(rows, store).await?;
    let mut writes = Writes::default();
    for events in events.chunks(EVENTS_AT_A_STRETCH) {
        for (index, event) in events.iter().enumerate() {
            if is_planted(Mutant::RowsDependOnBatches) && index % 4 == 3 {
                continue;
            }
            for projection in all() {
                projection.apply(&event.fact, rows, &mut writes);
            }
            rows.take(&mut writes);
        }
        // While we catch up, others want their turn too.
        tokio::task::yield_now().await;
    }
    let mut told = Vec::new();
    let steps = rows.tables().into_iter().flat_map(|table| table.flush(&mut told)).collect();
    Ok((steps, told))
}

fn want(fact: &Fact, rows: &mut Rows) {
    for projection in all() {
        projection.keys(fact, rows);
    }
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
