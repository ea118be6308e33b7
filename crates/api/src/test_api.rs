//! The whole API for tests: a log in memory, read models in a directory of their own, a runner beside it.

use crate::{
    Api, Check, LiveHub, Parts, Settings,
    auth::test_issuer::{ATTACKER, CLERK, NOW, TestClock, claims_with, issuer},
    auth::{
        Authenticator, RememberLimits,
        clerk::{Issuer, IssuerKeys},
        revoked::Revoked,
        roles::RoleRules,
    },
    events::LogAccess,
    extract::CursorKey,
    test_log::TestLog,
    traffic::{Traffic, TrafficLimits},
};
use advisor_bus::{Bus, InProcessBus};
use advisor_commands::{Commands, HandlerLimits};
use advisor_eventlog::{EventLog, Expected, NewEvent};
use advisor_events::{
    Actor, Clock, Event, KeyStore, Metadata, SealContext, StreamName,
    log::{LogEvent, Opened},
};
use advisor_projections::{Generation, Generations, Keys, Reader, Runner, RunnerLimits, RunnerParts, SideStore, State};
use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tower::ServiceExt;
use uuid::Uuid;

/// Who runs the system here.
pub(crate) const OPERATOR: &str = "operator";

/// Who reads the log here.
pub(crate) const ANALYST: &str = "analyst";

/// An API with everything behind it. The runner ends with it.
pub(crate) struct TestApi {
    pub(crate) api: Api,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) log: Arc<TestLog>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) generation: Generation,
    pub(crate) runner: CancellationToken,
    running: TaskTracker,
    _runner: DropGuard,
    _directory: TempDir,
}

impl TestApi {
    /// One whose log has its opening and whose read models are live.
    pub(crate) async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// The same with further checks of readiness.
    pub(crate) async fn start_with(checks: Vec<Arc<dyn Check>>) -> Self {
        Self::start_over(Arc::new(InProcessBus::new()), checks).await
    }

    /// The same over another bus.
    pub(crate) async fn start_over(bus: Arc<dyn Bus>, checks: Vec<Arc<dyn Check>>) -> Self {
        Self::start_within(RunnerLimits::default(), bus, checks).await
    }

    /// The same with other limits of the runner.
    pub(crate) async fn start_within(
        runner_limits: RunnerLimits,
        bus: Arc<dyn Bus>,
        checks: Vec<Arc<dyn Check>>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let shared_clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
        let keys = Keys::open(&directory.path().join("keys.db"), [7; 32]).await.unwrap();
        let keys: Arc<dyn KeyStore> = Arc::new(keys);
        let test_log = Arc::new(TestLog::new());
        let log: Arc<dyn EventLog> = Arc::<TestLog>::clone(&test_log);
        open(&log, clock.as_ref()).await;
        let commands = Arc::new(Commands::new(&log, &keys, HandlerLimits::default()));
        let side = SideStore::open(&directory.path().join("side.db")).await.unwrap();
        let generation = Generations::open(directory.path(), &side).await.unwrap();
        let reader = Reader::new(&generation);
        let parts = RunnerParts {
            log: Arc::clone(&log),
            keys: Arc::clone(&keys),
            generation: generation.clone(),
            bus: Arc::clone(&bus),
            clock: Arc::clone(&shared_clock),
            limits: runner_limits,
        };
        let runner = CancellationToken::new();
        let running = TaskTracker::new();
        running.spawn(Runner::open(parts).await.unwrap().run(runner.clone()));
        reader.progress().wait_for(|progress| progress.state == State::Live).await.unwrap();

        let live = LiveHub::new(reader.clone(), Arc::clone(&bus));
        TaskTracker::new().spawn(Arc::clone(&live).run(runner.clone()));
        let keys_of_issuer = IssuerKeys::from_pem(&CLERK.public_pem()).unwrap();
        let (operators, analysts) = (HashSet::from([OPERATOR.into()]), HashSet::from([ANALYST.into()]));
        let issuer =
            Issuer { roles: RoleRules { operators, analysts, ..RoleRules::default() }, ..issuer(keys_of_issuer) };
        let people = Arc::<Commands>::clone(&commands);
        let revoked = Revoked::load(side.revocations().clone(), Arc::clone(&shared_clock)).await.unwrap();
        TaskTracker::new().spawn(Arc::clone(&revoked).follow(runner.clone()));
        let (revocations, clock_too) = (Arc::clone(&revoked), Arc::clone(&shared_clock));
        let authenticator = Authenticator::new(vec![issuer], people, revocations, clock_too, RememberLimits::default());
        let mut settings = Settings::new(CursorKey::from_bytes([9; 32]), vec!["https://app.example.com".to_owned()]);
        settings.position_wait = Duration::from_millis(500);
        let api = Parts {
            commands,
            reader,
            side,
            log,
            bus,
            live,
            clock: shared_clock,
            authenticator: Arc::new(authenticator),
            traffic: Arc::new(Traffic::new(TrafficLimits::default())),
            revoked,
            owned: Arc::default(),
            settings: Arc::new(settings),
            checks: checks.into(),
            shutdown: CancellationToken::new(),
        };
        Self {
            api: api.into(),
            clock,
            log: test_log,
            keys,
            generation,
            _runner: runner.clone().drop_guard(),
            runner,
            running,
            _directory: directory,
        }
    }

    /// From now on the read side stands where it is.
    pub(crate) async fn stop_reading(&self) {
        self.runner.cancel();
        self.running.close();
        self.running.wait().await;
    }

    /// What the operators' routes need; two may follow the log.
    pub(crate) fn log_access(&self) -> LogAccess {
        LogAccess {
            log: Arc::clone(&self.api.log),
            keys: Arc::clone(&self.keys),
            authenticator: Arc::clone(&self.api.authenticator),
            shutdown: self.api.shutdown.clone(),
            followers: Arc::new(Semaphore::new(2)),
        }
    }

    /// The public listener's routes.
    pub(crate) fn router(&self) -> Router {
        crate::router(&self.api)
    }

    /// A token of this person that is accepted.
    pub(crate) fn token(user: &str) -> String {
        CLERK.token(&claims_with(json!({"sub": user, "sid": format!("sess_{user}")})))
    }

    /// A token of this person that was accepted until a minute ago.
    pub(crate) fn expired_token(user: &str) -> String {
        CLERK.token(&claims_with(json!({"sub": user, "exp": NOW - 60, "nbf": NOW - 120, "iat": NOW - 120})))
    }

    /// A token that nobody here has issued.
    pub(crate) fn forged_token(user: &str) -> String {
        ATTACKER.token(&claims_with(json!({"sub": user})))
    }

    /// Asks as a person who is signed in; a body is sent as JSON.
    pub(crate) async fn ask(&self, user: &str, request: http::request::Builder, body: Option<Value>) -> Answer {
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", Self::token(user)));
        self.ask_signed_out(request, body).await
    }

    /// Asks without a token.
    pub(crate) async fn ask_signed_out(&self, request: http::request::Builder, body: Option<Value>) -> Answer {
        let request = match body {
            None => request.body(Body::empty()),
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// An answer whose body has come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    /// Null where it is no JSON.
    pub(crate) body: Value,
}

async fn open(log: &Arc<dyn EventLog>, clock: &TestClock) {
    let (stream, id) = (StreamName::log(), Uuid::new_v4());
    let metadata = Metadata::new(Actor::Worker("log".to_owned()), id.to_string(), clock.now());
    let opened = Event::from(LogEvent::Opened(Opened { identity: Uuid::new_v4().to_string() }));
    let encoded = opened.encode(None, SealContext { stream: &stream, event_id: id }, &metadata).unwrap();
    let event = NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata };
    log.append(&stream, Expected::NoStream, vec![event]).await.unwrap();
}
