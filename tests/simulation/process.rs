//! A process of a simulated world: it can be killed and frozen, and both are seen at its ports.
//!
//! What a process has sent is on its way, whatever becomes of it. A dead process sends nothing and hears nothing. A
//! frozen one sends when it thaws what it was about to send, whether or not it would still want to, and hears then
//! what came meanwhile: a process that was stopped between its last look at a clock and a write does just that. Its
//! own timers go on, which a real one's do not; they can only make it give up earlier.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A process.
pub(crate) struct Process {
    /// Its name, by which the trace and the dice know it.
    pub(crate) name: String,
    /// Its order to end in good order.
    pub(crate) shutdown: CancellationToken,
    dead: CancellationToken,
    thaws_at: Mutex<Option<Instant>>,
    /// How long it will be frozen when it is about to tell the log of a reply's end.
    trap: Mutex<Option<Duration>>,
    /// Rung when that has changed.
    changed: Notify,
}

impl Process {
    /// One that runs.
    pub(crate) fn start(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            shutdown: CancellationToken::new(),
            dead: CancellationToken::new(),
            thaws_at: Mutex::new(None),
            trap: Mutex::new(None),
            changed: Notify::new(),
        })
    }

    /// Ends it wherever it is.
    pub(crate) fn kill(&self) {
        self.dead.cancel();
    }

    /// It does nothing until then.
    pub(crate) fn freeze(&self, until: Instant) {
        *self.thaws_at.lock().unwrap() = Some(until);
        self.changed.notify_waiters();
    }

    /// It will be frozen for so long in the worst moment: when it is about to tell the log of a reply's end.
    pub(crate) fn trap(&self, length: Duration) {
        *self.trap.lock().unwrap() = Some(length);
    }

    /// That moment has come; tells whether it is trapped.
    pub(crate) fn spring(&self) -> Option<Duration> {
        let length = self.trap.lock().unwrap().take()?;
        self.freeze(Instant::now() + length);
        Some(length)
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.freeze(Instant::now());
    }

    /// Whether it was killed.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Waits until it is not frozen; false when it is dead.
    pub(crate) async fn is_up(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            let thaws_at = self.thaws_at.lock().unwrap().filter(|at| *at > Instant::now());
            match thaws_at {
                _ if self.is_dead() => return false,
                None => return true,
                Some(at) => tokio::select! {
                    biased;
                    () = self.dead.cancelled() => {}
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// What somebody else does with this process, until it is dead.
    pub(crate) async fn cut_off<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.dead.run_until_cancelled(work).await
    }

    /// Something that this process has somebody else do. It is done even if nobody waits for the answer any more.
    pub(crate) async fn call<T: Send + 'static>(self: &Arc<Self>, work: impl Future<Output = T> + Send + 'static) -> T {
        let (answer, answered) = oneshot::channel();
        let process = Arc::clone(self);
        TaskTracker::new().spawn(async move {
            if process.is_up().await {
                // Whoever asked may have given up waiting.
                drop(answer.send(work.await));
            }
        });
        if let Ok(value) = answered.await
            && self.is_up().await
        {
            return value;
        }
        std::future::pending().await
    }
}
