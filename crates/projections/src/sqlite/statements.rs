//! Statements on a connection.

use crate::store::{Row, Statement, StoreError, Value, Write};
use rusqlite::{
    CachedStatement, Connection, ErrorCode, ToSql,
    types::{ToSqlOutput, ValueRef},
};

/// Why a step of a write was not done.
pub(super) enum Failed {
    /// A guard did not find its row.
    Guard,
    Sqlite(rusqlite::Error),
    /// A text has more placeholders than it has been given values.
    Unbound,
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Guard => Self::Superseded,
            Failed::Sqlite(error) => failure(&error),
            Failed::Unbound => Self::Broken("a statement has a placeholder without a value".to_owned()),
        }
    }
}

/// The answers of all statements, in one transaction.
pub(super) fn read(connection: &Connection, statements: &[Statement]) -> Result<Vec<Vec<Row>>, StoreError> {
    if let [statement] = statements {
        return Ok(vec![query(connection, statement)?]);
    }
    begin(connection, "BEGIN")?;
    let answers = statements.iter().map(|statement| query(connection, statement)).collect::<Result<Vec<_>, _>>();
    let ended = begin(connection, "COMMIT");
    let answers = answers?;
    ended?;
    Ok(answers)
}

/// `BEGIN`, `COMMIT` and the like, prepared once.
pub(super) fn begin(connection: &Connection, text: &str) -> Result<(), Failed> {
    connection.prepare_cached(text)?.raw_execute()?;
    Ok(())
}

/// Does one step of a write.
pub(super) fn write(connection: &Connection, step: &Write) -> Result<(), Failed> {
    match step {
        Write::Run(statement) => execute(connection, statement).map(drop),
        Write::Guard(statement) => match execute(connection, statement)? {
            1 => Ok(()),
            _ => Err(Failed::Guard),
        },
        Write::Each { sql, params } => {
            let mut prepared = connection.prepare_cached(sql)?;
            let places = places(&prepared)?;
            for params in params {
                bind(&mut prepared, &places, params)?;
                prepared.raw_execute()?;
            }
            Ok(())
        }
    }
}

/// What is wrong, without a word of anybody's: SQLite's messages name texts, tables and columns.
pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::ReadOnly
            | ErrorCode::FileLockingProtocolFailed,
        ) => StoreError::Unavailable(error.to_string()),
        Some(_) | None => StoreError::Broken(error.to_string()),
    }
}

fn query(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, Failed> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let places = places(&prepared)?;
    bind(&mut prepared, &places, &statement.params)?;
    let columns = prepared.column_count();
    let mut rows = prepared.raw_query();
    let (mut answer, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(value(row.get_ref(column)?)?);
        }
        let row = Row(values);
        bytes += row.bytes();
        answer.push(row);
        if bytes > statement.bytes_max && answer.len() > 1 {
            break;
        }
    }
    Ok(answer)
}

fn execute(connection: &Connection, statement: &Statement) -> Result<usize, Failed> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let places = places(&prepared)?;
    bind(&mut prepared, &places, &statement.params)?;
    Ok(prepared.raw_execute()?)
}

/// Which value each placeholder of SQLite's stands for. To SQLite `$3` is a name, and names are numbered by their
/// first appearance.
fn places(statement: &CachedStatement<'_>) -> Result<Vec<usize>, Failed> {
    (1..=statement.parameter_count())
        .map(|place| {
            let number = statement.parameter_name(place).and_then(|name| name.strip_prefix('$'));
            number.and_then(|number| number.parse::<usize>().ok()?.checked_sub(1)).ok_or(Failed::Unbound)
        })
        .collect()
}

fn bind(statement: &mut CachedStatement<'_>, places: &[usize], params: &[Value]) -> Result<(), Failed> {
    for (place, value) in (1..).zip(places) {
        statement.raw_bind_parameter(place, Bound(params.get(*value).ok_or(Failed::Unbound)?))?;
    }
    Ok(())
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(int) => ValueRef::Integer(*int),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value(value: ValueRef<'_>) -> Result<Value, Failed> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|error| rusqlite::Error::Utf8Error(0, error))?;
            Value::Text(text.to_owned())
        }
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}
