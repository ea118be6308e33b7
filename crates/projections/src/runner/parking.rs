//! Which streams are parked while events are applied, and what of that has to be written.

use super::{RunnerError, source::Ready};
use crate::{
    StoreError,
    parked::{self, ParkedStream, Poison},
    projection::Fact,
    store::{Store, Write},
};
use advisor_events::{Clock, StreamName};
use advisor_proof::{Mutant, is_planted};
use std::{collections::HashMap, sync::Arc};

/// The parked streams as they are with the events that were applied last.
pub(super) struct Parking {
    streams: HashMap<StreamName, ParkedStream>,
    /// Those that are not yet written as they are, in the order in which they changed.
    changed: Vec<StreamName>,
    streams_max: usize,
    clock: Arc<dyn Clock>,
}

impl Parking {
    /// As it is in the database.
    pub(super) async fn load(store: &dyn Store, streams_max: usize, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let (statements, decoder) = parked::all().into_parts();
        let parked = decoder.decode(store.read(statements).await?)?;
        let streams = parked.into_iter().map(|parked| (parked.stream.clone(), parked)).collect();
        Ok(Self { streams, changed: Vec::new(), streams_max, clock })
    }

    /// How many streams are parked.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// A stream, if it is parked.
    pub(super) fn get(&self, stream: &StreamName) -> Option<&ParkedStream> {
        self.streams.get(stream)
    }

    /// The event as it is to be applied; nothing where its stream is parked, or is with it.
    pub(super) fn pass<'a>(&mut self, event: &'a Ready) -> Result<Option<&'a Fact>, RunnerError> {
        if self.queues(event.stream()) {
            return Ok(None);
        }
        match &event.event {
            Ok(fact) => Ok(Some(fact)),
            Err(_) if is_planted(Mutant::UnreadableSkipped) => Ok(None),
            Err(unread) => self.park(event, unread.poison).map(|()| None),
        }
    }

    /// Whether the next event of this stream waits behind others; it is counted then.
    fn queues(&mut self, stream: &StreamName) -> bool {
        if is_planted(Mutant::ParkedApplied) {
            return false;
        }
        let Some(parked) = self.streams.get_mut(stream) else { return false };
        parked.queued += 1;
        self.changed.push(stream.clone());
        true
    }

    /// Parks the event's stream, from the event on.
    pub(super) fn park(&mut self, event: &Ready, poison: Poison) -> Result<(), RunnerError> {
        if self.streams.len() >= self.streams_max {
            return Err(RunnerError::TooManyParked { most: self.streams_max });
        }
        tracing::error!(
            stream = event.stream().as_str(),
            position = event.position().0,
            event.id = %event.id,
            reason = %poison,
            "an event can't be applied: its stream is parked, the others go on"
        );
        self.put(ParkedStream {
            stream: event.stream().clone(),
            revision: event.revision(),
            position: event.position(),
            event_id: event.id,
            reason: poison,
            parked_at: self.clock.now(),
            queued: 0,
        });
        Ok(())
    }

    /// Parks a stream, or says how it is parked now.
    pub(super) fn put(&mut self, parked: ParkedStream) {
        self.changed.push(parked.stream.clone());
        self.streams.insert(parked.stream.clone(), parked);
    }

    /// Lets the events of a stream pass again.
    pub(super) fn release(&mut self, stream: &StreamName) {
        self.changed.push(stream.clone());
        self.streams.remove(stream);
    }

    /// What has to be written together with the rows. If that fails, this is void, as the rows are.
    pub(super) fn writes(&mut self) -> Vec<Write> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let write = |stream: &StreamName| self.streams.get(stream).map_or_else(|| parked::remove(stream), parked::put);
        changed.iter().map(write).collect()
    }
}

#[cfg(test)]
mod tests;
