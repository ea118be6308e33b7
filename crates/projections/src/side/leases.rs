//! Who does what only one process may do: a row whose owner touches it every second.

use crate::{
    Store, StoreError,
    reader::State,
    store::{Row, RowError, Statement, Value, Write},
};
use std::sync::Arc;

pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS leases (name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL, fence BIGINT NOT NULL, beat BIGINT NOT NULL, released BIGINT NOT NULL, state TEXT NOT NULL)";
const SELECT: &str = "SELECT owner, fence, beat, released, state FROM leases WHERE name = $1";
const TAKE_FIRST: &str = "INSERT INTO leases (name, owner, fence, beat, released, state) VALUES ($1, $2, $3, 0, 0, $4)
    ON CONFLICT (name) DO NOTHING";
const TAKE: &str = "UPDATE leases SET owner = $1, fence = $2, beat = 0, released = 0
    WHERE name = $3 AND fence = $4 AND beat = $5";
const BEAT: &str = "UPDATE leases SET beat = beat + 1, state = $1
    WHERE name = $2 AND owner = $3 AND fence = $4 AND released = 0";
const RELEASE: &str = "UPDATE leases SET released = 1, state = $1 WHERE name = $2 AND owner = $3 AND fence = $4";

/// A lease as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Whose it is.
    pub owner: String,
    /// Higher with each owner: what was written under a lower one is refused.
    pub fence: u64,
    /// Raised by the owner every second to show that it lives.
    pub beat: u64,
    /// Whether the owner has given it up in good order.
    pub released: bool,
    /// How the owner's work fares.
    pub state: State,
}

/// Who holds a lease, and under which fence.
#[derive(Clone, Copy)]
pub(crate) struct Holder<'a> {
    pub(crate) name: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) fence: u64,
}

/// All leases. Cloning is cheap.
#[derive(Clone)]
pub struct Leases {
    store: Arc<dyn Store>,
}

impl Leases {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// A lease; `None` while nobody has ever had it.
    pub async fn get(&self, name: &str) -> Result<Option<LeaseRow>, StoreError> {
        let answers = self.store.read(vec![Statement::new(SELECT, vec![name.into()])]).await?;
        let row = answers.into_iter().flatten().next();
        Ok(row.map(LeaseRow::from_row).transpose()?)
    }

    /// Takes a lease from whoever had it as it was seen; [`StoreError::Superseded`] when it has been touched since.
    pub(crate) async fn take(&self, to: Holder<'_>, seen: Option<&LeaseRow>) -> Result<(), StoreError> {
        let (name, owner, fence) = (to.name.into(), to.owner.into(), to.fence.into());
        let take = match seen {
            None => Statement::new(TAKE_FIRST, vec![name, owner, fence, word(&State::CatchingUp)?]),
            Some(seen) => Statement::new(TAKE, vec![owner, fence, name, seen.fence.into(), seen.beat.into()]),
        };
        self.store.write_durably(vec![Write::Guard(take)]).await
    }

    /// Shows that the holder lives, and how its work fares; [`StoreError::Superseded`] when it holds it no more.
    pub(crate) async fn beat(&self, holder: Holder<'_>, state: &State) -> Result<(), StoreError> {
        self.touch(BEAT, holder, state).await
    }

    /// Gives the lease up: somebody else may take it at once.
    pub(crate) async fn release(&self, holder: Holder<'_>, state: &State) -> Result<(), StoreError> {
        self.touch(RELEASE, holder, state).await
    }

    async fn touch(&self, sql: &'static str, holder: Holder<'_>, state: &State) -> Result<(), StoreError> {
        let params = vec![word(state)?, holder.name.into(), holder.owner.into(), holder.fence.into()];
        self.store.write(vec![Write::Guard(Statement::new(sql, params))]).await
    }
}

impl LeaseRow {
    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self {
            owner: cells.text()?,
            fence: cells.number()?,
            beat: cells.number()?,
            released: cells.flag()?,
            state: cells.json()?,
        })
    }
}

fn word(state: &State) -> Result<Value, StoreError> {
    let text = serde_json::to_string(state).map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(Value::Text(text))
}

/// Every text of SQL here.
pub(crate) fn statements() -> [Statement; 5] {
    [SELECT, TAKE_FIRST, TAKE, BEAT, RELEASE].map(|sql| Statement::new(sql, vec![]))
}
