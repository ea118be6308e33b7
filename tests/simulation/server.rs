//! The process that keeps the read models and serves live queries.

use crate::{process::Process, weather::Weather, world::World};
use advisor_api::{
    Api, LiveHub, Parts, Settings,
    auth::{
        Authenticator, RememberLimits,
        own_issuer::{OwnIssuer, TokenRequest, generate},
        revoked::Revoked,
    },
    extract::CursorKey,
    traffic::{Traffic, TrafficLimits},
};
use advisor_commands::{Commands, HandlerLimits};
use advisor_eventlog::ReadError;
use advisor_events::{Clock, Timestamp};
use advisor_projections::{Generation, Reader, Runner, RunnerError, RunnerLimits, RunnerParts, SideStore, StoreError};
use axum::Router;
use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// Pause before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// Changed rows that are remembered: what happens in some seconds, so that some viewers come too late.
const CHANGES_KEPT_MAX: u64 = 120;
/// How long tokens are good for: longer than a world lasts.
const TOKEN_TTL: Duration = Duration::from_hours(12);

/// Whose tokens are accepted: one key for all worlds, since it takes a while to make.
static ISSUER: LazyLock<OwnIssuer> =
    LazyLock::new(|| OwnIssuer::from_pem(&generate().expect("a key")).expect("an issuer"));

/// The API as a process serves it.
#[derive(Clone)]
pub(crate) struct Served {
    /// Who serves it.
    pub(crate) process: Arc<Process>,
    /// Its routes.
    pub(crate) router: Router,
    /// When it began.
    since: Timestamp,
}

impl Served {
    /// What this person's requests carry.
    pub(crate) fn authorization(&self, person: &str) -> String {
        let request = TokenRequest { user_id: person.into(), roles: Vec::new(), plan: None, ttl: TOKEN_TTL };
        format!("Bearer {}", ISSUER.mint(&request, self.since).expect("a token"))
    }
}

/// Brings the read models forward until somebody else does. A server that ends while nobody has its place is started
/// again, as a supervisor would do it.
pub(crate) async fn run(world: World, process: Arc<Process>) {
    if let Some(generation) = generation(&world, &process).await {
        let side = side(&world, &process).await;
        world.serve(serve(&world, &process, &generation, side).await);
        bring_forward(&world, &process, &generation).await;
    }
    process.kill();
    world.supervise(&process);
}

async fn bring_forward(world: &World, process: &Arc<Process>, generation: &Generation) {
    while process.is_up().await {
        let parts = RunnerParts {
            log: world.log.of(process),
            keys: Arc::clone(&world.keys),
            generation: generation.clone(),
            bus: world.bus.of(process),
            clock: Arc::<Weather>::clone(&world.weather),
            limits: RunnerLimits { batch_events_max: 5, changes_kept_max: CHANGES_KEPT_MAX, ..RunnerLimits::default() },
        };
        let ended = match Runner::open(parts).await {
            Ok(runner) => runner.run(process.shutdown.clone()).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return,
            // Opening is not tried again by the runner: a supervisor starts the process anew.
            Err(
                RunnerError::Store(StoreError::Unavailable(_))
                | RunnerError::Log(ReadError::Unavailable(_))
                | RunnerError::Identity(_),
            ) => tokio::time::sleep(PAUSE).await,
            Err(RunnerError::Store(StoreError::Superseded)) => {
                return world.weather.note(&process.name, "is superseded");
            }
            Err(error) => return world.weather.wrong(format!("{} stops: {error:?}", process.name)),
        }
    }
}

async fn serve(world: &World, process: &Arc<Process>, generation: &Generation, side: SideStore) -> Served {
    let (log, bus, reader) = (world.log.of(process), world.bus.of(process), Reader::new(generation));
    let clock: Arc<dyn Clock> = Arc::<Weather>::clone(&world.weather);
    let commands = Arc::new(Commands::new(&log, &world.keys, HandlerLimits::default()));
    let live = LiveHub::new(reader.clone(), Arc::clone(&bus));
    world.stage.enter(&process.name, Arc::clone(&live).run(process.shutdown.clone()));
    let revoked = loop {
        match Revoked::load(side.revocations().clone(), Arc::clone(&clock)).await {
            Ok(revoked) => break revoked,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    let issuers = vec![ISSUER.accepted(HashSet::new(), HashSet::new())];
    let people = Arc::<Commands>::clone(&commands);
    let (revocations, times) = (Arc::clone(&revoked), Arc::clone(&clock));
    let since = clock.now();
    let api = Api::from(Parts {
        authenticator: Arc::new(Authenticator::new(issuers, people, revocations, times, RememberLimits::default())),
        commands,
        reader,
        side,
        log,
        bus,
        live,
        owned: Arc::default(),
        clock,
        revoked,
        traffic: Arc::new(Traffic::new(TrafficLimits::default())),
        settings: Arc::new(Settings::new(CursorKey::from_bytes([9; 32]), Vec::new())),
        checks: Arc::new([]),
        shutdown: process.shutdown.clone(),
    });
    Served { process: Arc::clone(process), router: advisor_api::router(&api), since }
}

/// The generation as this process sees it.
pub(crate) async fn generation(world: &World, process: &Arc<Process>) -> Option<Generation> {
    while process.is_up().await {
        match Generation::over(1, world.rows.of(process)).await {
            Ok(generation) => return Some(generation),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    None
}

/// The side store as this process sees it.
pub(crate) async fn side(world: &World, process: &Arc<Process>) -> SideStore {
    loop {
        match SideStore::over(world.side.of(process)).await {
            Ok(side) => return side,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
