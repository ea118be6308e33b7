//! Which deleted people's words are erased by now.

use crate::{
    Store, StoreError,
    store::{Row, RowError, Statement, Write},
    table::{in_loads, select_in},
};
use advisor_eventlog::Position;
use advisor_events::{Timestamp, UserId};
use std::{borrow::Cow, sync::Arc};

pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS erasures (user_id TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL, erased_at BIGINT NOT NULL)";
const PUT: &str = "INSERT INTO erasures (user_id, position, erased_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET position = excluded.position, erased_at = excluded.erased_at";
const SELECT: &str = "SELECT user_id, position, erased_at FROM erasures WHERE user_id";

/// The end of a person's erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Who it was.
    pub user_id: UserId,
    /// The event that asked for it.
    pub position: Position,
    /// When nothing was left.
    pub erased_at: Timestamp,
}

/// The erasures that have come to their end. Cloning is cheap.
#[derive(Clone)]
pub struct Erasures {
    store: Arc<dyn Store>,
}

impl Erasures {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Notes that of these people nothing is left, in one transaction.
    pub async fn put_many(&self, erasures: Vec<Erasure>) -> Result<(), StoreError> {
        let params = erasures
            .into_iter()
            .map(|erasure| vec![erasure.user_id.0.into(), erasure.position.into(), erasure.erased_at.into()]);
        self.store.write(vec![Write::Each { sql: Cow::Borrowed(PUT), params: params.collect() }]).await
    }

    /// The erasure of a person, if it has come to its end.
    pub async fn get(&self, user: &UserId) -> Result<Option<Erasure>, StoreError> {
        Ok(self.get_many(std::slice::from_ref(user)).await?.pop())
    }

    /// Those of these people's that have come to their end.
    pub async fn get_many(&self, users: &[UserId]) -> Result<Vec<Erasure>, StoreError> {
        let keys: Vec<String> = users.iter().map(|user| user.0.clone()).collect();
        let statements: Vec<_> = in_loads(&keys).into_iter().map(|keys| select_in(SELECT, keys)).collect();
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.read(statements).await?.into_iter().flatten();
        Ok(rows.map(Erasure::from_row).collect::<Result<_, _>>()?)
    }
}

impl Erasure {
    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self { user_id: cells.id()?, position: cells.position()?, erased_at: cells.time()? })
    }
}

/// Every text of SQL here.
pub(crate) fn statements() -> [Statement; 2] {
    [Statement::new(PUT, vec![]), select_in(SELECT, vec!["u".into()])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::engine::side;

    #[tokio::test]
    async fn an_erasure_is_remembered_across_restarts() {
        let (place, side) = side().await;
        assert_eq!(side.erasures().get(&"ana".into()).await.unwrap(), None);

        side.erasures().put_many(vec![erasure("ana", 7), erasure("ben", 9)]).await.unwrap();
        side.close().await;

        let side = place.side().await;
        assert_eq!(side.erasures().get(&"ana".into()).await.unwrap(), Some(erasure("ana", 7)));
        let both = side.erasures().get_many(&["ben".into(), "eve".into()]).await.unwrap();
        assert_eq!(both, [erasure("ben", 9)]);
        assert!(side.erasures().get_many(&[]).await.unwrap().is_empty());
    }

    fn erasure(user: &str, position: u64) -> Erasure {
        Erasure { user_id: user.into(), position: Position(position), erased_at: Timestamp(5) }
    }
}
