//! What SQLite's errors mean to the port's callers.

use crate::port::{AppendError, ReadError};
use rusqlite::{Error, ErrorCode};

/// Why a group of appends was not committed; each of them is told so.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Nothing was written.
    Definite(String),
    /// Nothing was written, and this process may not write.
    Denied,
    /// The commit itself failed: what it wrote may be there, now or after a crash.
    Unknown(String),
}

impl Failure {
    /// The log has been closed.
    pub(super) fn closed() -> Self {
        Self::Definite("the log is closed".to_owned())
    }

    /// An error before the commit.
    pub(super) fn before_commit(error: &Error) -> Self {
        if is_denied(error) { Self::Denied } else { Self::Definite(error.to_string()) }
    }

    /// An error of the commit.
    pub(super) fn of_commit(error: &Error) -> Self {
        Self::Unknown(error.to_string())
    }

    pub(super) fn into_append_error(self) -> AppendError {
        match self {
            Self::Definite(why) => AppendError::Unavailable(why),
            Self::Denied => AppendError::Denied,
            Self::Unknown(why) => AppendError::OutcomeUnknown(why),
        }
    }
}

/// What a read's error means.
pub(super) fn read_error(error: &Error) -> ReadError {
    if is_denied(error) {
        ReadError::Denied
    } else if is_damage(error) {
        ReadError::Damaged(error.to_string())
    } else {
        ReadError::Unavailable(error.to_string())
    }
}

fn is_denied(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied)
    )
}

/// SQLite found the file malformed, or we found a row that we never wrote.
fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            Error::QueryReturnedNoRows
                | Error::FromSqlConversionFailure(..)
                | Error::InvalidColumnType(..)
                | Error::IntegralValueOutOfRange(..)
        )
}
