//! A log in memory: the double for tests of everything above the port, and the simplest reading of its rules.

use crate::{
    follow::{Source, follow},
    port::{
        AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, PAGE_EVENTS_MAX, Page, Position,
        ReadError, Recorded, Subscription, check_append,
    },
    recent::{Glance, Recent},
};
use advisor_events::StreamName;
use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A log that lives as long as its process.
pub struct MemoryLog {
    shared: Arc<Shared>,
    streams: Mutex<Streams>,
    /// How far apart positions are.
    stride: u64,
}

type Streams = HashMap<StreamName, Vec<Arc<Recorded>>>;

/// All events, in the ring that followers are served from: here it has no limit.
struct Shared {
    recent: Recent,
}

impl MemoryLog {
    /// An empty log with positions 1, 2, 3, and so on.
    pub fn new() -> Self {
        Self::with_stride(1)
    }

    /// An empty log whose positions are `stride` apart, as they are in logs that are not this one's.
    pub fn with_stride(stride: u64) -> Self {
        let recent = Recent::new(Position::START, usize::MAX, usize::MAX);
        Self { shared: Arc::new(Shared { recent }), streams: Mutex::default(), stride: stride.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.shared.recent.close();
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        check_append(stream, &events)?;
        // Held to the end: revisions and positions are given out in one order, and shown in it.
        let mut streams = self.lock();
        let there = streams.get(stream).map_or(&[][..], Vec::as_slice);
        if let Some(found) = repeat_or_refusal(there, expected, &events) {
            return found;
        }
        let mut revision = there.len() as u64;
        let mut position = self.shared.recent.head();
        let mut recorded = Vec::with_capacity(events.len());
        for event in events {
            position = Position(position.0 + self.stride);
            recorded.push(Arc::new(Recorded {
                stream: stream.clone(),
                revision,
                position,
                id: event.id,
                type_name: event.type_name.into(),
                data: event.data,
                metadata: event.metadata,
            }));
            revision += 1;
        }
        streams.entry(stream.clone()).or_default().extend(recorded.iter().cloned());
        self.shared.recent.push(recorded);
        self.shared.recent.ring_the_bell();
        Ok(Appended { revision: revision - 1, position })
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let max = max.min(PAGE_EVENTS_MAX);
        let streams = self.lock();
        let events = streams.get(stream).ok_or(ReadError::NoSuchStream)?.iter().map(Arc::as_ref);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(match direction {
            Direction::Forward => events.skip(from).take(max).cloned().collect(),
            Direction::Backward => {
                let newer = events.len().saturating_sub(from.saturating_add(1));
                events.rev().skip(newer).take(max).cloned().collect()
            }
        })
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        self.shared.page_now(after, filter, max)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.shared.recent.head())
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        Ok(follow(Arc::clone(&self.shared), after, filter))
    }
}

impl Source for Shared {
    fn recent(&self) -> &Recent {
        &self.recent
    }

    fn page(self: Arc<Self>, after: Position, filter: &Filter) -> BoxFuture<'static, Result<Page, ReadError>> {
        futures::future::ready(self.page_now(after, filter, PAGE_EVENTS_MAX)).boxed()
    }
}

impl Shared {
    /// Looks at no more than `max` events, so that a page may be short, or empty, before the end.
    fn page_now(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        match self.recent.after(after, filter, max.min(PAGE_EVENTS_MAX)) {
            Glance::Events { events, scanned_to } => {
                Ok(Page { events: events.into_iter().map(Arc::unwrap_or_clone).collect(), scanned_to })
            }
            Glance::Behind => Err(ReadError::Damaged("a log in memory has lost events".to_owned())),
            Glance::Closed(error) => Err(error),
        }
    }
}

/// What an append that is not at the end of its stream comes to: a repeat of one that was, or a refusal.
fn repeat_or_refusal(
    there: &[Arc<Recorded>],
    expected: Expected,
    events: &[NewEvent],
) -> Option<Result<Appended, AppendError>> {
    let next = match expected {
        Expected::NoStream => 0,
        Expected::Exact(last) => usize::try_from(last).map_or(usize::MAX, |last| last.saturating_add(1)),
    };
    if next == there.len() {
        return None;
    }
    let repeated = there.get(next..).and_then(|later| later.get(..events.len())).and_then(|same| {
        let equal = same.iter().zip(events).all(|(old, new)| old.id == new.id);
        same.last().filter(|_| equal).map(|last| Appended { revision: last.revision, position: last.position })
    });
    Some(repeated.ok_or(AppendError::WrongRevision { actual: there.last().map(|last| last.revision) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Fixture;

    crate::contract_tests!(InMemory { stride: 1 });

    mod with_gaps_between_positions {
        crate::contract_tests!(super::InMemory { stride: 7 });
    }

    struct InMemory {
        stride: u64,
    }

    #[async_trait]
    impl Fixture for InMemory {
        async fn open(&self) -> Arc<dyn EventLog> {
            Arc::new(MemoryLog::with_stride(self.stride))
        }

        async fn reopen(&self, _log: Arc<dyn EventLog>) -> Option<Arc<dyn EventLog>> {
            None
        }
    }
}
