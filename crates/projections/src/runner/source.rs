//! Where batches come from: events are taken as they come, decoded, and their personal fields opened.

use super::RunnerError;
use crate::{parked::Poison, projection::Fact};
use advisor_eventlog::{Position, Recorded, Subscription, SubscriptionEvent};
use advisor_events::{DecodeError, Event, KeyStore, Opened, PersonKey, SealContext, StreamName, UserId};
use advisor_proof::{Mutant, is_planted, position};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Batches of more events than these are decoded on a thread of their own.
pub const DECODED_HERE_MAX: usize = 64;

/// Events of a subscription, ready to be applied.
pub(super) struct Source {
    subscription: Subscription,
    keys: Arc<dyn KeyStore>,
    limits: Limits,
    gathered: Vec<Arc<Recorded>>,
    gathered_bytes: usize,
    preparing: Option<BoxFuture<'static, Result<Vec<Ready>, RunnerError>>>,
    ready: Vec<Ready>,
    caught_up: CaughtUp,
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) events_max: usize,
    pub(super) bytes_max: usize,
}

/// Whether everything that was in the log when the subscription began has been given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CaughtUp {
    No,
    /// By what has been gathered, of which nothing was taken yet.
    Now,
    /// And that has been told.
    Told,
}

/// An event that has been read.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) id: Uuid,
    pub(super) event: Result<Fact, Unread>,
}

/// The place of an event that can't be applied, and why it can't.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    stream: StreamName,
    revision: u64,
    position: Position,
    pub(super) poison: Poison,
}

impl Ready {
    pub(super) fn stream(&self) -> &StreamName {
        match &self.event {
            Ok(fact) => &fact.stream,
            Err(unread) => &unread.stream,
        }
    }

    pub(super) fn revision(&self) -> u64 {
        match &self.event {
            Ok(fact) => fact.revision,
            Err(unread) => unread.revision,
        }
    }

    pub(super) fn position(&self) -> Position {
        match &self.event {
            Ok(fact) => fact.position,
            Err(unread) => unread.position,
        }
    }

    /// Takes back that it can be applied.
    pub(super) fn spoil(&mut self, poison: Poison) {
        let (stream, revision, position) = (self.stream().clone(), self.revision(), self.position());
        self.event = Err(Unread { stream, revision, position, poison });
    }
}

/// What is applied together.
pub(super) struct Batch {
    pub(super) events: Vec<Ready>,
    /// Whether the log has been caught up with, by this batch at the latest.
    pub(super) is_caught_up: bool,
}

impl Source {
    pub(super) fn new(subscription: Subscription, keys: Arc<dyn KeyStore>, limits: Limits) -> Self {
        Self {
            subscription,
            keys,
            limits,
            gathered: Vec::new(),
            gathered_bytes: 0,
            preparing: None,
            ready: Vec::new(),
            caught_up: CaughtUp::No,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.ready.len() < self.limits.events_max
    }

    /// Waits until there is more to take. Dropping the future loses nothing.
    pub(super) async fn fill(&mut self) -> Result<(), RunnerError> {
        if self.preparing.is_none() {
            self.gather().await?;
            let gathered = std::mem::take(&mut self.gathered);
            self.gathered_bytes = 0;
            self.preparing = Some(prepare(gathered, Arc::clone(&self.keys)).boxed());
        }
        if let Some(preparing) = &mut self.preparing {
            let ready = preparing.await;
            self.preparing = None;
            self.ready.extend(ready?);
        }
        Ok(())
    }

    /// What is ready, if there is anything to do about it.
    pub(super) fn take(&mut self) -> Option<Batch> {
        // What was gathered up to the mark may still be on its way.
        let is_whole = self.preparing.is_none() && self.gathered.is_empty();
        let is_news = self.caught_up == CaughtUp::Now && is_whole;
        if self.ready.is_empty() && !is_news {
            return None;
        }
        if is_news {
            self.caught_up = CaughtUp::Told;
        }
        let mut events = std::mem::take(&mut self.ready);
        misread(&mut events);
        Some(Batch { events, is_caught_up: self.caught_up == CaughtUp::Told })
    }

    /// While the log is behind us, all that is ready; while we are behind it, a full batch.
    async fn gather(&mut self) -> Result<(), RunnerError> {
        loop {
            let is_full = self.gathered.len() >= self.limits.events_max || self.gathered_bytes >= self.limits.bytes_max;
            let next = if is_full {
                None
            } else if self.caught_up != CaughtUp::No && !self.gathered.is_empty() {
                self.subscription.next().now_or_never()
            } else {
                Some(self.subscription.next().await)
            };
            match next {
                None => return Ok(()),
                Some(None) => return Err(ended()),
                Some(Some(event)) => match event? {
                    SubscriptionEvent::Event(event) => {
                        self.gathered_bytes += event.data.len() + event.metadata.len();
                        self.gathered.push(event);
                    }
                    SubscriptionEvent::CaughtUp if self.caught_up == CaughtUp::No => {
                        self.caught_up = CaughtUp::Now;
                        return Ok(());
                    }
                    SubscriptionEvent::CaughtUp | SubscriptionEvent::Checkpoint(_) => {}
                },
            }
        }
    }
}

/// What goes wrong with one event, in a build that is made to err.
fn misread(events: &mut Vec<Ready>) {
    let Some(place) = position() else { return };
    let Some(index) = events.iter().position(|event| event.position().0 == place) else { return };
    if is_planted(Mutant::EventDropped) {
        events.remove(index);
    } else if is_planted(Mutant::EventDoubled) {
        events.splice(index..index, events.get(index).cloned());
    } else if is_planted(Mutant::EventsSwapped) && index + 1 < events.len() {
        events.swap(index, index + 1);
    }
}

fn ended() -> RunnerError {
    RunnerError::Log(advisor_eventlog::ReadError::Unavailable("the subscription has ended".to_owned()))
}

/// An event whose personal fields are still sealed.
struct Decoded {
    ready: Ready,
    subject: Option<UserId>,
}

/// Decodes events and opens persons' words.
pub(super) async fn prepare(events: Vec<Arc<Recorded>>, keys: Arc<dyn KeyStore>) -> Result<Vec<Ready>, RunnerError> {
    if events.len() <= DECODED_HERE_MAX {
        let decoded = decode(&events)?;
        let keys = keys_of(&decoded, keys.as_ref()).await?;
        return Ok(open(decoded, &keys));
    }
    let decoded = tokio::task::spawn_blocking(move || decode(&events)).await??;
    let keys = keys_of(&decoded, keys.as_ref()).await?;
    Ok(tokio::task::spawn_blocking(move || open(decoded, &keys)).await?)
}

fn decode(events: &[Arc<Recorded>]) -> Result<Vec<Decoded>, RunnerError> {
    events.iter().map(|event| decode_one(event)).collect()
}

/// What this build does not know is an error: it waits for the build that does. What is damaged is not: it would be
/// for any.
fn decode_one(recorded: &Recorded) -> Result<Decoded, RunnerError> {
    let Recorded { stream, revision, position, id, .. } = recorded;
    let unread = |poison| {
        let unread = Unread { stream: stream.clone(), revision: *revision, position: *position, poison };
        Decoded { ready: Ready { id: *id, event: Err(unread) }, subject: None }
    };
    if is_planted(Mutant::OldVersionsForgotten) && &*recorded.type_name == "conversation.reply_started.v1" {
        let source = DecodeError::UnknownType(recorded.type_name.to_string());
        return Err(RunnerError::Event { position: position.0, stream: stream.to_string(), source });
    }
    let (event, metadata) = match Event::decode(&recorded.type_name, &recorded.data, &recorded.metadata) {
        Ok(decoded) => decoded,
        Err(DecodeError::Checksum) => return Ok(unread(Poison::Checksum)),
        Err(DecodeError::Shape(_)) => return Ok(unread(Poison::Shape)),
        Err(source @ DecodeError::UnknownType(_)) => {
            return Err(RunnerError::Event { position: position.0, stream: stream.to_string(), source });
        }
    };
    let fact = Fact {
        stream: stream.clone(),
        revision: *revision,
        position: *position,
        recorded_at: metadata.recorded_at,
        event,
    };
    Ok(Decoded { ready: Ready { id: *id, event: Ok(fact) }, subject: metadata.subject })
}

/// The keys of all persons in the batch; who has none has been erased.
async fn keys_of(events: &[Decoded], keys: &dyn KeyStore) -> Result<HashMap<UserId, PersonKey>, RunnerError> {
    let mut found: HashMap<UserId, Option<PersonKey>> = HashMap::new();
    for person in events.iter().filter_map(|event| event.subject.as_ref()) {
        if !found.contains_key(person) {
            found.insert(person.clone(), keys.find(person).await?);
        }
    }
    Ok(found.into_iter().filter_map(|(person, key)| Some((person, key?))).collect())
}

fn open(events: Vec<Decoded>, keys: &HashMap<UserId, PersonKey>) -> Vec<Ready> {
    let open = |Decoded { mut ready, subject }: Decoded| {
        let key = subject.as_ref().and_then(|person| keys.get(person));
        if let Ok(fact) = &mut ready.event {
            let context = SealContext { stream: &fact.stream, event_id: ready.id };
            if fact.event.open(key, context) == Opened::Damaged {
                ready.spoil(Poison::Seal);
            }
        }
        ready
    };
    events.into_iter().map(open).collect()
}
