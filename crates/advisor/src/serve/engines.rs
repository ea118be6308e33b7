//! Opens what the configuration names, an arm for each engine: what uses it does not know which one runs.

use crate::{
    config::{
        Config,
        engines::{BusEngine, EventLogEngine, ReadModelEngine},
    },
    master_key::{self, KEYS_FILE},
};
use advisor_bus::{Bus, InProcessBus, NatsBus, NatsOptions};
use advisor_eventlog::{EventLog, Position, PostgresLog, PostgresLogOptions, ReadError, SqliteLog, SqliteLogOptions};
#[cfg(feature = "kurrentdb")]
use advisor_eventlog::{KurrentDbLog, KurrentDbOptions, kurrentdb};
#[cfg(feature = "kurrentdb")]
use advisor_events::StreamName;
use advisor_projections::{
    Generation, Generations, Keys, PostgresOptions, SideStore, SqliteOptions,
    postgres::{GENERATION_SCHEMA, KEYS_SCHEMA, SIDE_SCHEMA},
};
use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use tokio::sync::watch;

/// The file of the side store, in the directory of the read models.
pub(crate) const SIDE_FILE: &str = "side.db";

/// What has something open, and is closed at the end.
pub(super) struct Stores {
    pub(super) log: OpenLog,
    pub(super) keys: Arc<Keys>,
    pub(super) side: SideStore,
    pub(super) generation: Generation,
}

/// The event log as it was opened. Cloning is cheap.
#[derive(Clone)]
pub(crate) enum OpenLog {
    Sqlite(Arc<SqliteLog>),
    Postgres(Arc<PostgresLog>),
    #[cfg(feature = "kurrentdb")]
    KurrentDb(Arc<KurrentDbLog>),
}

impl OpenLog {
    /// Opens a log, within the bounds that are set for all.
    pub(crate) async fn open(engine: &EventLogEngine, config: &Config) -> Result<Self> {
        match engine {
            EventLogEngine::Sqlite(path) => {
                let options = SqliteLogOptions { path: path.clone(), ..config.limits.log.clone() };
                Ok(Self::Sqlite(Arc::new(SqliteLog::open(options)?)))
            }
            EventLogEngine::Postgres(url) => {
                Ok(Self::Postgres(Arc::new(PostgresLog::open(postgres_log(url, &config.limits.log))?)))
            }
            #[cfg(feature = "kurrentdb")]
            EventLogEngine::KurrentDb(url) => {
                let namespace = config.engines.event_log_namespace.clone();
                // No process writes anything before the log's opening.
                let first_stream = Some(StreamName::log());
                let options = KurrentDbOptions { namespace, first_stream, ..KurrentDbOptions::at(url.expose_secret()) };
                Ok(Self::KurrentDb(Arc::new(KurrentDbLog::open(options).await?)))
            }
            #[cfg(not(feature = "kurrentdb"))]
            EventLogEngine::KurrentDb(url) => {
                let url = crate::config::masking::masked(url.expose_secret());
                anyhow::bail!("the engine of {url} is not built into this program")
            }
        }
    }

    /// The log as everybody else sees it.
    pub(crate) fn port(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Sqlite(log) => Arc::clone(log) as _,
            Self::Postgres(log) => Arc::clone(log) as _,
            #[cfg(feature = "kurrentdb")]
            Self::KurrentDb(log) => Arc::clone(log) as _,
        }
    }

    /// Whether it is there and lets us in.
    pub(super) async fn reach(&self) -> Result<(), ReadError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(log) => log.reach().await,
            #[cfg(feature = "kurrentdb")]
            Self::KurrentDb(log) => log.reach().await,
        }
    }

    /// Tells whenever this process has appended, and up to where; `None` where no other process appends.
    pub(super) fn appended(&self) -> Option<watch::Receiver<Position>> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(log) => Some(log.appended()),
            #[cfg(feature = "kurrentdb")]
            Self::KurrentDb(log) => Some(log.appended()),
        }
    }

    /// Another process is said to have appended up to here: whoever follows the log in this one gets it at once.
    pub(super) fn look_for(&self, appended: Position) {
        match self {
            // Nobody else appends to it.
            Self::Sqlite(_) => {}
            Self::Postgres(log) => log.look_for(appended),
            #[cfg(feature = "kurrentdb")]
            Self::KurrentDb(log) => log.look_for(appended),
        }
    }

    async fn close(&self) {
        match self {
            Self::Sqlite(log) => log.close().await,
            Self::Postgres(log) => log.close().await,
            #[cfg(feature = "kurrentdb")]
            Self::KurrentDb(log) => log.close().await,
        }
    }
}

impl Stores {
    /// Opens the keys, the side store and the live read models beside a log that is open, in directories that this
    /// process has claimed.
    pub(super) async fn open(config: &Config, log: OpenLog, master_key: [u8; 32]) -> Result<Self> {
        match &config.engines.read_models {
            ReadModelEngine::Sqlite(directory) => {
                let keys_file = config.data_dir.join(KEYS_FILE);
                let keys = Keys::open_caching(&keys_file, master_key, config.limits.keys_cached_max).await?;
                let side = SideStore::open(&directory.join(SIDE_FILE)).await?;
                let options = |path| SqliteOptions { path, ..config.limits.read_models.clone() };
                let generation = Generations::open_with(directory, &side, options).await?;
                Ok(Self { log, keys: Arc::new(keys), side, generation })
            }
            ReadModelEngine::Postgres(url) => {
                let options = |schema| PostgresOptions::at(url.clone(), schema);
                let keys_cached_max = config.limits.keys_cached_max;
                let keys = Keys::open_postgres(options(KEYS_SCHEMA), master_key, keys_cached_max).await;
                let keys = keys.context("`read_model_url`")?;
                let side = SideStore::open_postgres(options(SIDE_SCHEMA)).await.context("`read_model_url`")?;
                let generation =
                    Generations::open_postgres(options(GENERATION_SCHEMA), &config.data_dir, &side).await?;
                Ok(Self { log, keys: Arc::new(keys), side, generation })
            }
        }
    }

    /// Closes everything. The keys first: a backup of a stopped server's files must hold them all.
    pub(super) async fn close(&self) {
        self.keys.close().await;
        self.log.close().await;
        self.side.close().await;
        self.generation.close().await;
    }
}

/// The bounds that are set for logs, whichever engine they lie in.
fn postgres_log(url: &SecretString, limits: &SqliteLogOptions) -> PostgresLogOptions {
    PostgresLogOptions {
        append_queue_max: limits.append_queue_max,
        append_queue_bytes_max: limits.append_queue_bytes_max,
        append_queue_wait: limits.append_queue_wait,
        read_timeout: limits.read_timeout,
        recent_events_max: limits.recent_events_max,
        recent_bytes_max: limits.recent_bytes_max,
        ..PostgresLogOptions::at(url.expose_secret())
    }
}

/// Before anything else does TLS: some clients can't be the second to set it up.
pub(super) async fn prime(config: &Config) -> Result<()> {
    match &config.engines.event_log {
        #[cfg(feature = "kurrentdb")]
        EventLogEngine::KurrentDb(_) => kurrentdb::prime().await.context("`event_log_url`"),
        #[cfg(not(feature = "kurrentdb"))]
        EventLogEngine::KurrentDb(_) => Ok(()),
        EventLogEngine::Sqlite(_) | EventLogEngine::Postgres(_) => Ok(()),
    }
}

/// The bus. A server that is away is waited for by nobody.
pub(super) async fn open_bus(config: &Config, master_key: &[u8; 32]) -> Result<Arc<dyn Bus>> {
    let messages_max = config.limits.bus_messages_max;
    match &config.engines.bus {
        BusEngine::Local => Ok(Arc::new(InProcessBus::holding(messages_max))),
        BusEngine::Nats(nats) => {
            let key = master_key::derive(master_key, "advisor bus")?;
            let options = NatsOptions {
                credentials_file: nats.credentials_file.clone(),
                ca_file: nats.ca_file.clone(),
                prefix: nats.prefix.clone(),
                messages_max,
                ..NatsOptions::new(nats.url.expose_secret(), key)
            };
            Ok(Arc::new(NatsBus::open(options).await.context("`bus_url`")?))
        }
    }
}
