//! The text of running replies so far, and the beat that shows that their owners live.

use crate::{
    Store, StoreError,
    store::{Row, RowError, Statement, Value, Write},
    table::{in_loads, select_in},
};
use advisor_events::{ConversationId, ReplyId, Timestamp};
use std::{borrow::Cow, sync::Arc};

pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS drafts (reply_id TEXT NOT NULL PRIMARY KEY,
    conversation_id TEXT NOT NULL, attempt BIGINT NOT NULL, beat BIGINT NOT NULL, owner TEXT NOT NULL,
    released BIGINT NOT NULL, updated_at BIGINT NOT NULL, text TEXT NOT NULL)";
const PUT: &str = "INSERT INTO drafts (reply_id, conversation_id, attempt, beat, owner, released, updated_at, text)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (reply_id) DO UPDATE SET attempt = excluded.attempt, beat = excluded.beat, owner = excluded.owner,
        released = excluded.released, updated_at = excluded.updated_at, text = excluded.text
    WHERE excluded.attempt > drafts.attempt
        OR (excluded.attempt = drafts.attempt AND excluded.owner = drafts.owner)";
const REMOVE: &str = "DELETE FROM drafts WHERE reply_id = $1";
const IDS: &str = "SELECT reply_id FROM drafts WHERE reply_id > $1 ORDER BY reply_id LIMIT $2";
const SWEEP: &str = "DELETE FROM drafts WHERE updated_at < $1";
const SELECT: &str =
    "SELECT reply_id, conversation_id, attempt, beat, owner, released, updated_at, text FROM drafts WHERE reply_id";

/// The text of a running reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The reply.
    pub reply_id: ReplyId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The attempt that writes it.
    pub attempt: u32,
    /// The text so far.
    pub text: String,
    /// A number that the owner raises every second to show that it lives.
    pub beat: u64,
    /// Who writes it: the name of its claim.
    pub owner: String,
    /// Whether the owner has given it up in good order.
    pub released: bool,
    /// When it was written, for [`Drafts::sweep`].
    pub updated_at: Timestamp,
}

/// The drafts of all running replies. Cloning is cheap.
#[derive(Clone)]
pub struct Drafts {
    store: Arc<dyn Store>,
}

impl Drafts {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Writes a draft, unless one of a higher attempt, or of the same attempt and another owner, is there.
    pub async fn put(&self, draft: Draft) -> Result<(), StoreError> {
        self.put_many(vec![draft]).await
    }

    /// Writes many drafts in one transaction.
    pub async fn put_many(&self, drafts: Vec<Draft>) -> Result<(), StoreError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let params = drafts.into_iter().map(Draft::into_values).collect();
        self.store.write(vec![Write::Each { sql: Cow::Borrowed(PUT), params }]).await
    }

    /// The draft of a reply.
    pub async fn get(&self, reply: &ReplyId) -> Result<Option<Draft>, StoreError> {
        Ok(self.get_many(std::slice::from_ref(reply)).await?.pop())
    }

    /// The drafts of these replies, as far as there are any.
    pub async fn get_many(&self, replies: &[ReplyId]) -> Result<Vec<Draft>, StoreError> {
        let keys: Vec<String> = replies.iter().map(|reply| reply.0.clone()).collect();
        let statements: Vec<_> = in_loads(&keys).into_iter().map(|keys| select_in(SELECT, keys)).collect();
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.read(statements).await?.into_iter().flatten();
        Ok(rows.map(Draft::from_row).collect::<Result<_, _>>()?)
    }

    /// The replies that have a draft, in the order of their ids, from the one after `after` on.
    pub async fn replies(&self, after: &ReplyId, limit: u32) -> Result<Vec<ReplyId>, StoreError> {
        let statement = Statement::new(IDS, vec![after.into(), limit.into()]);
        let rows = self.store.read(vec![statement]).await?.into_iter().flatten();
        Ok(rows.map(|row| row.into_cells().id()).collect::<Result<_, _>>()?)
    }

    /// Removes the draft of a reply that has ended.
    pub async fn remove(&self, reply: &ReplyId) -> Result<(), StoreError> {
        self.remove_many(std::slice::from_ref(reply)).await
    }

    /// Removes the drafts of replies that have ended, in one transaction.
    pub async fn remove_many(&self, replies: &[ReplyId]) -> Result<(), StoreError> {
        let params = replies.iter().map(|reply| vec![reply.into()]).collect();
        self.store.write(vec![Write::Each { sql: Cow::Borrowed(REMOVE), params }]).await
    }

    /// Removes what nobody has written to since `before`: left behind by crashes.
    pub async fn sweep(&self, before: Timestamp) -> Result<(), StoreError> {
        self.store.write(vec![Write::Run(Statement::new(SWEEP, vec![before.into()]))]).await
    }
}

impl Draft {
    fn into_values(self) -> Vec<Value> {
        vec![
            self.reply_id.0.into(),
            self.conversation_id.0.into(),
            self.attempt.into(),
            self.beat.into(),
            self.owner.into(),
            self.released.into(),
            self.updated_at.into(),
            self.text.into(),
        ]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self {
            reply_id: cells.id()?,
            conversation_id: cells.id()?,
            attempt: cells.number()?,
            beat: cells.number()?,
            owner: cells.text()?,
            released: cells.flag()?,
            updated_at: cells.time()?,
            text: cells.text()?,
        })
    }
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let own = [PUT, REMOVE, IDS, SWEEP].map(|sql| Statement::new(sql, vec![]));
    own.into_iter().chain([select_in(SELECT, vec!["r".into()])]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::engine::side;

    #[tokio::test]
    async fn a_draft_grows_until_it_is_removed() {
        let (_place, side) = side().await;
        let drafts = side.drafts();
        let reply = ReplyId::from("r");

        drafts.put(draft("r", 1, "He")).await.unwrap();
        drafts.put(Draft { beat: 2, ..draft("r", 1, "Hello") }).await.unwrap();

        let stored = drafts.get(&reply).await.unwrap().unwrap();
        assert_eq!(stored, Draft { beat: 2, ..draft("r", 1, "Hello") });
        drafts.remove(&reply).await.unwrap();
        assert_eq!(drafts.get(&reply).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_higher_attempt_replaces_the_draft_and_an_older_or_other_owner_cannot() {
        let (_place, side) = side().await;
        let drafts = side.drafts();
        let stored = || async { drafts.get(&"r".into()).await.unwrap().unwrap().text };

        drafts.put(draft("r", 2, "second")).await.unwrap();
        drafts.put(draft("r", 1, "first")).await.unwrap();
        assert_eq!(stored().await, "second");
        drafts.put(Draft { owner: "somebody else".into(), ..draft("r", 2, "other") }).await.unwrap();
        assert_eq!(stored().await, "second");
        drafts.put(Draft { owner: "somebody else".into(), ..draft("r", 3, "third") }).await.unwrap();
        assert_eq!(stored().await, "third");
    }

    #[tokio::test]
    async fn many_drafts_are_written_and_read_together() {
        let (_place, side) = side().await;
        let drafts = side.drafts();
        let ids: Vec<ReplyId> = (0..600).map(|number| ReplyId::from(format!("r{number}"))).collect();

        drafts.put_many(ids.iter().map(|id| draft(id.as_str(), 1, "text")).collect()).await.unwrap();
        drafts.put_many(vec![]).await.unwrap();

        assert_eq!(drafts.get_many(&ids).await.unwrap().len(), 600);
        assert!(drafts.get_many(&[]).await.unwrap().is_empty());
        drafts.remove_many(&ids).await.unwrap();
        assert!(drafts.get_many(&ids).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_nobody_has_written_to_for_long_is_swept_away() {
        let (_place, side) = side().await;
        let drafts = side.drafts();
        drafts.put(draft("old", 1, "text")).await.unwrap();
        drafts.put(Draft { updated_at: Timestamp(20), ..draft("new", 1, "text") }).await.unwrap();

        drafts.sweep(Timestamp(20)).await.unwrap();

        let left = drafts.get_many(&["old".into(), "new".into()]).await.unwrap();
        assert_eq!(left.iter().map(|draft| draft.reply_id.as_str()).collect::<Vec<_>>(), ["new"]);
    }

    #[tokio::test]
    async fn drafts_survive_a_restart() {
        let (place, side) = side().await;
        side.drafts().put(draft("r", 1, "text")).await.unwrap();
        side.close().await;

        let side = place.side().await;

        assert_eq!(side.drafts().get(&"r".into()).await.unwrap(), Some(draft("r", 1, "text")));
    }

    fn draft(reply: &str, attempt: u32, text: &str) -> Draft {
        Draft {
            reply_id: reply.into(),
            conversation_id: "c".into(),
            attempt,
            text: text.to_owned(),
            beat: 1,
            owner: "a claim".into(),
            released: false,
            updated_at: Timestamp(10),
        }
    }
}
