//! The connections of a store: so many at most, made when they are needed.
//!
//! A connection that failed, or whose transaction was given up in the middle, is thrown away and not mended: what state
//! it is in, nobody has to know. One that broke while it was idle is found out by the next `BEGIN`, which nothing can
//! be lost of.

use super::{
    PostgresOptions,
    failure::{Failed, answered},
};
use crate::{StoreError, sqlite::Durability, sqlite::STATEMENTS_CACHED_MAX};
use secrecy::ExposeSecret;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgQueryResult},
};
use std::{
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most calls that wait for a connection of one store.
pub const WAITING_MAX: usize = 2_048;
/// Longest wait for an idle connection to begin a transaction: one to which nothing comes through says nothing at all.
pub const IDLE_ANSWER_WAIT: Duration = Duration::from_secs(2);

/// The connections of a store.
pub(crate) struct Connections {
    options: PgConnectOptions,
    connect_timeout: Duration,
    /// Run on every new connection.
    greeting: Option<String>,
    shared: Arc<Shared>,
}

struct Shared {
    idle: Mutex<Vec<PgConnection>>,
    /// One for each connection that there may be.
    places: Arc<Semaphore>,
    /// One for each call that there may be, at work or waiting.
    calls: Arc<Semaphore>,
    /// Longest wait for the answer to a statement.
    statement_timeout: Duration,
}

/// A connection in a transaction. Dropped, it is closed, and PostgreSQL undoes what was not committed.
pub(super) struct Lease {
    connection: PgConnection,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
    _call: OwnedSemaphorePermit,
}

impl Connections {
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        let places = options.connections_max.max(1);
        let shared = Shared {
            idle: Mutex::new(Vec::with_capacity(places)),
            places: Arc::new(Semaphore::new(places)),
            calls: Arc::new(Semaphore::new(places + WAITING_MAX)),
            statement_timeout: options.statement_timeout,
        };
        Ok(Self {
            options: connect_options(options)?,
            connect_timeout: options.connect_timeout,
            greeting: options.greeting.clone(),
            shared: Arc::new(shared),
        })
    }

    /// A connection whose transaction has begun.
    pub(super) async fn begin(&self, text: &'static str) -> Result<Lease, Failed> {
        let call = Arc::clone(&self.shared.calls).try_acquire_owned();
        let call = call.map_err(|_| Failed::Unavailable("too many wait for a connection, or the store is closed"))?;
        let place = Arc::clone(&self.shared.places).acquire_owned().await;
        let place = place.map_err(|_| Failed::Unavailable("the store is closed"))?;
        let connection = self.begun(text).await?;
        Ok(Lease { connection, shared: Arc::clone(&self.shared), _place: place, _call: call })
    }

    /// Idle connections first; those that have broken are gone then. Where nothing comes through to one, it does to
    /// none: they are not tried one after the other.
    async fn begun(&self, text: &'static str) -> Result<PgConnection, Failed> {
        loop {
            let idle = self.shared.idle().pop();
            let Some(mut connection) = idle else { break };
            let begun = sqlx::raw_sql(text).execute(&mut connection);
            match tokio::time::timeout(IDLE_ANSWER_WAIT, begun).await {
                Ok(Ok(_)) => return Ok(connection),
                Ok(Err(error)) => {
                    tracing::debug!(error = Failed::from(error).to_string(), "an idle connection has broken");
                }
                Err(_) => {
                    tracing::debug!("an idle connection does not answer");
                    self.shared.idle().clear();
                }
            }
        }
        let mut connection = self.connect().await?;
        self.answered(sqlx::raw_sql(text).execute(&mut connection)).await?;
        Ok(connection)
    }

    /// The answer to a statement on a connection beyond those of the store, unless none comes in time.
    pub(super) async fn answered<T, E>(&self, statement: impl Future<Output = Result<T, E>> + Send) -> Result<T, Failed>
    where
        Failed: From<E>,
    {
        answered(self.shared.statement_timeout, statement).await
    }

    /// A connection beyond those of the store, for what takes long.
    pub(super) async fn connect(&self) -> Result<PgConnection, Failed> {
        let connected = tokio::time::timeout(self.connect_timeout, self.options.connect()).await;
        let mut connection = connected.map_err(|_| Failed::Unavailable("no connection in time"))??;
        if let Some(greeting) = &self.greeting {
            self.answered(sqlx::raw_sql(AssertSqlSafe(greeting.clone())).execute(&mut connection)).await?;
        }
        Ok(connection)
    }

    /// Nothing begins any more; what is under way ends, and its connections are closed.
    pub(super) async fn close(&self) {
        self.shared.calls.close();
        self.shared.places.close();
        let idle = std::mem::take(&mut *self.shared.idle());
        for connection in idle {
            // PostgreSQL notices a connection that is closed without a word, too.
            drop(tokio::time::timeout(self.connect_timeout, connection.close()).await);
        }
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// A text without parameters that is not kept prepared.
    pub(super) async fn run(&mut self, text: impl Into<String>) -> Result<PgQueryResult, Failed> {
        let statement = sqlx::raw_sql(AssertSqlSafe(text.into())).execute(&mut self.connection);
        answered(self.shared.statement_timeout, statement).await
    }

    /// One that is not answered may have happened.
    pub(super) async fn commit(mut self) -> Result<(), Failed> {
        self.run("COMMIT").await?;
        self.give_back();
        Ok(())
    }

    /// Ends the transaction because of a failure, which it gives back. A connection that was silent would not answer
    /// this either: it is closed.
    pub(super) async fn roll_back<T>(mut self, failed: Failed) -> Result<T, Failed> {
        if !matches!(failed, Failed::Silent) && self.run("ROLLBACK").await.is_ok() {
            self.give_back();
        }
        Err(failed)
    }

    fn give_back(self) {
        if !self.shared.places.is_closed() {
            self.shared.idle().push(self.connection);
        }
    }
}

fn connect_options(options: &PostgresOptions) -> Result<PgConnectOptions, StoreError> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if options.schema.is_empty() || !options.schema.bytes().all(is_name) {
        return Err(StoreError::Broken(format!("{:?} is no name of a schema", options.schema)));
    }
    // What is wrong with the URL is not said: it may hold a password.
    let parsed = PgConnectOptions::from_str(options.url.expose_secret());
    let parsed = parsed.map_err(|_| StoreError::Broken("the URL of the database can't be understood".to_owned()))?;
    let ms = |time: Duration| time.as_millis().to_string();
    let settings = [
        ("search_path", options.schema.clone()),
        ("synchronous_commit", synchronous_commit(options.durability).to_owned()),
        ("statement_timeout", ms(options.write_timeout)),
        ("idle_in_transaction_session_timeout", ms(options.idle_transaction_timeout)),
        ("tcp_user_timeout", ms(options.unacknowledged_timeout)),
        // Sessions of a machine that has vanished hold connections and locks: PostgreSQL asks whether it is there.
        ("tcp_keepalives_idle", options.silence_asked_after.as_secs().max(1).to_string()),
        ("tcp_keepalives_interval", options.unacknowledged_timeout.as_secs().max(1).to_string()),
        // Plans are kept from when tables were small; every query has its index.
        ("enable_seqscan", "off".to_owned()),
        // Before its tables are looked at for the first time, a page would be picked out of all rows and sorted.
        ("enable_bitmapscan", "off".to_owned()),
        ("jit", "off".to_owned()),
        // Tables that are there already are worth no line in the log.
        ("client_min_messages", "warning".to_owned()),
    ];
    Ok(parsed
        // Operators see by it whose connection it is.
        .application_name(&format!("advisor {}", options.schema))
        .statement_cache_capacity(STATEMENTS_CACHED_MAX)
        .options(settings)
        .disable_statement_logging())
}

fn synchronous_commit(durability: Durability) -> &'static str {
    match durability {
        Durability::Commit => "on",
        Durability::Sometime => "off",
    }
}
