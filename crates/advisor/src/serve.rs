//! `advisor serve`: composition, top to bottom, and the orderly end.

mod appends;
mod checks;
mod data_dir;
mod end;
mod engines;
mod listeners;
mod open_files;
mod read_side;
mod sign_in;
mod waiting;
mod workers;

pub(crate) use appends::REST as APPENDS_REST;
pub(crate) use end::{RUNNER_MAX as RUNNER_END_MAX, STORES_MAX as STORES_END_MAX, WORK_MAX as WORK_END_MAX};
pub(crate) use engines::{OpenLog, SIDE_FILE};
pub(crate) use read_side::FILLING_WAIT;
pub(crate) use waiting::PAUSE_MAX as ENGINE_PAUSE_MAX;

use crate::{
    config::Config,
    log_opening::{self, Seeding},
    logging, master_key,
    system_clock::SystemClock,
};
use advisor_api::{
    Api, LiveHub, Parts, Settings, auth::revoked::Revoked, extract::CursorKey, measure, traffic::Traffic,
};
use advisor_bus::Bus;
use advisor_commands::Commands;
use advisor_events::{Clock, KeyStore};
use advisor_projections::{Reader, Runner, RunnerParts};
use anyhow::{Context, Result};
use clap::Parser;
use engines::Stores;
use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Run the server.
#[derive(Parser)]
pub(crate) struct Args {
    /// The configuration file; `advisor config template` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of everything that the embedded default keeps.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address of the API.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of health, metrics and the operators' routes.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// What this process does: `api`, `worker`, or both.
    #[arg(long, value_name = "ROLES")]
    role: Option<String>,
    /// Write no sample advisors into an empty log.
    #[arg(long)]
    no_seed: bool,
}

impl Args {
    fn settings(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("data_dir", self.data_dir.clone()),
            ("listen", self.listen.clone()),
            ("admin_listen", self.admin_listen.clone()),
            ("role", self.role.clone()),
            ("seed", self.no_seed.then(|| "false".to_owned())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Runs until it is told to end.
pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref(), &args.settings())?;
    let _claim = data_dir::claim(&config)?;
    logging::start(config.log_format)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(&config))
}

/// The data directory, for its owner alone.
pub(crate) fn create_data_dir(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("the data directory {} can't be made", directory.display()))
}

/// What has to be brought to an end in order, once it runs.
struct Running {
    /// Cancelled first: no new work.
    stopping: CancellationToken,
    /// Listeners and their connections.
    listeners: TaskTracker,
    /// Workers, which give their replies some seconds.
    workers: TaskTracker,
    /// Cancelled when no worker runs any more.
    ending: CancellationToken,
    /// What brings the read models forward, or follows who does.
    runner: TaskTracker,
    bus: Arc<dyn Bus>,
    stores: Stores,
}

async fn serve(config: &Config) -> Result<()> {
    engines::prime(config).await?;
    open_files::raise(&config.limits);
    let measurements = measure::install()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);

    // What is durable.
    let master_key = master_key::load_or_create(&config.data_dir, config.master_key.as_ref())?;
    let settings = Arc::new(settings(config, &master_key)?);
    let log = OpenLog::open(&config.engines.event_log, config).await.context("`event_log_url`")?;
    let doors = waiting::for_engines(config, &log, &settings, &measurements).await?;
    let stores = Stores::open(config, log, master_key).await?;
    let (log, keys) = (stores.log.port(), Arc::clone(&stores.keys) as Arc<dyn KeyStore>);
    let (side, generation) = (stores.side.clone(), stores.generation.clone());

    // What decides, and the log's opening.
    let commands = Arc::new(Commands::new(&log, &keys, config.limits.handler));
    stores.keys.check_whole().await?;
    log_opening::open(&*log, &*clock).await?;
    stores.keys.belong_to(&*log).await?;
    let seeding = if config.seed { Seeding::SampleAdvisors } else { Seeding::Nothing };
    log_opening::seed(&*log, &commands.advisors, &*clock, seeding).await?;

    // What follows the log.
    let bus = engines::open_bus(config, &master_key).await?;
    let reader = Reader::new(&generation);
    Runner::check(&*log, &generation).await?;
    let parts = RunnerParts {
        log: Arc::clone(&log),
        keys: Arc::clone(&keys),
        bus: Arc::clone(&bus),
        clock: Arc::clone(&clock),
        limits: config.limits.runner.clone(),
        generation,
    };
    let running = Running::new(stores, &bus);
    appends::exchange(&running.stores.log, &bus, &running.runner, &running.ending);
    let duty = read_side::start(config, parts, &running);
    running.listeners.spawn(measure::keep_up(measurements.clone(), running.stopping.clone()));
    running.listeners.spawn(measure::show_parked(reader.clone(), running.stopping.clone()));

    // What clients see.
    let models = Arc::new(workers::models(config)?);
    let live = LiveHub::new(reader.clone(), Arc::clone(&bus));
    if config.role.answers() {
        running.listeners.spawn(Arc::clone(&live).run(running.stopping.clone()));
    }
    let revoked = Revoked::load(side.revocations().clone(), Arc::clone(&clock)).await?;
    running.listeners.spawn(Arc::clone(&revoked).follow(running.stopping.clone()));
    let api = Api::from(Parts {
        live,
        commands: Arc::clone(&commands),
        reader: reader.clone(),
        side: side.clone(),
        log: Arc::clone(&log),
        bus: Arc::clone(&bus),
        clock: Arc::clone(&clock),
        authenticator: Arc::new(sign_in::authenticator(config, &commands, &revoked, &clock)?),
        revoked,
        owned: Arc::default(),
        traffic: Arc::new(Traffic::new(config.limits.traffic.clone())),
        settings,
        checks: checks::all(&log, &reader, &bus, duty.as_ref().map(|duty| (duty, &models))),
        shutdown: running.stopping.clone(),
    });
    if let Some(duty) = duty {
        workers::start(config, &api, models, &running, duty);
    }
    if config.role.answers() {
        read_side::until_filled(&reader).await;
    }
    running.listen(config, doors, &api, measurements)?;
    end::signal().await?;
    running.end().await
}

impl Running {
    fn new(stores: Stores, bus: &Arc<dyn Bus>) -> Self {
        Self {
            stopping: CancellationToken::new(),
            listeners: TaskTracker::new(),
            workers: TaskTracker::new(),
            ending: CancellationToken::new(),
            runner: TaskTracker::new(),
            bus: Arc::clone(bus),
            stores,
        }
    }
}

fn settings(config: &Config, master_key: &[u8; 32]) -> Result<Settings> {
    let cursor_key = master_key::derive(master_key, "advisor cursors")?;
    let limits = &config.limits;
    Ok(Settings {
        body: limits.body,
        time: limits.time,
        position_wait: limits.position_wait,
        streams: limits.streams,
        socket: limits.socket,
        quotas: limits.quotas,
        clerk_webhook_secret: config.sign_in.webhook_secret.clone(),
        ..Settings::new(CursorKey::from_bytes(cursor_key), config.allowed_origins.clone())
    })
}
