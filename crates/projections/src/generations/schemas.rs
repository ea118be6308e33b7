//! Generations in schemas of a PostgreSQL database, which many processes share.
//!
//! Every connection to a generation holds a shared lock on its name. So a generation that no process uses is one whose
//! lock is to be had, whatever has become of those that used it.

use super::{Generation, Places};
use crate::{PostgresOptions, PostgresStore, Store, StoreError, checkpoint, postgres::Maker};
use async_trait::async_trait;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The schemas of a database whose names begin with the options'.
pub(super) struct Schemas {
    options: PostgresOptions,
    scratch: PathBuf,
    pub(super) maker: Maker,
}

impl Schemas {
    /// Waits until no other process chooses or makes a generation here.
    pub(super) async fn alone(options: PostgresOptions, scratch: &Path) -> Result<Self, StoreError> {
        let maker = Maker::alone(&options).await?;
        Ok(Self { options, scratch: scratch.to_owned(), maker })
    }

    fn options(&self, number: u64) -> PostgresOptions {
        let schema = format!("{}_{number}", self.options.schema);
        PostgresOptions { schema, ..self.options.clone() }.in_use()
    }
}

#[async_trait]
impl Places for Schemas {
    async fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let schemas = self.maker.schemas().await?;
        let prefix = format!("{}_", self.options.schema);
        let mut numbers: Vec<u64> =
            schemas.iter().filter_map(|schema| schema.strip_prefix(&prefix)?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn store(&self, number: u64) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(PostgresStore::open(self.options(number), vec![checkpoint::CREATE.to_owned()]).await?))
    }

    async fn open(&self, number: u64) -> Result<Generation, StoreError> {
        Generation::open_postgres(number, self.options(number), &self.scratch).await
    }

    async fn remove(&self, number: u64) -> Result<(), StoreError> {
        if self.maker.remove_unused(&self.options(number).schema).await? {
            tracing::warn!(generation.number = number, "a generation that nobody reads is removed");
        }
        Ok(())
    }
}
