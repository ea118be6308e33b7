//! The log in a KurrentDB or EventStoreDB server or cluster.
//!
//! Appends and reads go through as they are: the port's semantics are this server's. Streams stand under a
//! namespace, so that others may use the server, too; what is the system's or somebody else's never surfaces.
//! Followers share one task that looks at the end of the whole log, page by page; no subscription of the server's is
//! opened (`docs/decisions/0016-kurrentdb-is-followed-by-reads.md`).

mod beginning;
mod connection;
mod end;
mod failure;
mod options;
mod server;

pub use self::{
    connection::FAILURES_IN_A_ROW_MAX,
    options::{KurrentDbOptions, OpenError},
    server::{PRIMING_WAIT, prime},
};

use self::{
    beginning::{Beginning, Begins},
    connection::Connection,
    end::End,
    failure::Failure,
    server::{AllRead, Server, StreamRead, Written},
};
use crate::{
    port::{
        AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, PAGE_EVENTS_MAX, Page, Position,
        ReadError, Recorded, Subscription, check_append,
    },
    tail::{Looked, TailLimits, Tails},
};
use advisor_events::StreamName;
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest beginning of the names of streams.
pub const NAMESPACE_BYTES_MAX: usize = 50;

/// How much more each look back takes than the one before, until it takes a page.
const LOOK_BACK_GROWTH: usize = 8;

/// What an operator is told when the whole log may not be read.
pub const DENIED: &str = "reading $all is denied: in a server with security, only members of $admins may by default; \
                          name one in the event log's URL, or let this user read $all in the server's access lists";

/// A log in a server that any number of processes share.
///
/// The server need not be there: until it is, calls find the log `Unavailable`. Dropping the log ends its followers.
pub struct KurrentDbLog {
    calls: Arc<Calls>,
    tails: Arc<Tails<Calls>>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

/// What is asked of the server.
struct Calls {
    options: KurrentDbOptions,
    connection: Connection,
    beginning: Beginning,
    end: End,
}

impl KurrentDbLog {
    /// Connects to nothing yet; the first call does. It is called within the runtime that its tasks run on.
    ///
    /// Call [`prime`] before anything else in the process does TLS; this does, if nobody has.
    pub async fn open(options: KurrentDbOptions) -> Result<Self, OpenError> {
        prime().await?;
        check_namespace(&options.namespace)?;
        let connection = Connection::new(&options)?;
        let calls = Arc::new(Calls { options, connection, beginning: Beginning::default(), end: End::default() });
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let tails = Arc::new(Tails::new(Arc::clone(&calls), tasks.clone(), ending.clone()));
        Ok(Self { calls, tails, tasks, ending })
    }

    /// Whether there is a server that lets us read the whole log, which it may deny though nothing of ours is in it yet.
    pub async fn reach(&self) -> Result<(), ReadError> {
        self.check_open().map_err(Failure::into_read_error)?;
        Looked::head(&*self.calls).await.map(drop)
    }

    /// Tells whenever this process has appended, and up to where: what other processes are to be told.
    pub fn appended(&self) -> watch::Receiver<Position> {
        self.tails.appended()
    }

    /// Has what other processes appended looked for at once, where somebody follows who has not got that far: one of
    /// them says that it has appended up to here. Without it, the clock finds it.
    pub fn look_for(&self, appended: Position) {
        self.tails.look_for(appended);
    }

    /// Ends the followers. Calls after it find the log `Unavailable`.
    pub async fn close(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn check_open(&self) -> Result<(), Failure> {
        if self.ending.is_cancelled() { Err(Failure::NotSent("the log is closed".to_owned())) } else { Ok(()) }
    }
}

impl Drop for KurrentDbLog {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

#[async_trait]
impl EventLog for KurrentDbLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        check_append(stream, &events)?;
        self.check_open().map_err(Failure::into_append_error)?;
        let appended = self.calls.append(stream, expected, &events).await.map_err(Failure::into_append_error)?;
        self.tails.note_appended(appended.position);
        if let Some(tail) = self.tails.current() {
            tail.ask();
        }
        Ok(appended)
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.check_open().map_err(Failure::into_read_error)?;
        // The server refuses to read nothing, and whether the stream exists is asked all the same.
        let read = StreamRead { name: &self.calls.full(stream), from, direction, max: max.clamp(1, PAGE_EVENTS_MAX) };
        let events = self.calls.read_stream(read, self.calls.options.read_timeout).await;
        let mut events = events.map_err(Failure::into_read_error)?;
        events.truncate(max);
        Ok(events)
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        self.check_open().map_err(Failure::into_read_error)?;
        self.calls.page_after(after, filter, max).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.check_open().map_err(Failure::into_read_error)?;
        self.calls.our_head().await
    }

    async fn event_at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        self.check_open().map_err(Failure::into_read_error)?;
        self.calls.event_at(position).await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        self.check_open().map_err(Failure::into_read_error)?;
        self.tails.follow(after, filter).await
    }
}

impl Looked for Calls {
    fn tail_limits(&self) -> TailLimits {
        let options = &self.options;
        TailLimits {
            recent_events_max: options.recent_events_max,
            recent_bytes_max: options.recent_bytes_max,
            look_interval_min: options.look_interval_min,
            look_interval_max: options.look_interval_max,
            look_rest: options.look_rest,
            look_events_max: options.look_events_max,
            follow_page_max: options.page_scan_max,
        }
    }

    /// Of all events, others' included.
    async fn head(&self) -> Result<Position, ReadError> {
        let read = |server: Arc<Server>| async move { server.head().await };
        self.connection.call(self.options.read_timeout, read).await.map_err(of_whole_log)
    }

    /// Looks at no more than `max` events, others' included, so that a page may be short, or empty, before the end.
    async fn page_after(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        let all = AllRead {
            from: self.place_after(after).await?,
            after,
            events: max.min(self.options.page_scan_max).clamp(1, PAGE_EVENTS_MAX),
            bytes: self.options.page_bytes_max.max(1),
        };
        let namespace = &*self.options.namespace;
        let read = |server: Arc<Server>| async move { server.read_all(namespace, all).await };
        let scanned = self.connection.call(self.options.read_timeout, read).await.map_err(of_whole_log)?;
        let mut events = scanned.events;
        events.retain(|event| filter.matches(&event.stream));
        Ok(Page { events, scanned_to: scanned.last.unwrap_or(after) })
    }
}

impl Calls {
    /// Where the read begins of what stands after a position.
    async fn place_after(&self, after: Position) -> Result<Position, ReadError> {
        if after > Position::START {
            return Ok(after);
        }
        Ok(match self.begins().await? {
            Begins::At(first) => first,
            Begins::NotYet | Begins::Somewhere => Position::START,
        })
    }

    async fn begins(&self) -> Result<Begins, ReadError> {
        let Some(stream) = &self.options.first_stream else { return Ok(Begins::Somewhere) };
        if let Some(known) = self.beginning.known() {
            return Ok(known);
        }
        let first = StreamRead { name: &self.full(stream), from: 0, direction: Direction::Forward, max: 1 };
        match self.read_stream(first, self.options.read_timeout).await {
            Ok(events) => Ok(self.beginning.found(events.first())),
            Err(Failure::NoSuchStream) => Ok(Begins::NotYet),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    /// Of our last event. Nobody is shown others' events, so that whoever waits for one of theirs waits in vain.
    async fn our_head(&self) -> Result<Position, ReadError> {
        if self.begins().await? == Begins::NotYet {
            return Ok(Position::START);
        }
        let namespace = &*self.options.namespace;
        let (mut newest, mut before, mut max) = (None, None, 1);
        loop {
            let look = |server: Arc<Server>| async move { server.look_back(namespace, before, max).await };
            let looked = self.connection.call(self.options.read_timeout, look).await.map_err(of_whole_log)?;
            newest = newest.or(looked.newest);
            if let Some(ours) = self.end.found(looked) {
                self.end.note(newest.unwrap_or_default(), ours);
                return Ok(ours);
            }
            // Most often the last event is ours, or one soon before it.
            let wider = max.saturating_mul(LOOK_BACK_GROWTH);
            (before, max) = (looked.oldest, wider.min(self.options.page_scan_max).clamp(1, PAGE_EVENTS_MAX));
        }
    }

    async fn event_at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        let namespace = &*self.options.namespace;
        let read = |server: Arc<Server>| async move { server.event_at(namespace, position).await };
        match self.connection.call(self.options.read_timeout, read).await {
            // No event begins there.
            Err(Failure::Refused(_)) => Ok(None),
            read => read.map_err(of_whole_log),
        }
    }

    async fn append(&self, stream: &StreamName, expected: Expected, events: &[NewEvent]) -> Result<Appended, Failure> {
        let limit = self.options.append_timeout;
        let deadline = Instant::now() + limit;
        let name = &self.full(stream);
        let append = |server: Arc<Server>| async move { server.append(name, expected, events, limit).await };
        let Written { revision, position } = self.connection.call(limit, append).await?;
        if let Some(position) = position {
            return Ok(Appended { revision, position });
        }
        // It is written, but where was not said: a repeat, for one, may be answered so. Should this read fail, the
        // append is repeated by the caller, and comes here again.
        let rest = deadline.saturating_duration_since(Instant::now());
        let unknown = |why: &dyn std::fmt::Display| Failure::Broken(format!("written, but where is not known: {why}"));
        let last = StreamRead { name, from: revision, direction: Direction::Backward, max: 1 };
        let found = self.read_stream(last, rest).await;
        match found.map_err(|failure| unknown(&failure))?.first() {
            Some(last) if last.revision == revision => Ok(Appended { revision, position: last.position }),
            Some(_) | None => Err(unknown(&"it is not found")),
        }
    }

    async fn read_stream(&self, read: StreamRead<'_>, limit: Duration) -> Result<Vec<Recorded>, Failure> {
        let namespace = &*self.options.namespace;
        let call = |server: Arc<Server>| async move { server.read_stream(namespace, read).await };
        self.connection.call(limit, call).await
    }

    fn full(&self, stream: &StreamName) -> String {
        format!("{}{stream}", self.options.namespace)
    }
}

/// Why the whole log can't be read. The port's error has no room for what an operator can do about a denial.
fn of_whole_log(failure: Failure) -> ReadError {
    if let Failure::Denied = failure {
        tracing::error!("{DENIED}");
    }
    failure.into_read_error()
}

fn check_namespace(namespace: &str) -> Result<(), OpenError> {
    let fits = namespace.len() <= NAMESPACE_BYTES_MAX
        && namespace.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if fits { Ok(()) } else { Err(OpenError::Namespace) }
}
