//! Where batches come from: events are taken as they come, decoded, and their personal fields opened.

use super::RunnerError;
use crate::projection::Fact;
use advisor_eventlog::{Recorded, Subscription, SubscriptionEvent};
use advisor_events::{Event, KeyStore, PersonKey, SealContext, UserId};
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

/// An event that can be applied.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) fact: Fact,
    pub(super) id: Uuid,
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
    let Some(index) = events.iter().position(|event| event.fact.position.0 == place) else { return };
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

async fn prepare(events: Vec<Arc<Recorded>>, keys: Arc<dyn KeyStore>) -> Result<Vec<Ready>, RunnerError> {
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
    let decoded = events.iter().map(|event| decode_one(event));
    decoded.filter(|decoded| decoded.is_ok() || !is_planted(Mutant::UnreadableSkipped)).collect()
}

fn decode_one(recorded: &Recorded) -> Result<Decoded, RunnerError> {
    let decoded = Event::decode(&recorded.type_name, &recorded.data, &recorded.metadata);
    let (event, metadata) = decoded.map_err(|source| RunnerError::Event {
        position: recorded.position.0,
        stream: recorded.stream.to_string(),
        source,
    })?;
    let fact = Fact {
        stream: recorded.stream.clone(),
        revision: recorded.revision,
        position: recorded.position,
        recorded_at: metadata.recorded_at,
        event,
    };
    Ok(Decoded { ready: Ready { fact, id: recorded.id }, subject: metadata.subject })
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
        ready.fact.event.open(key, SealContext { stream: &ready.fact.stream, event_id: ready.id });
        ready
    };
    events.into_iter().map(open).collect()
}
