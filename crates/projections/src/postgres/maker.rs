//! Making and removing schemas, by one process at a time.

use super::{PostgresOptions, connections::Connections, failure::Failed};
use crate::store::StoreError;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::Mutex;

/// Locks on the names of schemas that are in use.
const IN_USE: i32 = 0x6164_7601;
/// Locks of who makes and removes schemas whose names begin alike.
const MAKING: i32 = 0x6164_7602;

/// Whoever makes and removes schemas, alone until it is dropped: PostgreSQL lets go of what its connection holds.
pub(crate) struct Maker(Mutex<PgConnection>);

impl Maker {
    /// Waits until nobody else does this with schemas whose names begin alike.
    pub(crate) async fn alone(options: &PostgresOptions) -> Result<Self, StoreError> {
        let mut connection = Connections::new(options)?.connect().await?;
        lock(&mut connection, &format!("pg_advisory_lock({MAKING}, hashtext('{}'))", options.schema)).await?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Whether somebody waits for this one's end.
    #[cfg(test)]
    pub(crate) async fn is_waited_for(&self) -> bool {
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks waits JOIN pg_locks holds USING (classid, objid, objsubid)
            WHERE NOT waits.granted AND holds.pid = pg_backend_pid() AND holds.locktype = 'advisory')";
        sqlx::query_scalar(waits).fetch_one(&mut *self.0.lock().await).await.unwrap()
    }

    /// The names of all schemas that may be used.
    pub(crate) async fn schemas(&self) -> Result<Vec<String>, StoreError> {
        const ALL: &str = "SELECT nspname::text FROM pg_namespace";
        Ok(sqlx::query_scalar(ALL).fetch_all(&mut *self.0.lock().await).await.map_err(Failed::from)?)
    }

    /// Removes a schema with all that is in it, unless somebody uses it; tells whether it did.
    pub(crate) async fn remove_unused(&self, schema: &str) -> Result<bool, StoreError> {
        let mut connection = self.0.lock().await;
        let name = format!("{IN_USE}, hashtext('{schema}')");
        let is_free = AssertSqlSafe(format!("SELECT pg_try_advisory_lock({name})"));
        let is_free: bool = sqlx::query_scalar(is_free).fetch_one(&mut *connection).await.map_err(Failed::from)?;
        if is_free {
            let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"));
            sqlx::raw_sql(drop).execute(&mut *connection).await.map_err(Failed::from)?;
            lock(&mut connection, &format!("pg_advisory_unlock({name})")).await?;
        }
        Ok(is_free)
    }
}

async fn lock(connection: &mut PgConnection, call: &str) -> Result<(), Failed> {
    sqlx::raw_sql(AssertSqlSafe(format!("SELECT {call}"))).execute(connection).await?;
    Ok(())
}

impl PostgresOptions {
    /// Every connection says that its schema is in use.
    pub(crate) fn in_use(self) -> Self {
        let greeting = format!("SELECT pg_advisory_lock_shared({IN_USE}, hashtext('{}'))", self.schema);
        Self { greeting: Some(greeting), ..self }
    }
}
