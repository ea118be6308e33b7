//! Moving the write-ahead log into the file, away from the thread that commits.

use super::{SqliteOptions, statements};
use crate::store::StoreError;
use rusqlite::Connection;
use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Bytes in the write-ahead log from one checkpoint to the next, about. Small steps, because what a step syncs holds up
/// the commits of other files on the same disk.
pub const BYTES_BETWEEN: u64 = 4 * 1_024 * 1_024;
/// SQLite's pages, where a file does not say otherwise.
const PAGE_BYTES: u64 = 4_096;
/// How long a commit may be held up by letting the log begin anew, after a checkpoint that has left little of it.
pub const RESTART_WAIT: Duration = Duration::from_millis(2);
/// How often the log is tried to be cut when nothing of removed rows may be left in it.
pub const SCRUB_TRIES_MAX: u32 = 50;
/// How long a commit may be held up by cutting the log.
pub const CUT_WAIT: Duration = Duration::from_millis(50);

/// The thread that moves pages while the writer goes on, seen from both.
pub(super) struct Checkpoints {
    wanted: Mutex<Wanted>,
    rung: Condvar,
    /// A checkpoint has been made since the writer last looked.
    made: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Checkpoint,
    End,
}

thread_local! {
    /// How many pages the log of this thread's writing connection has.
    static PAGES: Cell<u64> = const { Cell::new(0) };
}

/// Has SQLite say after each commit how long the write-ahead log is: its file does not shrink when it begins anew.
fn count_pages(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        PAGES.set(u64::try_from(pages).unwrap_or(0));
        Ok(())
    }));
}

/// The write-ahead log, seen from the writer: when to ask for a checkpoint, and when to cut it itself.
pub(super) struct Wal<'a> {
    checkpoints: &'a Checkpoints,
    path: PathBuf,
    /// How many pages the log had when a checkpoint was last asked for.
    asked_at: u64,
    bytes_max: u64,
    /// A log that could not be cut is left alone until it has grown to this.
    cut_at: u64,
    busy_timeout: Duration,
}

impl Checkpoints {
    pub(super) fn new() -> Self {
        Self { wanted: Mutex::new(Wanted::Nothing), rung: Condvar::new(), made: AtomicBool::new(false) }
    }

    pub(super) fn run(&self, connection: &Connection) {
        while self.next() == Wanted::Checkpoint {
            match checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)") {
                Ok(_) => self.made.store(true, Ordering::Relaxed),
                // The log stays as it is, and the next checkpoint finds it.
                Err(error) => tracing::warn!(error = %statements::failure(&error), "a checkpoint was not made"),
            }
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
        let is_nothing = |wanted: &mut Wanted| *wanted == Wanted::Nothing;
        let mut wanted = self.rung.wait_while(wanted, is_nothing).unwrap_or_else(PoisonError::into_inner);
        let next = *wanted;
        if next == Wanted::Checkpoint {
            *wanted = Wanted::Nothing;
        }
        next
    }
}

impl<'a> Wal<'a> {
    /// Seen from the thread that this connection writes in.
    pub(super) fn new(checkpoints: &'a Checkpoints, connection: &Connection, options: &SqliteOptions) -> Self {
        let mut path = options.path.as_os_str().to_owned();
        path.push("-wal");
        count_pages(connection);
        let (bytes_max, busy_timeout) = (options.wal_bytes_max, options.busy_timeout);
        Self { checkpoints, path: path.into(), asked_at: 0, bytes_max, cut_at: bytes_max, busy_timeout }
    }

    /// Called after each commit.
    pub(super) fn written(&mut self, connection: &Connection) {
        let bytes = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if bytes > self.cut_at {
            self.cut(connection, bytes);
            return;
        }
        if self.checkpoints.made.swap(false, Ordering::Relaxed) {
            // One that could not be cut begins anew as well, and would never grow enough to be cut again.
            if bytes > self.bytes_max {
                self.cut(connection, bytes);
            } else {
                self.restart(connection);
            }
        }
        let pages = PAGES.get();
        // It has begun anew.
        self.asked_at = if pages < self.asked_at { 0 } else { self.asked_at };
        if (pages - self.asked_at) * PAGE_BYTES >= BYTES_BETWEEN {
            self.asked_at = pages;
            self.checkpoints.want(Wanted::Checkpoint);
        }
    }

    /// Moves the little that was written since the checkpoint, so that the log begins anew at its front: only the
    /// writer can, because then nobody adds to it. A reader that holds the log is hardly waited for.
    fn restart(&self, connection: &Connection) {
        let restarted = connection.busy_timeout(RESTART_WAIT).and_then(|()| {
            let restarted = checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)");
            connection.busy_timeout(self.busy_timeout)?;
            restarted
        });
        if let Err(error) = restarted {
            tracing::warn!(error = %statements::failure(&error), "the write-ahead log did not begin anew");
        }
    }

    /// Only the writer can cut a log that grows faster than it is moved, because then nobody adds to it. A reader
    /// that holds the log is not waited for long.
    fn cut(&mut self, connection: &Connection, bytes: u64) {
        let cut = connection.busy_timeout(CUT_WAIT).and_then(|()| {
            let cut = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
            connection.busy_timeout(self.busy_timeout)?;
            cut
        });
        self.cut_at = match cut {
            Ok(Cut::Done) => self.bytes_max,
            Ok(Cut::Held) => bytes + self.bytes_max / 8,
            Err(error) => {
                tracing::warn!(error = %statements::failure(&error), "the write-ahead log was not cut");
                bytes + self.bytes_max / 8
            }
        };
    }
}

/// Writes the whole file anew, and cuts the write-ahead log.
///
/// That removed rows are overwritten is not enough: when pages are balanced, rows move, and the places that they
/// moved from keep their bytes. Whoever writes waits meanwhile; readers do not.
pub(super) fn scrub(options: &SqliteOptions) -> Result<(), StoreError> {
    let connection = super::writing_connection(options)?;
    connection.execute_batch("VACUUM").map_err(|error| statements::failure(&error))?;
    cut(&connection)
}

/// Moves the whole write-ahead log into the file, and cuts it.
pub(super) fn empty(options: &SqliteOptions) -> Result<(), StoreError> {
    cut(&super::writing_connection(options)?)
}

fn cut(connection: &Connection) -> Result<(), StoreError> {
    for _ in 0..SCRUB_TRIES_MAX {
        let cut =
            connection.busy_timeout(CUT_WAIT).and_then(|()| checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)"));
        match cut.map_err(|error| statements::failure(&error))? {
            Cut::Done => return Ok(()),
            Cut::Held => std::thread::sleep(CUT_WAIT),
        }
    }
    Err(StoreError::Unavailable("a reader holds the write-ahead log".to_owned()))
}

#[derive(PartialEq, Eq)]
enum Cut {
    Done,
    Held,
}

fn checkpoint(connection: &Connection, text: &str) -> rusqlite::Result<Cut> {
    let busy = connection.query_row(text, [], |row| row.get::<_, i64>(0))?;
    Ok(if busy == 0 { Cut::Done } else { Cut::Held })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_log_that_was_held_is_cut_after_a_later_checkpoint_though_it_grows_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.db");
        let writer = writer_of(&path);
        let checkpoints = Checkpoints::new();
        let options =
            SqliteOptions { wal_bytes_max: 100_000, busy_timeout: Duration::ZERO, ..SqliteOptions::at(&path) };
        let mut wal = Wal::new(&checkpoints, &writer, &options);

        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM n").unwrap();
        writer.execute_batch("INSERT INTO n VALUES (zeroblob(200000))").unwrap();
        wal.written(&writer);
        assert!(fs::metadata(&wal.path).unwrap().len() > 100_000, "a reader holds it");
        drop(reader);
        // As every checkpoint does from now on: it begins anew, and its file stays as large as it was.
        assert!(checkpoint(&writer, "PRAGMA wal_checkpoint(RESTART)").unwrap() == Cut::Done);
        checkpoints.made.store(true, Ordering::Relaxed);
        wal.written(&writer);
        assert_eq!(fs::metadata(&wal.path).unwrap().len(), 0);
    }

    #[test]
    fn a_checkpoint_is_wanted_whenever_so_many_bytes_were_written_also_after_the_log_began_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.db");
        let writer = writer_of(&path);
        let checkpoints = Checkpoints::new();
        let mut wal = Wal::new(&checkpoints, &writer, &SqliteOptions::at(&path));
        let eighth = format!("INSERT INTO n VALUES (zeroblob({}))", BYTES_BETWEEN / 8);
        for round in 0..3 {
            for _ in 0..7 {
                writer.execute_batch(&eighth).unwrap();
                wal.written(&writer);
                assert!(*checkpoints.wanted.lock().unwrap() == Wanted::Nothing, "round {round}");
            }
            writer.execute_batch(&eighth).unwrap();
            wal.written(&writer);
            assert!(checkpoints.next() == Wanted::Checkpoint, "round {round}");
            if round > 0 {
                checkpoints.made.store(true, Ordering::Relaxed);
                wal.written(&writer);
            }
        }
        assert!(fs::metadata(&wal.path).unwrap().len() < 3 * BYTES_BETWEEN, "it has begun anew");
    }

    /// A connection to a new file, whose log nobody but the test moves.
    fn writer_of(path: &Path) -> Connection {
        let writer = Connection::open(path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE n (b BLOB)")
            .unwrap();
        writer
    }
}
