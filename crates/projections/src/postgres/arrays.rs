//! One statement for many rows: a text that would be run once for each list of parameters is run once over arrays of
//! them, one for each column.

use super::failure::Failed;
use crate::store::Value;
use sqlx::{
    Arguments, Postgres, Type, TypeInfo,
    encode::Encode,
    postgres::{PgArguments, PgTypeInfo},
};

/// The text over arrays of `places` columns; nothing if it is of no kind that is known here.
pub(super) fn over_arrays(sql: &str, places: usize) -> Option<String> {
    let numbers: Vec<_> = (1..=places).map(|place| format!("${place}")).collect();
    let list = numbers.join(", ");
    if sql.starts_with("INSERT INTO ") {
        let (head, tail) = sql.split_once(&format!("VALUES ({list})"))?;
        return Some(format!("{head}SELECT * FROM unnest({list}){tail}"));
    }
    let head = sql.strip_suffix("= $1").filter(|head| head.starts_with("DELETE FROM ") && places == 1)?;
    Some(format!("{head}= ANY($1)"))
}

/// The arrays, of the types that the text's own parameters have.
pub(super) fn arguments(types: &[PgTypeInfo], params: &[Vec<Value>]) -> Result<PgArguments, Failed> {
    let mut arguments = PgArguments::default();
    for (place, kind) in types.iter().enumerate() {
        let column = params.iter().map(|list| list.get(place).unwrap_or(&Value::Null));
        let added = match kind.name() {
            "INT8" => add(&mut arguments, column.map(int)),
            "FLOAT8" => add(&mut arguments, column.map(real)),
            "TEXT" => add(&mut arguments, column.map(text)),
            "BYTEA" => add(&mut arguments, column.map(bytes)),
            name => Err(Failed::Shape(format!("a parameter is a {name}, which no value can be").into())),
        };
        added?;
    }
    Ok(arguments)
}

fn add<'a, T: 'a>(
    arguments: &mut PgArguments,
    column: impl Iterator<Item = Result<Option<T>, Failed>>,
) -> Result<(), Failed>
where
    Vec<Option<T>>: Encode<'a, Postgres> + Type<Postgres>,
{
    let column = column.collect::<Result<Vec<_>, _>>()?;
    arguments.add(column).map_err(|error| Failed::Sqlx(sqlx::Error::Encode(error)))
}

fn int(value: &Value) -> Result<Option<i64>, Failed> {
    match value {
        Value::Int(int) => Ok(Some(*int)),
        Value::Null => Ok(None),
        Value::Real(_) | Value::Text(_) | Value::Blob(_) => Err(misplaced("integer")),
    }
}

fn real(value: &Value) -> Result<Option<f64>, Failed> {
    match value {
        Value::Real(real) => Ok(Some(*real)),
        Value::Null => Ok(None),
        Value::Int(_) | Value::Text(_) | Value::Blob(_) => Err(misplaced("number with a fraction")),
    }
}

fn text(value: &Value) -> Result<Option<&str>, Failed> {
    match value {
        Value::Text(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        Value::Int(_) | Value::Real(_) | Value::Blob(_) => Err(misplaced("text")),
    }
}

fn bytes(value: &Value) -> Result<Option<&[u8]>, Failed> {
    match value {
        Value::Blob(bytes) => Ok(Some(bytes)),
        Value::Null => Ok(None),
        Value::Int(_) | Value::Real(_) | Value::Text(_) => Err(misplaced("bytes")),
    }
}

fn misplaced(wanted: &'static str) -> Failed {
    Failed::Shape(format!("a value stands in the place of {wanted}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_for_one_row_becomes_one_for_many() {
        let insert = "INSERT INTO pets (id, age)\n VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET age = excluded.age";

        assert_eq!(
            over_arrays(insert, 2).as_deref(),
            Some(
                "INSERT INTO pets (id, age)\n SELECT * FROM unnest($1, $2) ON CONFLICT (id) DO UPDATE SET \
                 age = excluded.age"
            )
        );
        assert_eq!(
            over_arrays("DELETE FROM pets WHERE id = $1", 1).as_deref(),
            Some("DELETE FROM pets WHERE id = ANY($1)")
        );
    }

    #[test]
    fn what_is_of_no_known_kind_stays_for_one_row() {
        for (sql, places) in [
            ("UPDATE pets SET age = $2 WHERE id = $1", 2),
            ("INSERT INTO pets (id, age) VALUES ($2, $1)", 2),
            ("DELETE FROM pets WHERE age = $2 AND id = $1", 2),
        ] {
            assert_eq!(over_arrays(sql, places), None, "{sql}");
        }
    }
}
