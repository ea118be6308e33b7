//! What a log is, to everybody else.

use advisor_events::{StreamName, ids::STREAM_NAME_BYTES_MAX};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::{collections::HashSet, fmt, sync::Arc};
use uuid::Uuid;

/// Most bytes of one append: data, metadata and twice the type name of each event.
pub const APPEND_BYTES_MAX: usize = 1_000_000;
/// Most events of one append.
pub const APPEND_EVENTS_MAX: usize = 500;
/// Most events of one page of a read.
pub const PAGE_EVENTS_MAX: usize = 4_096;

/// A place in the whole log: from 1, increasing, sparse, below 2^53; 0 stands before every event.
/// Positions are compared and never subtracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before every event.
    pub const START: Self = Self(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an append expects of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// That it does not exist.
    NoStream,
    /// That this is its last revision (from 0).
    Exact(u64),
}

/// An event to be appended. Data is never looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Tells the repeat of an append from another one; unique within its stream.
    pub id: Uuid,
    /// Wire name, such as `conversation.message_sent.v1`.
    pub type_name: String,
    /// Opaque bytes.
    pub data: Vec<u8>,
    /// Opaque bytes.
    pub metadata: Vec<u8>,
}

/// An event as the log gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream: from 0, dense.
    pub revision: u64,
    /// Its place in the whole log.
    pub position: Position,
    /// Its id.
    pub id: Uuid,
    /// Its wire name.
    pub type_name: Arc<str>,
    /// Its data, as it was given.
    pub data: Vec<u8>,
    /// Its metadata, as it was given.
    pub metadata: Vec<u8>,
}

/// Where an append's last event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Revision of the last event that was appended (or found there, when the append is a repeat).
    pub revision: u64,
    /// Its position.
    pub position: Position,
}

/// Why an append did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream is not where it was expected: decide again.
    #[error("the stream's last revision is {actual:?}")]
    WrongRevision {
        /// The stream's last revision; `None` if it does not exist.
        actual: Option<u64>,
    },
    /// More bytes or events than an append may have: nothing was written.
    #[error("the append is larger than {APPEND_BYTES_MAX} bytes or {APPEND_EVENTS_MAX} events")]
    TooLarge,
    /// The request itself is wrong, on every backend: nothing was written.
    #[error("the append is not valid: {0}")]
    Invalid(&'static str),
    /// The backend does not let us.
    #[error("the event log denies the append")]
    Denied,
    /// Nothing was written; the same call may succeed later.
    #[error("the event log is not available: {0}")]
    Unavailable(String),
    /// It may have been written: repeat the identical append until it says which.
    #[error("the outcome of the append is unknown: {0}")]
    OutcomeUnknown(String),
}

/// Why a read gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream does not exist.
    #[error("the stream does not exist")]
    NoSuchStream,
    /// The backend does not let us.
    #[error("the event log denies the read")]
    Denied,
    /// What is stored can't be read back: wait for an operator.
    #[error("the event log is damaged: {0}")]
    Damaged(String),
    /// The same call may succeed later.
    #[error("the event log is not available: {0}")]
    Unavailable(String),
}

/// Which way a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From older to newer.
    Forward,
    /// From newer to older.
    Backward,
}

/// Which streams of the whole log are read: those whose name begins with one of the prefixes; all, if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Prefixes of stream names.
    pub stream_prefixes: Vec<String>,
}

impl Filter {
    /// Every stream.
    pub fn all() -> Self {
        Self::default()
    }

    /// Streams with this prefix.
    pub fn stream_prefix(prefix: impl Into<String>) -> Self {
        Self { stream_prefixes: vec![prefix.into()] }
    }

    /// Whether events of this stream pass.
    pub fn matches(&self, stream: &StreamName) -> bool {
        self.stream_prefixes.is_empty() || self.stream_prefixes.iter().any(|prefix| stream.as_str().starts_with(prefix))
    }
}

/// A page of the whole log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Events in order.
    pub events: Vec<Recorded>,
    /// Everything up to here has been looked at: the next page begins after it. At rest, the log's head; beyond it
    /// where others write to the same server.
    pub scanned_to: Position,
}

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// The next event, shared so that many readers cost one copy.
    Event(Arc<Recorded>),
    /// Everything up to here has been looked at, and nothing else matched.
    Checkpoint(Position),
    /// All that was there has been given; what follows is news. May come more than once.
    CaughtUp,
}

/// A subscription: it ends with an error, after which one subscribes again from one's own checkpoint.
pub type Subscription = BoxStream<'static, Result<SubscriptionEvent, ReadError>>;

/// An append-only log of events in streams, with one total order over all of them.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends all events or none. A repeat of an append (the same ids at the same place) succeeds
    /// and adds nothing.
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError>;

    /// At most `max` events (and `PAGE_EVENTS_MAX`) from `from` (inclusive) on. Beyond the end: empty.
    /// `Backward` from `u64::MAX` begins at the end.
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError>;

    /// At most `max` events after `after` (exclusive), forward: after an event, what a page has been scanned to, or
    /// the start; not every log can begin elsewhere. A page may be short, or empty, before the end: go on from its
    /// `scanned_to` until that has reached the head.
    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError>;

    /// The event that stands at a position, if one does.
    async fn event_at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        let before = Position(position.0.saturating_sub(1));
        let page = self.read_all(before, &Filter::all(), 1).await?;
        Ok(page.events.into_iter().next().filter(|event| event.position == position))
    }

    /// The position of the last event; `Position::START` in an empty log. What others write to the same server is
    /// none of it.
    async fn head(&self) -> Result<Position, ReadError>;

    /// Everything after `after`, and then what is appended from now on, without gap or repeat.
    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError>;
}

/// What every adapter refuses before any I/O.
pub fn check_append(stream: &StreamName, events: &[NewEvent]) -> Result<(), AppendError> {
    check_stream_name(stream)?;
    if events.is_empty() {
        return Err(AppendError::Invalid("no events"));
    }
    let mut ids = HashSet::with_capacity(events.len());
    let mut bytes = 0;
    for event in events {
        if event.id.is_nil() {
            return Err(AppendError::Invalid("a nil event id"));
        }
        if !ids.insert(event.id) {
            return Err(AppendError::Invalid("an event id twice"));
        }
        if event.type_name.is_empty() || event.type_name.starts_with('$') {
            return Err(AppendError::Invalid("an empty event type, or a system's"));
        }
        bytes += append_bytes(&event.type_name, &event.data, &event.metadata);
    }
    if bytes > APPEND_BYTES_MAX || events.len() > APPEND_EVENTS_MAX {
        return Err(AppendError::TooLarge);
    }
    Ok(())
}

/// What an event counts for in [`APPEND_BYTES_MAX`].
pub fn append_bytes(type_name: &str, data: &[u8], metadata: &[u8]) -> usize {
    data.len() + metadata.len() + 2 * type_name.len()
}

fn check_stream_name(stream: &StreamName) -> Result<(), AppendError> {
    let name = stream.as_str();
    if name.is_empty() || name.len() > STREAM_NAME_BYTES_MAX {
        return Err(AppendError::Invalid("a stream name of 0 or more than 200 bytes"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return Err(AppendError::Invalid("a stream name outside A-Z a-z 0-9 _ . -"));
    }
    Ok(())
}
