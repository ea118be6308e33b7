//! The log of the embedded default: one SQLite file.
//!
//! One thread writes and commits whatever waits for it as one group; a few threads read, a page at a
//! time; one thread moves the write-ahead log into the file, so that commits need not. What was just
//! appended is kept in memory for those who follow.

pub(crate) mod checkpoints;
mod failure;
pub(crate) mod file;
mod names;
mod options;
mod queue;
pub(crate) mod reader;
pub(crate) mod writer;

pub use self::{file::OpenError, options::SqliteLogOptions};

use self::{
    checkpoints::Checkpoints,
    failure::Failure,
    file::Lock,
    queue::Queue,
    reader::{Read, Reader, Want},
    writer::{Append, Writer},
};
use crate::{
    follow::{Source, closed, follow},
    port::{
        AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, PAGE_EVENTS_MAX, Page, Position,
        ReadError, Recorded, Subscription, check_append,
    },
    recent::Recent,
    room::Room,
};
use advisor_events::StreamName;
use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// A log in one SQLite file, which no other process can open meanwhile.
///
/// Dropping it ends its followers and waits for its threads; [`SqliteLog::close`] does so without
/// holding up the async runtime.
pub struct SqliteLog {
    shared: Arc<Shared>,
    /// `None` once closed.
    running: Mutex<Option<Running>>,
}

/// What lives from opening to closing. The lock is let go after the threads have ended.
struct Running {
    threads: Vec<JoinHandle<()>>,
    options: SqliteLogOptions,
    lock: Lock,
}

/// What the log's callers, threads and followers share.
struct Shared {
    options: SqliteLogOptions,
    appends: Queue<Append>,
    append_room: Room,
    reads: Queue<Read>,
    read_room: Arc<Semaphore>,
    recent: Recent,
    checkpoints: Checkpoints,
}

impl SqliteLog {
    /// Opens or makes the log and starts its threads. Blocks for some milliseconds (after a crash,
    /// while the write-ahead log is read back), so call it before serving.
    pub fn open(options: SqliteLogOptions) -> Result<Self, OpenError> {
        let (options, lock) = file::claim(options)?;
        let sqlite = |source| OpenError::Sqlite { path: options.path.clone(), source };
        let writing = file::prepare(&options)?;
        let head = writer::head(&writing).map_err(sqlite)?;
        if head.0 >= writer::POSITION_LIMIT {
            return Err(OpenError::PositionsExhausted { path: options.path });
        }
        let checkpointing = file::open_writing(&options).map_err(sqlite)?;
        let reading: Vec<_> = (0..options.readers.max(1))
            .map(|_| file::open_reading(&options))
            .collect::<Result<_, _>>()
            .map_err(sqlite)?;

        let shared = Arc::new(Shared {
            appends: Queue::new(),
            append_room: Room::new(options.append_queue_max, options.append_queue_bytes_max, options.append_queue_wait),
            reads: Queue::new(),
            read_room: Arc::new(Semaphore::new(options.read_queue_max.max(1))),
            recent: Recent::new(head, options.recent_events_max, options.recent_bytes_max),
            checkpoints: Checkpoints::new(options.wal_bytes_max, options.wal_idle),
            options,
        });
        let running = Running { threads: Vec::new(), options: shared.options.clone(), lock };
        let log = Self { shared, running: Mutex::new(Some(running)) };
        let shared = &log.shared;
        let mut writer = Writer::new(Arc::clone(shared), writing);
        log.start("log-writer", move || writer.run())?;
        let keeper = Arc::clone(shared);
        log.start("log-checkpoint", move || keeper.checkpoints.run(&checkpointing, &keeper.options))?;
        for connection in reading {
            let mut reader = Reader::new(Arc::clone(shared), connection);
            log.start("log-reader", move || reader.run())?;
        }
        Ok(log)
    }

    /// Commits what waits, moves the write-ahead log into the file, ends the followers and the
    /// threads, and lets go of the lock. Calls after it find the log `Unavailable`.
    pub async fn close(&self) {
        let Some(running) = self.begin_to_close() else { return };
        if let Err(error) = tokio::task::spawn_blocking(move || running.end()).await {
            tracing::error!(%error, "closing the event log was cut off");
        }
    }

    /// Bytes of the write-ahead log's file.
    pub fn wal_bytes(&self) -> u64 {
        file::wal_bytes(&self.shared.options)
    }

    fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let file = |source| OpenError::File { path: self.shared.options.path.clone(), source };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work).map_err(file)?;
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            running.threads.push(thread);
        }
        Ok(())
    }

    fn begin_to_close(&self) -> Option<Running> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.shared.recent.close();
        self.shared.reads.abandon();
        self.shared.checkpoints.close();
        self.shared.appends.close();
        Some(running)
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        if let Some(running) = self.begin_to_close() {
            running.end();
        }
    }
}

impl Running {
    fn end(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the event log panicked");
            }
        }
        // Of two connections that close at the same moment each leaves the write-ahead log to the other.
        match file::open_writing(&self.options) {
            Ok(last) => Checkpoints::finish(&last),
            Err(error) => tracing::warn!(%error, "the event log's write-ahead log was left as it is"),
        }
        drop(self.lock);
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        check_append(stream, &events)?;
        let bytes = events.iter().map(|event| event.data.len() + event.metadata.len()).sum();
        let room = self.shared.append_room.take(bytes).await?;
        let (answer, answered) = oneshot::channel();
        let append = Append { stream: stream.clone(), expected, events, bytes, answer, _room: room };
        self.shared.appends.push(append).map_err(|_| Failure::closed().into_append_error())?;
        match timeout(self.shared.options.append_timeout, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AppendError::OutcomeUnknown("the log's writer has ended".to_owned())),
            Err(_) => Err(AppendError::OutcomeUnknown("the log's writer has not answered in time".to_owned())),
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let (answer, answered) = oneshot::channel();
        let max = max.min(PAGE_EVENTS_MAX);
        let want = Want::Stream { stream: stream.clone(), from, direction, max, answer };
        Arc::clone(&self.shared).read(want, answered).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        Arc::clone(&self.shared).read_page(after, filter, max.min(PAGE_EVENTS_MAX)).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        if self.shared.recent.is_closed() { Err(closed()) } else { Ok(self.shared.recent.head()) }
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        Ok(follow(Arc::clone(&self.shared), after, filter))
    }
}

impl Source for Shared {
    fn recent(&self) -> &Recent {
        &self.recent
    }

    fn page(self: Arc<Self>, after: Position, filter: &Filter) -> BoxFuture<'static, Result<Page, ReadError>> {
        let max = self.options.follow_page_max.clamp(1, PAGE_EVENTS_MAX);
        self.read_page(after, filter, max).boxed()
    }
}

impl Shared {
    fn read_page(
        self: Arc<Self>,
        after: Position,
        filter: &Filter,
        max: usize,
    ) -> impl Future<Output = Result<Page, ReadError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        self.read(Want::All { after, filter: filter.clone(), max, answer }, answered)
    }

    /// Queues a read: at once if there is room, so that it goes on before the future is first polled.
    fn read<T: Send>(
        self: Arc<Self>,
        want: Want,
        answered: oneshot::Receiver<Result<T, ReadError>>,
    ) -> impl Future<Output = Result<T, ReadError>> + Send + use<T> {
        let queued = match Arc::clone(&self.read_room).try_acquire_owned() {
            Ok(room) => Ok(self.reads.push(Read { want, _room: room })),
            Err(_) => Err(want),
        };
        async move {
            let answer = async {
                let pushed = match queued {
                    Ok(pushed) => pushed,
                    Err(want) => {
                        let room = Arc::clone(&self.read_room).acquire_owned().await.map_err(|_| closed())?;
                        self.reads.push(Read { want, _room: room })
                    }
                };
                pushed.map_err(|_| closed())?;
                answered.await.map_err(|_| closed())?
            };
            timeout(self.options.read_timeout, answer)
                .await
                .unwrap_or_else(|_| Err(ReadError::Unavailable("the log has not answered in time".to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{
        Fixture,
        scene::{at, events},
    };
    use futures::StreamExt;
    use tempfile::TempDir;

    crate::contract_tests!(OnDisk::new(|_| {}));

    /// So small a ring and pages so short that every follower falls behind and comes back.
    mod with_the_smallest_limits {
        crate::contract_tests!(super::OnDisk::new(|options| {
            options.recent_events_max = 8;
            options.follow_page_max = 3;
            options.page_scan_max = 5;
            options.readers = 1;
            options.group_events_max = 4;
            options.wal_bytes_max = 64 << 10;
            options.streams_cached_max = 2;
        }));
    }

    #[tokio::test]
    async fn a_dropped_subscription_leaves_nothing_behind() {
        let place = OnDisk::new(|options| options.recent_events_max = 1);
        let log = SqliteLog::open(place.options()).expect("a log");
        let stream = StreamName::from_text("a-1");
        for revision in 0..100 {
            log.append(&stream, at(revision * 50), events(50)).await.expect("an append");
        }
        let holders = Arc::strong_count(&log.shared);

        let mut subscription = log.subscribe_all(Position::START, Filter::all()).await.expect("a subscription");
        subscription.next().await.expect("news").expect("an event");
        assert!(Arc::strong_count(&log.shared) > holders);
        drop(subscription);

        // A page that was being read for it is let go by its reader; then all room is free again.
        let room = log.shared.options.read_queue_max;
        let all_room = log.shared.read_room.acquire_many(u32::try_from(room).expect("a small number"));
        drop(all_room.await.expect("room"));
        assert_eq!(Arc::strong_count(&log.shared), holders);
    }

    struct OnDisk {
        directory: TempDir,
        change: fn(&mut SqliteLogOptions),
    }

    impl OnDisk {
        fn new(change: fn(&mut SqliteLogOptions)) -> Self {
            Self { directory: TempDir::new().expect("a directory"), change }
        }

        fn options(&self) -> SqliteLogOptions {
            let mut options = SqliteLogOptions::at(self.directory.path().join("log.db"));
            (self.change)(&mut options);
            options
        }
    }

    #[async_trait]
    impl Fixture for OnDisk {
        async fn open(&self) -> Arc<dyn EventLog> {
            Arc::new(SqliteLog::open(self.options()).expect("a log"))
        }

        async fn reopen(&self, log: Arc<dyn EventLog>) -> Option<Arc<dyn EventLog>> {
            drop(log);
            Some(self.open().await)
        }
    }
}
