//! Which log this is: its first event says so, once for ever.

use advisor_eventlog::{Direction, EventLog, ReadError, Recorded};
use advisor_events::{DecodeError, Event, StreamName, log::LogEvent};

/// Why the log does not say which one it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It has not been opened for the first time.
    #[error("the event log has not been opened: its first event is missing")]
    NotOpened,
    /// It can't be read.
    #[error("the event log can't be read")]
    Log(#[from] ReadError),
    /// Its first event can't be read.
    #[error("the event log's first event can't be read")]
    Event(#[from] DecodeError),
}

/// The log's identity.
pub async fn read(log: &dyn EventLog) -> Result<String, IdentityError> {
    let events = match log.read_stream(&StreamName::log(), 0, Direction::Forward, 1).await {
        Ok(events) => events,
        Err(ReadError::NoSuchStream) => return Err(IdentityError::NotOpened),
        Err(error) => return Err(error.into()),
    };
    let Some(Recorded { type_name, data, metadata, .. }) = events.first() else { return Err(IdentityError::NotOpened) };
    match Event::decode(type_name, data, metadata)?.0 {
        Event::Log(LogEvent::Opened(opened)) => Ok(opened.identity),
        Event::Log(LogEvent::Seeded(_)) | Event::User(_) | Event::Advisor(_) | Event::Conversation(_) => {
            Err(IdentityError::NotOpened)
        }
    }
}
