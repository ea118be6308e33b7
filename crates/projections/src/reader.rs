//! Reading: every read is one transaction that first reads where the read side stands.

use crate::{
    Generation, Query, StoreError,
    checkpoint::{self, Stand},
    generations::Stall,
    query::Decoder,
    read_on::{ReadOn, ReadOnError},
    store::{Row, RowError, Statement},
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
/// How often who waits for a generation to be filled looks by itself.
pub const FILLING_LOOK: Duration = Duration::from_millis(100);

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

    /// Runs a query over whatever is there, which may be a part of what the log says.
    pub async fn run<T: Send + 'static>(&self, query: Query<T>) -> Result<Read<T>, StoreError> {
        Ok(self.read(query).await?.1)
    }

    /// Runs a query, unless the generation is being filled and has not come to the end of the log yet: then a part
    /// would be taken for the whole, and it is [`StoreError::Unavailable`].
    pub async fn run_whole<T: Send + 'static>(&self, query: Query<T>) -> Result<Read<T>, StoreError> {
        let (stand, read) = self.read(query).await?;
        if stand.is_whole || is_planted(Mutant::PartsShown) {
            return Ok(read);
        }
        Err(StoreError::Unavailable(format!("the read models are being filled, and are at {}", stand.position)))
    }

    /// Waits until the generation has once come to the end of the log, at most `timeout`.
    pub async fn filled(&self, timeout: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + timeout;
        let mut progress = self.progress();
        loop {
            let Err(unfilled) = self.run_whole(Query::of(())).await else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(unfilled);
            }
            // By the clock too: where another process fills it, this one hears of that later.
            timeout_at((Instant::now() + FILLING_LOOK).min(deadline), progress.changed()).await.ok();
        }
    }

    async fn read<T: Send + 'static>(&self, query: Query<T>) -> Result<(Stand, Read<T>), StoreError> {
        let (query, decoder) = query.into_parts();
        let count = query.len();
        let mut statements = Vec::with_capacity(count + 1);
        statements.push(Statement::new(checkpoint::STAND, Vec::new()));
        statements.extend(query);
        let answers = match self.generation.store().read(statements).await {
            Err(StoreError::Unavailable(_)) if is_planted(Mutant::AwayIsEmpty) => {
                let stand = Stand { generation: self.generation(), position: self.position(), is_whole: true };
                return decoded(stand, decoder, vec![Vec::new(); count]);
            }
            answers => answers?,
        };
        let mut answers = answers.into_iter();
        let stand = answers.next().and_then(|rows| rows.into_iter().next()).ok_or(RowError("checkpoint"))?;
        decoded(Stand::from_row(stand)?, decoder, answers.collect())
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

fn decoded<T>(stand: Stand, decoder: Decoder<T>, answers: Vec<Vec<Row>>) -> Result<(Stand, Read<T>), StoreError> {
    let (generation, position) = (stand.generation, stand.position);
    Ok((stand, Read { generation, position, value: decoder.decode(answers)? }))
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
