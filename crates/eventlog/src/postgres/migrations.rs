//! The schema of the log: made, and brought up to date, step by step.

use super::{OpenError, PostgresLogOptions, database};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use tokio::time::timeout;

/// The steps, in order; what was merged is never changed, the next one is added.
const STEPS: &[&str] = &[include_str!("migrations/0001_log.sql")];
/// Longest time that all steps together take, those of another process that is at it included.
pub const MIGRATION_WAIT: Duration = Duration::from_mins(1);
/// The advisory lock of those who bring a schema up to date.
const LOCK: i64 = 33_604_812_551_247;

/// What was done to a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Its version before; 0 if it was not there.
    pub from: u32,
    /// Its version now.
    pub to: u32,
}

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The options are wrong.
    #[error(transparent)]
    Options(#[from] OpenError),
    /// A newer program has been at it: this one might misread what it finds.
    #[error(
        "the event log's schema is of version {found}, and this program knows none above {known}: run the newer one"
    )]
    Newer {
        /// The schema's version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// PostgreSQL is not there, or does not let us.
    #[error("the event log's schema could not be brought up to date")]
    Database(#[from] sqlx::Error),
    /// PostgreSQL did not answer.
    #[error("the event log's schema could not be brought up to date in time")]
    TimedOut,
}

/// Makes the schema or brings it up to date, unless it is; several processes may try at once.
pub(super) async fn migrate(options: &PostgresLogOptions) -> Result<Migrated, MigrateError> {
    let settings = database::common_settings(options)?;
    let work = async {
        let mut connection = database::connect(&settings, options.connect_timeout).await?;
        let from = version(&mut connection, options).await?;
        if from < newest() {
            advance(&mut connection, options).await?;
        }
        connection.close().await?;
        Ok(Migrated { from, to: newest() })
    };
    timeout(MIGRATION_WAIT, work).await.unwrap_or(Err(MigrateError::TimedOut))
}

fn newest() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// All steps or none. Whoever waited for the lock finds nothing left to do.
async fn advance(connection: &mut PgConnection, options: &PostgresLogOptions) -> Result<(), MigrateError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    // The name has been checked: it has no character that could end it.
    let schema = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", options.schema);
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut *transaction).await?;
    let versions = "CREATE TABLE IF NOT EXISTS schema_version (
        version integer PRIMARY KEY, reached_at timestamptz NOT NULL DEFAULT now())";
    sqlx::raw_sql(versions).execute(&mut *transaction).await?;
    let mut reached = version(&mut transaction, options).await?;
    for step in STEPS.iter().skip(usize::try_from(reached).unwrap_or(usize::MAX)) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        reached += 1;
        let note = sqlx::query("INSERT INTO schema_version (version) VALUES ($1)");
        note.bind(i64::from(reached)).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// The schema's version; 0 if it is not there.
async fn version(connection: &mut PgConnection, options: &PostgresLogOptions) -> Result<u32, MigrateError> {
    let table = format!("\"{}\".schema_version", options.schema);
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(&mut *connection).await?;
    if !there {
        return Ok(0);
    }
    let newest_there = "SELECT coalesce(max(version), 0) FROM schema_version";
    let found: i32 = sqlx::query_scalar(newest_there).fetch_one(connection).await?;
    let found = u32::try_from(found).unwrap_or(0);
    if found > newest() { Err(MigrateError::Newer { found, known: newest() }) } else { Ok(found) }
}
