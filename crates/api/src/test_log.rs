//! A log for tests: in memory, it notes which streams were read, and it can go away.

use advisor_eventlog::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, MemoryLog, NewEvent, Page, Position, ReadError,
    Recorded, Subscription,
};
use advisor_events::StreamName;
use async_trait::async_trait;
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

/// What an engine says of itself that nobody outside may hear.
pub(crate) const REASON: &str = "disk I/O error at /var/lib/advisor/events.db: postgres://advisor:secret@10.0.0.7";

pub(crate) struct TestLog {
    log: MemoryLog,
    read: Mutex<Vec<StreamName>>,
    is_away: AtomicBool,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        Self { log: MemoryLog::new(), read: Mutex::default(), is_away: AtomicBool::new(false) }
    }

    /// From now on nothing can be written or read.
    pub(crate) fn go_away(&self) {
        self.is_away.store(true, Ordering::SeqCst);
    }

    /// The streams that were read since this was asked last.
    pub(crate) fn streams_read(&self) -> Vec<StreamName> {
        std::mem::take(&mut self.read.lock().unwrap())
    }

    fn check_here(&self) -> Result<(), ReadError> {
        if self.is_away.load(Ordering::SeqCst) { Err(ReadError::Unavailable(REASON.to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl EventLog for TestLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        self.check_here().map_err(|_| AppendError::Unavailable(REASON.to_owned()))?;
        self.log.append(stream, expected, events).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.read.lock().unwrap().push(stream.clone());
        self.check_here()?;
        self.log.read_stream(stream, from, direction, max).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        self.check_here()?;
        self.log.read_all(after, filter, max).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.check_here()?;
        self.log.head().await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        self.check_here()?;
        self.log.subscribe_all(after, filter).await
    }
}
