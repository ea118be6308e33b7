//! Parameters and cells.

use super::failure::Failed;
use crate::store::{Row, Value};
use sqlx::{
    Column, Decode, Encode, Postgres, Row as _, Type, TypeInfo, ValueRef,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, types::Oid},
};

/// PostgreSQL finds out by itself what the parameter must be.
const UNKNOWN: PgTypeInfo = PgTypeInfo::with_oid(Oid(705));

/// A value as a parameter.
pub(super) struct Parameter<'a>(pub(super) &'a Value);

impl Type<Postgres> for Parameter<'_> {
    fn type_info() -> PgTypeInfo {
        UNKNOWN
    }
}

impl<'q> Encode<'q, Postgres> for Parameter<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(int) => <i64 as Encode<'q, Postgres>>::encode_by_ref(int, buffer),
            Value::Real(real) => <f64 as Encode<'q, Postgres>>::encode_by_ref(real, buffer),
            Value::Text(text) => <&str as Encode<'_, Postgres>>::encode_by_ref(&text.as_str(), buffer),
            Value::Blob(bytes) => <&[u8] as Encode<'_, Postgres>>::encode_by_ref(&bytes.as_slice(), buffer),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(match self.0 {
            Value::Null => UNKNOWN,
            Value::Int(_) => <i64 as Type<Postgres>>::type_info(),
            Value::Real(_) => <f64 as Type<Postgres>>::type_info(),
            Value::Text(_) => <str as Type<Postgres>>::type_info(),
            Value::Blob(_) => <[u8] as Type<Postgres>>::type_info(),
        })
    }
}

/// The cells of a row.
pub(super) fn row(row: &PgRow) -> Result<Row, Failed> {
    (0..row.len()).map(|place| cell(row, place)).collect::<Result<_, _>>().map(Row)
}

fn cell(row: &PgRow, place: usize) -> Result<Value, Failed> {
    let raw = row.try_get_raw(place)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let name = raw.type_info().name().to_owned();
    Ok(match name.as_str() {
        "INT8" => Value::Int(decode(raw)?),
        "INT4" => Value::Int(decode::<i32>(raw)?.into()),
        "BOOL" => Value::Int(decode::<bool>(raw)?.into()),
        "FLOAT8" => Value::Real(decode(raw)?),
        "TEXT" | "VARCHAR" | "NAME" => Value::Text(decode(raw)?),
        "BYTEA" => Value::Blob(decode(raw)?),
        _ => {
            let column = row.column(place).name();
            return Err(Failed::Shape(format!("column {column} is a {name}, which no cell can hold").into()));
        }
    })
}

fn decode<'r, T: Decode<'r, Postgres>>(raw: sqlx::postgres::PgValueRef<'r>) -> Result<T, Failed> {
    T::decode(raw).map_err(|error| Failed::Sqlx(sqlx::Error::Decode(error)))
}
