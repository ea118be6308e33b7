//! A log, its read models, and the workers over them.

use super::scripted_model::ScriptedModel;
use crate::{
    Deps, Options, Share,
    make_title::TitleOptions,
    prompt::ModelLimits,
    reply_to_message::{BeatOptions, ReplyOptions, TakeOver},
    tiers::{Models, ModelsOptions, RetryOptions, TierModels},
};
use advisor_bus::{Bus, InProcessBus};
use advisor_commands::{
    AdvisorCommand, Caller, CallerRole, CommandContext, Commands, ConversationCommand, ConversationRefusal,
    HandlerLimits, NewMessage, StartWith, UserCommand,
};
use advisor_eventlog::{Direction, EventLog, Expected, Filter, MemoryLog, NewEvent, Position, SubscriptionEvent};
use advisor_events::{
    Actor, AdvisorId, Clock, ConversationId, Event, KeyError, KeyStore, MessageId, Metadata, PersonKey, ReplyId,
    SealContext, StreamName, Timestamp, UserId,
    advisor::{Status, Visibility},
    conversation::{ConversationEvent, Manifest, RequestedReply},
    log::{LogEvent, Opened},
};
use advisor_projections::{Draft, Generations, Query, Reader, Runner, RunnerLimits, RunnerParts, SideStore};
use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct World {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) reader: Reader,
    pub(super) side: SideStore,
    pub(super) keys: Arc<dyn KeyStore>,
    commands: Arc<Commands>,
    tracker: TaskTracker,
    runner: CancellationToken,
    _directory: TempDir,
}

/// Workers that run, and how to end them.
pub(super) struct Running {
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Running {
    /// As SIGTERM does it.
    pub(super) async fn shut_down(self) {
        self.shutdown.cancel();
        self.tracker.close();
        patiently(self.tracker.wait()).await;
    }
}

/// The user, the conversation and the advisors of all tests.
pub(super) fn user() -> UserId {
    UserId::from("user_1")
}

pub(super) fn conversation() -> ConversationId {
    ConversationId::from("c1")
}

pub(super) fn stream() -> StreamName {
    StreamName::conversation(&conversation())
}

pub(super) fn document(name: &str) -> Value {
    json!({"persona": {"name": name, "title": "Analyst"}})
}

/// Short times, so that a test that waits for one is quick; and no titles.
pub(super) fn options() -> Options {
    let beats = BeatOptions {
        write: Duration::from_millis(20),
        beat: Duration::from_millis(50),
        drop_after: Duration::from_secs(5),
    };
    let replies = ReplyOptions {
        look: Duration::from_millis(50),
        take_over: TakeOver::AfterSilence(Duration::from_hours(1)),
        grace: Duration::ZERO,
        beats,
        ..ReplyOptions::default()
    };
    let titles = TitleOptions { parallel_max: 0, ..TitleOptions::default() };
    Options { replies, titles, ..Options::default() }
}

impl World {
    /// A user and the advisors `ada` and `ben`.
    pub(super) async fn open() -> Self {
        let directory = TempDir::new().unwrap();
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let keys: Arc<dyn KeyStore> = Arc::new(Keys::default());
        let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new());
        open_log(&*log).await;
        let side = SideStore::open(&directory.path().join("side.db")).await.unwrap();
        let generation = Generations::open(directory.path(), &side).await.unwrap();
        let reader = Reader::new(&generation);
        let (tracker, runner) = (TaskTracker::new(), CancellationToken::new());
        let parts = RunnerParts {
            log: Arc::clone(&log),
            keys: Arc::clone(&keys),
            generation,
            bus: Arc::clone(&bus),
            clock: Arc::new(Noon),
            limits: RunnerLimits::default(),
        };
        let running = Runner::open(parts).await.unwrap();
        let until = runner.clone();
        tracker.spawn(async move { running.run(until).await.unwrap() });
        let commands = Arc::new(Commands::new(&log, &keys, HandlerLimits::default()));
        let world = Self { log, bus, reader, side, keys, commands, tracker, runner, _directory: directory };
        world.register("free").await;
        world.create_advisor("ada", "Ada Byron").await;
        world.create_advisor("ben", "Ben Stone").await;
        world
    }

    /// Starts workers; each call is a process of its own, with a handler of its own.
    pub(super) fn start(&self, model: &ScriptedModel, options: Options) -> Running {
        let tiers =
            TierModels { free: "free-model".into(), base: "base-model".into(), premium: "premium-model".into() };
        let retry = RetryOptions { pause: Duration::from_millis(1), ..RetryOptions::default() };
        let limits_default = ModelLimits { window_tokens: Some(8_192), output_tokens_max: 2_000 };
        let models_options = ModelsOptions { limits_default, retry, ..ModelsOptions::default() };
        let deps = Deps {
            commands: Arc::new(Commands::new(&self.log, &self.keys, HandlerLimits::default())),
            reader: self.reader.clone(),
            side: self.side.clone(),
            keys: Arc::clone(&self.keys),
            bus: Arc::clone(&self.bus),
            log: Arc::clone(&self.log),
            clock: Arc::new(Noon),
            models: Arc::new(Models::new(Arc::new(model.clone()), tiers, models_options)),
        };
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        for share in [Share::Everybodys, Share::Owners] {
            crate::start(&deps, options, share, &tracker, &shutdown);
        }
        Running { tracker, shutdown }
    }

    /// Deletes the user's account, and waits until readers see it.
    pub(super) async fn delete_user(&self) {
        self.delete(user().as_str()).await;
    }

    /// Deletes anybody's account, and waits until readers see it.
    pub(super) async fn delete(&self, person: &str) {
        let person = UserId::from(person);
        if person != user() {
            self.register_as(&person, "free").await;
        }
        let command = UserCommand::Delete { user_id: person.clone() };
        let context = context(&format!("delete-{person}"));
        let outcome = self.commands.users.execute(&StreamName::user(&person), command, context).await.unwrap();
        self.reader.wait_for(outcome.position, PATIENCE).await;
    }

    /// Waits until the user's erasure has come to its end.
    pub(super) async fn erased(&self) {
        self.erased_of(user().as_str()).await;
    }

    /// Waits until anybody's erasure has come to its end.
    pub(super) async fn erased_of(&self, person: &str) {
        patiently(async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while self.side.erasures().get(&person.into()).await.unwrap().is_none() {
                ticks.tick().await;
            }
        })
        .await;
    }

    async fn register(&self, plan: &str) {
        self.register_as(&user(), plan).await;
    }

    async fn register_as(&self, person: &UserId, plan: &str) {
        let command = UserCommand::Register {
            user_id: person.clone(),
            profile: advisor_events::user::Profile::default(),
            plan: plan.into(),
        };
        self.commands.users.execute(&StreamName::user(person), command, context("register")).await.unwrap();
    }

    async fn create_advisor(&self, id: &str, name: &str) {
        let command = AdvisorCommand::Create {
            advisor_id: id.into(),
            owner_id: None,
            visibility: Visibility::Public,
            status: Status::Active,
            document: document(name),
        };
        let stream = StreamName::advisor(&id.into());
        self.commands.advisors.execute(&stream, command, context(&format!("create-{id}"))).await.unwrap();
    }

    pub(super) async fn archive_advisor(&self, id: &str) {
        let by = Caller { user_id: "operator".into(), role: CallerRole::Operator };
        let command = AdvisorCommand::SetStatus { by, status: Status::Archived };
        let stream = StreamName::advisor(&id.into());
        self.commands.advisors.execute(&stream, command, context(&format!("archive-{id}"))).await.unwrap();
    }

    /// Does something to the conversation, and waits until readers see it.
    pub(super) async fn command(&self, command: ConversationCommand) -> Result<(), ConversationRefusal> {
        let context = context(&Uuid::new_v4().to_string());
        match self.commands.conversations.execute(&stream(), command, context).await {
            Ok(outcome) => {
                self.reader.wait_for(outcome.position, PATIENCE).await;
                Ok(())
            }
            Err(advisor_commands::CommandError::Refused(refusal)) => Err(refusal),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends a message; its replies are called `<id>-<advisor>`.
    pub(super) async fn send(&self, id: &str, content: &str, advisors: &[&str]) {
        let is_new = self.conversation_events().await.is_empty();
        let replies = advisors.iter().map(|advisor| RequestedReply {
            reply_id: ReplyId(format!("{id}-{advisor}")),
            advisor_id: AdvisorId::from(*advisor),
        });
        let message = NewMessage {
            message_id: MessageId::from(id),
            content: content.to_owned(),
            content_json: None,
            mentions: Vec::new(),
            replies: replies.collect(),
        };
        let start = is_new.then(|| StartWith { conversation_id: conversation(), title: None });
        let messages_max = usize::MAX;
        self.command(ConversationCommand::SendMessage { user_id: user(), start, message, messages_max }).await.unwrap();
    }

    pub(super) async fn stop(&self, reply: &str) {
        self.command(ConversationCommand::StopReply { user_id: user(), reply_id: reply.into() }).await.unwrap();
    }

    /// Claims an attempt as a worker would that dies right after it.
    pub(super) async fn die_with(&self, reply: &str, attempt: u32, text: Option<&str>) {
        let manifest = Manifest {
            template: "reply.v1".into(),
            model: "m".into(),
            temperature: 0.7,
            tokens_max: 1,
            window_tokens: None,
            texts: Vec::new(),
            request_sha256: String::new().into(),
        };
        let claim = format!("dead-{attempt}");
        let start = ConversationCommand::StartReply {
            reply_id: reply.into(),
            attempt,
            claim: claim.clone(),
            after_release: false,
            manifest,
        };
        self.command(start).await.unwrap();
        if let Some(text) = text {
            let draft = Draft {
                reply_id: reply.into(),
                conversation_id: conversation(),
                attempt,
                text: text.into(),
                beat: 3,
                owner: claim,
                released: false,
                updated_at: Noon.now(),
            };
            self.side.drafts().put(draft).await.unwrap();
        }
    }

    /// All events of the conversation, opened.
    pub(super) async fn conversation_events(&self) -> Vec<ConversationEvent> {
        self.events_of(&stream()).await.into_iter().filter_map(conversation_event).collect()
    }

    /// All events of a stream, opened.
    pub(super) async fn events_of(&self, stream: &StreamName) -> Vec<Event> {
        let Ok(recorded) = self.log.read_stream(stream, 0, Direction::Forward, 1_000).await else { return Vec::new() };
        let key = self.keys.find(&user()).await.unwrap();
        recorded
            .iter()
            .map(|recorded| {
                let (mut event, _) = Event::decode(&recorded.type_name, &recorded.data, &recorded.metadata).unwrap();
                event.open(key.as_ref(), SealContext { stream, event_id: recorded.id });
                event
            })
            .collect()
    }

    /// Waits until something has happened in the conversation; gives all that has.
    pub(super) async fn until(&self, happened: impl Fn(&[ConversationEvent]) -> bool) -> Vec<ConversationEvent> {
        patiently(async {
            let filter = Filter::stream_prefix("conversation-");
            let mut news = self.log.subscribe_all(Position::START, filter).await.unwrap();
            loop {
                let events = self.conversation_events().await;
                if happened(&events) {
                    return events;
                }
                while !matches!(news.next().await, Some(Ok(SubscriptionEvent::Event(_)))) {}
            }
        })
        .await
    }

    /// Waits until these replies have their ends; gives all events.
    pub(super) async fn ended(&self, replies: &[&str]) -> Vec<ConversationEvent> {
        self.until(|events| replies.iter().all(|reply| !ends(events, reply).is_empty())).await
    }

    /// Waits until a query's answer is as expected.
    pub(super) async fn seen<T: Send + 'static>(
        &self,
        query: impl Fn() -> Query<T>,
        expected: impl Fn(&T) -> bool,
    ) -> T {
        patiently(async {
            let mut progress = self.reader.progress();
            loop {
                progress.mark_unchanged();
                let value = self.reader.run(query()).await.unwrap().value;
                if expected(&value) {
                    return value;
                }
                progress.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until a reply's draft is as expected; drafts tell nobody that they change.
    pub(super) async fn draft(&self, reply: &str, expected: impl Fn(Option<&Draft>) -> bool) {
        patiently(async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while !expected(self.side.drafts().get(&reply.into()).await.unwrap().as_ref()) {
                ticks.tick().await;
            }
        })
        .await;
    }

    /// Ends the runner, so that its directory can go.
    pub(super) async fn close(self) {
        self.runner.cancel();
        self.tracker.close();
        patiently(self.tracker.wait()).await;
    }
}

/// The events that end a reply.
pub(super) fn ends<'a>(events: &'a [ConversationEvent], reply: &str) -> Vec<&'a ConversationEvent> {
    let ends_it = |event: &&ConversationEvent| match event {
        ConversationEvent::ReplyCompleted(event) => event.reply_id.as_str() == reply,
        ConversationEvent::ReplyFailed(event) => event.reply_id.as_str() == reply,
        ConversationEvent::ReplyStopped(event) => event.reply_id.as_str() == reply,
        ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageSent(_)
        | ConversationEvent::MessageEdited(_)
        | ConversationEvent::MessageDeleted(_)
        | ConversationEvent::ReplyStarted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::Deleted(_) => false,
    };
    events.iter().filter(ends_it).collect()
}

/// The attempts at a reply that have begun: their numbers, and whether each follows a release.
pub(super) fn attempts(events: &[ConversationEvent], reply: &str) -> Vec<(u32, bool)> {
    events
        .iter()
        .filter_map(|event| match event {
            ConversationEvent::ReplyStarted(event) if event.reply_id.as_str() == reply => {
                Some((event.attempt, event.after_release))
            }
            ConversationEvent::ReplyStarted(_)
            | ConversationEvent::ReplyCompleted(_)
            | ConversationEvent::ReplyFailed(_)
            | ConversationEvent::ReplyStopped(_)
            | ConversationEvent::Started(_)
            | ConversationEvent::Renamed(_)
            | ConversationEvent::AdvisorAssigned(_)
            | ConversationEvent::MessageSent(_)
            | ConversationEvent::MessageEdited(_)
            | ConversationEvent::MessageDeleted(_)
            | ConversationEvent::ReplyStopRequested(_)
            | ConversationEvent::Deleted(_) => None,
        })
        .collect()
}

fn conversation_event(event: Event) -> Option<ConversationEvent> {
    match event {
        Event::Conversation(event) => Some(event),
        Event::Log(_) | Event::User(_) | Event::Advisor(_) => None,
    }
}

/// Nothing here may hang: a test that waits in vain fails.
pub(super) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

fn context(command_id: &str) -> CommandContext {
    CommandContext::new(Actor::User(user()), command_id.to_owned(), Noon.now())
}

async fn open_log(log: &dyn EventLog) {
    let (stream, id) = (StreamName::log(), Uuid::new_v4());
    let metadata = Metadata::new(Actor::Worker("log".into()), id.to_string(), Noon.now());
    let opened = Event::from(LogEvent::Opened(Opened { identity: id.to_string() }));
    let encoded = opened.encode(None, SealContext { stream: &stream, event_id: id }, &metadata).unwrap();
    let event = NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata };
    log.append(&stream, Expected::NoStream, vec![event]).await.unwrap();
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_758_024_000_000)
    }
}

/// Keys in memory; `None` for a destroyed one.
#[derive(Default)]
struct Keys(Mutex<HashMap<UserId, Option<PersonKey>>>);

#[async_trait]
impl KeyStore for Keys {
    async fn obtain(&self, person: &UserId) -> Result<PersonKey, KeyError> {
        let mut keys = self.0.lock().unwrap();
        let key = keys.entry(person.clone()).or_insert_with(|| PersonKey::generate().ok());
        key.clone().ok_or(KeyError::Destroyed)
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
