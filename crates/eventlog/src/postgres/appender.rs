//! The one task that appends: it sends whatever waits as one statement, and tells each append its own outcome.

use super::{
    database::{Database, Purpose},
    failure::Failure,
    reader::{integer, unsigned},
};
use crate::{
    port::{AppendError, Appended, Expected, NewEvent, Position, Recorded},
    tail::Tails,
};
use advisor_events::StreamName;
use sqlx::{PgConnection, Row, postgres::PgRow};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

/// One autocommit statement, which commits by itself: see `migrations/0001_log.sql`.
const APPEND: &str = "CALL append($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL)";

/// An append that waits to be sent.
pub(super) struct Append {
    pub(super) stream: StreamName,
    pub(super) expected: Expected,
    pub(super) events: Vec<NewEvent>,
    pub(super) bytes: usize,
    pub(super) claim: Claim,
    pub(super) answer: oneshot::Sender<Result<Verdict, AppendError>>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// What became of an append that was sent.
pub(super) enum Verdict {
    Written(Appended),
    /// The stream was not where it was expected: the append is a repeat, or refused.
    Elsewhere {
        /// The stream's last revision.
        last: Option<u64>,
    },
}

/// Whoever is first, the sender or the caller who has waited long enough, decides whether an append is sent.
#[derive(Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

pub(super) struct Appender {
    database: Arc<Database>,
    tails: Arc<Tails<Database>>,
    queue: mpsc::UnboundedReceiver<Append>,
    waiting: Vec<Append>,
    /// `None` before the first append, and after a failure.
    session: Option<PgConnection>,
}

/// What PostgreSQL answers to a group.
struct Answer {
    /// The last position before it.
    head: u64,
    /// The last revision of each append's stream before it; -1 where there was no stream.
    lasts: Vec<i64>,
}

impl Claim {
    /// Whether nobody has been before.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

impl Appender {
    pub(super) fn new(
        database: Arc<Database>,
        tails: Arc<Tails<Database>>,
        queue: mpsc::UnboundedReceiver<Append>,
    ) -> Self {
        Self { database, tails, queue, waiting: Vec::new(), session: None }
    }

    /// Appends until the log is closed and nothing waits.
    pub(super) async fn run(mut self) {
        while self.something_waits().await {
            let session = match self.session.take() {
                Some(session) => Ok(session),
                None => self.database.connect(Purpose::Appending).await.map_err(Failure::before_sending),
            };
            match session {
                Ok(session) => self.send(session).await,
                Err(failure) => fail(self.waiting.drain(..), &failure),
            }
        }
    }

    async fn something_waits(&mut self) -> bool {
        let many = self.database.options.append_queue_max.max(1);
        if self.waiting.is_empty() {
            self.queue.recv_many(&mut self.waiting, many).await > 0
        } else {
            while let Ok(append) = self.queue.try_recv() {
                self.waiting.push(append);
            }
            true
        }
    }

    /// The session is kept only if it has answered: after anything else, an answer may still come on it.
    async fn send(&mut self, mut session: PgConnection) {
        let group = self.take_group();
        if group.is_empty() {
            self.session = Some(session);
            return;
        }
        let answer = timeout(self.database.options.append_timeout, ask(&mut session, &group)).await;
        match answer {
            Ok(Ok(answer)) => {
                self.session = Some(session);
                self.settle(group, &answer);
            }
            Ok(Err(error)) => fail(group.into_iter(), &Failure::of_statement(&error)),
            Err(_) => fail(group.into_iter(), &Failure::Unknown("PostgreSQL has not answered in time".to_owned())),
        }
    }

    /// What waits, up to the limits of one statement, and one append of each stream: an append is checked against
    /// what was there before the statement, so that the second of a stream belongs into the next one.
    fn take_group(&mut self) -> Vec<Append> {
        let limits = &self.database.options;
        self.waiting.retain(|append| !append.answer.is_closed());
        let (mut appends, mut events, mut bytes) = (0, 0, 0);
        let mut streams = HashSet::new();
        let fits = |append: &mut Append| {
            let full = appends >= limits.group_appends_max.max(1)
                || events >= limits.group_events_max.max(1)
                || bytes >= limits.group_bytes_max.max(1);
            if full || !streams.insert(append.stream.clone()) {
                return false;
            }
            appends += 1;
            events += append.events.len();
            bytes += append.bytes;
            true
        };
        let group = self.waiting.extract_if(.., fits);
        group.filter(|append| append.claim.take()).collect()
    }

    /// Shows what was committed to followers, then answers, then wakes them; other processes are told meanwhile.
    fn settle(&self, group: Vec<Append>, answer: &Answer) {
        let mut position = answer.head;
        let mut records = Vec::new();
        let mut answers = Vec::with_capacity(group.len());
        for (append, last) in group.into_iter().zip(&answer.lasts) {
            if *last == wire(append.expected) {
                let Append { stream, events, .. } = append;
                let mut written = Appended { revision: first(append.expected), position: Position(position) };
                for (event, revision) in events.into_iter().zip(first(append.expected)..) {
                    position += 1;
                    written = Appended { revision, position: Position(position) };
                    records.push(Arc::new(recorded(stream.clone(), event, written)));
                }
                answers.push((append.answer, Verdict::Written(written)));
            } else {
                answers.push((append.answer, Verdict::Elsewhere { last: u64::try_from(*last).ok() }));
            }
        }
        let has_appended = !records.is_empty();
        let tail = self.tails.current().filter(|_| has_appended);
        if let Some(tail) = &tail {
            tail.show(Position(answer.head), records);
        }
        if has_appended {
            self.tails.note_appended(Position(position));
        }
        for (answer, verdict) in answers {
            drop(answer.send(Ok(verdict)));
        }
        if let Some(tail) = tail {
            tail.ring_the_bell();
        }
    }
}

/// The revision that an append's first event is to have.
pub(super) fn first(expected: Expected) -> u64 {
    match expected {
        Expected::NoStream => 0,
        Expected::Exact(last) => last.saturating_add(1),
    }
}

/// The last revision that an append expects; -1 for none.
fn wire(expected: Expected) -> i64 {
    match expected {
        Expected::NoStream => -1,
        Expected::Exact(last) => integer(last),
    }
}

fn recorded(stream: StreamName, event: NewEvent, place: Appended) -> Recorded {
    Recorded {
        stream,
        revision: place.revision,
        position: place.position,
        id: event.id,
        type_name: event.type_name.into(),
        data: event.data,
        metadata: event.metadata,
    }
}

fn fail(group: impl ExactSizeIterator<Item = Append>, failure: &Failure) {
    tracing::warn!(?failure, appends = group.len(), "a group of appends was not answered");
    for append in group {
        drop(append.answer.send(Err(failure.clone().into_append_error())));
    }
}

async fn ask(session: &mut PgConnection, group: &[Append]) -> sqlx::Result<Answer> {
    let names: Vec<&str> = group.iter().map(|append| append.stream.as_str()).collect();
    let expected: Vec<i64> = group.iter().map(|append| wire(append.expected)).collect();
    let events = group.iter().zip(1_i32..).flat_map(|(append, owner)| {
        let revisions = first(append.expected)..=u64::MAX;
        append.events.iter().zip(revisions).map(move |(event, revision)| (owner, integer(revision), event))
    });
    let count = group.iter().map(|append| append.events.len()).sum();
    let mut columns = Columns::with_capacity(count);
    events.for_each(|(owner, revision, event)| columns.push(owner, revision, event));
    let row = sqlx::query(APPEND).bind(names).bind(expected).bind(columns.owners).bind(columns.revisions);
    let row = row.bind(columns.ids).bind(columns.types).bind(columns.data).bind(columns.metadata);
    answer(&row.fetch_one(session).await?)
}

fn answer(row: &PgRow) -> sqlx::Result<Answer> {
    Ok(Answer { head: unsigned(row.try_get(0)?)?, lasts: row.try_get(1)? })
}

/// The events of a group, as PostgreSQL takes many rows at once.
struct Columns<'g> {
    owners: Vec<i32>,
    revisions: Vec<i64>,
    ids: Vec<Uuid>,
    types: Vec<&'g str>,
    data: Vec<&'g [u8]>,
    metadata: Vec<&'g [u8]>,
}

impl<'g> Columns<'g> {
    fn with_capacity(count: usize) -> Self {
        Self {
            owners: Vec::with_capacity(count),
            revisions: Vec::with_capacity(count),
            ids: Vec::with_capacity(count),
            types: Vec::with_capacity(count),
            data: Vec::with_capacity(count),
            metadata: Vec::with_capacity(count),
        }
    }

    fn push(&mut self, owner: i32, revision: i64, event: &'g NewEvent) {
        self.owners.push(owner);
        self.revisions.push(revision);
        self.ids.push(event.id);
        self.types.push(&event.type_name);
        self.data.push(&event.data);
        self.metadata.push(&event.metadata);
    }
}
