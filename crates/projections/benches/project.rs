//! What a batch of 1,000 events costs on its way from the log through all projections into SQLite: decoding, opening
//! persons' words, applying, and one transaction of rows and checkpoint.

#![expect(clippy::unwrap_used, reason = "A benchmark that can't go on ends.")]

use advisor_bus::InProcessBus;
use advisor_eventlog::{EventLog, Expected, MemoryLog, NewEvent};
use advisor_events::{
    Actor, Clock, Event, KeyError, KeyStore, Metadata, PersonKey, SealContext, StreamName, Timestamp, UserId,
    conversation::{ConversationEvent, MessageSent, Started},
    log::{LogEvent, Opened},
    user::{Profile, Registered, UserEvent},
};
use advisor_projections::{Generation, Reader, Runner, RunnerLimits, RunnerParts, SqliteOptions, State};
use async_trait::async_trait;
use criterion::{BatchSize, Bencher, Criterion, Throughput};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// People, each with one conversation.
const PEOPLE: u64 = 40;
/// Messages of each conversation; with its start and the registration of its owner 25 events.
const MESSAGES: u64 = 23;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("project");
    group.throughput(Throughput::Elements(PEOPLE * (MESSAGES + 2)));
    group.sample_size(20);
    group.bench_function("1,000 events", project);
    group.finish();
    criterion.final_summary();
}

/// Each time into read models that are empty.
fn project(bencher: &mut Bencher<'_>) {
    let runtime = Runtime::new().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    runtime.block_on(fill(log.as_ref()));
    bencher.to_async(&runtime).iter_batched(empty, |side| fold(Arc::clone(&log), side), BatchSize::PerIteration);
}

/// A generation without rows, and the directory that goes with it.
fn empty() -> (TempDir, SqliteOptions) {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::at(directory.path().join("generation-1.db"));
    (directory, options)
}

async fn fold(log: Arc<dyn EventLog>, (directory, options): (TempDir, SqliteOptions)) -> TempDir {
    let generation = Generation::open(1, options).await.unwrap();
    let parts = RunnerParts {
        log,
        keys: Arc::new(OneKey),
        generation: generation.clone(),
        bus: Arc::new(InProcessBus::new()),
        clock: Arc::new(StandingClock),
        limits: RunnerLimits::default(),
    };
    let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
    let running = tracker.spawn(Runner::open(parts).await.unwrap().run(shutdown.clone()));
    let mut progress = Reader::new(&generation).progress();
    progress.wait_for(|progress| progress.state == State::Live).await.unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();
    generation.close().await;
    directory
}

async fn fill(log: &dyn EventLog) {
    let opened = LogEvent::Opened(Opened { identity: "a log".to_owned() });
    append(log, &StreamName::log(), vec![(opened.into(), None)]).await;
    for number in 0..PEOPLE {
        let person = UserId(format!("user_{number}"));
        let profile = Profile { email: None, name: Some("Ana".to_owned().into()), image: None };
        let registered = Registered { user_id: person.clone(), profile, plan: "free".into(), told_at: None };
        let registered = vec![(UserEvent::Registered(registered).into(), Some(person.clone()))];
        append(log, &StreamName::user(&person), registered).await;
        let id = format!("conversation of {number}").as_str().into();
        let stream = StreamName::conversation(&id);
        let started = Started {
            conversation_id: id,
            user_id: person.clone(),
            title: Some("A title".to_owned().into()),
            active_advisor_id: None,
        };
        let sent = (0..MESSAGES).map(|message| message_sent(number, message));
        let events = std::iter::once(ConversationEvent::Started(started)).chain(sent);
        append(log, &stream, events.map(|event| (event.into(), Some(person.clone()))).collect()).await;
    }
}

fn message_sent(conversation: u64, number: u64) -> ConversationEvent {
    ConversationEvent::MessageSent(MessageSent {
        message_id: format!("message {number} of {conversation}").as_str().into(),
        content: "What would you charge for a flat white in a town where everybody knows everybody?".to_owned().into(),
        content_json: None,
        mentions: Vec::new(),
        replies: Vec::new(),
    })
}

async fn append(log: &dyn EventLog, stream: &StreamName, events: Vec<(Event, Option<UserId>)>) {
    let encode = |(event, subject): (Event, Option<UserId>)| {
        let id = Uuid::new_v4();
        let metadata = Metadata {
            subject,
            ..Metadata::new(Actor::Worker("bench".to_owned()), id.to_string(), StandingClock.now())
        };
        let encoded = event.encode(Some(&key()), SealContext { stream, event_id: id }, &metadata).unwrap();
        NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata }
    };
    log.append(stream, Expected::NoStream, events.into_iter().map(encode).collect()).await.unwrap();
}

fn key() -> PersonKey {
    PersonKey::from_bytes([7; 32])
}

/// The same key for everybody.
struct OneKey;

#[async_trait]
impl KeyStore for OneKey {
    async fn obtain(&self, _person: &UserId) -> Result<PersonKey, KeyError> {
        Ok(key())
    }

    async fn find(&self, _person: &UserId) -> Result<Option<PersonKey>, KeyError> {
        Ok(Some(key()))
    }

    async fn destroy(&self, _person: &UserId) -> Result<(), KeyError> {
        Ok(())
    }

    async fn scrub(&self) -> Result<(), KeyError> {
        Ok(())
    }
}

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}
