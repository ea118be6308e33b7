//! The orderly end: within ten seconds, whatever clients do.

use super::Running;
use advisor_proof::{Mutant, is_planted};
use anyhow::Result;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal as listen_for};
use tokio_util::task::TaskTracker;

/// Most time for answers that are being given, and for workers to give up their replies.
pub(crate) const WORK_MAX: Duration = Duration::from_secs(6);
/// Most time for the runner's last batch.
pub(crate) const RUNNER_MAX: Duration = Duration::from_millis(1_500);
/// Most time for closing what is open.
pub(crate) const STORES_MAX: Duration = Duration::from_secs(2);

/// Returns when the process is asked to end.
pub(super) async fn signal() -> Result<()> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    if is_planted(Mutant::EndsAtOnce) {
        std::process::exit(0);
    }
    Ok(())
}

impl Running {
    /// No new work; what is being answered is answered; workers give up in good order; then the read side, which
    /// rings for the last time, then the bus and the log. What does not end in time is left to the next start, which
    /// heals it as it would a crash.
    pub(super) async fn end(self) -> Result<()> {
        tracing::info!("stopping");
        self.stopping.cancel();
        let work = async {
            ended(&self.listeners).await;
            ended(&self.workers).await;
        };
        if tokio::time::timeout(WORK_MAX, work).await.is_err() {
            tracing::warn!("some work did not end in time");
        }
        self.ending.cancel();
        if tokio::time::timeout(RUNNER_MAX, ended(&self.runner)).await.is_err() {
            tracing::warn!("the runner of the projections did not end in time");
        }
        let closing = async { tokio::join!(self.bus.close(), self.stores.close()) };
        if tokio::time::timeout(STORES_MAX, closing).await.is_err() {
            tracing::warn!("something was not closed in time");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn ended(tasks: &TaskTracker) {
    tasks.close();
    tasks.wait().await;
}
