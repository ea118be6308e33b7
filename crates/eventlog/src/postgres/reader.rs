//! Reading streams and the whole log.
//!
//! A page of the whole log needs no horizon below which it is complete: an append gets its positions under a lock that
//! it holds until it has committed, so that whoever sees a position sees all those before it.

use super::{database::Database, failure::read_error};
use crate::port::{Appended, Direction, Filter, Page, Position, ReadError, Recorded};
use advisor_events::StreamName;
use sqlx::{Row, postgres::PgRow};
use std::sync::Arc;
use uuid::Uuid;

const STREAM_FORWARD: &str = "
    SELECT position, revision, id, type, data, metadata FROM event
    WHERE stream_id = (SELECT stream.id FROM stream WHERE name = $1) AND revision >= $2 ORDER BY revision LIMIT $3";
const STREAM_BACKWARD: &str = "
    SELECT position, revision, id, type, data, metadata FROM event
    WHERE stream_id = (SELECT stream.id FROM stream WHERE name = $1) AND revision <= $2
    ORDER BY revision DESC LIMIT $3";
const STREAM_IDS: &str = "
    SELECT position, revision, id FROM event
    WHERE stream_id = (SELECT stream.id FROM stream WHERE name = $1) AND revision >= $2 ORDER BY revision LIMIT $3";
const STREAM_IS_THERE: &str = "SELECT EXISTS (SELECT FROM stream WHERE name = $1)";
const HEAD: &str = "SELECT max(position) FROM event";
/// Up to where the events before take the bytes that a page may have.
const ALL: &str = "
    SELECT position, revision, id, type, data, metadata, name FROM (
        SELECT position, revision, event.id, type, data, metadata, name,
            sum(octet_length(data) + octet_length(metadata))
                OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
        FROM event JOIN stream ON stream.id = stream_id
        WHERE position > $1 AND position <= $2 AND (cardinality($3::text[]) = 0 OR name ^@ ANY ($3))
        ORDER BY position LIMIT $4
    ) AS page
    WHERE coalesce(bytes_before, 0) < $5 ORDER BY position";

impl Database {
    pub(super) async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let text = match direction {
            Direction::Forward => STREAM_FORWARD,
            Direction::Backward => STREAM_BACKWARD,
        };
        let query = sqlx::query(text).bind(stream.as_str()).bind(revision_number(from)).bind(integer(max as u64));
        let rows = self.rows(query).await?;
        if rows.is_empty() && !self.is_there(stream).await? {
            return Err(ReadError::NoSuchStream);
        }
        let events: sqlx::Result<_> = rows.iter().map(|row| recorded(row, stream.clone())).collect();
        events.map_err(read_error)
    }

    /// The last of these ids, if they stand at their place already, from `first` on.
    pub(super) async fn find_repeat(
        &self,
        stream: &StreamName,
        first: u64,
        ids: &[Uuid],
    ) -> Result<Option<Appended>, ReadError> {
        let count = integer(ids.len() as u64);
        let query = sqlx::query(STREAM_IDS).bind(stream.as_str()).bind(revision_number(first)).bind(count);
        let rows = self.rows(query).await?;
        let mut last = None;
        for (at, id) in ids.iter().enumerate() {
            let Some(row) = rows.get(at) else { return Ok(None) };
            if row.try_get::<Uuid, _>(2).map_err(read_error)? != *id {
                return Ok(None);
            }
            last = Some(row);
        }
        let place = |row| Ok(Appended { revision: revision(row)?, position: position(row)? });
        last.map(place).transpose().map_err(read_error)
    }

    /// Ends early at any of three limits: matching events, events looked at (when not all match), bytes.
    pub(super) async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        let (end, rest) = if filter.stream_prefixes.is_empty() {
            (u64::MAX, None)
        } else {
            // What is after the head as it is now may come in while the page is read, and is left to the next one.
            let scan_max = self.options.page_scan_max.max(1) as u64;
            let end = self.head().await?.0.min(after.0.saturating_add(scan_max)).max(after.0);
            (end, Some(Position(end)))
        };
        let bytes_max = self.options.page_bytes_max.max(1);
        let query = sqlx::query(ALL).bind(integer(after.0)).bind(integer(end)).bind(&filter.stream_prefixes);
        let rows = self.rows(query.bind(integer(max as u64)).bind(integer(bytes_max as u64))).await?;
        let named = |row: &PgRow| recorded(row, StreamName::from_text(row.try_get::<String, _>(6)?));
        let events = rows.iter().map(named).collect::<sqlx::Result<Vec<_>>>().map_err(read_error)?;
        let bytes: usize = events.iter().map(|event| event.data.len() + event.metadata.len()).sum();
        let last = events.last().map_or(after, |event| event.position);
        let is_cut = events.len() >= max || bytes >= bytes_max;
        let scanned_to = if is_cut { last } else { rest.unwrap_or(last) };
        Ok(Page { events, scanned_to })
    }

    pub(super) async fn head(&self) -> Result<Position, ReadError> {
        let rows = self.rows(sqlx::query(HEAD)).await?;
        let last = only(&rows).and_then(|row| row.try_get::<Option<i64>, _>(0));
        last.and_then(|last| unsigned(last.unwrap_or(0))).map(Position).map_err(read_error)
    }

    async fn is_there(&self, stream: &StreamName) -> Result<bool, ReadError> {
        let rows = self.rows(sqlx::query(STREAM_IS_THERE).bind(stream.as_str())).await?;
        only(&rows).and_then(|row| row.try_get(0)).map_err(read_error)
    }
}

fn only(rows: &[PgRow]) -> sqlx::Result<&PgRow> {
    rows.first().ok_or(sqlx::Error::RowNotFound)
}

fn recorded(row: &PgRow, stream: StreamName) -> sqlx::Result<Recorded> {
    Ok(Recorded {
        stream,
        revision: revision(row)?,
        position: position(row)?,
        id: row.try_get(2)?,
        type_name: Arc::from(row.try_get::<&str, _>(3)?),
        data: row.try_get(4)?,
        metadata: row.try_get(5)?,
    })
}

fn position(row: &PgRow) -> sqlx::Result<Position> {
    unsigned(row.try_get(0)?).map(Position)
}

fn revision(row: &PgRow) -> sqlx::Result<u64> {
    unsigned(i64::from(row.try_get::<i32, _>(1)?))
}

/// A negative one is damage.
pub(super) fn unsigned(number: i64) -> sqlx::Result<u64> {
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// PostgreSQL's `bigint` ends at 2^63 - 1, beyond every position.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Revisions are kept in an `integer`; nothing stands beyond.
fn revision_number(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
