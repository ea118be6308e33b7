//! The connections of one process, and what is asked over them.

use super::{
    OpenError, PostgresLogOptions,
    failure::read_error,
    migrations::{MigrateError, migrate},
};
use crate::port::ReadError;
use sqlx::{
    Connection, PgConnection, Postgres,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use std::{
    io,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// How long an idle connection is believed to stand; after that, it is asked.
pub const IDLE_TRUST: Duration = Duration::from_secs(1);

/// What a connection is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Appending,
    Reading,
}

pub(super) struct Database {
    pub(super) options: PostgresLogOptions,
    settings: PgConnectOptions,
    /// Set once the schema has been found, or made, as this program knows it.
    ready: OnceCell<()>,
    /// A permit for each connection that reads.
    readers: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// A connection to read with. It is closed unless it is given back: after an error, a time-out or a reader who went
/// away there may be an answer on it that is not the next reader's.
struct Lease<'d> {
    connection: PgConnection,
    home: &'d Database,
    _permit: OwnedSemaphorePermit,
}

impl Database {
    /// Connects to nothing yet.
    pub(super) fn new(options: PostgresLogOptions) -> Result<Self, OpenError> {
        let settings = common_settings(&options)?;
        let readers = Arc::new(Semaphore::new(options.readers.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Self { options, settings, ready: OnceCell::new(), readers, idle: Mutex::default() })
    }

    /// The rows of a query.
    pub(super) async fn rows(&self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>, ReadError> {
        let reading = async {
            let mut lease = self.lease().await?;
            let rows = query.fetch_all(&mut lease.connection).await.map_err(read_error)?;
            lease.give_back();
            Ok(rows)
        };
        timeout(self.options.read_timeout, reading)
            .await
            .unwrap_or_else(|_| Err(ReadError::Unavailable("PostgreSQL has not answered in time".to_owned())))
    }

    /// Connects, whatever schema is there.
    pub(super) async fn reach(&self) -> Result<(), ReadError> {
        // One that is left without a word is noticed.
        connect(&self.settings, self.options.connect_timeout).await.map(drop).map_err(read_error)
    }

    /// A new connection, to a schema that this program knows.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<PgConnection, ReadError> {
        let ready = self.ready.get_or_try_init(|| async { migrate(&self.options).await.map(|_| ()) });
        ready.await.map_err(migrate_error)?;
        let settings = self.settings.clone().options(self.settings_for(purpose));
        connect(&settings, self.options.connect_timeout).await.map_err(read_error)
    }

    /// Where nothing comes through to one idle connection, it does to none: they are not tried one after the other.
    async fn lease(&self) -> Result<Lease<'_>, ReadError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.map_err(|_| crate::follow::closed())?;
        while let Some(idle) = self.take_idle() {
            if let Some(connection) = idle.if_it_stands(self.options.connect_timeout).await {
                return Ok(Lease { connection, home: self, _permit: permit });
            }
            self.lock().clear();
        }
        let connection = self.connect(Purpose::Reading).await?;
        Ok(Lease { connection, home: self, _permit: permit })
    }

    fn take_idle(&self) -> Option<Idle> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings_for(&self, purpose: Purpose) -> [(&'static str, String); 3] {
        match purpose {
            Purpose::Appending => [
                ("synchronous_commit", "on".to_owned()),
                ("lock_timeout", milliseconds(self.options.append_lock_wait)),
                ("statement_timeout", milliseconds(self.options.append_timeout)),
            ],
            Purpose::Reading => [
                ("default_transaction_read_only", "on".to_owned()),
                ("lock_timeout", milliseconds(self.options.read_timeout)),
                ("statement_timeout", milliseconds(self.options.read_timeout)),
            ],
        }
    }
}

impl Idle {
    async fn if_it_stands(mut self, patience: Duration) -> Option<PgConnection> {
        if self.since.elapsed() > IDLE_TRUST && !matches!(timeout(patience, self.connection.ping()).await, Ok(Ok(()))) {
            return None;
        }
        Some(self.connection)
    }
}

impl Lease<'_> {
    fn give_back(self) {
        self.home.lock().push(Idle { connection: self.connection, since: Instant::now() });
    }
}

/// A connection that is made within this time, or not.
pub(super) async fn connect(settings: &PgConnectOptions, patience: Duration) -> sqlx::Result<PgConnection> {
    timeout(patience, PgConnection::connect_with(settings))
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))))
}

/// What holds for every connection.
pub(super) fn common_settings(options: &PostgresLogOptions) -> Result<PgConnectOptions, OpenError> {
    check_schema(&options.schema)?;
    let settings = PgConnectOptions::from_str(&options.url).map_err(OpenError::Url)?;
    // Every query goes through an index. Plans are made before there are statistics, and kept: without these, those
    // of an empty log would read all of a grown one.
    let plans = ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"].map(|plan| (plan, "off"));
    Ok(settings
        .application_name("advisor-log")
        .options([("search_path", format!("\"{}\"", options.schema))])
        // An append must see what was committed while it waited for the lock.
        .options([("default_transaction_isolation", "read committed")])
        .options([("tcp_user_timeout", milliseconds(options.append_timeout))])
        // Sessions of a machine that has vanished hold connections: PostgreSQL asks whether it is there.
        .options([("tcp_keepalives_idle", options.silence_asked_after.as_secs().max(1).to_string())])
        .options([("tcp_keepalives_interval", options.append_timeout.as_secs().max(1).to_string())])
        // What is there already is worth no line in the log.
        .options([("client_min_messages", "warning")])
        .options(plans))
}

fn check_schema(name: &str) -> Result<(), OpenError> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    // PostgreSQL cuts longer names, and keeps those that begin so for itself.
    if begins && name.chars().all(known) && name.len() <= 63 && !name.starts_with("pg_") {
        Ok(())
    } else {
        Err(OpenError::Schema(name.to_owned()))
    }
}

fn migrate_error(error: MigrateError) -> ReadError {
    match error {
        MigrateError::Database(error) => read_error(error),
        MigrateError::Options(_) | MigrateError::Newer { .. } | MigrateError::TimedOut => {
            ReadError::Unavailable(error.to_string())
        }
    }
}

fn milliseconds(time: Duration) -> String {
    // 0 would mean no limit.
    time.as_millis().max(1).to_string()
}
