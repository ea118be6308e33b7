//! The one thread that writes: it commits whatever waits as one group, and tells each append its own outcome.

use super::{
    Shared,
    failure::Failure,
    file,
    reader::{integer, unsigned},
};
use crate::port::{AppendError, Appended, Expected, NewEvent, Position, Recorded};
use advisor_events::StreamName;
use advisor_proof::{Mutant, Point, is_planted, reached};
use lru::LruCache;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::{num::NonZeroUsize, ops::ControlFlow, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Positions stay below it, so that they are plain JSON numbers.
pub(super) const POSITION_LIMIT: u64 = 1 << 53;
/// Names of types that the writer remembers.
pub const TYPES_CACHED_MAX: usize = 1_024;
/// What an event dirties beside its bytes, about: a page of the index.
const PAGE_BYTES: u64 = 4_096;

/// An append that waits for the writer.
pub(super) struct Append {
    pub(super) stream: StreamName,
    pub(super) expected: Expected,
    pub(super) events: Vec<NewEvent>,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    pub(super) _room: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// `None` after a failure, until it could be opened anew.
    connection: Option<Connection>,
    known: Known,
}

/// What the writer remembers of the log: right as long as every group commits, else forgotten.
struct Known {
    streams: LruCache<StreamName, Stream>,
    types: LruCache<String, Type>,
}

#[derive(Clone, Copy)]
struct Stream {
    key: i64,
    last: u64,
}

#[derive(Clone)]
struct Type {
    key: i64,
    name: Arc<str>,
}

/// What becomes of an append if its group commits.
enum Verdict {
    Written {
        first: u64,
        last: Appended,
    },
    Repeated(Appended),
    Refused(AppendError),
    /// Nobody waits for the answer any more, so nothing was written.
    Abandoned,
}

/// A group that has been written and not yet committed.
#[derive(Default)]
struct Draft {
    /// One for each append.
    verdicts: Vec<Verdict>,
    /// Position and type of each event written, in order.
    places: Vec<(Position, Arc<str>)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        let known = Known::new(shared.options.streams_cached_max);
        Self { shared, connection: Some(connection), known }
    }

    /// Writes until the log is closed and nothing waits.
    pub(super) fn run(&mut self) {
        let ending = Ending { shared: Arc::clone(&self.shared) };
        let mut group = Vec::new();
        loop {
            ending.shared.take_group(&mut group);
            if group.is_empty() {
                break;
            }
            match self.commit(&mut group) {
                Ok(draft) => self.settle(&mut group, draft),
                Err(failure) => self.fail(&mut group, &failure),
            }
            if let Some(connection) = &self.connection {
                self.shared.checkpoints.restart_if_due(connection, &self.shared.options);
            }
        }
    }

    /// Nothing of the group is there when this fails, unless the failure is `Unknown`.
    fn commit(&mut self, group: &mut [Append]) -> Result<Draft, Failure> {
        self.reconnect()?;
        let connection = self.connection.as_mut().ok_or_else(Failure::closed)?;
        let before = |error: rusqlite::Error| Failure::before_commit(&error);
        // IMMEDIATE: a read that turns into a write would fail at once if anybody else wrote meanwhile.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(before)?;
        let draft = Drafting::new(&transaction, &mut self.known).and_then(|drafting| drafting.all(group));
        let draft = draft.map_err(before)?;
        if draft.places.last().is_some_and(|(position, _)| position.0 >= POSITION_LIMIT) {
            return Err(Failure::Definite("the log's positions are exhausted".to_owned()));
        }
        if is_planted(Mutant::AnsweredBeforeCommit) {
            answer_early(group, &draft);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        reached(Point::BeforeCommit);
        transaction.commit().map_err(|error| Failure::of_commit(&error))?;
        reached(Point::AfterCommit);
        Ok(draft)
    }

    /// Shows what was committed to followers, then answers, then wakes them.
    fn settle(&self, group: &mut Vec<Append>, draft: Draft) {
        let mut places = draft.places.into_iter();
        let mut records = Vec::with_capacity(places.len());
        let mut answers = Vec::with_capacity(group.len());
        let mut written_bytes = 0;
        for (append, verdict) in group.drain(..).zip(draft.verdicts) {
            match verdict {
                Verdict::Written { first, last } => {
                    written_bytes += append.bytes as u64 + append.events.len() as u64 * PAGE_BYTES;
                    let events = append.events.into_iter().zip(first..).zip(places.by_ref());
                    records.extend(events.map(|((event, revision), place)| {
                        Arc::new(recorded(append.stream.clone(), event, revision, place))
                    }));
                    answers.push((append.answer, Ok(last)));
                }
                Verdict::Repeated(found) => answers.push((append.answer, Ok(found))),
                Verdict::Refused(error) => answers.push((append.answer, Err(error))),
                Verdict::Abandoned => {}
            }
        }
        self.shared.recent.push(records);
        for (answer, result) in answers {
            drop(answer.send(result));
        }
        if written_bytes > 0 {
            self.shared.recent.ring_the_bell();
            self.shared.checkpoints.wrote(written_bytes);
        }
    }

    /// The whole group is told. The connection is given up: what it thinks of the log may be wrong now.
    fn fail(&mut self, group: &mut Vec<Append>, failure: &Failure) {
        tracing::error!(?failure, appends = group.len(), "a group of appends was not committed");
        self.connection = None;
        self.known.forget();
        if let Err(failure) = self.reconnect() {
            tracing::error!(?failure, "the event log could not be opened again");
        }
        for append in group.drain(..) {
            drop(append.answer.send(Err(failure.clone().into_append_error())));
        }
    }

    /// After a failure: a new connection, and the head as the file has it, since an unknown commit may be there.
    fn reconnect(&mut self) -> Result<(), Failure> {
        if self.connection.is_some() {
            return Ok(());
        }
        let opened = file::open_writing(&self.shared.options);
        let (connection, head) =
            opened.and_then(|c| head(&c).map(|head| (c, head))).map_err(|error| Failure::before_commit(&error))?;
        self.connection = Some(connection);
        if head != self.shared.recent.head() {
            self.shared.recent.restart_at(head);
            self.shared.recent.ring_the_bell();
        }
        Ok(())
    }
}

/// A fault to plant: whoever waits is told what is not committed yet.
fn answer_early(group: &mut [Append], draft: &Draft) {
    for (append, verdict) in group.iter_mut().zip(&draft.verdicts) {
        // Its own opening reads at once what it has written.
        if let Verdict::Written { last, .. } = verdict
            && append.stream.as_str().starts_with("conversation-")
        {
            let (nobody, _) = oneshot::channel();
            drop(std::mem::replace(&mut append.answer, nobody).send(Ok(*last)));
        }
    }
}

/// Ends the log's appends with the writer, also when it panics: nobody waits for an answer that can't come.
struct Ending {
    shared: Arc<Shared>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.appends.abandon();
    }
}

impl Shared {
    /// Everything that waits, up to the limits of one commit; nothing once closed.
    fn take_group(&self, group: &mut Vec<Append>) {
        let (mut events, mut bytes) = (0, 0);
        self.appends.take_group(group, |append| {
            events += append.events.len();
            bytes += append.bytes;
            if events >= self.options.group_events_max || bytes >= self.options.group_bytes_max {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    }
}

impl Known {
    fn new(streams_max: usize) -> Self {
        let bounded = |max: usize| NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN);
        Self { streams: LruCache::new(bounded(streams_max)), types: LruCache::new(bounded(TYPES_CACHED_MAX)) }
    }

    fn forget(&mut self) {
        self.streams.clear();
        self.types.clear();
    }
}

/// Writes a group into a transaction, each append as far as its own expectation holds.
struct Drafting<'c, 'k> {
    connection: &'c Connection,
    known: &'k mut Known,
    draft: Draft,
    key_of_stream: CachedStatement<'c>,
    add_stream: CachedStatement<'c>,
    last_revision: CachedStatement<'c>,
    ids_from: CachedStatement<'c>,
    key_of_type: CachedStatement<'c>,
    add_type: CachedStatement<'c>,
    insert: CachedStatement<'c>,
}

impl<'c, 'k> Drafting<'c, 'k> {
    fn new(transaction: &'c Transaction<'_>, known: &'k mut Known) -> rusqlite::Result<Self> {
        let prepare = |sql| transaction.prepare_cached(sql);
        Ok(Self {
            connection: transaction,
            known,
            draft: Draft::default(),
            key_of_stream: prepare("SELECT key FROM streams WHERE name = ?1")?,
            add_stream: prepare("INSERT INTO streams (name) VALUES (?1)")?,
            last_revision: prepare("SELECT max(revision) FROM events WHERE stream = ?1")?,
            ids_from: prepare(
                "SELECT revision, position, id FROM events
                 WHERE stream = ?1 AND revision >= ?2 ORDER BY revision LIMIT ?3",
            )?,
            key_of_type: prepare("SELECT key FROM types WHERE name = ?1")?,
            add_type: prepare("INSERT INTO types (name) VALUES (?1)")?,
            insert: prepare(
                "INSERT INTO events (stream, revision, id, type, data, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
        })
    }

    fn all(mut self, group: &[Append]) -> rusqlite::Result<Draft> {
        for append in group {
            let verdict = if append.answer.is_closed() { Verdict::Abandoned } else { self.one(append)? };
            self.draft.verdicts.push(verdict);
        }
        Ok(self.draft)
    }

    /// Revisions are checked before anything is inserted, so that a refusal leaves nothing to undo.
    fn one(&mut self, append: &Append) -> rusqlite::Result<Verdict> {
        let stream = self.stream(&append.stream)?;
        let next = match append.expected {
            Expected::NoStream => 0,
            Expected::Exact(last) => last.saturating_add(1),
        };
        let end = stream.map_or(0, |stream| stream.last + 1);
        let next = if is_planted(Mutant::RevisionsUnchecked) { end } else { next };
        if next == end {
            return self.write(append, stream.map(|stream| stream.key), next);
        }
        let repeated = match stream {
            Some(stream) if next < end => self.repeat(append, stream.key, next)?,
            Some(_) | None => None,
        };
        if let Some(found) = repeated {
            return Ok(Verdict::Repeated(found));
        }
        Ok(Verdict::Refused(AppendError::WrongRevision { actual: stream.map(|stream| stream.last) }))
    }

    fn write(&mut self, append: &Append, key: Option<i64>, first: u64) -> rusqlite::Result<Verdict> {
        let key = match key {
            Some(key) => key,
            None => self.add_stream.insert([append.stream.as_str()])?,
        };
        let mut last = Appended { revision: first, position: Position::START };
        for (event, revision) in append.events.iter().zip(first..) {
            let event_type = self.event_type(&event.type_name)?;
            let position = self.insert.insert((
                key,
                integer(revision),
                event.id.as_bytes(),
                event_type.key,
                event.data.as_slice(),
                event.metadata.as_slice(),
            ))?;
            let position =
                u64::try_from(position).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, position))?;
            self.err(position)?;
            if revision + 1 < first + append.events.len() as u64 {
                reached(Point::BetweenEvents);
            }
            last = Appended { revision, position: Position(position) };
            self.draft.places.push((last.position, event_type.name));
        }
        let now = Stream { key, last: last.revision };
        match self.known.streams.get_mut(&append.stream) {
            Some(stream) => *stream = now,
            None => {
                self.known.streams.put(append.stream.clone(), now);
            }
        }
        Ok(Verdict::Written { first, last })
    }

    /// What goes wrong after an event was inserted, in a build that is made to err.
    fn err(&self, position: u64) -> rusqlite::Result<()> {
        if is_planted(Mutant::EventsCommittedOneByOne) {
            self.connection.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
        }
        if is_planted(Mutant::PastRewritten) && position.is_multiple_of(64) {
            let past = "UPDATE events SET metadata = CAST(replace(CAST(metadata AS TEXT), '.', '.0') AS BLOB)
                WHERE position = ?1";
            self.connection.execute(past, [integer(position / 2)])?;
        }
        Ok(())
    }

    /// Whether the very same events stand at their place already.
    fn repeat(&mut self, append: &Append, key: i64, first: u64) -> rusqlite::Result<Option<Appended>> {
        let mut rows = self.ids_from.query((key, integer(first), integer(append.events.len() as u64)))?;
        let mut last = None;
        for event in &append.events {
            let Some(row) = rows.next()? else { return Ok(None) };
            if row.get::<_, [u8; 16]>(2)? != *event.id.as_bytes() {
                return Ok(None);
            }
            last = Some(Appended { revision: unsigned(row, 0)?, position: Position(unsigned(row, 1)?) });
        }
        Ok(last)
    }

    fn stream(&mut self, name: &StreamName) -> rusqlite::Result<Option<Stream>> {
        if let Some(stream) = self.known.streams.get(name) {
            return Ok(Some(*stream));
        }
        let key: Option<i64> = self.key_of_stream.query_row([name.as_str()], |row| row.get(0)).optional()?;
        let Some(key) = key else { return Ok(None) };
        let stream = Stream { key, last: self.last_revision.query_row([key], |row| unsigned(row, 0))? };
        self.known.streams.put(name.clone(), stream);
        Ok(Some(stream))
    }

    fn event_type(&mut self, name: &str) -> rusqlite::Result<Type> {
        if let Some(known) = self.known.types.get(name) {
            return Ok(known.clone());
        }
        let key: Option<i64> = self.key_of_type.query_row([name], |row| row.get(0)).optional()?;
        let key = match key {
            Some(key) => key,
            None => self.add_type.insert([name])?,
        };
        let found = Type { key, name: Arc::from(name) };
        self.known.types.put(name.to_owned(), found.clone());
        Ok(found)
    }
}

fn recorded(stream: StreamName, event: NewEvent, revision: u64, place: (Position, Arc<str>)) -> Recorded {
    let (position, type_name) = place;
    Recorded { stream, revision, position, id: event.id, type_name, data: event.data, metadata: event.metadata }
}

/// The last event's position.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Position> {
    let last: Option<i64> = connection.query_row("SELECT max(position) FROM events", [], |row| row.get(0))?;
    let last = last.unwrap_or(0);
    u64::try_from(last).map(Position).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, last))
}
