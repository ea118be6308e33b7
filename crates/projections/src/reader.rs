//! Reading: every read is one transaction that first reads where the read side stands.

use crate::{
    Generation, Query, StoreError, checkpoint,
    generations::Stall,
    query::Decoder,
    read_on::{ReadOn, ReadOnError},
    store::{RowError, Statement},
};
use advisor_eventlog::Position;
use advisor_events::StreamName;
use advisor_proof::{Mutant, is_planted};
use serde::{Deserialize, Serialize};
use std::{sync::PoisonError, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How long a read side may stand still before nobody waits for it.
pub const STALLED_AFTER: Duration = Duration::from_millis(500);

/// What was read, and where the read side stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<T> {
    /// The generation that was read.
    pub generation: u64,
    /// Its checkpoint in the transaction of the read: `x-position`.
    pub position: Position,
    /// The answer.
    pub value: T,
}

/// How the read side fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not reached the log's head since the process started.
    CatchingUp,
    /// It follows the log.
    Live,
    /// It has stopped, for this reason, and won't go on by itself.
    Stopped(String),
}

/// Where the read side stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The generation.
    pub generation: u64,
    /// The checkpoint of its last commit.
    pub position: Position,
    /// How it fares.
    pub state: State,
    /// How many streams are parked, as far as this process brings them forward.
    pub parked_streams: usize,
}

/// How a wait for a position ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The read side is there, or further: here.
    Reached(Position),
    /// The time was over; the read side had come this far.
    Expired(Position),
    /// The read side does not move, and was not waited for; it stands here.
    Stalled(Position),
}

/// Reads the read models. Cloning is cheap.
#[derive(Clone)]
pub struct Reader {
    generation: Generation,
}

impl Reader {
    /// A reader of a generation.
    pub fn new(generation: &Generation) -> Self {
        Self { generation: generation.clone() }
    }

    /// Runs a query.
    pub async fn run<T: Send + 'static>(&self, query: Query<T>) -> Result<Read<T>, StoreError> {
        let (query, decoder) = query.into_parts();
        let mut statements = Vec::with_capacity(query.len() + 1);
        statements.push(Statement::new(checkpoint::STAND, Vec::new()));
        statements.extend(query);
        let count = statements.len();
        let answers = match self.generation.store().read(statements).await {
            Err(StoreError::Unavailable(_)) if is_planted(Mutant::AwayIsEmpty) => return self.nothing(decoder, count),
            answers => answers?,
        };
        let mut answers = answers.into_iter();
        let stand = answers.next().and_then(|rows| rows.into_iter().next()).ok_or(RowError("checkpoint"))?;
        let (generation, position) = checkpoint::stand(stand)?;
        Ok(Read { generation, position, value: decoder.decode(answers.collect())? })
    }

    /// What a build that is made to err takes for an answer.
    fn nothing<T>(&self, decoder: Decoder<T>, statements: usize) -> Result<Read<T>, StoreError> {
        let value = decoder.decode(vec![Vec::new(); statements])?;
        Ok(Read { generation: self.generation(), position: self.position(), value })
    }

    /// Waits until the read side has reached a position that the log has, at most `timeout`. A read side that does
    /// not move for 500 ms is not waited for any longer, and by nobody else until it moves again.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Waited {
        let mut progress = self.progress();
        if progress.borrow().position >= position {
            return Waited::Reached(progress.borrow().position);
        }
        let _waiting = Waiting::begin(&self.generation);
        let deadline = Instant::now() + timeout;
        loop {
            let here = {
                let progress = progress.borrow_and_update();
                if progress.position >= position {
                    return Waited::Reached(progress.position);
                }
                if matches!(progress.state, State::Stopped(_)) {
                    return Waited::Stalled(progress.position);
                }
                progress.position
            };
            let stall = Stall { here, target: position };
            if self.is_stalled(stall) {
                return Waited::Stalled(here);
            }
            let patience = (Instant::now() + STALLED_AFTER).min(deadline);
            match timeout_at(patience, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Waited::Stalled(here),
                Err(_) if patience == deadline => return Waited::Expired(here),
                Err(_) => {
                    self.note_stall(stall);
                    return Waited::Stalled(here);
                }
            }
        }
    }

    /// Returns once the bytes of rows that were removed are nowhere in the read models' files any more.
    pub async fn scrub(&self) -> Result<(), StoreError> {
        let _no_copy = self.generation.scratch().lock().await;
        self.generation.store().scrub().await
    }

    /// Has a parked stream read on from the event that it is parked at, by this process if it brings the generation
    /// forward. Waits at most 10 s for what comes of it; the work goes on then.
    pub async fn read_on(&self, stream: StreamName) -> Result<ReadOn, ReadOnError> {
        self.generation.read_ons().ask(stream).await
    }

    /// Where the read side stands: tells on every commit.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.generation.progress().subscribe()
    }

    /// The checkpoint of the last commit.
    pub fn position(&self) -> Position {
        self.generation.progress().borrow().position
    }

    /// The generation that is read.
    pub fn generation(&self) -> u64 {
        self.generation.number()
    }

    pub(crate) fn generation_handle(&self) -> &Generation {
        &self.generation
    }

    /// Whether somebody has waited in vain at this place for what stands no later in the log.
    fn is_stalled(&self, stall: Stall) -> bool {
        let noted = *self.generation.stall().lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_some_and(|noted| noted.here == stall.here && noted.target <= stall.target)
    }

    fn note_stall(&self, stall: Stall) {
        *self.generation.stall().lock().unwrap_or_else(PoisonError::into_inner) = Some(stall);
    }
}

/// Somebody waits for a position, for as long as this is there.
struct Waiting<'a>(&'a Generation);

impl<'a> Waiting<'a> {
    fn begin(generation: &'a Generation) -> Self {
        generation.waiting().send_modify(|waiting| *waiting += 1);
        Self(generation)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting().send_modify(|waiting| *waiting -= 1);
    }
}
