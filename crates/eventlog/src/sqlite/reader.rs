//! The threads that read: one query, one page, one short read transaction.

use super::{Shared, failure::read_error, names::Names};
use crate::port::{Direction, Filter, Page, Position, ReadError, Recorded};
use advisor_events::StreamName;
use rusqlite::{Connection, OptionalExtension, Row};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

/// Names of streams that each reader remembers.
pub const STREAM_NAMES_MAX: usize = 4_096;
/// Names of events' types that each reader remembers.
pub const TYPE_NAMES_MAX: usize = 256;

const KEY_OF_STREAM: &str = "SELECT key FROM streams WHERE name = ?1";
const STREAM_FORWARD: &str = "SELECT position, revision, id, type, data, metadata FROM events
    WHERE stream = ?1 AND revision >= ?2 ORDER BY revision LIMIT ?3";
const STREAM_BACKWARD: &str = "SELECT position, revision, id, type, data, metadata FROM events
    WHERE stream = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT ?3";
const ALL: &str = "SELECT position, revision, id, type, data, metadata, stream FROM events
    WHERE position > ?1 ORDER BY position LIMIT ?2";

/// A read that waits for a reader.
pub(super) struct Read {
    pub(super) want: Want,
    pub(super) _room: OwnedSemaphorePermit,
}

/// What is to be read, and who is told.
pub(super) enum Want {
    Stream {
        stream: StreamName,
        from: u64,
        direction: Direction,
        max: usize,
        answer: oneshot::Sender<Result<Vec<Recorded>, ReadError>>,
    },
    All {
        after: Position,
        filter: Filter,
        max: usize,
        answer: oneshot::Sender<Result<Page, ReadError>>,
    },
}

pub(super) struct Reader {
    shared: Arc<Shared>,
    connection: Connection,
    streams: Names<StreamName>,
    types: Names<Arc<str>>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        let stream_name = "SELECT name FROM streams WHERE key = ?1";
        let type_name = "SELECT name FROM types WHERE key = ?1";
        Self {
            shared,
            connection,
            streams: Names::new(STREAM_NAMES_MAX, stream_name, StreamName::from_text),
            types: Names::new(TYPE_NAMES_MAX, type_name, Arc::from),
        }
    }

    /// Reads until the log is closed. Whoever has stopped waiting is passed over.
    pub(super) fn run(&mut self) {
        while let Some(read) = self.shared.reads.take() {
            match read.want {
                Want::Stream { stream, from, direction, max, answer } => {
                    if !answer.is_closed() {
                        let read = self.read_stream(&stream, from, direction, max);
                        drop(answer.send(read.map_err(|error| read_error(&error)).and_then(existing)));
                    }
                }
                Want::All { after, filter, max, answer } => {
                    if !answer.is_closed() {
                        let read = self.read_all(after, &filter, max);
                        drop(answer.send(read.map_err(|error| read_error(&error))));
                    }
                }
            }
        }
    }

    fn read_stream(
        &mut self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> rusqlite::Result<Option<Vec<Recorded>>> {
        let key: Option<i64> =
            self.connection.prepare_cached(KEY_OF_STREAM)?.query_row([stream.as_str()], |row| row.get(0)).optional()?;
        let Some(key) = key else { return Ok(None) };
        let mut statement = self.connection.prepare_cached(match direction {
            Direction::Forward => STREAM_FORWARD,
            Direction::Backward => STREAM_BACKWARD,
        })?;
        let mut rows = statement.query((key, integer(from), integer(max as u64)))?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let type_name = self.types.name_of(&self.connection, row.get(3)?)?;
            events.push(recorded(row, stream.clone(), Arc::clone(type_name))?);
        }
        Ok(Some(events))
    }

    /// Ends early at any of three limits: matching events, events looked at, bytes.
    fn read_all(&mut self, after: Position, filter: &Filter, max: usize) -> rusqlite::Result<Page> {
        let limits = &self.shared.options;
        let mut page = Page { events: Vec::with_capacity(max.min(1_024)), scanned_to: after };
        let mut bytes = 0;
        let mut statement = self.connection.prepare_cached(ALL)?;
        let scan_max = limits.page_scan_max.max(1);
        let mut rows = statement.query((integer(after.0), integer(scan_max as u64)))?;
        while page.events.len() < max && bytes < limits.page_bytes_max {
            let Some(row) = rows.next()? else { break };
            let stream = self.streams.name_of(&self.connection, row.get(6)?)?;
            if filter.matches(stream) {
                let type_name = self.types.name_of(&self.connection, row.get(3)?)?;
                let event = recorded(row, stream.clone(), Arc::clone(type_name))?;
                bytes += event.data.len() + event.metadata.len();
                page.scanned_to = event.position;
                page.events.push(event);
            } else {
                page.scanned_to = Position(unsigned(row, 0)?);
            }
        }
        Ok(page)
    }
}

fn existing(found: Option<Vec<Recorded>>) -> Result<Vec<Recorded>, ReadError> {
    found.ok_or(ReadError::NoSuchStream)
}

fn recorded(row: &Row<'_>, stream: StreamName, type_name: Arc<str>) -> rusqlite::Result<Recorded> {
    Ok(Recorded {
        stream,
        revision: unsigned(row, 1)?,
        position: Position(unsigned(row, 0)?),
        id: Uuid::from_bytes(row.get(2)?),
        type_name,
        data: row.get_ref(4)?.as_blob()?.to_vec(),
        metadata: row.get_ref(5)?.as_blob()?.to_vec(),
    })
}

/// A revision or a position; a negative one is damage.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// SQLite's integers end at 2^63 - 1, beyond every revision and position.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
