//! Making and removing schemas, by one process at a time.

use super::{
    PostgresOptions,
    connections::Connections,
    failure::{Failed, answered},
};
use crate::store::StoreError;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Duration;
use tokio::sync::Mutex;

/// Locks on the names of schemas that are in use.
const IN_USE: i32 = 0x6164_7601;
/// Locks of who makes and removes schemas whose names begin alike.
const MAKING: i32 = 0x6164_7602;

/// Whoever makes and removes schemas, alone until it is dropped: PostgreSQL lets go of what its connection holds.
pub(crate) struct Maker {
    connection: Mutex<PgConnection>,
    statement_timeout: Duration,
}

impl Maker {
    /// Waits until nobody else does this with schemas whose names begin alike.
    pub(crate) async fn alone(options: &PostgresOptions) -> Result<Self, StoreError> {
        let connection = Mutex::new(Connections::new(options)?.connect().await?);
        let maker = Self { connection, statement_timeout: options.statement_timeout };
        let lock = format!("SELECT pg_advisory_lock({MAKING}, hashtext('{}'))", options.schema);
        maker.run(&mut *maker.connection.lock().await, lock).await?;
        Ok(maker)
    }

    /// Whether somebody waits for this one's end.
    #[cfg(test)]
    pub(crate) async fn is_waited_for(&self) -> bool {
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks waits JOIN pg_locks holds USING (classid, objid, objsubid)
            WHERE NOT waits.granted AND holds.pid = pg_backend_pid() AND holds.locktype = 'advisory')";
        sqlx::query_scalar(waits).fetch_one(&mut *self.connection.lock().await).await.unwrap()
    }

    /// The names of all schemas that may be used.
    pub(crate) async fn schemas(&self) -> Result<Vec<String>, StoreError> {
        const ALL: &str = "SELECT nspname::text FROM pg_namespace";
        let mut connection = self.connection.lock().await;
        Ok(answered(self.statement_timeout, sqlx::query_scalar(ALL).fetch_all(&mut *connection)).await?)
    }

    /// Removes a schema with all that is in it, unless somebody uses it; tells whether it did.
    pub(crate) async fn remove_unused(&self, schema: &str) -> Result<bool, StoreError> {
        let name = format!("{IN_USE}, hashtext('{schema}')");
        let is_free = AssertSqlSafe(format!("SELECT pg_try_advisory_lock({name})"));
        let mut connection = self.connection.lock().await;
        let is_free = sqlx::query_scalar(is_free).fetch_one(&mut *connection);
        let is_free = answered(self.statement_timeout, is_free).await?;
        if is_free {
            self.run(&mut connection, format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await?;
            self.run(&mut connection, format!("SELECT pg_advisory_unlock({name})")).await?;
        }
        Ok(is_free)
    }

    async fn run(&self, connection: &mut PgConnection, text: String) -> Result<(), Failed> {
        let statement = sqlx::raw_sql(AssertSqlSafe(text)).execute(connection);
        answered(self.statement_timeout, statement).await.map(drop)
    }
}

impl PostgresOptions {
    /// Every connection says that its schema is in use.
    pub(crate) fn in_use(self) -> Self {
        let greeting = format!("SELECT pg_advisory_lock_shared({IN_USE}, hashtext('{}'))", self.schema);
        Self { greeting: Some(greeting), ..self }
    }
}
