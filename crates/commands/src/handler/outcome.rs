//! What a command led to, or why not.

use advisor_eventlog::Position;
use advisor_events::{DecodeError, EncodeError, KeyError, StreamName, Timestamp};
use std::error::Error;

/// What a command led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<E> {
    /// The stream.
    pub stream: StreamName,
    /// Revision of the command's last event; of the stream's last event, where nothing had to happen.
    pub revision: u64,
    /// The position of that event.
    pub position: Position,
    /// When it was done: the time of the command, or of the earlier one that this answers again.
    pub recorded_at: Timestamp,
    /// What happened, personal fields in the clear; empty where it was so already.
    pub events: Vec<E>,
    /// Whether this answers a command that had been done before.
    pub replayed: bool,
}

/// Why a command did not lead to anything, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<R: Error + 'static> {
    /// The rules say no.
    #[error(transparent)]
    Refused(R),
    /// The same person has used this command id on this stream with another body.
    #[error("the command id has been used for something else")]
    KeyReused,
    /// Another command has held the stream for too long, or others were faster too often.
    #[error("the stream is busy with another command")]
    Busy,
    /// The stream is not where the caller has seen it.
    #[error("it was changed in the meantime")]
    PreconditionFailed,
    /// The events are larger than an append may be.
    #[error("the command is too large")]
    TooLarge,
    /// Nothing was written; the same command may succeed later.
    #[error("a store is not available: {0}")]
    Unavailable(String),
    /// It may have been written: asking again with the same command id tells.
    #[error("the outcome of the command is unknown: {0}")]
    OutcomeUnknown(String),
    /// The stream holds an event that this build can't read.
    #[error("the stream holds an event that can't be read")]
    UnknownEvent(#[source] DecodeError),
    /// The person concerned has been erased.
    #[error("this person has been erased")]
    KeyDestroyed,
    /// A fault of this program or of the log's data: an operator has to look.
    #[error("the command could not be carried out")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

impl<R: Error> From<KeyError> for CommandError<R> {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Destroyed => Self::KeyDestroyed,
            KeyError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl<R: Error> From<EncodeError> for CommandError<R> {
    fn from(error: EncodeError) -> Self {
        Self::Broken(Box::new(error))
    }
}
