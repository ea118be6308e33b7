//! A log in memory that can be told to misbehave, and a key store in memory.

use crate::handler::CommandContext;
use advisor_eventlog::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, MemoryLog, NewEvent, Page, Position, ReadError,
    Recorded, Subscription,
};
use advisor_events::{
    Actor, Event, KeyError, KeyStore, PersonKey, SealContext, StreamName, Timestamp, UserId,
    conversation::{AdvisorAssigned, ConversationEvent},
};
use async_trait::async_trait;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use uuid::Uuid;

/// What goes wrong with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is written, and the answer is lost.
    WrittenUnheard,
    /// It is lost on its way, and nobody can tell.
    Lost,
    /// The log is not there, and says so.
    Unavailable,
    /// It is written, and no answer ever comes.
    WrittenThenSilence,
    /// Another process appends first.
    Overtaken,
}

/// A log whose next appends go wrong as they are told.
#[derive(Default)]
pub(super) struct TroubledLog {
    log: Mutex<Arc<MemoryLog>>,
    faults: Mutex<VecDeque<Fault>>,
    appends: AtomicUsize,
    reads: AtomicUsize,
}

impl TroubledLog {
    /// The next appends go wrong like this, one after the other.
    pub(super) fn will(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// Nothing goes wrong any more.
    pub(super) fn will_be_well(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// How many appends were tried.
    pub(super) fn appends(&self) -> usize {
        self.appends.load(Ordering::SeqCst)
    }

    /// How many reads of streams there were.
    pub(super) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Only the first events are there any more, as after a restore.
    pub(super) async fn restore_to(&self, events: usize) {
        let kept = self.log().read_all(Position::START, &Filter::all(), events).await.unwrap();
        let restored = MemoryLog::new();
        for event in kept.events {
            let expected = event.revision.checked_sub(1).map_or(Expected::NoStream, Expected::Exact);
            let (type_name, data, metadata) = (event.type_name.to_string(), event.data, event.metadata);
            let again = NewEvent { id: event.id, type_name, data, metadata };
            restored.append(&event.stream, expected, vec![again]).await.unwrap();
        }
        *self.log.lock().unwrap() = Arc::new(restored);
    }

    fn log(&self) -> Arc<MemoryLog> {
        Arc::clone(&self.log.lock().unwrap())
    }

    /// What another process, with a handler of its own, would append now.
    pub(super) async fn append_rival(&self, stream: &StreamName) {
        let there = self.log().read_stream(stream, 0, Direction::Forward, 4_000).await.unwrap();
        let last = there.last().unwrap().revision;
        let event = ConversationEvent::AdvisorAssigned(AdvisorAssigned { advisor_id: format!("rival-{last}").into() });
        self.log().append(stream, Expected::Exact(last), vec![encode(event.into(), stream, last)]).await.unwrap();
    }
}

/// An event of some other command, without personal fields.
pub(super) fn encode(event: Event, stream: &StreamName, number: u64) -> NewEvent {
    let context = CommandContext::new(Actor::Worker("rival".into()), format!("rival-{number}"), Timestamp(0));
    let id = Uuid::from_u128(u128::from(number) + 1);
    let encoded = event.encode(None, SealContext { stream, event_id: id }, &context.metadata("-")).unwrap();
    NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata }
}

#[async_trait]
impl EventLog for TroubledLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => self.log().append(stream, expected, events).await,
            Some(Fault::WrittenUnheard) => {
                self.log().append(stream, expected, events).await.unwrap();
                Err(AppendError::OutcomeUnknown("the answer was lost".into()))
            }
            Some(Fault::Lost) => Err(AppendError::OutcomeUnknown("the connection was cut".into())),
            Some(Fault::Unavailable) => Err(AppendError::Unavailable("nobody is there".into())),
            Some(Fault::WrittenThenSilence) => {
                self.log().append(stream, expected, events).await.unwrap();
                std::future::pending().await
            }
            Some(Fault::Overtaken) => {
                self.append_rival(stream).await;
                self.log().append(stream, expected, events).await
            }
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.log().read_stream(stream, from, direction, max).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        self.log().read_all(after, filter, max).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.log().head().await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        self.log().subscribe_all(after, filter).await
    }
}

/// Keys in memory; `None` for a destroyed one.
#[derive(Default)]
pub(crate) struct Keys(Mutex<HashMap<UserId, Option<PersonKey>>>);

#[async_trait]
impl KeyStore for Keys {
    async fn obtain(&self, person: &UserId) -> Result<PersonKey, KeyError> {
        let mut keys = self.0.lock().unwrap();
        if !keys.contains_key(person) {
            keys.insert(person.clone(), Some(PersonKey::generate()?));
        }
        keys.get(person).cloned().flatten().ok_or(KeyError::Destroyed)
    }

    async fn find(&self, person: &UserId) -> Result<Option<PersonKey>, KeyError> {
        Ok(self.0.lock().unwrap().get(person).cloned().flatten())
    }

    async fn destroy(&self, person: &UserId) -> Result<(), KeyError> {
        self.0.lock().unwrap().insert(person.clone(), None);
        Ok(())
    }

    async fn scrub(&self) -> Result<(), KeyError> {
        Ok(())
    }
}
