//! Generations in files of a directory, which one process owns.

use super::{Generation, Places};
use crate::{SqliteOptions, SqliteStore, Store, StoreError, checkpoint};
use async_trait::async_trait;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The files of a directory.
pub(super) struct Files<'a, F> {
    pub(super) directory: &'a Path,
    /// The limits of a file.
    pub(super) options: F,
}

impl<F: Fn(PathBuf) -> SqliteOptions> Files<'_, F> {
    fn options(&self, number: u64) -> SqliteOptions {
        (self.options)(self.directory.join(format!("generation-{number}.db")))
    }
}

#[async_trait]
impl<F: Fn(PathBuf) -> SqliteOptions + Send + Sync> Places for Files<'_, F> {
    async fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let names = fs::read_dir(self.directory).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
        });
        let names = names.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name.to_str()?)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn store(&self, number: u64) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open(self.options(number), vec![checkpoint::CREATE.to_owned()]).await?))
    }

    async fn open(&self, number: u64) -> Result<Generation, StoreError> {
        Generation::open(number, self.options(number)).await
    }

    async fn remove(&self, number: u64) -> Result<(), StoreError> {
        tracing::warn!(generation.number = number, "a generation that nobody reads is removed");
        remove(&self.options(number).path).map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("generation-")?.strip_suffix(".db")?.parse().ok()
}

/// Removes a file of SQLite's with its companions, as far as they are there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for ending in ["db", "db-wal", "db-shm"] {
        match fs::remove_file(path.with_extension(ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
