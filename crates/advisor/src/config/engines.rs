//! Which engine each part runs on, and which part of the work this process does.

use super::settings::{Settings, SettingsError};
use advisor_bus::nats;
use anyhow::{Result, bail};
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// What each part runs on. A URL may hold a password.
pub(crate) struct Engines {
    pub(crate) event_log: EventLogEngine,
    /// What stands before the names of streams in a KurrentDB.
    #[cfg_attr(not(feature = "kurrentdb"), expect(dead_code, reason = "It is KurrentDB's."))]
    pub(crate) event_log_namespace: String,
    pub(crate) read_models: ReadModelEngine,
    pub(crate) bus: BusEngine,
}

/// Where the event log lies.
pub(crate) enum EventLogEngine {
    /// A file of this machine, which one process holds.
    Sqlite(PathBuf),
    /// PostgreSQL.
    Postgres(SecretString),
    /// KurrentDB or EventStoreDB.
    KurrentDb(SecretString),
}

/// Where the read models, the side store and the keys lie.
pub(crate) enum ReadModelEngine {
    /// Files in this directory.
    Sqlite(PathBuf),
    /// PostgreSQL.
    Postgres(SecretString),
}

/// What rings between processes.
pub(crate) enum BusEngine {
    /// Nothing: there is one process.
    Local,
    /// NATS.
    Nats(NatsSettings),
}

/// How NATS is reached.
pub(crate) struct NatsSettings {
    pub(crate) url: SecretString,
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) prefix: String,
}

/// Which part of the work this process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// All of it.
    Everything,
    /// Answers clients.
    Api,
    /// Brings the read models forward, and reacts.
    Worker,
}

impl Role {
    /// Whether it answers clients.
    pub(crate) fn answers(self) -> bool {
        match self {
            Self::Everything | Self::Api => true,
            Self::Worker => false,
        }
    }

    /// Whether it brings the read models forward, and reacts.
    pub(crate) fn works(self) -> bool {
        match self {
            Self::Everything | Self::Worker => true,
            Self::Api => false,
        }
    }

    pub(super) fn from_settings(settings: &Settings) -> Result<Self, SettingsError> {
        let mut roles = settings.list("role");
        roles.sort();
        roles.dedup();
        match roles.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["api", "worker"] => Ok(Self::Everything),
            ["api"] => Ok(Self::Api),
            ["worker"] => Ok(Self::Worker),
            _ => Err(settings.wrong("role", "`api`, `worker`, or both")),
        }
    }
}

impl Engines {
    pub(super) fn from_settings(settings: &Settings, data_dir: &Path) -> Result<Self, SettingsError> {
        Ok(Self {
            event_log: event_log(settings, data_dir)?,
            event_log_namespace: settings.text("event_log_namespace").unwrap_or_default().to_owned(),
            read_models: read_models(settings, data_dir)?,
            bus: bus(settings)?,
        })
    }

    /// Refuses what several processes can't share, where the work is split between several.
    pub(super) fn check_for(&self, role: Role, master_key: Option<&SecretString>) -> Result<()> {
        if role == Role::Everything {
            return Ok(());
        }
        if let EventLogEngine::Sqlite(_) = self.event_log {
            bail!("{}", unshared("event_log_url", "an event log in SQLite", "`postgres://…` or `esdb://…`"));
        }
        if let ReadModelEngine::Sqlite(_) = self.read_models {
            bail!("{}", unshared("read_model_url", "read models in SQLite", "`postgres://…`"));
        }
        if let BusEngine::Local = self.bus {
            bail!("{}", unshared("bus_url", "the bus `local:`", "`nats://…`"));
        }
        if master_key.is_none() {
            bail!(
                "`master_key` must be given, the same for every process: with a split `role` each of them would make \
                 one of its own, and could not read what others have sealed"
            );
        }
        Ok(())
    }
}

fn unshared(setting: &str, what: &str, instead: &str) -> String {
    format!(
        "`role` must be `api,worker`: {what} is for one process that does everything; to split the work, set \
         `{setting}` to {instead}"
    )
}

impl EventLogEngine {
    /// What URLs of event logs look like.
    pub(crate) const URLS: &str = "`sqlite:PATH`, `postgres://…`, `esdb://…` or `kurrentdb://…`";

    /// The engine that a URL names.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        match scheme(url)? {
            ("sqlite", path) if !path.is_empty() => Some(Self::Sqlite(PathBuf::from(path))),
            ("postgres" | "postgresql", _) => Some(Self::Postgres(SecretString::from(url))),
            ("esdb" | "esdb+discover", _) => Some(Self::KurrentDb(SecretString::from(url))),
            ("kurrentdb" | "kurrent" | "kdb", rest) => Some(Self::KurrentDb(format!("esdb:{rest}").into())),
            ("kurrentdb+discover" | "kurrent+discover" | "kdb+discover", rest) => {
                Some(Self::KurrentDb(format!("esdb+discover:{rest}").into()))
            }
            _ => None,
        }
    }
}

impl ReadModelEngine {
    /// What URLs of read models look like.
    pub(crate) const URLS: &str = "`sqlite:DIRECTORY` or `postgres://…`";

    /// The engine that a URL names.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        match scheme(url)? {
            ("sqlite", directory) if !directory.is_empty() => Some(Self::Sqlite(PathBuf::from(directory))),
            ("postgres" | "postgresql", _) => Some(Self::Postgres(SecretString::from(url))),
            _ => None,
        }
    }
}

fn event_log(settings: &Settings, data_dir: &Path) -> Result<EventLogEngine, SettingsError> {
    let Some(url) = settings.text("event_log_url") else {
        return Ok(EventLogEngine::Sqlite(data_dir.join("log.db")));
    };
    EventLogEngine::parse(url).ok_or_else(|| settings.wrong("event_log_url", EventLogEngine::URLS))
}

fn read_models(settings: &Settings, data_dir: &Path) -> Result<ReadModelEngine, SettingsError> {
    let Some(url) = settings.text("read_model_url") else {
        return Ok(ReadModelEngine::Sqlite(data_dir.to_owned()));
    };
    ReadModelEngine::parse(url).ok_or_else(|| settings.wrong("read_model_url", ReadModelEngine::URLS))
}

fn bus(settings: &Settings) -> Result<BusEngine, SettingsError> {
    let url = settings.text("bus_url").unwrap_or("local:");
    let wrong = || settings.wrong("bus_url", "`local:`, `nats://…` or `tls://…`");
    match scheme(url).ok_or_else(wrong)? {
        ("local", "") => Ok(BusEngine::Local),
        ("nats" | "tls", _) => {
            let file = |name| settings.text(name).map(PathBuf::from);
            let credentials_file = file("bus_credentials_file");
            let usable = nats::check(url, credentials_file.as_deref());
            usable.map_err(|error| settings.wrong("bus_url", format!("usable: {error}")))?;
            Ok(BusEngine::Nats(NatsSettings {
                url: SecretString::from(url),
                credentials_file,
                ca_file: file("bus_ca_file"),
                prefix: settings.text("bus_prefix").unwrap_or_default().to_owned(),
            }))
        }
        _ => Err(wrong()),
    }
}

/// What stands before the first colon, and what after it.
fn scheme(url: &str) -> Option<(&str, &str)> {
    url.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SHARED: [(&str, &str); 4] = [
        ("ADVISOR_EVENT_LOG_URL", "postgres://advisor:secret@db/advisor"),
        ("ADVISOR_READ_MODEL_URL", "postgresql://advisor:secret@db/advisor"),
        ("ADVISOR_BUS_URL", "nats://advisor:secret@bus:4222"),
        ("ADVISOR_MASTER_KEY", "0707070707070707070707070707070707070707070707070707070707070707"),
    ];

    #[test]
    fn a_split_role_is_taken_where_everything_is_shared() {
        for (role, expected) in
            [("api", Role::Api), ("worker", Role::Worker), ("worker, api", Role::Everything), ("api,api", Role::Api)]
        {
            let config = load(&[&SHARED[..], &[("ADVISOR_ROLE", role)]].concat()).unwrap();
            assert_eq!(config.role, expected);
        }
    }

    #[test]
    fn a_split_role_is_refused_where_one_thing_is_not_shared() {
        for left_out in SHARED.map(|(name, _)| name) {
            let setting = left_out.trim_start_matches("ADVISOR_").to_lowercase();
            let given: Vec<_> = SHARED.into_iter().filter(|(name, _)| *name != left_out).collect();
            for role in ["api", "worker"] {
                let error = load(&[&given[..], &[("ADVISOR_ROLE", role)]].concat()).err().unwrap().to_string();
                assert!(error.contains(&format!("`{setting}`")) && !error.contains("secret"), "{error}");
            }
            assert!(load(&given).is_ok(), "one process does everything without {left_out}");
        }
    }

    #[test]
    fn each_name_of_an_engine_is_known() {
        let event_log = |url| load(&[("ADVISOR_EVENT_LOG_URL", url)]).map(|config| config.engines.event_log);
        assert!(
            matches!(event_log("sqlite:a/log.db"), Ok(EventLogEngine::Sqlite(path)) if path == Path::new("a/log.db"))
        );
        for url in ["esdb://h:2113?tls=false", "esdb+discover://h", "kurrentdb://h", "kurrentdb+discover://h"] {
            let Ok(EventLogEngine::KurrentDb(url)) = event_log(url) else { panic!("{url}") };
            assert!(secrecy::ExposeSecret::expose_secret(&url).starts_with("esdb"));
        }
        for url in ["sqlite:", "mysql://h", "log.db", "local:"] {
            assert!(event_log(url).is_err(), "{url}");
        }
        let bus = |url| load(&[("ADVISOR_BUS_URL", url)]).map(|config| config.engines.bus);
        assert!(matches!(bus("tls://token@h"), Ok(BusEngine::Nats(_))));
        assert!(bus("local:h").is_err() && bus("kafka://h").is_err());
    }

    #[test]
    fn beyond_loopback_the_bus_needs_a_login() {
        let bus = |variables: &[(&str, &str)]| load(variables).map(|config| config.engines.bus);
        let (there, file) = (("ADVISOR_BUS_URL", "nats://bus:4222"), ("ADVISOR_BUS_CREDENTIALS_FILE", "bus.creds"));
        let error = bus(&[there]).err().unwrap().to_string();
        assert!(
            error.contains("`bus_url`") && error.contains("lies beyond loopback, where it needs a login"),
            "{error}"
        );
        let Ok(BusEngine::Nats(given)) = bus(&[there, file]) else { panic!("a credentials file is a login") };
        assert_eq!(
            (given.credentials_file.as_deref(), given.prefix.as_str()),
            (Some(Path::new("bus.creds")), "advisor")
        );
        assert!(bus(&[("ADVISOR_BUS_URL", "nats://127.0.0.1")]).is_ok());
    }

    fn load(variables: &[(&str, &str)]) -> Result<Config> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::from_settings(&Settings::resolve(None, &environment, &[])?)
    }
}
