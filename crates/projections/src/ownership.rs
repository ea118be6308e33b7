//! Bringing the read models forward whenever it is this process's turn.
//!
//! ```text
//! standing by ── lease taken ──► owner ── lease lost ──► standing by
//!                                  └── what waiting does not heal ──► stopped: another build may go on
//! ```

use crate::{
    Follower, Lease, Runner, RunnerError, RunnerParts, State, StoreError, checkpoint,
    lease::{LOOK_EVERY, Tenure},
};
use std::{pin::pin, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Most time for the batch that is being written when an owner loses its lease; it is refused, or was in time.
pub const LOST_END_MAX: Duration = Duration::from_secs(1);

/// What this process is to the read models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Another process may be their owner.
    StandingBy,
    /// It brings them forward.
    Owner,
    /// It has met what it can't bring them beyond, for this reason, and leaves them to others.
    Stopped(String),
}

/// Brings a generation forward when it is this process's turn, and follows it while it is not.
pub struct Ownership {
    parts: RunnerParts,
    lease: Lease,
    duty: watch::Sender<Duty>,
}

/// Why an owner is none any more.
enum End {
    Shutdown,
    Lost,
    Stopped(String),
}

impl Ownership {
    /// Nothing happens before it [runs](Self::run).
    pub fn new(parts: RunnerParts, lease: Lease) -> Self {
        Self { parts, lease, duty: watch::Sender::new(Duty::StandingBy) }
    }

    /// What this process is, from now on.
    pub fn duty(&self) -> watch::Receiver<Duty> {
        self.duty.subscribe()
    }

    /// Stands by, works, and stands by again until `shutdown`. Spawn it on the process's task tracker.
    pub async fn run(self, shutdown: CancellationToken) {
        let RunnerParts { generation, bus, .. } = self.parts.clone();
        let mut follower = Follower::new(generation, bus, self.lease.clone());
        loop {
            let turn = async {
                tokio::select! {
                    biased;
                    tenure = self.turn() => tenure,
                    never = follower.follow() => match never {},
                }
            };
            let Some(mut tenure) = shutdown.run_until_cancelled(turn).await else { return };
            match self.own(&mut tenure, &shutdown).await {
                End::Shutdown => return,
                End::Lost => {
                    self.duty.send_replace(Duty::StandingBy);
                    sleep(LOOK_EVERY).await;
                }
                End::Stopped(reason) => {
                    tracing::error!(error = reason, "this process brings the read models forward no more");
                    self.duty.send_replace(Duty::Stopped(reason));
                    shutdown.run_until_cancelled(follower.follow()).await;
                    return;
                }
            }
        }
    }

    /// Waits until it is this process's turn.
    async fn turn(&self) -> Tenure {
        loop {
            match checkpoint::load(self.parts.generation.store().as_ref()).await {
                // The checkpoint's fence may be higher than the lease's, where one of them is older.
                Ok(checkpoint) => return self.lease.acquire(checkpoint.fence).await,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the checkpoint can't be looked at");
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Works for as long as the lease holds.
    async fn own(&self, tenure: &mut Tenure, shutdown: &CancellationToken) -> End {
        let progress = self.parts.generation.progress();
        // What stopped another owner has yet to be met by this one.
        progress.send_if_modified(|progress| {
            let is_stopped = matches!(progress.state, State::Stopped(_));
            if is_stopped {
                progress.state = State::CatchingUp;
            }
            is_stopped
        });
        let ending = shutdown.child_token();
        let mut work = pin!(self.work(tenure.fence, &ending));
        let end = tokio::select! {
            // First: what an owner that was frozen should know before it does anything.
            biased;
            () = self.lease.keep(tenure, progress.subscribe()) => None,
            end = &mut work => Some(end),
        };
        let Some(end) = end else {
            tracing::warn!(fence = tenure.fence, "the lease of the read models is lost");
            self.duty.send_replace(Duty::StandingBy);
            ending.cancel();
            if timeout(LOST_END_MAX, work).await.is_err() {
                tracing::warn!("the runner of the projections did not end in time");
            }
            return End::Lost;
        };
        if let End::Stopped(reason) = &end {
            progress.send_modify(|progress| progress.state = State::Stopped(reason.clone()));
        }
        let state = progress.borrow().state.clone();
        self.lease.release(tenure, &state).await;
        end
    }

    async fn work(&self, fence: u64, ending: &CancellationToken) -> End {
        let worked = match Runner::open_under(self.parts.clone(), fence).await {
            Ok(runner) => {
                tracing::info!(fence, "this process brings the read models forward");
                self.duty.send_replace(Duty::Owner);
                runner.run(ending.clone()).await
            }
            Err(error) => Err(error),
        };
        match worked {
            Ok(()) => End::Shutdown,
            Err(error) if error.may_pass() => {
                tracing::warn!(error = error.whole(), "the read models can't be taken over");
                End::Lost
            }
            Err(RunnerError::Store(StoreError::Superseded)) if self.lease.is_shared() => End::Lost,
            Err(error) => End::Stopped(error.whole()),
        }
    }
}

#[cfg(test)]
mod tests;
