//! Reading a parked stream on: what waits is taken from the log and applied, up to the checkpoint.
//!
//! Rows are what the whole log makes of them in its own order, and this is another one. It makes the same rows, since
//! no projection looks at the rows of another stream, but for one thing: the deletion of a person takes away what is
//! theirs at that moment, and what they begin later is nothing any more.

use super::{
    RunnerError,
    follow::{Follow, change, commit, retried},
    source::{Ready, prepare},
};
use crate::{
    StoreError, checkpoint, deletions,
    parked::ParkedStream,
    projection::Fact,
    read_on::{Asked, ReadOn, ReadOnError},
};
use advisor_eventlog::{Direction, Position, port::PAGE_EVENTS_MAX};
use advisor_events::{Event, user::UserEvent};
use std::sync::Arc;

/// What waits of a stream, from its first event on.
struct Queue {
    events: Vec<Ready>,
    /// There is more: from this event on.
    rest: Option<Ready>,
}

/// How far a stream has come.
enum Come {
    /// To the checkpoint.
    Whole,
    /// As far as was read at once.
    Further(ParkedStream),
    /// To an event that can't be applied.
    Stopped(ParkedStream),
}

impl Follow<'_> {
    /// Reads a stream on and answers; fails only where nothing else can go on either.
    pub(super) async fn read_on(&mut self, asked: Asked) -> Result<(), RunnerError> {
        let Some(mut parked) = self.parking.get(&asked.stream).cloned() else {
            asked.answer(Ok(ReadOn::NotParked));
            return Ok(());
        };
        let mut applied = 0;
        while !asked.is_given_up() {
            let queue = match self.queue(&parked).await {
                Ok(queue) => queue,
                Err(error) => {
                    asked.answer(Err(ReadOnError::Unread(Box::new(error))));
                    return Ok(());
                }
            };
            if self.is_out_of_order(&parked, &queue.events).await? {
                asked.answer(Ok(ReadOn::OutOfOrder));
                return Ok(());
            }
            let events = queue.events.len() as u64;
            match self.take_up(&parked, queue).await? {
                Come::Whole => {
                    tracing::warn!(stream = asked.stream.as_str(), "a parked stream goes on");
                    asked.answer(Ok(ReadOn::Done(applied + events)));
                    return Ok(());
                }
                Come::Stopped(at) => {
                    applied += at.revision.saturating_sub(parked.revision);
                    asked.answer(Ok(ReadOn::StillParked(applied, at)));
                    return Ok(());
                }
                Come::Further(at) => {
                    applied += events;
                    parked = at;
                }
            }
        }
        Ok(())
    }

    /// What the log has of the stream up to the checkpoint, or the first page of it. What came later comes as all
    /// events do.
    async fn queue(&mut self, parked: &ParkedStream) -> Result<Queue, RunnerError> {
        let read = self.parts.log.read_stream(&parked.stream, parked.revision, Direction::Forward, PAGE_EVENTS_MAX);
        let checkpoint = self.checkpoint.position;
        let recorded = read.await?.into_iter().take_while(|event| event.position <= checkpoint).map(Arc::new).collect();
        let mut events = prepare(recorded, Arc::clone(&self.parts.keys)).await?;
        let rest = if events.len() == PAGE_EVENTS_MAX { events.pop() } else { None };
        Ok(Queue { events, rest })
    }

    /// Whether the rows would be other ones than those that the log makes in its own order.
    async fn is_out_of_order(&mut self, parked: &ParkedStream, events: &[Ready]) -> Result<bool, StoreError> {
        let facts = || events.iter().filter_map(|event| event.event.as_ref().ok());
        let deletes = |fact: &Fact| matches!(fact.event, Event::User(UserEvent::Deleted(_)));
        let is_of_advisor = |fact: &Fact| matches!(fact.event, Event::Advisor(_));
        if facts().any(deletes) {
            return Ok(true);
        }
        if !facts().any(is_of_advisor) {
            return Ok(false);
        }
        let (statements, decoder) = deletions::after(parked.position, 1).into_parts();
        let since = decoder.decode(self.parts.generation.store().read(statements).await?)?;
        Ok(!since.is_empty())
    }

    /// Applies what waits, in one transaction with how the stream is parked then.
    async fn take_up(&mut self, parked: &ParkedStream, queue: Queue) -> Result<Come, RunnerError> {
        let Queue { mut events, rest } = queue;
        self.parking.release(&parked.stream);
        let (mut steps, told) = self.apply(&mut events).await?;
        let come = match (self.parking.get(&parked.stream), rest) {
            (Some(stopped), _) => Come::Stopped(behind(parked, stopped.clone())),
            (None, Some(rest)) => Come::Further(behind(parked, moved(parked, &rest))),
            (None, None) => Come::Whole,
        };
        if let Come::Stopped(at) | Come::Further(at) = &come {
            self.parking.put(at.clone());
        }
        steps.extend(self.parking.writes());
        let mut changes = Vec::new();
        if self.checkpoint.changes_after.is_some() {
            // Who stands at the checkpoint has been told of it: this comes after, and before whatever comes next.
            let after = Position(self.checkpoint.position.0 + 1);
            let now = self.parts.clock.now();
            steps.extend(self.change_rows(&told, after, now));
            changes = told.into_iter().map(change).collect();
        }
        steps.insert(0, checkpoint::advance(&self.checkpoint, &self.checkpoint));
        commit(Arc::clone(self.parts.generation.store()), steps).await.map_err(retried)?;
        self.committed();
        self.tell(None);
        if !changes.is_empty() {
            self.ring(self.checkpoint.position, changes).await;
        }
        Ok(come)
    }
}

/// The same stream, parked from another event on.
fn moved(parked: &ParkedStream, to: &Ready) -> ParkedStream {
    ParkedStream { revision: to.revision(), position: to.position(), event_id: to.id, ..parked.clone() }
}

/// How many wait behind `at`, of those that waited.
fn behind(parked: &ParkedStream, at: ParkedStream) -> ParkedStream {
    ParkedStream { queued: parked.queued.saturating_sub(at.revision.saturating_sub(parked.revision)), ..at }
}
