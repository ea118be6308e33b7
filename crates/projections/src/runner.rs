//! Brings the read models forward.
//!
//! 1. Compare the checkpoint with the log (`compare`), and become the generation's owner.
//! 2. Take from the subscription what is ready, decode it and open persons' words (`source`).
//! 3. Load the rows that the batch names, let the projections say what the events make of them, and write rows,
//!    changes and checkpoint in one transaction (`batch`, `follow`). While it is written, the next batch is read.
//! 4. Tell who waits, and ring the bus.
//!
//! What fails for a while is tried again from the last checkpoint with a back-off. An event that could never be
//! applied parks its stream (`parking`), loudly, until somebody has it read on (`read_on`); what this build does not
//! know stops the runner: no event is ever left out without a word.

pub(crate) mod batch;
mod compare;
pub(crate) mod follow;
mod parking;
mod read_on;
pub(crate) mod retention;
pub(crate) mod source;

use crate::{Generation, StoreError, checkpoint, log_identity::IdentityError, reader::State};
use advisor_bus::Bus;
use advisor_eventlog::{EventLog, ReadError};
use advisor_events::{Clock, DecodeError, KeyError, KeyStore};
use follow::Follow;
use futures::FutureExt;
use std::{error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// First pause after a failure that may pass; it doubles each time.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a runner works with. Cloning is cheap.
#[derive(Clone)]
pub struct RunnerParts {
    /// Where events come from.
    pub log: Arc<dyn EventLog>,
    /// What opens persons' words.
    pub keys: Arc<dyn KeyStore>,
    /// What is brought forward.
    pub generation: Generation,
    /// Where it says that rows moved.
    pub bus: Arc<dyn Bus>,
    /// The time of day, for the age of change rows.
    pub clock: Arc<dyn Clock>,
    /// Its limits.
    pub limits: RunnerLimits,
}

/// Limits of a runner. `RunnerLimits::default()` gives the defaults.
#[derive(Clone, Debug)]
pub struct RunnerLimits {
    /// Most events of a batch. Large batches are what makes catching up fast: a page that many rows share is
    /// written once. Default: 10,000.
    pub batch_events_max: usize,
    /// Most bytes of events of a batch (one event may exceed it). Default: 16 MiB.
    pub batch_bytes_max: usize,
    /// Most rows kept from batch to batch. Default: 20,000.
    pub rows_cached_max: usize,
    /// Most change rows kept. Default: 1,000,000.
    pub changes_kept_max: u64,
    /// Longest time that change rows are kept. Default: 7 days.
    pub changes_kept_for: Duration,
    /// Most streams that are parked: beyond them, something else is wrong, and the runner stops. Default: 1,000.
    pub parked_streams_max: usize,
}

impl Default for RunnerLimits {
    fn default() -> Self {
        Self {
            batch_events_max: 10_000,
            batch_bytes_max: 16 * 1024 * 1024,
            rows_cached_max: 20_000,
            changes_kept_max: 1_000_000,
            changes_kept_for: Duration::from_hours(7 * 24),
            parked_streams_max: 1_000,
        }
    }
}

/// Why a runner does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The log does not say which one it is.
    #[error("the event log's identity is not known")]
    Identity(#[from] IdentityError),
    /// The read models were made from another log.
    #[error("the read models were made from another event log")]
    OtherLog,
    /// The log is older than the read models.
    #[error("the read models are ahead of the event log: was an older log restored?")]
    AheadOfLog,
    /// The event at the checkpoint is not the one that was applied.
    #[error("the event log's past is not the one that the read models were made from")]
    OtherPast,
    /// This build does not know the event.
    #[error("event {position} of stream {stream} can't be read")]
    Event {
        /// Its position.
        position: u64,
        /// Its stream.
        stream: String,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// As many streams are parked as may.
    #[error("more than {most} streams would be parked")]
    TooManyParked {
        /// How many may.
        most: usize,
    },
    /// The log can't be read.
    #[error("the event log can't be read")]
    Log(#[from] ReadError),
    /// The read models can't be read or written.
    #[error("the read models can't be brought forward")]
    Store(#[from] StoreError),
    /// The keys can't be read.
    #[error("the keys can't be read")]
    Keys(#[from] KeyError),
    /// A projection, or this program elsewhere, has a fault.
    #[error("applying events has panicked")]
    Panicked,
    /// A thread that decoded events has panicked.
    #[error("events could not be decoded")]
    Decoding(#[from] tokio::task::JoinError),
}

impl RunnerError {
    /// Whether the same may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Log(ReadError::Unavailable(_))
            | Self::Identity(IdentityError::Log(ReadError::Unavailable(_)))
            | Self::Store(StoreError::Unavailable(_))
            | Self::Keys(KeyError::Unavailable(_))
            | Self::Panicked => true,
            Self::Log(ReadError::NoSuchStream | ReadError::Denied | ReadError::Damaged(_))
            | Self::Identity(IdentityError::Log(_) | IdentityError::NotOpened | IdentityError::Event(_))
            | Self::Store(StoreError::Superseded | StoreError::Broken(_))
            | Self::Keys(KeyError::Destroyed)
            | Self::OtherLog
            | Self::AheadOfLog
            | Self::OtherPast
            | Self::Event { .. }
            | Self::TooManyParked { .. }
            | Self::Decoding(_) => false,
        }
    }

    /// The error and all that led to it.
    pub(crate) fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// Brings one generation forward, alone.
pub struct Runner {
    parts: RunnerParts,
    fence: u64,
}

impl Runner {
    /// Compares the checkpoint with the log, and becomes the owner of the generation: whoever was it before
    /// can't write any more.
    pub async fn open(parts: RunnerParts) -> Result<Self, RunnerError> {
        let fence = checkpoint::load(parts.generation.store().as_ref()).await?.fence + 1;
        Self::open_under(parts, fence).await
    }

    /// The same under a fence that is higher than that of whoever was the owner before.
    pub(crate) async fn open_under(parts: RunnerParts, fence: u64) -> Result<Self, RunnerError> {
        Self::check(parts.log.as_ref(), &parts.generation).await?;
        checkpoint::take_over(parts.generation.store().as_ref(), fence).await?;
        Ok(Self { parts, fence })
    }

    /// Refuses read models that were made from another log, or from another past of it.
    pub async fn check(log: &dyn EventLog, generation: &Generation) -> Result<(), RunnerError> {
        compare::compare(log, &checkpoint::load(generation.store().as_ref()).await?).await?;
        Ok(())
    }

    /// Applies events until it is told to stop, or an error that waiting does not heal. Spawn it on the
    /// process's task tracker. How it fares is told by [`Reader::progress`](crate::Reader::progress).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunnerError> {
        let result = self.work(&shutdown).await;
        if let Err(error) = &result {
            let reason = error.whole();
            tracing::error!(error = reason, "the read models are not brought forward any more");
            self.tell(State::Stopped(reason));
        }
        result
    }

    async fn work(&self, shutdown: &CancellationToken) -> Result<(), RunnerError> {
        let mut pause = PAUSE;
        loop {
            let before = self.parts.generation.progress().borrow().position;
            let followed = AssertUnwindSafe(self.follow(shutdown)).catch_unwind().await;
            let error = match followed.unwrap_or(Err(RunnerError::Panicked)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.may_pass() {
                return Err(error);
            }
            tracing::warn!(error = error.whole(), "the read models stand still for a moment");
            // Until it has caught up again, which a new subscription tells even when nothing was missed.
            self.tell(State::CatchingUp);
            if self.parts.generation.progress().borrow().position > before {
                pause = PAUSE;
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    /// Nothing outlives a panic in here: what follows begins anew at the checkpoint.
    async fn follow(&self, shutdown: &CancellationToken) -> Result<(), RunnerError> {
        Follow::begin(&self.parts, self.fence).await?.run(shutdown).await
    }

    fn tell(&self, state: State) {
        self.parts.generation.progress().send_modify(|progress| progress.state = state);
    }
}

#[cfg(test)]
mod tests;
