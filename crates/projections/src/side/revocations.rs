//! Whose sign-ins are not accepted any more, although their tokens have not expired yet.
//!
//! Tokens live at most 24 hours. A revocation is kept for longer than that, and then it has nothing left to refuse.

use crate::{
    Store, StoreError,
    store::{Row, RowError, Statement, Write},
};
use advisor_events::{Timestamp, UserId};
use std::{borrow::Cow, sync::Arc};

pub(crate) const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS revocations (subject TEXT NOT NULL PRIMARY KEY, revoked_at BIGINT NOT NULL)";
pub(crate) const CREATE_INDEX: &str =
    "CREATE INDEX IF NOT EXISTS revocations_by_time ON revocations (revoked_at, subject)";
/// What is revoked once more is kept from then on.
const PUT: &str = "INSERT INTO revocations (subject, revoked_at) VALUES ($1, $2)
    ON CONFLICT (subject) DO UPDATE SET revoked_at = excluded.revoked_at
    WHERE excluded.revoked_at > revocations.revoked_at";
const SINCE: &str = "SELECT subject, revoked_at FROM revocations WHERE revoked_at >= $1
    ORDER BY revoked_at DESC, subject LIMIT $2";
const SWEEP: &str = "DELETE FROM revocations WHERE revoked_at < $1";

/// What is not accepted any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Tokens of one session.
    Session(String),
    /// Every token of a person who was deleted.
    Person(UserId),
}

/// That something is not accepted any more, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub subject: Subject,
    /// When that was written, by the writer's clock.
    pub revoked_at: Timestamp,
}

/// The revocations of all processes. Cloning is cheap.
#[derive(Clone)]
pub struct Revocations {
    store: Arc<dyn Store>,
}

impl Revocations {
    /// Those in this store, which has their table.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// No token of this person is accepted any more. Every process hears of it within a second.
    pub async fn revoke_person(&self, person: &UserId, now: Timestamp) -> Result<(), StoreError> {
        self.put(&Revocation { subject: Subject::Person(person.clone()), revoked_at: now }).await
    }

    /// Writes a revocation; where there is one of the subject already, the later one stays. It is on the disk before
    /// this returns: whoever told of it will not tell again.
    pub async fn put(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.put_many(std::slice::from_ref(revocation)).await
    }

    /// The same of many, in one transaction.
    pub(super) async fn put_many(&self, revocations: &[Revocation]) -> Result<(), StoreError> {
        let params = revocations
            .iter()
            .map(|revocation| vec![revocation.subject.text().into(), revocation.revoked_at.into()])
            .collect();
        self.store.write_durably(vec![Write::Each { sql: Cow::Borrowed(PUT), params }]).await
    }

    /// The newest revocations since `from`, at most `max` of them.
    pub async fn since(&self, from: Timestamp, max: usize) -> Result<Vec<Revocation>, StoreError> {
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let statement = Statement::new(SINCE, vec![from.into(), limit.into()]);
        let rows = self.store.read(vec![statement]).await?.into_iter().flatten();
        Ok(rows.map(Revocation::from_row).collect::<Result<_, _>>()?)
    }

    /// Removes what was revoked before `before`: no token of that time is alive.
    pub async fn sweep(&self, before: Timestamp) -> Result<(), StoreError> {
        self.store.write(vec![Write::Run(Statement::new(SWEEP, vec![before.into()]))]).await
    }
}

impl Subject {
    fn text(&self) -> String {
        match self {
            Self::Session(id) => format!("session:{id}"),
            Self::Person(id) => format!("user:{id}"),
        }
    }

    fn parse(text: &str) -> Result<Self, RowError> {
        match text.split_once(':') {
            Some(("session", id)) => Ok(Self::Session(id.to_owned())),
            Some(("user", id)) => Ok(Self::Person(id.into())),
            Some(_) | None => Err(RowError("subject of a revocation")),
        }
    }
}

impl Revocation {
    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self { subject: Subject::parse(&cells.text()?)?, revoked_at: cells.time()? })
    }
}

/// Every text of SQL here.
pub(crate) fn statements() -> [Statement; 3] {
    [PUT, SINCE, SWEEP].map(|sql| Statement::new(sql, vec![]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SideStore, given::engine::side};

    #[tokio::test]
    async fn revocations_are_told_from_a_time_on_newest_first_and_survive_a_restart() {
        let (place, side) = side().await;
        let revocations = side.revocations();
        revocations.put(&session("old", 10)).await.unwrap();
        revocations.revoke_person(&"ana".into(), Timestamp(20)).await.unwrap();
        revocations.put(&session("with:colon", 30)).await.unwrap();
        side.close().await;

        let side = place.side().await;

        let ana = Revocation { subject: Subject::Person("ana".into()), revoked_at: Timestamp(20) };
        assert_eq!(since(&side, 20, 9).await, [session("with:colon", 30), ana]);
        assert_eq!(since(&side, 0, 1).await, [session("with:colon", 30)]);
    }

    #[tokio::test]
    async fn what_is_revoked_once_more_is_kept_from_then_on() {
        let (_place, side) = side().await;
        for at in [10, 30, 20] {
            side.revocations().put(&session("s", at)).await.unwrap();
        }
        assert_eq!(since(&side, 0, 9).await, [session("s", 30)]);
    }

    #[tokio::test]
    async fn revocations_that_no_token_outlives_are_swept_away() {
        let (_place, side) = side().await;
        side.revocations().put(&session("old", 10)).await.unwrap();
        side.revocations().put(&session("new", 20)).await.unwrap();

        side.revocations().sweep(Timestamp(20)).await.unwrap();

        assert_eq!(since(&side, 0, 9).await, [session("new", 20)]);
    }

    async fn since(side: &SideStore, from: i64, max: usize) -> Vec<Revocation> {
        side.revocations().since(Timestamp(from), max).await.unwrap()
    }

    fn session(id: &str, at: i64) -> Revocation {
        Revocation { subject: Subject::Session(id.to_owned()), revoked_at: Timestamp(at) }
    }
}
