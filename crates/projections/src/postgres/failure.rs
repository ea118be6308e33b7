//! What went wrong, and what it means to who asked.

use crate::store::StoreError;
use sqlx::postgres::PgDatabaseError;
use std::{borrow::Cow, time::Duration};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// A guard did not find its row.
    #[error("a guard has found no row")]
    Guard,
    /// A parameter or a cell is of another type than its place.
    #[error("{0}")]
    Shape(Cow<'static, str>),
    /// Somebody is not there, or has no room.
    #[error("{0}")]
    Unavailable(&'static str),
    /// A statement was not answered in time: what became of it is not known, and the connection is of no use.
    #[error("a statement was not answered in time")]
    Silent,
    #[error("{}", describe(.0))]
    Sqlx(#[from] sqlx::Error),
}

/// The answer to a statement, unless none comes in time.
pub(super) async fn answered<T, E>(
    wait: Duration,
    statement: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, Failed>
where
    Failed: From<E>,
{
    match tokio::time::timeout(wait, statement).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failed::Silent),
    }
}

impl Failed {
    /// Whether nothing of the transaction has happened and the same may succeed at once.
    pub(super) fn was_undone(&self) -> bool {
        !matches!(self, Self::Silent) && self.may_pass()
    }

    /// Many rows that were to be written at once name one row twice.
    pub(super) fn is_same_row_twice(&self) -> bool {
        self.code().as_deref() == Some("21000")
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Sqlx(error) => error.as_database_error()?.code(),
            Self::Guard | Self::Shape(_) | Self::Unavailable(_) | Self::Silent => None,
        }
    }

    /// Whether the same may succeed later. What is not known for sure to be wrong counts as passing: read models that
    /// stop for good are worse than ones that try again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Silent => true,
            Self::Guard | Self::Shape(_) => false,
            Self::Sqlx(error) if error.as_database_error().is_some() => self.code().is_some_and(|code| passes(&code)),
            Self::Sqlx(error) => !is_ours(error),
        }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match &failed {
            Failed::Guard => Self::Superseded,
            Failed::Shape(_) | Failed::Unavailable(_) | Failed::Silent | Failed::Sqlx(_) if failed.may_pass() => {
                Self::Unavailable(failed.to_string())
            }
            Failed::Shape(_) | Failed::Unavailable(_) | Failed::Silent | Failed::Sqlx(_) => {
                Self::Broken(failed.to_string())
            }
        }
    }
}

/// Codes of PostgreSQL's for what passes (its manual, appendix A).
fn passes(code: &str) -> bool {
    // 08P01: a statement with a placeholder that has no value, for one.
    let is_protocol = code == "08P01";
    // Connections, resources, an operator's or a time-out's intervention, the system; conflicts.
    let class = ["08", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class));
    // A lock that was not to be had; a server that only reads, while another one takes over.
    (class && !is_protocol) || matches!(code, "55P03" | "25006" | "25P03")
}

/// Whether the fault is in what was asked.
fn is_ours(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    matches!(
        error,
        Error::Configuration(_)
            | Error::InvalidArgument(_)
            | Error::ColumnIndexOutOfBounds { .. }
            | Error::ColumnDecode { .. }
            | Error::Encode(_)
            | Error::Decode(_)
    )
}

/// Without a word of anybody's: what PostgreSQL says of data that it can't take quotes them.
fn describe(error: &sqlx::Error) -> String {
    let Some(database) = error.as_database_error() else { return error.to_string() };
    let code = database.try_downcast_ref::<PgDatabaseError>().map_or("without a code", PgDatabaseError::code);
    if code.starts_with("22") {
        return format!("PostgreSQL can't take a value ({code})");
    }
    format!("{} ({code})", database.message())
}
