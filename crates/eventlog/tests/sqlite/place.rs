//! A log in a directory of its own, and another program that gets in its way.

use advisor_eventlog::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, Position, Recorded, SqliteLog,
    SqliteLogOptions,
};
use advisor_events::StreamName;
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    slice,
};
use tempfile::TempDir;
use uuid::Uuid;

/// A directory with a log in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn options(&self) -> SqliteLogOptions {
        SqliteLogOptions::at(self.file("log.db"))
    }

    pub(crate) fn open(&self) -> SqliteLog {
        self.open_with(|_| {})
    }

    pub(crate) fn open_with(&self, change: impl FnOnce(&mut SqliteLogOptions)) -> SqliteLog {
        let mut options = self.options();
        change(&mut options);
        SqliteLog::open(options).expect("a log")
    }

    /// Another program's connection.
    pub(crate) fn foreign(&self) -> Connection {
        Connection::open(self.file("log.db")).expect("a foreign connection")
    }

    /// Another program that keeps everybody from writing until this is dropped.
    pub(crate) fn lock_writing(&self) -> Connection {
        let foreign = self.foreign();
        foreign.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        foreign
    }

    /// Makes every insertion of an event do this too.
    pub(crate) fn plant(&self, fault: &str) {
        let trigger = format!("CREATE TRIGGER fault AFTER INSERT ON events BEGIN {fault}; END");
        self.foreign().execute_batch(&trigger).expect("a trigger");
    }

    pub(crate) fn uproot(&self) {
        self.foreign().execute_batch("DROP TRIGGER fault").expect("no trigger");
    }
}

pub(crate) async fn append(log: &SqliteLog, name: &str, first: u64, count: u64) -> Result<Appended, AppendError> {
    let count = usize::try_from(count).expect("a small number");
    log.append(&stream(name), at(first), events(count)).await
}

pub(crate) async fn all(log: &SqliteLog) -> Vec<Recorded> {
    let head = log.head().await.expect("the head");
    let mut all = Vec::new();
    let mut scanned_to = Position::START;
    while scanned_to < head {
        let page = log.read_all(scanned_to, &Filter::all(), 1_000).await.expect("a page");
        all.extend(page.events);
        scanned_to = page.scanned_to;
    }
    for event in &all {
        let one = log.read_stream(&event.stream, event.revision, Direction::Forward, 1).await.expect("a read");
        assert_eq!(one, slice::from_ref(event));
    }
    all
}

pub(crate) fn at(first: u64) -> Expected {
    first.checked_sub(1).map_or(Expected::NoStream, Expected::Exact)
}

pub(crate) fn stream(name: &str) -> StreamName {
    StreamName::from_text(name)
}

pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| event()).collect()
}

pub(crate) fn event() -> NewEvent {
    NewEvent { id: Uuid::new_v4(), type_name: "told".to_owned(), data: b"{}".to_vec(), metadata: b"{}".to_vec() }
}

pub(crate) fn ids(events: &[Recorded]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}
