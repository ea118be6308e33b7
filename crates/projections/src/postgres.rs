//! A store in one schema of a PostgreSQL database: a few connections, each of which reads and writes.
//!
//! The shared texts stay as they are. What differs from SQLite is said once each: types of columns (`types`),
//! parameters and cells (`values`), one statement for many rows (`arrays`).

mod arrays;
mod connections;
mod failure;
mod maintenance;
mod maker;
mod statements;
mod types;
mod values;

pub use connections::{IDLE_ANSWER_WAIT, WAITING_MAX};
pub(crate) use maker::Maker;

use crate::{
    sqlite::Durability,
    store::{Row, Statement, Store, StoreError, Write},
};
use async_trait::async_trait;
use connections::{Connections, Lease};
use failure::{Failed, answered};
use secrecy::SecretString;
use statements::Many;
use std::{path::Path, sync::Arc, time::Duration};

/// Times that a transaction is tried which was undone before its end: by a deadlock, or with its connection.
pub const TRANSACTION_TRIES_MAX: u32 = 5;
/// The schema of the side store.
pub const SIDE_SCHEMA: &str = "advisor_side";
/// The schema of persons' keys.
pub const KEYS_SCHEMA: &str = "advisor_keys";
/// What the schemas of generations begin with; their numbers follow.
pub const GENERATION_SCHEMA: &str = "advisor_generation";
/// Every store's schema and tables are made under this lock, by one process at a time.
const SETUP_LOCK: i64 = 0x6164_7669_736f_7201;

/// Every read sees one moment.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// A guard waits for who is faster, and looks at what they have left.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const WRITE_DURABLY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = on";

/// Where the database is, and its limits. [`PostgresOptions::at`] gives the defaults.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The database: `postgres://user:password@host:port/database`, with `?sslmode=…` and the like.
    pub url: SecretString,
    /// The schema; it is made if it is not there. Lower-case ASCII letters, digits and `_`. Of generations: what the names
    /// of their schemas begin with.
    pub schema: String,
    /// When a commit is on the disk, unless a write asks for more. Default: [`Durability::Commit`].
    pub durability: Durability,
    /// What [`Store::scrub`] does. Default: [`Scrub::Rewrite`].
    pub scrub: Scrub,
    /// Most connections. Default: 8.
    pub connections_max: usize,
    /// Longest wait for a connection to be made. Default: 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for the answer of a read, that for a connection included. Default: 10 s.
    pub read_timeout: Duration,
    /// The same of a write. Default: 30 s.
    pub write_timeout: Duration,
    /// Longest wait for the answer to one statement, of whatever but a read, which has less: a connection to which
    /// nothing comes through says nothing. Default: 10 s.
    pub statement_timeout: Duration,
    /// Longest wait for what [`Store::scrub`] does to one table, which may write all of it anew: an erasure that needs longer
    /// never ends. Default: 2 h.
    pub scrub_timeout: Duration,
    /// How long PostgreSQL lets a transaction wait for our next word, before it undoes it and gives up its locks: a
    /// process that was paused must not hold up its successor. Default: 2 s.
    pub idle_transaction_timeout: Duration,
    /// How long bytes may be on their way to us before PostgreSQL gives the connection up. Default: 5 s.
    pub unacknowledged_timeout: Duration,
    /// How long we may be silent before PostgreSQL asks whether we are there; where nobody answers, it gives the
    /// connection up. Default: 10 s.
    pub silence_asked_after: Duration,
    /// What is run on every new connection. Default: nothing.
    pub(crate) greeting: Option<String>,
}

/// What is done about the bytes of removed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrub {
    /// Tables are written anew, so that no file of theirs has the bytes any more. Nobody reads them meanwhile: for small
    /// ones.
    Rewrite,
    /// No query finds the rows any more, and their places are free to be used again; until then their bytes may stay.
    Vacuum,
}

impl PostgresOptions {
    /// The defaults for a schema of a database.
    pub fn at(url: SecretString, schema: impl Into<String>) -> Self {
        Self {
            url,
            schema: schema.into(),
            durability: Durability::Commit,
            scrub: Scrub::Rewrite,
            connections_max: 8,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(10),
            scrub_timeout: Duration::from_hours(2),
            idle_transaction_timeout: Duration::from_secs(2),
            unacknowledged_timeout: Duration::from_secs(5),
            silence_asked_after: Duration::from_secs(10),
            greeting: None,
        }
    }
}

/// A store in one schema of a PostgreSQL database. Cloning is cheap. It outlives PostgreSQL: after a failure the next
/// call connects anew.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    connections: Connections,
    options: PostgresOptions,
    /// What makes the tables: a copy in a file has them too.
    setup: Vec<String>,
}

impl PostgresStore {
    /// Whether there is a database that lets us in: connects, and does nothing else.
    pub async fn reach(options: &PostgresOptions) -> Result<(), StoreError> {
        // One that is left without a word is noticed.
        Ok(Connections::new(options)?.connect().await.map(drop)?)
    }

    /// Connects, and makes in the schema what is not there yet (`setup`: texts that do nothing the second time).
    pub async fn open(options: PostgresOptions, setup: Vec<String>) -> Result<Self, StoreError> {
        let connections = Connections::new(&options)?;
        let store = Self(Arc::new(Inner { connections, options, setup }));
        store.within(store.0.options.write_timeout, store.set_up()).await?;
        Ok(store)
    }

    /// What is there already is locked all the same for a moment, in another order than who writes there does.
    async fn set_up(&self) -> Result<(), Failed> {
        for _ in 1..TRANSACTION_TRIES_MAX {
            match self.try_to_set_up().await {
                Err(failed) if failed.was_undone() => {}
                done => return done,
            }
        }
        self.try_to_set_up().await
    }

    /// Several processes may begin at the same time, and `IF NOT EXISTS` alone does not keep them apart.
    async fn try_to_set_up(&self) -> Result<(), Failed> {
        let mut lease = self.0.connections.begin(WRITE_DURABLY).await?;
        let schema = &self.0.options.schema;
        let mut texts = vec![
            format!("SELECT pg_advisory_xact_lock({SETUP_LOCK})"),
            // `IF NOT EXISTS` would be refused to who may not make schemas, although it is there.
            format!("DO $$ BEGIN IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF; END $$"),
        ];
        texts.extend(self.0.setup.iter().map(|text| types::translated(text)));
        for text in texts {
            lease.run(text).await?;
        }
        lease.commit().await
    }

    /// What was undone before its end is tried again, a few times: nothing of it has happened.
    async fn read_all(&self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Failed> {
        let mut tries = 1..TRANSACTION_TRIES_MAX;
        loop {
            let mut lease = self.0.connections.begin(READ).await?;
            match answers(&mut lease, statements).await {
                Ok(answers) => return lease.commit().await.map(|()| answers),
                Err(failed) if failed.was_undone() && tries.next().is_some() => {}
                Err(failed) => return lease.roll_back(failed).await,
            }
        }
    }

    /// The same; what fails while it is committed is not tried again, since it may have happened.
    async fn write_all(&self, steps: &[Write], begin: &'static str) -> Result<(), Failed> {
        let (mut tries, mut many) = (1..TRANSACTION_TRIES_MAX, Many::AtOnce);
        loop {
            let mut lease = self.0.connections.begin(begin).await?;
            match self.take(&mut lease, steps, many).await {
                Ok(()) => return lease.commit().await,
                Err(failed) if failed.was_undone() && tries.next().is_some() => {}
                Err(failed) if failed.is_same_row_twice() && many == Many::AtOnce => many = Many::OneByOne,
                Err(failed) => return lease.roll_back(failed).await,
            }
        }
    }

    async fn take(&self, lease: &mut Lease, steps: &[Write], many: Many) -> Result<(), Failed> {
        for step in steps {
            answered(self.0.options.statement_timeout, statements::write(lease.connection(), step, many)).await?;
        }
        Ok(())
    }

    /// What is given up in the middle takes its connection with it.
    async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, Failed>> + Send,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(timeout, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(StoreError::Unavailable("no answer in time".to_owned())),
        }
    }
}

async fn answers(lease: &mut Lease, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Failed> {
    let mut answers = Vec::with_capacity(statements.len());
    for statement in statements {
        answers.push(statements::query(lease.connection(), statement).await?);
    }
    Ok(answers)
}

#[async_trait]
impl Store for PostgresStore {
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.within(self.0.options.read_timeout, self.read_all(&statements)).await
    }

    async fn write(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.within(self.0.options.write_timeout, self.write_all(&steps, WRITE)).await
    }

    async fn write_durably(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.within(self.0.options.write_timeout, self.write_all(&steps, WRITE_DURABLY)).await
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        Ok(maintenance::scrub(&self.0.connections, &self.0.options).await?)
    }

    async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        maintenance::copy(&self.0.connections, &self.0.setup, path).await
    }

    async fn close(&self) {
        self.0.connections.close().await;
    }
}

#[cfg(test)]
mod tests;
