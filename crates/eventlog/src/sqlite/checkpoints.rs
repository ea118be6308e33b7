//! Moving the write-ahead log into the file, off the commit path.
//!
//! A thread of its own checkpoints passively whenever enough was written, which hinders nobody. A
//! passive checkpoint can't make the write-ahead log begin anew while commits go on, so when that has
//! grown to an eighth of its limit, the writer does it between two groups, with little left to move.

use super::{
    SqliteLogOptions,
    file::{self, checkpoint},
};
use rusqlite::Connection;
use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Longest that readers may hold up the writer's restart; it is tried again later.
pub const RESTART_WAIT: Duration = Duration::from_millis(20);
/// Longest that anybody may hold up a truncation while nothing is written.
pub const TRUNCATE_WAIT: Duration = Duration::from_millis(200);
/// Longest that readers may hold up the last checkpoint; without it the next opening reads the log back.
pub const CLOSING_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Checkpoints {
    wal_bytes_max: u64,
    /// What was written is moved after this long, however little it is.
    idle: Duration,
    state: Mutex<State>,
    woken: Condvar,
    restart: AtomicBool,
}

struct State {
    /// Bytes written since the last checkpoint began, estimated.
    written: u64,
    closed: bool,
}

/// Why a checkpoint is made now.
enum Due {
    Grown,
    Idle,
}

impl Checkpoints {
    pub(super) fn new(wal_bytes_max: u64, idle: Duration) -> Self {
        let state = State { written: 0, closed: false };
        Self { wal_bytes_max, idle, state: Mutex::new(state), woken: Condvar::new(), restart: AtomicBool::new(false) }
    }

    /// The writer has committed about so many bytes.
    pub(super) fn wrote(&self, bytes: u64) {
        let mut state = self.lock();
        let before = state.written;
        state.written += bytes;
        let wake = before == 0 || (before < self.step() && state.written >= self.step());
        drop(state);
        if wake {
            self.woken.notify_one();
        }
    }

    /// The writer's turn between two groups: begins the write-ahead log anew if it has grown.
    pub(super) fn restart_if_due(&self, connection: &Connection, options: &SqliteLogOptions) {
        if !self.restart.swap(false, Ordering::Relaxed) {
            return;
        }
        let done = checkpoint(connection, "RESTART", RESTART_WAIT);
        let restored = connection.busy_timeout(options.busy_timeout);
        match done.and(restored) {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "the event log's write-ahead log could not begin anew"),
        }
    }

    /// The log's last act, when its threads have ended: an empty write-ahead log.
    pub(super) fn finish(connection: &Connection) {
        if let Err(error) = checkpoint(connection, "TRUNCATE", CLOSING_WAIT) {
            tracing::warn!(%error, "the event log's write-ahead log was left as it is");
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.woken.notify_all();
    }

    /// The thread's work, until closed.
    pub(super) fn run(&self, connection: &Connection, options: &SqliteLogOptions) {
        while let Some(due) = self.wait() {
            match checkpoint(connection, "PASSIVE", Duration::ZERO) {
                Ok(done) => self.go_further(&due, done.wal_bytes, connection, options),
                Err(error) => tracing::warn!(%error, "the event log's write-ahead log could not be checkpointed"),
            }
        }
    }

    fn go_further(&self, due: &Due, wal_bytes: u64, connection: &Connection, options: &SqliteLogOptions) {
        if wal_bytes > self.wal_bytes_max {
            tracing::warn!(wal_bytes, "the event log's write-ahead log has outgrown its limit: something reads it");
        }
        match due {
            Due::Grown => {
                if wal_bytes >= self.wal_bytes_max / 8 {
                    self.restart.store(true, Ordering::Relaxed);
                }
            }
            Due::Idle => {
                if file::wal_bytes(options) <= self.wal_bytes_max {
                    return;
                }
                if let Err(error) = checkpoint(connection, "TRUNCATE", TRUNCATE_WAIT) {
                    tracing::warn!(%error, "the event log's write-ahead log could not be truncated");
                }
            }
        }
    }

    fn wait(&self) -> Option<Due> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if state.written >= self.step() {
                state.written = 0;
                return Some(Due::Grown);
            }
            if state.written == 0 {
                state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (held, waited) = self.woken.wait_timeout(state, self.idle).unwrap_or_else(PoisonError::into_inner);
            state = held;
            if waited.timed_out() && !state.closed && state.written < self.step() {
                state.written = 0;
                return Some(Due::Idle);
            }
        }
    }

    /// A passive checkpoint is made every so many bytes.
    fn step(&self) -> u64 {
        (self.wal_bytes_max / 16).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
