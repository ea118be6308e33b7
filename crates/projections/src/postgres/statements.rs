//! Statements on a connection.

use super::{
    arrays,
    failure::Failed,
    values::{self, Parameter},
};
use crate::store::{Row, Statement, Value, Write};
use futures::TryStreamExt;
use sqlx::{
    Arguments, AssertSqlSafe, Either, Executor, PgConnection, SqlSafeStr, SqlStr, Statement as _, postgres::PgArguments,
};

/// How a text is run that is given many lists of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Many {
    /// Once, over arrays.
    AtOnce,
    /// Once for each list: what two of them do to the same row happens one after the other.
    OneByOne,
}

/// The answer to a statement, as far as it may be long.
pub(super) async fn query(connection: &mut PgConnection, statement: &Statement) -> Result<Vec<Row>, Failed> {
    let arguments = arguments(statement.params.iter().map(comparable))?;
    let mut rows = sqlx::query_with(text(&statement.sql), arguments).fetch(&mut *connection);
    let (mut answer, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let row = values::row(&row)?;
        bytes += row.bytes();
        answer.push(row);
        if bytes > statement.bytes_max && answer.len() > 1 {
            break;
        }
    }
    Ok(answer)
}

/// Does one step of a write.
pub(super) async fn write(connection: &mut PgConnection, step: &Write, many: Many) -> Result<(), Failed> {
    match step {
        Write::Run(Statement { sql, params, .. }) => execute(connection, sql, params).await.map(drop),
        Write::Guard(Statement { sql, params, .. }) => match execute(connection, sql, params).await? {
            1 => Ok(()),
            _ => Err(Failed::Guard),
        },
        Write::Each { sql, params } => each(connection, sql, params, many).await,
    }
}

async fn each(connection: &mut PgConnection, sql: &str, params: &[Vec<Value>], many: Many) -> Result<(), Failed> {
    let places = params.first().map_or(0, Vec::len);
    if many == Many::AtOnce
        && params.len() > 1
        && let Some(over_arrays) = arrays::over_arrays(sql, places)
    {
        let prepared = connection.prepare(text(sql)).await?;
        let types = match prepared.parameters() {
            Some(Either::Left(types)) => types,
            Some(Either::Right(_)) | None => &[],
        };
        let arguments = arrays::arguments(types, params)?;
        sqlx::query_with(AssertSqlSafe(over_arrays), arguments).execute(connection).await?;
        return Ok(());
    }
    for params in params {
        execute(connection, sql, params).await?;
    }
    Ok(())
}

async fn execute(connection: &mut PgConnection, sql: &str, params: &[Value]) -> Result<u64, Failed> {
    let done = sqlx::query_with(text(sql), arguments(params.iter())?).execute(connection).await?;
    Ok(done.rows_affected())
}

/// The kinds of a statement's parameters and cells.
#[cfg(test)]
pub(super) async fn kinds(connection: &mut PgConnection, statement: &Statement) -> Result<Vec<String>, Failed> {
    use sqlx::{Column, Encode, TypeInfo};
    let given: Vec<_> = statement.params.iter().filter_map(|value| Parameter(value).produces()).collect();
    let prepared = connection.prepare_with(text(&statement.sql), &given).await?;
    let parameters = prepared.parameters().and_then(Either::left).unwrap_or_default().to_vec();
    let columns = prepared.columns().iter().map(|column| column.type_info().clone());
    Ok(parameters.into_iter().chain(columns).map(|kind| kind.name().to_owned()).collect())
}

/// How PostgreSQL goes about a statement, whatever its parameters are.
#[cfg(test)]
pub(super) async fn plan(connection: &mut PgConnection, statement: &Statement) -> Result<String, Failed> {
    let nothing = match connection.prepare(text(&statement.sql)).await?.parameters() {
        Some(Either::Left(types)) => vec!["NULL"; types.len()].join(", "),
        Some(Either::Right(_)) | None => String::new(),
    };
    let setup = format!("SET plan_cache_mode = force_generic_plan; PREPARE planned AS {}", statement.sql);
    sqlx::raw_sql(AssertSqlSafe(setup)).execute(&mut *connection).await?;
    let explain = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE planned({nothing})")));
    let lines = explain.fetch_all(&mut *connection).await?;
    sqlx::raw_sql("DEALLOCATE planned").execute(connection).await?;
    let lines: sqlx::Result<Vec<String>> = lines.iter().map(|line| sqlx::Row::try_get(line, 0)).collect();
    Ok(lines?.join("\n"))
}

/// PostgreSQL has no text with a NUL in it, so that none there is equal to such a one; nor is any to nothing.
fn comparable(value: &Value) -> &Value {
    match value {
        Value::Text(text) if text.contains('\0') => &Value::Null,
        Value::Null | Value::Int(_) | Value::Real(_) | Value::Text(_) | Value::Blob(_) => value,
    }
}

fn arguments<'a>(params: impl Iterator<Item = &'a Value>) -> Result<PgArguments, Failed> {
    let mut arguments = PgArguments::default();
    for value in params {
        arguments.add(Parameter(value)).map_err(|error| Failed::Sqlx(sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}

/// Every text is written in this crate, and none is made from what somebody said.
fn text(sql: &str) -> SqlStr {
    AssertSqlSafe(sql.to_owned()).into_sql_str()
}
