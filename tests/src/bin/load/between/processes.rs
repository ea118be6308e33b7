//! A process that brings the read models forward and one that answers, put together as the server does it, and
//! somebody who looks on at the second.

use super::PATIENCE;
use advisor_api::{
    Api, LiveHub, Parts, Settings,
    auth::{Authenticator, RememberLimits, revoked::Revoked},
    extract::CursorKey,
    traffic::{Traffic, TrafficLimits},
};
use advisor_bus::{Bus, BusError, BusMessage, Listener, NatsBus, NatsOptions, Topic};
use advisor_commands::{AdvisorCommand, Caller, CallerRole, CommandContext, Commands, HandlerLimits};
use advisor_eventlog::{EventLog, Expected, MemoryLog, NewEvent};
use advisor_events::{
    Actor, AdvisorId, Clock, Event, KeyStore, Metadata, SealContext, StreamName, Timestamp, UserId,
    advisor::{Status, Visibility},
    log::{LogEvent, Opened},
};
use advisor_projections::{
    Follower, Generations, Keys, Lease, PostgresOptions, Reader, Runner, RunnerLimits, RunnerParts, SideStore,
    postgres::{GENERATION_SCHEMA, SIDE_SCHEMA},
};
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use uuid::Uuid;

const ADVISOR: &str = "load-coach";
/// What the two processes know each other by.
const BUS_KEY: [u8; 32] = [7; 32];

/// Both processes, and who looks on.
pub(super) struct Processes {
    commands: Arc<Commands>,
    committed: watch::Receiver<Instant>,
    shown: UnsyncBoxBody<Bytes, anyhow::Error>,
    tasks: TaskTracker,
    ending: CancellationToken,
    _directory: TempDir,
}

impl Processes {
    pub(super) async fn start(database: &Database, nats: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let options = |schema: &str| PostgresOptions::at(database.url.clone().into(), schema);
        let clock: Arc<dyn Clock> = Arc::new(StoppedClock);
        let keys: Arc<dyn KeyStore> = Arc::new(Keys::open(&directory.path().join("keys.db"), [7; 32]).await?);
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        open(&*log, &*clock).await?;
        let commands = Arc::new(Commands::new(&log, &keys, HandlerLimits::default()));
        let side = SideStore::open_postgres(options(SIDE_SCHEMA)).await?;
        let (ending, tasks) = (CancellationToken::new(), TaskTracker::new());

        // The one that brings the read models forward.
        let (noting, committed) = watch::channel(Instant::now());
        let generation = Generations::open_postgres(options(GENERATION_SCHEMA), directory.path(), &side).await?;
        let filled = Reader::new(&generation);
        let parts = RunnerParts {
            log: Arc::clone(&log),
            keys,
            bus: Arc::new(Noting { bus: bus(nats).await?, noting }),
            clock: Arc::clone(&clock),
            limits: RunnerLimits::default(),
            generation,
        };
        tasks.spawn(Runner::open(parts).await?.run(ending.clone()));
        filled.filled(PATIENCE).await?;

        // The one that answers, with connections of its own.
        let generation = Generations::open_postgres(options(GENERATION_SCHEMA), directory.path(), &side).await?;
        let bus: Arc<dyn Bus> = Arc::new(bus(nats).await?);
        let live = LiveHub::new(Reader::new(&generation), Arc::clone(&bus));
        tasks.spawn(Arc::clone(&live).run(ending.clone()));
        let mut follower = Follower::new(generation.clone(), Arc::clone(&bus), Lease::Alone);
        let following = ending.clone();
        tasks.spawn(async move { following.run_until_cancelled(follower.follow()).await.map(drop) });
        let revoked = Revoked::load(side.revocations().clone(), Arc::clone(&clock)).await?;
        let people = Arc::<Commands>::clone(&commands);
        let (nobody, remember) = (Vec::new(), RememberLimits::default());
        let authenticator = Authenticator::new(nobody, people, Arc::clone(&revoked), Arc::clone(&clock), remember);
        let api = Api::from(Parts {
            commands: Arc::clone(&commands),
            reader: Reader::new(&generation),
            side,
            log,
            bus,
            live,
            clock,
            authenticator: Arc::new(authenticator),
            revoked,
            owned: Arc::default(),
            traffic: Arc::new(Traffic::new(TrafficLimits::default())),
            settings: Arc::new(Settings::new(CursorKey::from_bytes([7; 32]), Vec::new())),
            checks: Arc::new([]),
            shutdown: ending.clone(),
        });
        change(&commands, create()).await?;
        let shown = look(&api).await?;
        Ok(Self { commands, committed, shown, tasks, ending, _directory: directory })
    }

    /// Makes a change with this title, and waits until who looks on could be told of it; how long that took from when
    /// it began to be said that it is committed.
    pub(super) async fn hear_of_change(&mut self, title: &str) -> Result<Duration> {
        let by = Caller { user_id: UserId::from("load"), role: CallerRole::Operator };
        change(&self.commands, AdvisorCommand::Revise { by, document: document(title) }).await?;
        loop {
            let frame = timeout(PATIENCE, self.shown.frame()).await?.context("the live query has ended")??;
            let heard = Instant::now();
            let frame = frame.into_data().unwrap_or_default();
            if frame.windows(title.len()).any(|part| part == title.as_bytes()) {
                return Ok(heard.duration_since(*self.committed.borrow()));
            }
        }
    }

    /// Ends both.
    pub(super) async fn end(self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A database for the time of this.
pub(super) struct Database {
    server: String,
    url: String,
    name: String,
}

impl Database {
    pub(super) async fn make(server: &str) -> Result<Self> {
        let name = format!("load_{}", Uuid::new_v4().simple());
        let (address, _) = server.rsplit_once('/').context("`--postgres` names no database")?;
        let made = Self { server: server.to_owned(), url: format!("{address}/{name}"), name };
        made.tell("CREATE DATABASE", "").await?;
        Ok(made)
    }

    /// Removes it, whoever is still connected to it.
    pub(super) async fn drop(self) -> Result<()> {
        self.tell("DROP DATABASE", "WITH (FORCE)").await
    }

    async fn tell(&self, order: &str, how: &str) -> Result<()> {
        let text = format!("{order} {} {how}", self.name);
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut PgConnection::connect(&self.server).await?).await?;
        Ok(())
    }
}

/// Notes when it begins to be said that something is committed.
struct Noting {
    bus: NatsBus,
    noting: watch::Sender<Instant>,
}

#[async_trait]
impl Bus for Noting {
    async fn publish(&self, topic: &Topic, message: BusMessage) -> Result<(), BusError> {
        self.noting.send_replace(Instant::now());
        self.bus.publish(topic, message).await
    }

    async fn listen(&self, topic: &Topic) -> Result<Box<dyn Listener>, BusError> {
        self.bus.listen(topic).await
    }
}

async fn bus(url: &str) -> Result<NatsBus> {
    let bus = NatsBus::open(NatsOptions::new(url, BUS_KEY)).await?;
    timeout(PATIENCE, bus.ready()).await.context("there is no NATS server")?;
    Ok(bus)
}

/// Nothing here depends on the time of day.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_758_010_530_000)
    }
}

/// A live query over all advisors, of somebody who is signed out.
async fn look(api: &Api) -> Result<UnsyncBoxBody<Bytes, anyhow::Error>> {
    let request = Request::get("/api/advisors").header(header::ACCEPT, "text/event-stream");
    let answer = advisor_api::router(api).oneshot(request.body(Empty::<Bytes>::new())?).await?;
    ensure!(answer.status().is_success(), "the live query is answered {}", answer.status());
    Ok(answer.into_body().map_err(anyhow::Error::new).boxed_unsync())
}

fn create() -> AdvisorCommand {
    AdvisorCommand::Create {
        advisor_id: AdvisorId::from(ADVISOR),
        owner_id: None,
        visibility: Visibility::Public,
        status: Status::Active,
        document: document("new"),
    }
}

fn document(title: &str) -> Value {
    json!({"advisorId": ADVISOR, "persona": {"name": "Load Coach", "title": title}})
}

async fn change(commands: &Commands, command: AdvisorCommand) -> Result<()> {
    let stream = StreamName::advisor(&AdvisorId::from(ADVISOR));
    let actor = Actor::Operator(UserId::from("load"));
    let context = CommandContext::new(actor, Uuid::new_v4().to_string(), StoppedClock.now());
    commands.advisors.execute(&stream, command, context).await?;
    Ok(())
}

/// The log's opening, without which nothing is made from it.
async fn open(log: &dyn EventLog, clock: &dyn Clock) -> Result<()> {
    let (stream, id) = (StreamName::log(), Uuid::new_v4());
    let metadata = Metadata::new(Actor::Worker("log".to_owned()), id.to_string(), clock.now());
    let opened = Event::from(LogEvent::Opened(Opened { identity: Uuid::new_v4().to_string() }));
    let encoded = opened.encode(None, SealContext { stream: &stream, event_id: id }, &metadata)?;
    let event = NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata };
    log.append(&stream, Expected::NoStream, vec![event]).await?;
    Ok(())
}
