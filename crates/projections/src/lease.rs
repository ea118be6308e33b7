//! Being the only one: taking a lease, keeping it, losing it.
//!
//! 1. Whoever stands by looks at the lease's row again and again, and takes it when its owner has given it up, or when
//!    its beat has stood still for long enough on this process's own clock. No two clocks are ever compared.
//! 2. The owner raises the beat every second. One that can't for as long as others wait before they take over has lost
//!    it, whether somebody has taken it or not.
//! 3. Each owner has a higher fence than the one before. What it writes carries it, so that an owner which was frozen
//!    and does not know yet that it has lost writes nothing.

use crate::{
    StoreError,
    reader::{Progress, State},
    side::leases::{Holder, LeaseRow, Leases},
};
use advisor_proof::{Mutant, is_planted};
use std::{future::pending, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

/// How often an owner shows that it lives.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How often those who stand by look.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a beat stands still until another one takes over, and how long an owner goes on that can't raise it.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Most time for giving a lease up.
pub const RELEASE_MAX: Duration = Duration::from_secs(1);

/// Something that only one process does at a time.
#[derive(Clone)]
pub enum Lease {
    /// Something else makes sure of it, such as the lock of a log's file: nobody has to be asked.
    Alone,
    /// By a row of the side store.
    Shared(SharedLease),
}

/// A lease in the side store, for one process.
#[derive(Clone)]
pub struct SharedLease {
    leases: Leases,
    name: String,
    /// A name that no other process has, and no later start of this one.
    owner: String,
}

/// A lease that was taken.
#[derive(Debug)]
pub(crate) struct Tenure {
    /// What everything is written under.
    pub(crate) fence: u64,
    /// When the last beat that has arrived was sent.
    beaten_at: Instant,
}

/// What was seen of an owner, and since when it is the same.
#[derive(Default)]
struct Sighting(Option<(u64, u64, Instant)>);

impl Lease {
    /// Waits until it is this process's. `above` is a fence that somebody has had before.
    pub(crate) async fn acquire(&self, above: u64) -> Tenure {
        match self {
            Self::Alone => Tenure { fence: above + 1, beaten_at: Instant::now() },
            Self::Shared(lease) => lease.acquire(above).await,
        }
    }

    /// Returns when it is lost.
    pub(crate) async fn keep(&self, tenure: &mut Tenure, progress: watch::Receiver<Progress>) {
        match self {
            Self::Alone => pending().await,
            Self::Shared(lease) => {
                lease.keep(tenure, progress).await;
                if is_planted(Mutant::FenceIgnored) {
                    pending::<()>().await;
                }
            }
        }
    }

    /// Gives it up, if that is possible; otherwise it will be taken.
    pub(crate) async fn release(&self, tenure: &Tenure, state: &State) {
        match self {
            Self::Alone => {}
            Self::Shared(lease) => lease.release(tenure, state).await,
        }
    }

    /// Whether another process can take it.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Alone => false,
            Self::Shared(_) => true,
        }
    }
}

impl SharedLease {
    /// The lease of this name, for the process of that name.
    pub fn new(leases: Leases, name: impl Into<String>, owner: impl Into<String>) -> Self {
        Self { leases, name: name.into(), owner: owner.into() }
    }

    fn holder(&self, fence: u64) -> Holder<'_> {
        Holder { name: &self.name, owner: &self.owner, fence }
    }

    /// The lease as it is.
    pub(crate) async fn look(&self) -> Result<Option<LeaseRow>, StoreError> {
        self.leases.get(&self.name).await
    }

    async fn acquire(&self, above: u64) -> Tenure {
        let mut sighting = Sighting::default();
        loop {
            match self.try_to_acquire(above, &mut sighting).await {
                Ok(Some(tenure)) => return tenure,
                Ok(None) => {}
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "a lease can't be looked at"),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn try_to_acquire(&self, above: u64, sighting: &mut Sighting) -> Result<Option<Tenure>, StoreError> {
        let row = self.look().await?;
        if row.as_ref().is_some_and(|row| !sighting.is_free(row, &self.owner)) {
            return Ok(None);
        }
        let fence = row.as_ref().map_or(0, |row| row.fence).max(above) + 1;
        let beaten_at = Instant::now();
        match self.leases.take(self.holder(fence), row.as_ref()).await {
            Ok(()) => Ok(Some(Tenure { fence, beaten_at })),
            // Another one was faster.
            Err(StoreError::Superseded) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Raises the beat until the lease is lost, and tells how the work fares as soon as that changes.
    async fn keep(&self, tenure: &mut Tenure, mut progress: watch::Receiver<Progress>) {
        loop {
            let (lost_at, sent_at) = (tenure.beaten_at + SILENCE, Instant::now());
            if sent_at >= lost_at {
                // It was frozen, or nothing has arrived: somebody else may be the owner by now.
                return;
            }
            let state = progress.borrow_and_update().state.clone();
            let beat = self.leases.beat(self.holder(tenure.fence), &state);
            let rest = match timeout_at(lost_at, beat).await {
                Ok(Ok(())) => {
                    tenure.beaten_at = sent_at;
                    BEAT_EVERY
                }
                Ok(Err(StoreError::Superseded)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a lease's beat could not be raised");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                biased;
                () = sleep(rest) => {}
                Ok(_) = progress.wait_for(|progress| progress.state != state), if rest == BEAT_EVERY => {}
            }
        }
    }

    async fn release(&self, tenure: &Tenure, state: &State) {
        let release = self.leases.release(self.holder(tenure.fence), state);
        match tokio::time::timeout(RELEASE_MAX, release).await {
            Ok(Ok(()) | Err(StoreError::Superseded)) => {}
            Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "a lease was not given up"),
            Err(_) => tracing::warn!("a lease was not given up in time"),
        }
    }
}

impl Sighting {
    /// Whether a lease may be taken from whom it was seen with.
    fn is_free(&mut self, row: &LeaseRow, me: &str) -> bool {
        let now = Instant::now();
        let since = match self.0 {
            Some((fence, beat, since)) if (fence, beat) == (row.fence, row.beat) => since,
            Some(_) | None => now,
        };
        self.0 = Some((row.fence, row.beat, since));
        // One that carries this process's name is one whose taking was not answered, or that was lost since.
        row.released || row.owner == me || now.duration_since(since) >= SILENCE
    }
}
