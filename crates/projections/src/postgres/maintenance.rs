//! What is done to a whole schema.

use super::{
    PostgresOptions, Scrub,
    connections::{Connections, Lease},
    failure::{Failed, answered},
    values,
};
use crate::{
    SqliteStore, StoreError,
    sqlite::SqliteOptions,
    store::{Store, Value, Write},
};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection};
use std::{borrow::Cow, path::Path};

/// The tables of the schema, with the names of their columns in their order.
const TABLES: &str = "SELECT table_name::text, string_agg(column_name, ', ' ORDER BY ordinal_position)
    FROM information_schema.columns WHERE table_schema = current_schema() GROUP BY table_name ORDER BY table_name";
/// As long as it takes, of one moment.
const COPY: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";
/// Rows that are copied at once.
const COPIED_ROWS: usize = 1_000;

/// Frees the places of removed rows, on a connection of its own.
pub(super) async fn scrub(connections: &Connections, options: &PostgresOptions) -> Result<(), Failed> {
    let mut connection = connections.connect().await?;
    let tables: Vec<(String, String)> = connections.answered(sqlx::query_as(TABLES).fetch_all(&mut connection)).await?;
    // Where we would not hear its end, PostgreSQL ends it as well.
    let limit = AssertSqlSafe(format!("SET statement_timeout = {}", options.scrub_timeout.as_millis()));
    connections.answered(sqlx::raw_sql(limit).execute(&mut connection)).await?;
    let vacuum = match options.scrub {
        Scrub::Rewrite => "VACUUM (FULL)",
        Scrub::Vacuum => "VACUUM",
    };
    for (table, _) in tables {
        let vacuum = sqlx::raw_sql(AssertSqlSafe(format!("{vacuum} {table}")));
        answered(options.scrub_timeout, vacuum.execute(&mut connection)).await?;
    }
    connections.answered(connection.close()).await
}

/// Writes all rows, as they are at one moment, into a SQLite file with the same tables.
pub(super) async fn copy(connections: &Connections, setup: &[String], path: &Path) -> Result<(), StoreError> {
    let file = SqliteStore::open(SqliteOptions { readers: 1, ..SqliteOptions::at(path) }, setup.to_vec()).await?;
    let copied = copy_tables(connections, &file).await;
    file.close().await;
    copied
}

async fn copy_tables(connections: &Connections, file: &SqliteStore) -> Result<(), StoreError> {
    let mut lease = connections.begin(COPY).await?;
    let tables: Vec<(String, String)> =
        connections.answered(sqlx::query_as(TABLES).fetch_all(lease.connection())).await?;
    for (table, columns) in tables {
        copy_table(connections, &mut lease, (&table, &columns), file).await?;
    }
    Ok(lease.commit().await?)
}

async fn copy_table(
    connections: &Connections,
    lease: &mut Lease,
    (table, columns): (&str, &str),
    file: &SqliteStore,
) -> Result<(), StoreError> {
    let places: Vec<_> = (1..=columns.split(", ").count()).map(|place| format!("${place}")).collect();
    let insert = format!("INSERT INTO {table} ({columns}) VALUES ({})", places.join(", "));
    let select = AssertSqlSafe(format!("SELECT {columns} FROM {table}"));
    let mut rows = sqlx::query(select).fetch(lease.connection()).try_chunks(COPIED_ROWS);
    loop {
        let next = async { rows.try_next().await.map_err(|error| error.1) };
        let Some(rows) = connections.answered(next).await? else { return Ok(()) };
        let params = rows.iter().map(|row| Ok(values::row(row)?.0)).collect::<Result<Vec<Vec<Value>>, Failed>>()?;
        file.write(vec![Write::Each { sql: Cow::Owned(insert.clone()), params }]).await?;
    }
}
