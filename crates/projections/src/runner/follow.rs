//! One subscription's life: batch after batch, each committed with its checkpoint, then told.

use super::{
    RunnerError, RunnerParts,
    batch::{self, Fold, Told},
    compare::compare,
    parking::Parking,
    retention::Retention,
    source::{Batch, Limits, Ready, Source},
};
use crate::{
    StoreError, changes,
    checkpoint::{self, Checkpoint},
    consumption::{self, Consumption},
    projection,
    read_on::Asked,
    reader::State,
    rows::Rows,
    store::{Store, Value, Write},
    table::Concern,
};
use advisor_bus::{BusMessage, Change, Changes, Topic};
use advisor_eventlog::{Filter, Position};
use advisor_events::Timestamp;
use advisor_proof::{Mutant, Point, is_planted, reached};
use futures::{FutureExt, future::BoxFuture};
use std::{borrow::Cow, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Changes in one message on the bus.
pub const CHANGES_IN_MESSAGE_MAX: usize = 500;

pub(super) struct Follow<'a> {
    pub(super) parts: &'a RunnerParts,
    pub(super) checkpoint: Checkpoint,
    consumption: Consumption,
    source: Source,
    rows: Rows,
    pub(super) parking: Parking,
    retention: Retention,
    writing: Option<Writing>,
    /// Somebody wants a parked stream read on.
    asked: Option<Asked>,
}

/// A batch that is being written.
struct Writing {
    written: BoxFuture<'static, Result<(), StoreError>>,
    to: Checkpoint,
    consumption: Consumption,
    changes: Vec<Change>,
    is_caught_up: bool,
}

impl<'a> Follow<'a> {
    /// Goes on from the checkpoint as it is in the database.
    pub(super) async fn begin(parts: &'a RunnerParts, fence: u64) -> Result<Self, RunnerError> {
        let store = parts.generation.store().as_ref();
        let mut checkpoint = checkpoint::load(store).await?;
        if checkpoint.fence != fence && !is_planted(Mutant::FenceIgnored) {
            return Err(StoreError::Superseded.into());
        }
        checkpoint.log_identity = Some(compare(parts.log.as_ref(), &checkpoint).await?);
        let subscription = parts.log.subscribe_all(checkpoint.position, Filter::all()).await?;
        let limits =
            Limits { events_max: parts.limits.batch_events_max.max(1), bytes_max: parts.limits.batch_bytes_max };
        let follow = Self {
            parts,
            source: Source::new(subscription, Arc::clone(&parts.keys), limits),
            rows: Rows::default(),
            parking: Parking::load(store, parts.limits.parked_streams_max, Arc::clone(&parts.clock)).await?,
            retention: Retention::load(&parts.limits, store).await?,
            writing: None,
            asked: None,
            consumption: consumption::load(store).await?,
            checkpoint,
        };
        // A commit whose answer was lost is told now.
        follow.tell(None);
        Ok(follow)
    }

    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> Result<(), RunnerError> {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.end().await,
                written = written(&mut self.writing) => self.settle(written).await?,
                asked = self.parts.generation.read_ons().next(), if self.asked.is_none() => self.asked = Some(asked),
                filled = self.source.fill(), if self.source.has_room() => filled?,
            }
            if self.writing.is_some() {
                continue;
            }
            if let Some(asked) = self.asked.take() {
                self.read_on(asked).await?;
            } else if let Some(batch) = self.source.take() {
                self.write(batch).await?;
            }
        }
    }

    /// What is being written is waited for; nothing else is begun.
    async fn end(mut self) -> Result<(), RunnerError> {
        if self.writing.is_some() {
            let written = written(&mut self.writing).await;
            self.settle(written).await?;
        }
        Ok(())
    }

    async fn write(&mut self, mut batch: Batch) -> Result<(), RunnerError> {
        let store = Arc::clone(self.parts.generation.store());
        let mut to = self.checkpoint.clone();
        if let Some(last) = batch.events.last() {
            to.position = last.position();
            to.event_id = Some(last.id);
        }
        let (mut steps, told) = self.apply(&mut batch.events).await?;
        let mut changes = Vec::new();
        if self.checkpoint.changes_after.is_some() {
            let now = self.parts.clock.now();
            steps.extend(self.change_rows(&told, to.position, now));
            if let Some(cut) = self.retention.cut(now, store.as_ref()).await? {
                steps.push(cut.write);
                to.changes_after = Some(cut.kept_after);
            }
            changes = told.into_iter().map(change).collect();
        } else if batch.is_caught_up {
            to.changes_after = Some(to.position);
        }
        let consumed = batch.events.iter().map(|event| (event.position(), event.id));
        let (consumption, consuming) = consumption::advance(self.consumption, consumed);
        steps.extend(consuming);
        steps.insert(0, checkpoint::advance(&self.checkpoint, &to));
        let written = commit(store, steps).boxed();
        self.writing = Some(Writing { written, to, consumption, changes, is_caught_up: batch.is_caught_up });
        Ok(())
    }

    /// What events make of the rows, to be written and to be told.
    pub(super) async fn apply(&mut self, events: &mut [Ready]) -> Result<(Vec<Write>, Told), RunnerError> {
        let store = Arc::clone(self.parts.generation.store());
        let (rows, parking) = (&mut self.rows, &mut self.parking);
        batch::apply(events, Fold { projections: &projection::all(), rows, parking, store: store.as_ref() }).await
    }

    pub(super) fn change_rows(&mut self, told: &Told, position: Position, now: Timestamp) -> Option<Write> {
        if told.is_empty() {
            return None;
        }
        let numbers = self.retention.number(told.len());
        let rows = numbers.zip(told).map(|(sequence, (projection, concern))| {
            let [feed, scope, key] = concern.clone().into_values();
            let head: [Value; 4] = [sequence.into(), position.into(), now.into(), (*projection).into()];
            head.into_iter().chain([feed, scope, key]).collect()
        });
        Some(Write::Each { sql: Cow::Borrowed(changes::INSERT), params: rows.collect() })
    }

    /// The batch is in the read models: the next one may begin, and everybody is told.
    async fn settle(&mut self, written: (Writing, Result<(), StoreError>)) -> Result<(), RunnerError> {
        let (writing, result) = written;
        result.map_err(retried)?;
        self.committed();
        let from = std::mem::replace(&mut self.checkpoint, writing.to);
        self.consumption = writing.consumption;
        self.tell(writing.is_caught_up.then_some(State::Live));
        if from.changes_after.is_some() && from.position < self.checkpoint.position {
            self.ring(from.position, writing.changes).await;
        }
        Ok(())
    }

    pub(super) fn committed(&mut self) {
        for table in self.rows.tables() {
            table.committed(self.parts.limits.rows_cached_max);
        }
    }

    pub(super) fn tell(&self, state: Option<State>) {
        self.parts.generation.progress().send_modify(|progress| {
            progress.position = self.checkpoint.position;
            progress.parked_streams = self.parking.len();
            if let Some(state) = state {
                progress.state = state;
            }
        });
    }

    /// Holds the subscription by `&mut`, since it can be sent to another thread and not be shared with one.
    pub(super) async fn ring(&mut self, from: Position, changes: Vec<Change>) {
        let to = self.checkpoint.position;
        // A part of many follows on nothing: whoever heard only some of them would not know it otherwise.
        let from = if changes.len() > CHANGES_IN_MESSAGE_MAX { to } else { from };
        let mut rest = changes;
        loop {
            let later = rest.split_off(rest.len().min(CHANGES_IN_MESSAGE_MAX));
            let message = Changes { generation: self.checkpoint.generation, from: from.0, to: to.0, changes: rest };
            if is_planted(Mutant::NewsLost) {
                return;
            }
            reached(Point::BeforePublish);
            let rung = self.parts.bus.publish(&Topic::Changes, BusMessage::Changes(Arc::new(message))).await;
            reached(Point::AfterPublish);
            if let Err(error) = rung {
                // Whoever listens also looks by itself.
                tracing::warn!(error = &error as &dyn std::error::Error, "the bus was not rung");
            }
            if later.is_empty() {
                return;
            }
            rest = later;
        }
    }
}

/// Rows and checkpoint, all or nothing; unless a fault is planted that tears them apart.
pub(super) async fn commit(store: Arc<dyn Store>, mut steps: Vec<Write>) -> Result<(), StoreError> {
    reached(Point::BeforeCheckpoint);
    let torn = [Mutant::CheckpointBeforeRows, Mutant::CheckpointAfterRows].into_iter().find(|torn| is_planted(*torn));
    if let Some(torn) = torn {
        let rows = steps.split_off(1);
        let (first, second) = if torn == Mutant::CheckpointBeforeRows { (steps, rows) } else { (rows, steps) };
        store.write(first).await?;
        reached(Point::WithinCheckpoint);
        store.write(second).await?;
    } else {
        store.write(steps).await?;
    }
    reached(Point::AfterCheckpoint);
    Ok(())
}

/// Waits for what is being written, for ever if nothing is. Dropping the future loses nothing.
async fn written(writing: &mut Option<Writing>) -> (Writing, Result<(), StoreError>) {
    let Some(pending) = writing else { return std::future::pending().await };
    let result = (&mut pending.written).await;
    match writing.take() {
        Some(writing) => (writing, result),
        None => std::future::pending().await,
    }
}

/// A commit whose answer came too late may have moved the checkpoint: it is read again, and with it whether we are
/// still the owner.
pub(super) fn retried(error: StoreError) -> StoreError {
    match error {
        StoreError::Superseded => StoreError::Unavailable("the checkpoint has moved".to_owned()),
        StoreError::Unavailable(_) | StoreError::Broken(_) => error,
    }
}

pub(super) fn change((projection, Concern { feed, key, .. }): (&'static str, Concern)) -> Change {
    Change { feed, projection: projection.to_owned(), key }
}
