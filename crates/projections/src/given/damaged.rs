//! A log some of whose events come back otherwise than they were written, until they are repaired.

use advisor_eventlog::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, MemoryLog, NewEvent, Page, Position, ReadError,
    Recorded, Subscription, SubscriptionEvent,
};
use advisor_events::StreamName;
use async_trait::async_trait;
use futures::StreamExt;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

pub(crate) struct DamagedLog {
    log: Arc<MemoryLog>,
    damages: Damages,
}

type Damages = Arc<Mutex<HashMap<Position, Damage>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A bit of the data has turned.
    Bit,
    /// The metadata is that of no event.
    Metadata,
}

impl DamagedLog {
    pub(crate) fn over(log: &Arc<MemoryLog>) -> Arc<Self> {
        Arc::new(Self { log: Arc::clone(log), damages: Damages::default() })
    }

    /// Damages the event of this number, from 0.
    pub(crate) async fn damage(&self, number: usize, damage: Damage) -> Position {
        let position = self.position(number).await;
        self.damages.lock().unwrap().insert(position, damage);
        position
    }

    pub(crate) async fn repair(&self, number: usize) {
        let position = self.position(number).await;
        self.damages.lock().unwrap().remove(&position);
    }

    async fn position(&self, number: usize) -> Position {
        self.log.read_all(Position::START, &Filter::all(), number + 1).await.unwrap().events[number].position
    }
}

fn read(damages: &Damages, mut event: Recorded) -> Recorded {
    match damages.lock().unwrap().get(&event.position) {
        Some(Damage::Bit) => {
            let middle = event.data.len() / 2;
            event.data[middle] ^= 1;
        }
        Some(Damage::Metadata) => event.metadata = b"{}".to_vec(),
        None => {}
    }
    event
}

#[async_trait]
impl EventLog for DamagedLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        self.log.append(stream, expected, events).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let events = self.log.read_stream(stream, from, direction, max).await?;
        Ok(events.into_iter().map(|event| read(&self.damages, event)).collect())
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        let page = self.log.read_all(after, filter, max).await?;
        let events = page.events.into_iter().map(|event| read(&self.damages, event)).collect();
        Ok(Page { events, ..page })
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.log.head().await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        let damages = Arc::clone(&self.damages);
        let events = self.log.subscribe_all(after, filter).await?;
        let read = move |item| match item {
            Ok(SubscriptionEvent::Event(event)) => {
                Ok(SubscriptionEvent::Event(Arc::new(read(&damages, Arc::unwrap_or_clone(event)))))
            }
            item @ (Ok(SubscriptionEvent::Checkpoint(_) | SubscriptionEvent::CaughtUp) | Err(_)) => item,
        };
        Ok(events.map(read).boxed())
    }
}
