//! What PostgreSQL's errors mean to the port's callers.

use crate::port::{AppendError, ReadError};
use sqlx::{Error, error::DatabaseError};
use std::borrow::Cow;

/// Why a group of appends was not written, or may not have been; each of them is told so.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Nothing was written.
    Definite(String),
    /// Nothing was written, and this user may not write.
    Denied,
    /// The statement was sent and may have been carried out, or yet be.
    Unknown(String),
}

impl Failure {
    /// An error before the statement was sent.
    pub(super) fn before_sending(error: ReadError) -> Self {
        match error {
            ReadError::Denied => Self::Denied,
            ReadError::Unavailable(why) | ReadError::Damaged(why) => Self::Definite(why),
            ReadError::NoSuchStream => Self::Definite(error.to_string()),
        }
    }

    /// An error of the statement. One that PostgreSQL reports undoes all of it, unless the session ends with it, or
    /// the time had run out, perhaps between the commit and its answer.
    pub(super) fn of_statement(error: &Error) -> Self {
        match sqlstate(error) {
            None => Self::Unknown(error.to_string()),
            Some(code) if ends_session(&code) || code == QUERY_CANCELED => Self::Unknown(error.to_string()),
            Some(code) if is_denial(&code) => Self::Denied,
            Some(_) => Self::Definite(error.to_string()),
        }
    }

    pub(super) fn into_append_error(self) -> AppendError {
        match self {
            Self::Definite(why) => AppendError::Unavailable(why),
            Self::Denied => AppendError::Denied,
            Self::Unknown(why) => AppendError::OutcomeUnknown(why),
        }
    }
}

const QUERY_CANCELED: &str = "57014";

/// What a read's error, or a connection's, means.
#[expect(clippy::needless_pass_by_value, reason = "So it is what `map_err` takes.")]
pub(super) fn read_error(error: Error) -> ReadError {
    match sqlstate(&error) {
        Some(code) if is_denial(&code) => ReadError::Denied,
        // Class XX000 is an error inside PostgreSQL; these two are what it found on the disk.
        Some(code) if code == "XX001" || code == "XX002" => ReadError::Damaged(error.to_string()),
        None if is_undecodable(&error) => ReadError::Damaged(error.to_string()),
        Some(_) | None => ReadError::Unavailable(error.to_string()),
    }
}

/// Connection failures, and what an administrator, a crash or a start-up cuts off.
fn ends_session(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P")
}

/// No privilege, or not even a login.
fn is_denial(code: &str) -> bool {
    code == "42501" || code.starts_with("28")
}

/// A row that we never wrote, or none where there always is one.
fn is_undecodable(error: &Error) -> bool {
    matches!(
        error,
        Error::ColumnDecode { .. } | Error::ColumnIndexOutOfBounds { .. } | Error::Decode(_) | Error::RowNotFound
    )
}

fn sqlstate(error: &Error) -> Option<String> {
    error.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned)
}
