//! Moving the write-ahead log into the file, away from the thread that commits.

use super::statements;
use rusqlite::Connection;
use std::sync::{
    Condvar, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Rows written between two checkpoints.
const ROWS_BETWEEN: u64 = 4_000;

pub(super) struct Checkpoints {
    wal_bytes_max: u64,
    rows: AtomicU64,
    is_long: AtomicBool,
    wanted: Mutex<Wanted>,
    rung: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Checkpoint,
    End,
}

impl Checkpoints {
    pub(super) fn new(wal_bytes_max: u64) -> Self {
        Self {
            wal_bytes_max,
            rows: AtomicU64::new(0),
            is_long: AtomicBool::new(false),
            wanted: Mutex::new(Wanted::Nothing),
            rung: Condvar::new(),
        }
    }

    /// Called by the writer after each commit. Only the writer can cut a log that has grown too long, because only
    /// then nobody adds to it.
    pub(super) fn written(&self, connection: &Connection) {
        if self.is_long.swap(false, Ordering::Relaxed) {
            self.checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
            return;
        }
        let rows = connection.total_changes();
        if rows.saturating_sub(self.rows.load(Ordering::Relaxed)) >= ROWS_BETWEEN {
            self.rows.store(rows, Ordering::Relaxed);
            self.want(Wanted::Checkpoint);
        }
    }

    /// The thread that moves pages while the writer goes on.
    pub(super) fn run(&self, connection: &Connection) {
        while self.next() == Wanted::Checkpoint {
            self.checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    pub(super) fn close(&self) {
        self.want(Wanted::End);
    }

    fn want(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        self.rung.notify_one();
    }

    fn next(&self) -> Wanted {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted =
            self.rung.wait_while(wanted, |wanted| *wanted == Wanted::Nothing).unwrap_or_else(PoisonError::into_inner);
        let next = *wanted;
        if next == Wanted::Checkpoint {
            *wanted = Wanted::Nothing;
        }
        next
    }

    fn checkpoint(&self, connection: &Connection, text: &str) {
        let frames = connection.query_row(text, [], |row| row.get::<_, i64>(1));
        match frames {
            Ok(frames) => {
                let bytes = u64::try_from(frames).unwrap_or(0).saturating_mul(PAGE_BYTES);
                self.is_long.store(bytes > self.wal_bytes_max, Ordering::Relaxed);
            }
            // The log stays as it is, and the next checkpoint finds it.
            Err(error) => tracing::warn!(error = %statements::failure(error), "a checkpoint was not made"),
        }
    }
}

const PAGE_BYTES: u64 = 4_096;
