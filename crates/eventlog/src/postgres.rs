//! The log that several machines share: a schema in PostgreSQL.
//!
//! One task of each process sends whatever waits to be appended as one statement. A lock that the statement holds to
//! its commit makes positions visible in their order, so that readers need no horizon. No process has
//! to tell another of what it appended: followers of other processes look for it, at once where somebody tells them.

mod appender;
pub(crate) mod database;
mod failure;
pub(crate) mod migrations;
mod options;
mod reader;

pub use self::{
    migrations::{MigrateError, Migrated},
    options::PostgresLogOptions,
};

use self::{
    appender::{Append, Appender, Claim, Verdict, first},
    database::Database,
};
use crate::{
    port::{
        AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, PAGE_EVENTS_MAX, Page, Position,
        ReadError, Recorded, Subscription, check_append,
    },
    room::Room,
    tail::{Looked, TailLimits, Tails},
};
use advisor_events::StreamName;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// A log in PostgreSQL, which any number of processes may have open.
///
/// It need not be there: until it is, calls find the log `Unavailable`. Dropping it ends its followers; what waits is
/// still appended, which [`PostgresLog::close`] waits for.
pub struct PostgresLog {
    database: Arc<Database>,
    tails: Arc<Tails<Database>>,
    room: Room,
    /// `None` once closed.
    appends: Mutex<Option<mpsc::UnboundedSender<Append>>>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

/// Why a log in PostgreSQL can't be.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL does not say where.
    #[error("the event log's URL is not one of PostgreSQL")]
    Url(#[source] sqlx::Error),
    /// The schema's name would have to be quoted, or is PostgreSQL's own.
    #[error("the event log's schema can't be named {0:?}: small letters, digits and _ only, and not pg_…")]
    Schema(String),
}

impl PostgresLog {
    /// Connects to nothing yet: the first call does, and makes the schema or brings it up to date.
    /// It is called within the runtime that its tasks run on.
    pub fn open(options: PostgresLogOptions) -> Result<Self, OpenError> {
        let limits = &options;
        let room = Room::new(limits.append_queue_max, limits.append_queue_bytes_max, limits.append_queue_wait);
        let database = Arc::new(Database::new(options)?);
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let tails = Arc::new(Tails::new(Arc::clone(&database), tasks.clone(), ending.clone()));
        let (appends, queue) = mpsc::unbounded_channel();
        tasks.spawn(Appender::new(Arc::clone(&database), Arc::clone(&tails), queue).run());
        Ok(Self { database, tails, room, appends: Mutex::new(Some(appends)), tasks, ending })
    }

    /// Whether there is a database that lets us in: connects, and does nothing else.
    pub async fn reach(&self) -> Result<(), ReadError> {
        self.database.reach().await
    }

    /// Makes the schema or brings it up to date, unless it is. Several processes may try at once.
    pub async fn migrate(options: &PostgresLogOptions) -> Result<Migrated, MigrateError> {
        migrations::migrate(options).await
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

    /// Appends what waits and ends the followers. Calls after it find the log `Unavailable`.
    pub async fn close(&self) {
        self.end();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn end(&self) {
        drop(self.appends.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.ending.cancel();
    }

    fn queue(&self, append: Append) -> Result<(), AppendError> {
        let appends = self.appends.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = appends.as_ref().and_then(|appends| appends.send(append).ok());
        sent.ok_or_else(|| AppendError::Unavailable("the log is closed".to_owned()))
    }

    fn check_open(&self) -> Result<(), ReadError> {
        if self.ending.is_cancelled() { Err(crate::follow::closed()) } else { Ok(()) }
    }

    /// An append that was not at the end of its stream: a repeat of one that was, or refused. What stands there never
    /// changes, so that it may be looked at after the lock is let go.
    async fn repeat(
        &self,
        stream: &StreamName,
        expected: Expected,
        ids: &[Uuid],
        last: Option<u64>,
    ) -> Result<Appended, AppendError> {
        let refused = AppendError::WrongRevision { actual: last };
        let first = first(expected);
        if last.is_none_or(|last| first > last) {
            return Err(refused);
        }
        match self.database.find_repeat(stream, first, ids).await {
            Ok(found) => found.ok_or(refused),
            Err(ReadError::Denied) => Err(AppendError::Denied),
            // Its first try may have been written: only another repeat can tell.
            Err(error) => Err(AppendError::OutcomeUnknown(error.to_string())),
        }
    }
}

impl Drop for PostgresLog {
    fn drop(&mut self) {
        self.end();
    }
}

impl Looked for Database {
    fn tail_limits(&self) -> TailLimits {
        self.options.tail_limits()
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.head().await
    }

    async fn page_after(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        self.read_all(after, filter, max).await
    }
}

#[async_trait]
impl EventLog for PostgresLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        check_append(stream, &events)?;
        if events.iter().any(|event| event.type_name.contains('\0')) {
            return Err(AppendError::Invalid("an event type with a NUL"));
        }
        let bytes = events.iter().map(|event| event.data.len() + event.metadata.len()).sum();
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        let room = self.room.take(bytes).await?;
        let (answer, answered) = oneshot::channel();
        let claim = Claim::default();
        let append =
            Append { stream: stream.clone(), expected, events, bytes, claim: claim.clone(), answer, _room: room };
        self.queue(append)?;
        let verdict = match timeout(self.database.options.append_timeout, answered).await {
            Ok(Ok(verdict)) => verdict?,
            Ok(Err(_)) => return Err(AppendError::OutcomeUnknown("the log's appender has ended".to_owned())),
            Err(_) if claim.take() => {
                return Err(AppendError::Unavailable("PostgreSQL takes no appends in time".to_owned()));
            }
            Err(_) => return Err(AppendError::OutcomeUnknown("PostgreSQL has not answered in time".to_owned())),
        };
        match verdict {
            Verdict::Written(appended) => Ok(appended),
            Verdict::Elsewhere { last } => self.repeat(stream, expected, &ids, last).await,
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.check_open()?;
        self.database.read_stream(stream, from, direction, max.min(PAGE_EVENTS_MAX)).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        self.check_open()?;
        self.database.read_all(after, filter, max.min(PAGE_EVENTS_MAX)).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.check_open()?;
        self.database.head().await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        self.check_open()?;
        self.tails.follow(after, filter).await
    }
}

#[cfg(test)]
mod tests;
