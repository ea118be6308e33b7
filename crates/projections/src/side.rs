//! The side store: what no log can rebuild and no generation contains.

pub(crate) mod copying;
pub mod drafts;
pub mod erasures;
pub mod keys;
pub mod leases;
pub mod revocations;

pub use copying::SideCopied;
pub use drafts::{Draft, Drafts};
pub use erasures::{Erasure, Erasures};
pub use keys::{BelongingError, Keys, KeysCopied, KeysCopyError};
pub use leases::{LeaseRow, Leases};
pub use revocations::Revocations;

use crate::{
    PostgresOptions, PostgresStore, SqliteStore, Store, StoreError,
    sqlite::SqliteOptions,
    store::{Statement, Write},
};
use std::{path::Path, sync::Arc};

const CREATE_POINTER: &str =
    "CREATE TABLE IF NOT EXISTS live_generation (id BIGINT NOT NULL PRIMARY KEY, number BIGINT NOT NULL)";
const POINTER: &str = "SELECT number FROM live_generation WHERE id = 1";
/// What makes the tables of the side store itself.
const OWN: [&str; 6] =
    [CREATE_POINTER, drafts::CREATE, erasures::CREATE, leases::CREATE, revocations::CREATE, revocations::CREATE_INDEX];
const SET_POINTER: &str = "INSERT INTO live_generation (id, number) VALUES (1, $1)
    ON CONFLICT (id) DO UPDATE SET number = excluded.number";

/// The side store: drafts of running replies, revoked sign-ins, the pointer to the live generation. Cloning is
/// cheap.
#[derive(Clone)]
pub struct SideStore {
    store: Arc<dyn Store>,
    drafts: Drafts,
    erasures: Erasures,
    leases: Leases,
    revocations: Revocations,
}

impl SideStore {
    /// Opens the side store's file, and makes it if it is not there.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteOptions { readers: 2, cache_kib: 16 * 1_024, ..SqliteOptions::at(path) };
        Ok(Self::of(Arc::new(SqliteStore::open(options, OWN.map(str::to_owned).to_vec()).await?)))
    }

    /// Opens the side store's schema ([`SIDE_SCHEMA`](crate::postgres::SIDE_SCHEMA)), and makes it if it is not there.
    pub async fn open_postgres(options: PostgresOptions) -> Result<Self, StoreError> {
        Ok(Self::of(Arc::new(PostgresStore::open(options, OWN.map(str::to_owned).to_vec()).await?)))
    }

    /// A side store in a store of another kind; its tables are made if they are not there.
    pub async fn over(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        store.write(OWN.map(|sql| Write::Run(Statement::new(sql, vec![]))).to_vec()).await?;
        Ok(Self::of(store))
    }

    fn of(store: Arc<dyn Store>) -> Self {
        let (drafts, erasures) = (Drafts::new(Arc::clone(&store)), Erasures::new(Arc::clone(&store)));
        let (leases, revocations) = (Leases::new(Arc::clone(&store)), Revocations::new(Arc::clone(&store)));
        Self { store, drafts, erasures, leases, revocations }
    }

    /// The drafts of running replies.
    pub fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    /// Who does what only one process may do.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Whose sign-ins are not accepted any more.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The erasures that have come to their end.
    pub fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    /// Returns once the bytes of what was removed are nowhere in the files any more.
    pub async fn scrub(&self) -> Result<(), StoreError> {
        self.store.scrub().await
    }

    /// Closes the file; everything fails from now on.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The generation that lives; `None` before the first.
    pub(crate) async fn live_generation(&self) -> Result<Option<u64>, StoreError> {
        let answers = self.store.read(vec![Statement::new(POINTER, vec![])]).await?;
        let row = answers.into_iter().flatten().next();
        Ok(row.map(|row| row.into_cells().number()).transpose()?)
    }

    pub(crate) async fn set_live_generation(&self, number: u64) -> Result<(), StoreError> {
        self.store.write(vec![Write::Run(Statement::new(SET_POINTER, vec![number.into()]))]).await
    }
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let own = [POINTER, SET_POINTER].map(|sql| Statement::new(sql, vec![]));
    let others = [drafts::statements(), keys::statements(), erasures::statements().to_vec()];
    let others = others.into_iter().chain([leases::statements().to_vec()]);
    own.into_iter().chain(others.flatten()).chain(revocations::statements()).collect()
}

/// What makes the tables here.
pub(crate) const CREATE: [&str; 8] = {
    let [keys, belonging] = keys::CREATE;
    let [pointer, drafts, erasures, leases, revocations, index] = OWN;
    [pointer, drafts, keys, belonging, erasures, leases, revocations, index]
};
