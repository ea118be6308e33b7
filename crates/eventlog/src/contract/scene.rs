//! What the cases stand on: a log, streams that no other case has, and events to put there.

use super::Fixture;
use crate::port::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, Position, Recorded, Subscription,
    SubscriptionEvent,
};
use advisor_events::StreamName;
use futures::StreamExt;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Longest that a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A case's own part of a log.
pub struct Scene {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// What the names of its streams begin with.
    pub prefix: String,
}

impl Scene {
    /// A new part of a log of this adapter.
    pub async fn of(fixture: &impl Fixture) -> Self {
        Self::on(fixture.open().await)
    }

    /// A new part of this log.
    pub fn on(log: Arc<dyn EventLog>) -> Self {
        Self { log, prefix: format!("case.{}-", Uuid::new_v4().simple()) }
    }

    /// One of the case's streams.
    pub fn stream(&self, name: impl std::fmt::Display) -> StreamName {
        StreamName::from_text(format!("{}{name}", self.prefix))
    }

    /// All of the case's streams.
    pub fn filter(&self) -> Filter {
        Filter::stream_prefix(&*self.prefix)
    }

    /// The case's streams whose name begins with `name`.
    pub fn filter_of(&self, name: &str) -> Filter {
        Filter::stream_prefix(format!("{}{name}", self.prefix))
    }

    /// Appends to a stream that may be new.
    pub async fn append(&self, name: &str, expected: Expected, events: &[NewEvent]) -> Result<Appended, AppendError> {
        self.log.append(&self.stream(name), expected, events.to_vec()).await
    }

    /// Appends `count` new events to a new stream, one by one.
    pub async fn fill(&self, name: &str, count: u64) -> Vec<NewEvent> {
        let mut all = Vec::new();
        for revision in 0..count {
            let event = events(1);
            self.append(name, at(revision), &event).await.expect("the case's own append");
            all.extend(event);
        }
        all
    }

    /// A whole stream; empty if it does not exist.
    pub async fn whole(&self, name: &str) -> Vec<Recorded> {
        let stream = self.stream(name);
        match self.log.read_stream(&stream, 0, Direction::Forward, 4_096).await {
            Ok(events) => events,
            Err(crate::port::ReadError::NoSuchStream) => Vec::new(),
            Err(error) => panic!("reading {stream}: {error}"),
        }
    }

    /// Everything of the whole log that matches, in pages of `max`, up to where the head was.
    pub async fn scan(&self, after: Position, filter: &Filter, max: usize) -> Vec<Recorded> {
        let head = self.head().await;
        let mut scanned_to = after;
        let mut all = Vec::new();
        while scanned_to < head {
            let page = self.log.read_all(scanned_to, filter, max).await.expect("a page");
            assert!(page.events.len() <= max, "a page of more than {max}");
            assert!(page.scanned_to > scanned_to, "a page before the head moves on");
            all.extend(page.events);
            scanned_to = page.scanned_to;
        }
        all
    }

    /// The log's head.
    pub async fn head(&self) -> Position {
        self.log.head().await.expect("the head")
    }

    /// Subscribes to all of the case's streams.
    pub async fn subscribe(&self, after: Position) -> Follower {
        self.subscribe_to(after, self.filter()).await
    }

    /// Subscribes to what matches.
    pub async fn subscribe_to(&self, after: Position, filter: Filter) -> Follower {
        Follower { subscription: self.log.subscribe_all(after, filter).await.expect("a subscription"), reached: after }
    }
}

/// A subscriber that checks the order of what it is told.
pub struct Follower {
    subscription: Subscription,
    /// Everything up to here has been told.
    pub reached: Position,
}

impl Follower {
    /// What comes next.
    pub async fn next(&mut self) -> SubscriptionEvent {
        let next = tokio::time::timeout(PATIENCE, self.subscription.next()).await.expect("news in time");
        let news = next.expect("an endless subscription").expect("news");
        match &news {
            SubscriptionEvent::Event(event) => {
                assert!(event.position > self.reached, "{} comes after {}", event.position, self.reached);
                self.reached = event.position;
            }
            SubscriptionEvent::Checkpoint(position) => {
                assert!(*position >= self.reached, "checkpoint {position} after {}", self.reached);
                self.reached = *position;
            }
            SubscriptionEvent::CaughtUp => {}
        }
        news
    }

    /// The next `count` events.
    pub async fn events(&mut self, count: usize) -> Vec<Arc<Recorded>> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            if let SubscriptionEvent::Event(event) = self.next().await {
                events.push(event);
            }
        }
        events
    }

    /// Every event up to the next mark of having caught up.
    pub async fn until_caught_up(&mut self) -> Vec<Arc<Recorded>> {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                SubscriptionEvent::Event(event) => events.push(event),
                SubscriptionEvent::Checkpoint(_) => {}
                SubscriptionEvent::CaughtUp => return events,
            }
        }
    }

    /// The subscription itself.
    pub fn into_subscription(self) -> Subscription {
        self.subscription
    }
}

/// New events.
pub fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|n| event(format!("{{\"n\":{n}}}").into_bytes())).collect()
}

/// A new event with this data.
pub fn event(data: Vec<u8>) -> NewEvent {
    NewEvent {
        id: Uuid::new_v4(),
        type_name: "contract.case_told.v1".to_owned(),
        data,
        metadata: b"{\"by\":\"contract\"}".to_vec(),
    }
}

/// What an append expects whose first event gets this revision.
pub fn at(revision: u64) -> Expected {
    revision.checked_sub(1).map_or(Expected::NoStream, Expected::Exact)
}

/// The ids of what was appended.
pub fn ids(events: &[NewEvent]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}

/// The ids of what was read.
pub fn recorded_ids(events: &[Recorded]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}

/// The ids of what a subscription told.
pub fn told_ids(events: &[Arc<Recorded>]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}

/// That an append was refused, with the stream's actual last revision.
pub fn assert_wrong_revision(result: Result<Appended, AppendError>, last: Option<u64>) {
    match result {
        Err(AppendError::WrongRevision { actual }) => assert_eq!(actual, last, "the actual revision"),
        other => panic!("a wrong revision was expected, not {other:?}"),
    }
}
