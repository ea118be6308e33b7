//! What moves with a log: persons' keys, without which its words can't be read, and of the side store what nothing makes
//! again.

use crate::{
    config::{Config, engines::ReadModelEngine},
    master_key::{self, KEYS_FILE},
    output,
    serve::{SIDE_FILE, create_data_dir},
};
use advisor_eventlog::EventLog;
use advisor_projections::{
    Keys, PostgresOptions, SideStore,
    log_identity::{self, IdentityError},
    postgres::{KEYS_SCHEMA, SIDE_SCHEMA},
};
use anyhow::{Context, Result, bail, ensure};

/// Both sides of a move.
pub(super) struct Beside {
    from: Stores,
    to: Stores,
}

struct Stores {
    keys: Keys,
    side: SideStore,
}

impl Beside {
    /// Opens both sides. The master key of both is the configured one, or that beside the source.
    pub(super) async fn open(from: &str, to: &str, config: &Config) -> Result<Self> {
        let wrong = || format!("read models are {}", ReadModelEngine::URLS);
        let from = ReadModelEngine::parse(from).with_context(wrong).context("`--read-models-from`")?;
        let to = ReadModelEngine::parse(to).with_context(wrong).context("`--read-models-to`")?;
        let key_beside = match &from {
            ReadModelEngine::Sqlite(directory) => {
                for file in [KEYS_FILE, SIDE_FILE] {
                    let path = directory.join(file);
                    ensure!(path.is_file(), "`--read-models-from`: there is no {}", path.display());
                }
                directory
            }
            ReadModelEngine::Postgres(_) => &config.data_dir,
        };
        let master_key = master_key::load(key_beside, config.master_key.as_ref())?;
        let from = Stores::open(&from, master_key, config).await.context("`--read-models-from`")?;
        let to = Stores::open(&to, master_key, config).await.context("`--read-models-to`")?;
        Ok(Self { from, to })
    }

    /// Copies everything, and says what. No server takes the copy until [`Beside::end`].
    pub(super) async fn begin(&self, from: &dyn EventLog, to: &dyn EventLog) -> Result<String> {
        let identity = log_identity::read(from).await?;
        match log_identity::read(to).await {
            Err(IdentityError::NotOpened) => {}
            Ok(other) if other == identity => {}
            Ok(_) => bail!("`--to` holds another log"),
            Err(error) => return Err(error).context("`--to`"),
        }
        let keys = self.to.keys.begin_copy(&self.from.keys, from).await?;
        let side = self.to.side.copy_from(&self.from.side).await?;
        Ok(format!(
            "{} persons' keys were copied, {} had been before, {} of both are destroyed; {} revocations, {} drafts",
            keys.now, keys.there, keys.destroyed, side.revocations, side.drafts
        ))
    }

    /// Gives the copy free, now that the log is there.
    pub(super) async fn end(self, log: &dyn EventLog) -> Result<()> {
        self.to.keys.end_copy(log).await?;
        self.from.close().await;
        self.to.close().await;
        output::line("the copy is whole: a server may be started on it")
    }
}

impl Stores {
    async fn open(engine: &ReadModelEngine, master_key: [u8; 32], config: &Config) -> Result<Self> {
        let keys_cached_max = config.limits.keys_cached_max;
        match engine {
            ReadModelEngine::Sqlite(directory) => {
                create_data_dir(directory)?;
                let keys = Keys::open_caching(&directory.join(KEYS_FILE), master_key, keys_cached_max).await?;
                Ok(Self { keys, side: SideStore::open(&directory.join(SIDE_FILE)).await? })
            }
            ReadModelEngine::Postgres(url) => {
                let options = |schema| PostgresOptions::at(url.clone(), schema);
                let keys = Keys::open_postgres(options(KEYS_SCHEMA), master_key, keys_cached_max).await?;
                Ok(Self { keys, side: SideStore::open_postgres(options(SIDE_SCHEMA)).await? })
            }
        }
    }

    async fn close(&self) {
        self.keys.close().await;
        self.side.close().await;
    }
}
