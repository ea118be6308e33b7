//! A log that is written in groups by a disk that may fail: what was not synced is lost in a crash, and who waited
//! for it does not know.
//!
//! Under it lies `MemoryLog`, whose followers are the product's own. With good weather it passes the contract of all
//! logs, so that what it does in bad weather is what a log may do.

use crate::{dice::Dice, process::Process, weather::Weather};
use advisor_eventlog::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, MemoryLog, NewEvent, Page, Position, ReadError,
    Recorded, Subscription, port::check_append,
};
use advisor_events::StreamName;
use async_trait::async_trait;
use futures::{StreamExt, stream};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::{Notify, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Appends that are synced together.
const GROUP_MAX: usize = 8;

/// The log of a world.
pub(crate) struct SimLog {
    disk: Arc<Disk>,
}

struct Disk {
    memory: MemoryLog,
    weather: Arc<Weather>,
    dice: Dice,
    queue: Mutex<VecDeque<Job>>,
    work: Notify,
    /// Of the disk as it runs now; cancelled in a crash.
    running: Mutex<CancellationToken>,
    closed: CancellationToken,
}

/// An append on its way to the disk.
struct Job {
    stream: StreamName,
    expected: Expected,
    events: Vec<NewEvent>,
    /// Dropped where the answer is lost.
    answer: Option<oneshot::Sender<Result<Appended, AppendError>>>,
}

impl SimLog {
    /// An empty log; its disk begins to work.
    pub(crate) fn open(weather: &Arc<Weather>) -> Arc<Self> {
        let disk = Arc::new(Disk {
            // Positions that are not dense are what other logs have.
            memory: MemoryLog::with_stride(3),
            weather: Arc::clone(weather),
            dice: weather.dice("log"),
            queue: Mutex::default(),
            work: Notify::new(),
            running: Mutex::default(),
            closed: CancellationToken::new(),
        });
        TaskTracker::new().spawn(Arc::clone(&disk).work());
        Arc::new(Self { disk })
    }

    /// The log as a process reaches it.
    pub(crate) fn of(self: &Arc<Self>, process: &Arc<Process>) -> Arc<dyn EventLog> {
        Arc::new(LogOf { process: Arc::clone(process), log: Arc::clone(self) })
    }

    /// The disk stops, and starts again: what it had not synced is lost, all but what it had written just before.
    pub(crate) fn crash(&self) {
        self.disk.weather.note("log", "crashes");
        let stopped = std::mem::take(&mut *self.disk.running.lock().unwrap());
        self.disk.queue.lock().unwrap().clear();
        stopped.cancel();
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        self.disk.closed.cancel();
    }
}

impl Disk {
    async fn work(self: Arc<Self>) {
        let closed = self.closed.clone();
        closed
            .run_until_cancelled(async {
                loop {
                    self.work.notified().await;
                    self.write_all().await;
                }
            })
            .await;
    }

    async fn write_all(&self) {
        loop {
            let running = self.running.lock().unwrap().clone();
            self.weather.delay(&self.dice, 0..3).await;
            let mut group: Vec<Job> = {
                let mut queue = self.queue.lock().unwrap();
                let count = queue.len().min(GROUP_MAX);
                queue.drain(..count).collect()
            };
            if group.is_empty() {
                return;
            }
            let synced = running.run_until_cancelled(self.weather.delay(&self.dice, 1..8)).await.is_some();
            if !synced {
                // What had reached the disk is there; nobody is told.
                let reached = crate::dice::index(self.dice.roll(group.len() as u64 + 1));
                group.truncate(reached);
                for job in &mut group {
                    job.answer = None;
                }
            }
            for job in group {
                let written = self.memory.append(&job.stream, job.expected, job.events).await;
                let what = match &written {
                    Ok(appended) => format!("{} {} at {}", job.stream, appended.revision, appended.position),
                    Err(error) => format!("{} refused: {error}", job.stream),
                };
                self.weather.note("log", &what);
                if let Some(answer) = job.answer {
                    drop(answer.send(written));
                }
            }
        }
    }

    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        check_append(stream, &events)?;
        if self.weather.strikes(&self.dice, 20) {
            return Err(AppendError::Unavailable("nobody answers".to_owned()));
        }
        let unknown = |why: &str| Err(AppendError::OutcomeUnknown(why.to_owned()));
        if self.weather.strikes(&self.dice, 20) {
            self.weather.delay(&self.dice, 1..50).await;
            return unknown("it was lost on its way");
        }
        let (answer, answered) = oneshot::channel();
        let is_heard = !self.weather.strikes(&self.dice, 40);
        let job = Job { stream: stream.clone(), expected, events, answer: is_heard.then_some(answer) };
        self.queue.lock().unwrap().push_back(job);
        self.work.notify_one();
        match answered.await {
            Ok(written) => written,
            // The sender is gone: at once, while the append is still on its way, or in a crash.
            Err(_) => unknown("the connection was cut"),
        }
    }

    async fn before_read(&self) -> Result<(), ReadError> {
        self.weather.delay(&self.dice, 0..4).await;
        if self.weather.strikes(&self.dice, 10) {
            return Err(ReadError::Unavailable("nobody answers".to_owned()));
        }
        Ok(())
    }

    async fn subscribe(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        let running = self.running.lock().unwrap().clone();
        let inner = self.memory.subscribe_all(after, filter).await?;
        Ok(stream::unfold(Some((inner, running)), |state| async {
            let (mut inner, running) = state?;
            match running.run_until_cancelled(inner.next()).await {
                None => Some((Err(ReadError::Unavailable("the log has crashed".to_owned())), None)),
                Some(Some(Err(error))) => Some((Err(error), None)),
                Some(news) => news.map(|news| (news, Some((inner, running)))),
            }
        })
        .boxed())
    }
}

#[async_trait]
impl EventLog for SimLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        self.disk.append(stream, expected, events).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.disk.before_read().await?;
        self.disk.memory.read_stream(stream, from, direction, max).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        self.disk.before_read().await?;
        self.disk.memory.read_all(after, filter, max).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.disk.before_read().await?;
        self.disk.memory.head().await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        self.disk.before_read().await?;
        self.disk.subscribe(after, filter).await
    }
}

/// The log as a process reaches it.
struct LogOf {
    process: Arc<Process>,
    log: Arc<SimLog>,
}

#[async_trait]
impl EventLog for LogOf {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        let (log, stream) = (Arc::clone(&self.log), stream.clone());
        if events.iter().any(ends_reply)
            && let Some(length) = self.process.spring()
        {
            self.log.disk.weather.note(&self.process.name, &format!("is trapped for {length:?}"));
        }
        self.process.call(async move { log.append(&stream, expected, events).await }).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let (log, stream) = (Arc::clone(&self.log), stream.clone());
        self.process.call(async move { log.read_stream(&stream, from, direction, max).await }).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        let (log, filter) = (Arc::clone(&self.log), filter.clone());
        self.process.call(async move { log.read_all(after, &filter, max).await }).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        let log = Arc::clone(&self.log);
        self.process.call(async move { log.head().await }).await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        let log = Arc::clone(&self.log);
        let inner = self.process.call(async move { log.subscribe_all(after, filter).await }).await?;
        let process = Arc::clone(&self.process);
        Ok(inner
            .then(move |news| {
                let process = Arc::clone(&process);
                async move { if process.is_up().await { news } else { std::future::pending().await } }
            })
            .boxed())
    }
}

/// Whether an event is the end of a reply.
fn ends_reply(event: &NewEvent) -> bool {
    ["reply_completed", "reply_failed", "reply_stopped"].iter().any(|end| event.type_name.contains(end))
}

mod contract {
    use super::SimLog;
    use crate::weather::Weather;
    use advisor_eventlog::{EventLog, contract::Fixture};
    use async_trait::async_trait;
    use std::sync::Arc;

    advisor_eventlog::contract_tests!(Calm);

    struct Calm;

    #[async_trait]
    impl Fixture for Calm {
        async fn open(&self) -> Arc<dyn EventLog> {
            SimLog::open(&Weather::calm())
        }

        async fn reopen(&self, _log: Arc<dyn EventLog>) -> Option<Arc<dyn EventLog>> {
            None
        }
    }
}
