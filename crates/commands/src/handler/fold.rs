//! What has become of a stream, as far as it was read.

use crate::{
    Decider,
    handler::CommandError,
    recent_commands::{Body, CommandKey, Mark, RecentCommands},
};
use advisor_eventlog::{Direction, EventLog, Position, ReadError, Recorded};
use advisor_events::{Event, Metadata, StreamName};
use advisor_proof::{Mutant, is_planted};
use std::error::Error;
use uuid::Uuid;

/// Events of one read.
pub const PAGE: usize = 200;

/// What has become of a stream: the aggregate's situation and the commands that it remembers.
pub(super) struct Fold<D: Decider> {
    pub(super) state: D::State,
    pub(super) recent: RecentCommands,
    pub(super) last: Option<Last>,
    pub(super) standing: Standing,
}

/// The last event that was folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) id: Uuid,
    pub(super) revision: u64,
    pub(super) position: Position,
}

/// What a fold is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing, until it has been read to the stream's end.
    Unread,
    /// An append: were it stale, the exact revision would say so.
    Read,
}

impl<D: Decider> Default for Fold<D> {
    fn default() -> Self {
        Self { state: D::State::default(), recent: RecentCommands::default(), last: None, standing: Standing::Unread }
    }
}

impl<D: Decider> Fold<D> {
    /// How many events it is made of: what its memory grows with.
    pub(super) fn events(&self) -> usize {
        self.last.map_or(0, |last| usize::try_from(last.revision).unwrap_or(usize::MAX).saturating_add(1))
    }

    /// The position of the last event; before everything, when there is none.
    pub(super) fn position(&self) -> Position {
        self.last.map_or(Position::START, |last| last.position)
    }

    /// The revision that the next event gets.
    pub(super) fn next_revision(&self) -> u64 {
        self.last.map_or(0, |last| last.revision + 1)
    }

    /// Takes in the stream's next event.
    pub(super) fn apply(&mut self, event: &D::Event, mark: Mark, last: Last) {
        self.state = D::evolve(std::mem::take(&mut self.state), event);
        self.recent.remember(mark, last.revision);
        self.last = Some(last);
    }

    /// Reads the stream on to its end. When the log holds another event where the last one was, or none,
    /// the fold is of another log's past (a restore), and is made anew.
    pub(super) async fn read_on(
        &mut self,
        log: &dyn EventLog,
        stream: &StreamName,
    ) -> Result<(), CommandError<D::Refusal>> {
        self.standing = Standing::Unread;
        if let Some(last) = self.last {
            // The last event is read once more, to see that it is still the same.
            let page = read(log, stream, last.revision, PAGE + 1).await?;
            match page.split_first() {
                Some((first, news)) if first.id == last.id && first.revision == last.revision => {
                    self.apply_recorded(news)?;
                    if news.len() < PAGE {
                        self.standing = Standing::Read;
                        return Ok(());
                    }
                }
                Some(_) | None => {
                    tracing::warn!(stream = %stream, "the log does not hold what was read from it before: reading anew");
                    *self = Self::default();
                }
            }
        }
        loop {
            let page = read(log, stream, self.next_revision(), PAGE).await?;
            self.apply_recorded(&page)?;
            if page.len() < PAGE {
                self.standing = Standing::Read;
                return Ok(());
            }
        }
    }

    fn apply_recorded(&mut self, page: &[Recorded]) -> Result<(), CommandError<D::Refusal>> {
        for recorded in page {
            if recorded.revision != self.next_revision() {
                return Err(CommandError::Broken(Box::new(Gap(recorded.revision))));
            }
            let (event, metadata) = decode(recorded)?;
            let event = own::<D>(event, recorded.revision)?;
            let id = if is_planted(Mutant::RepeatsForgotten) { "" } else { &metadata.command_id };
            let command = CommandKey::new(&metadata.actor.key(), id);
            let mark = Mark { command, body: Body::new(&metadata.body_hash), at: metadata.recorded_at };
            let last = Last { id: recorded.id, revision: recorded.revision, position: recorded.position };
            self.apply(&event, mark, last);
        }
        Ok(())
    }
}

/// At most `max` events from a revision on; none, where the stream does not exist.
pub(super) async fn read<R: Error + 'static>(
    log: &dyn EventLog,
    stream: &StreamName,
    from: u64,
    max: usize,
) -> Result<Vec<Recorded>, CommandError<R>> {
    match log.read_stream(stream, from, Direction::Forward, max).await {
        Ok(events) => Ok(events),
        Err(ReadError::NoSuchStream) => Ok(Vec::new()),
        Err(ReadError::Unavailable(reason)) => Err(CommandError::Unavailable(reason)),
        Err(error @ (ReadError::Denied | ReadError::Damaged(_))) => Err(CommandError::Broken(Box::new(error))),
    }
}

/// The event with its personal fields sealed, and what stands beside it.
pub(super) fn decode<R: Error + 'static>(recorded: &Recorded) -> Result<(Event, Metadata), CommandError<R>> {
    Event::decode(&recorded.type_name, &recorded.data, &recorded.metadata).map_err(CommandError::UnknownEvent)
}

/// The event as its aggregate knows it.
pub(super) fn own<D: Decider>(event: Event, revision: u64) -> Result<D::Event, CommandError<D::Refusal>> {
    D::event(event).ok_or_else(|| CommandError::Broken(Box::new(Foreign(revision))))
}

/// Revisions are dense: something is missing.
#[derive(Debug, thiserror::Error)]
#[error("the log gave revision {0} where another one has to follow")]
struct Gap(u64);

/// The events of a command that was done are there, and contiguous.
#[derive(Debug, thiserror::Error)]
#[error("the log gave {given} of {expected} events of a command that was done")]
pub(super) struct Incomplete {
    pub(super) given: usize,
    pub(super) expected: usize,
}

/// Another aggregate's event.
#[derive(Debug, thiserror::Error)]
#[error("the event at revision {0} does not belong into its stream")]
struct Foreign(u64);
