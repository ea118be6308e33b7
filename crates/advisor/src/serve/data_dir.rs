//! The directories that a server keeps things in are one process's at a time: sockets, files and what is cached of them.

use super::create_data_dir;
use crate::config::{Config, engines::ReadModelEngine};
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Keeps other processes out, as long as it is there; a process that is killed lets go of it, too.
pub(super) struct Claim {
    _locks: Vec<File>,
}

/// Makes the data directory, and that of read models in files; refuses those that another process has.
pub(super) fn claim(config: &Config) -> Result<Claim> {
    let read_models = match &config.engines.read_models {
        ReadModelEngine::Sqlite(directory) => Some(directory),
        ReadModelEngine::Postgres(_) => None,
    };
    let mut directories = BTreeSet::new();
    for directory in [Some(&config.data_dir), read_models].into_iter().flatten() {
        create_data_dir(directory)?;
        // Most often they are the same.
        directories.insert(fs::canonicalize(directory).with_context(|| directory.display().to_string())?);
    }
    let locks = directories.iter().map(|directory| lock(directory));
    Ok(Claim { _locks: locks.collect::<Result<_>>()? })
}

fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("process.lock");
    let opened = File::options().create(true).append(true).mode(0o600).open(&path);
    let lock = opened.with_context(|| format!("{} can't be opened", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("the data directory {} is in use by another process: each has its own", directory.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} can't be locked", path.display())),
    }
}
