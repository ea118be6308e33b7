//! What a call to the server came to, if not to what was asked for.

use crate::port::{AppendError, ReadError};

/// Sorted by what must be done about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the stream's last revision is {0:?}")]
    WrongRevision(Option<u64>),
    #[error("the stream does not exist")]
    NoSuchStream,
    /// Somebody has deleted the stream for ever.
    #[error("the stream was deleted in the server, by somebody else than this program")]
    Tombstoned,
    #[error("access is denied")]
    Denied,
    /// The server finds fault with the request itself, and has done nothing.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// Another node leads, to which the client turns by itself. Nothing was done.
    #[error("another node leads the cluster")]
    NotLeader,
    /// The client has never reached the server, and never will. Nothing was done.
    #[error("{0}")]
    Dead(String),
    /// The call was not made.
    #[error("{0}")]
    NotSent(String),
    /// Nobody answered in time.
    #[error("the server has not answered within {0:?}")]
    Silent(std::time::Duration),
    /// The server, or the way to it, failed.
    #[error("{0}")]
    Broken(String),
    /// What came back can't be.
    #[error("{0}")]
    Damaged(String),
}

impl Failure {
    pub(super) fn into_append_error(self) -> AppendError {
        match self {
            Self::WrongRevision(actual) => AppendError::WrongRevision { actual },
            Self::Denied => AppendError::Denied,
            Self::Tombstoned => AppendError::Invalid("its stream was deleted for ever in the server"),
            Self::Refused(why) => {
                tracing::error!(why, "the event log's server refuses an append");
                AppendError::Invalid("the server refuses it")
            }
            Self::NotLeader | Self::Dead(_) | Self::NotSent(_) => AppendError::Unavailable(self.to_string()),
            Self::NoSuchStream | Self::Silent(_) | Self::Broken(_) | Self::Damaged(_) => {
                AppendError::OutcomeUnknown(self.to_string())
            }
        }
    }

    pub(super) fn into_read_error(self) -> ReadError {
        match self {
            Self::NoSuchStream => ReadError::NoSuchStream,
            Self::Denied => ReadError::Denied,
            Self::Tombstoned | Self::Damaged(_) => ReadError::Damaged(self.to_string()),
            Self::WrongRevision(_)
            | Self::Refused(_)
            | Self::NotLeader
            | Self::Dead(_)
            | Self::NotSent(_)
            | Self::Silent(_)
            | Self::Broken(_) => ReadError::Unavailable(self.to_string()),
        }
    }
}
