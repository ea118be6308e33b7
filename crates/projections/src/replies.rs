//! Replies that have not become a message: asked for, running, or failed.

mod apply;

pub use apply::Replies;

use crate::{
    Changed, Query,
    changes::{changed_row, texts_of},
    store::{Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow, in_loads, select_in},
};
use advisor_eventlog::Position;
use advisor_events::{AdvisorId, ConversationId, MessageId, ReplyId, UserId, conversation::ReplyFailure};
use serde::{Deserialize, Serialize};

/// Begins every text here.
macro_rules! select {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            "r.id, r.conversation_id, r.user_id, r.message_id, r.advisor_id, r.status, r.attempt,
                r.attempts_counted, r.claim, r.stop_requested, r.error, r.asked_position, r.revision, r.place,
                r.position ",
            $rest
        )
    };
}

/// How far a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyStatus {
    /// Asked for; no attempt has begun.
    Pending,
    /// An attempt has begun.
    Streaming,
    /// It will not come.
    Failed,
}

impl ReplyStatus {
    /// The word in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Streaming => "streaming",
            Self::Failed => "failed",
        }
    }
}

/// A reply. Its text so far is the draft in the side store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyRow {
    /// The reply, which is also the id of the message that it becomes.
    pub id: ReplyId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Whose conversation that is.
    pub user_id: UserId,
    /// What it answers.
    pub message_id: MessageId,
    /// Who replies.
    pub advisor_id: AdvisorId,
    /// How far it is.
    pub status: ReplyStatus,
    /// The last attempt that began; 0 when none has.
    pub attempt: u32,
    /// Attempts that count against the limit.
    pub attempts_counted: u32,
    /// The name of the last claim.
    pub claim: Option<String>,
    /// Whether the user asked it to stop.
    pub stop_requested: bool,
    /// Why it failed.
    pub error: Option<ReplyFailure>,
    /// The position of the event that asked for it: the order of replies over all conversations.
    pub asked_position: Position,
    /// The revision of the event that asked for it: replies to earlier messages come first.
    pub revision: u64,
    /// Its place among the replies to the same message.
    pub place: u32,
    /// The last event that changed it.
    pub position: Position,
}

impl TableRow for ReplyRow {
    const TABLE: Table = Table {
        name: "replies",
        key: "id",
        columns: &[
            Column::text("id"),
            Column::text("conversation_id"),
            Column::text("user_id"),
            Column::text("message_id"),
            Column::text("advisor_id"),
            Column::text("status"),
            Column::int("attempt"),
            Column::int("attempts_counted"),
            Column::optional_text("claim"),
            Column::int("stop_requested"),
            Column::optional_text("error"),
            Column::int("asked_position"),
            Column::int("revision"),
            Column::int("place"),
            Column::int("position"),
        ],
        indexes: &[
            ("replies_in_order", "conversation_id, revision, place", ""),
            ("replies_open", "asked_position, place", "status <> 'failed'"),
        ],
        groups: &[
            ("conversation_id", "conversation_id = $1"),
            ("user_id", "conversation_id IN (SELECT id FROM conversations WHERE user_id = $1)"),
        ],
    };
    const KEPT: bool = true;

    fn key(&self) -> String {
        self.id.0.clone()
    }

    fn group(&self, column: &str) -> Option<&str> {
        Some(if column == "user_id" { self.user_id.as_str() } else { self.conversation_id.as_str() })
    }

    fn concern(&self) -> Option<Concern> {
        Some(Concern::in_conversation(self.id.as_str(), &self.user_id, &self.conversation_id))
    }

    fn into_values(self) -> Vec<Value> {
        vec![
            self.id.0.into(),
            self.conversation_id.0.into(),
            self.user_id.0.into(),
            self.message_id.0.into(),
            self.advisor_id.0.into(),
            self.status.as_str().into(),
            self.attempt.into(),
            self.attempts_counted.into(),
            self.claim.into(),
            self.stop_requested.into(),
            self.error.map(error_word).into(),
            self.asked_position.into(),
            self.revision.into(),
            self.place.into(),
            self.position.into(),
        ]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self {
            id: cells.id()?,
            conversation_id: cells.id()?,
            user_id: cells.id()?,
            message_id: cells.id()?,
            advisor_id: cells.id()?,
            status: cells.word()?,
            attempt: cells.number()?,
            attempts_counted: cells.number()?,
            claim: cells.optional_text()?,
            stop_requested: cells.flag()?,
            error: cells.optional_word()?,
            asked_position: cells.position()?,
            revision: cells.number()?,
            place: cells.number()?,
            position: cells.position()?,
        })
    }
}

/// The replies of a conversation of this person, in their order.
pub fn of_conversation(user: &UserId, conversation: &ConversationId) -> Query<Vec<ReplyRow>> {
    const SQL: &str =
        select!("", "FROM replies r WHERE r.conversation_id = $1 AND r.user_id = $2 ORDER BY r.revision, r.place");
    Query::many(Statement::new(SQL, vec![conversation.into(), user.into()]), ReplyRow::from_row)
}

/// A reply in this person's conversations.
pub fn by_id(user: &UserId, id: &ReplyId) -> Query<Option<ReplyRow>> {
    const SQL: &str = select!("", "FROM replies r WHERE r.id = $1 AND r.user_id = $2");
    Query::optional(Statement::new(SQL, vec![id.into(), user.into()]), ReplyRow::from_row)
}

/// A reply, whosever it is (for workers).
pub fn find(id: &ReplyId) -> Query<Option<ReplyRow>> {
    const SQL: &str = select!("", "FROM replies r WHERE r.id = $1");
    Query::optional(Statement::new(SQL, vec![id.into()]), ReplyRow::from_row)
}

/// Which of these replies there are, whosever they are (for workers).
pub fn existing(ids: &[ReplyId]) -> Query<Vec<ReplyId>> {
    let keys: Vec<String> = ids.iter().map(|id| id.0.clone()).collect();
    let queries = in_loads(&keys).into_iter().map(|keys| {
        let statement = select_in("SELECT r.id FROM replies r WHERE r.id", keys);
        Query::many(statement, |row| row.into_cells().id())
    });
    Query::all(queries.collect()).map(|lists| lists.concat())
}

/// Replies that have not ended, of all conversations (for workers), the oldest first; of each conversation only those
/// to the first message that waits for any, so that nobody's long queue hides the others.
pub fn open(limit: u32) -> Query<Vec<ReplyRow>> {
    const SQL: &str = select!(
        "",
        "FROM replies r WHERE r.status <> 'failed' AND NOT EXISTS (SELECT 1 FROM replies x
            WHERE x.conversation_id = r.conversation_id AND x.revision < r.revision AND x.status <> 'failed')
        ORDER BY r.asked_position, r.place LIMIT $1"
    );
    Query::many(Statement::new(SQL, vec![limit.into()]), ReplyRow::from_row)
}

/// The replies of a conversation of this person that changed after a position.
pub fn changed(user: &UserId, conversation: &ConversationId, after: Position) -> Query<Vec<Changed<ReplyRow>>> {
    const SQL: &str = select!(
        "k.key, ",
        "FROM (SELECT DISTINCT key FROM changes
            WHERE feed = $1 AND projection = 'replies' AND position > $2 AND scope = $3) k
        LEFT JOIN replies r ON r.id = k.key AND r.user_id = $1 AND r.conversation_id = $3
        ORDER BY r.revision NULLS FIRST, r.place NULLS FIRST"
    );
    let params = vec![user.into(), after.into(), conversation.into()];
    Query::many(Statement::new(SQL, params), changed_row)
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let (user, conversation, id) = (UserId::from("user"), ConversationId::from("c"), ReplyId::from("r"));
    texts_of([
        of_conversation(&user, &conversation).into_statements(),
        by_id(&user, &id).into_statements(),
        existing(&["r".into()]).into_statements(),
        find(&id).into_statements(),
        open(1).into_statements(),
        changed(&user, &conversation, Position::START).into_statements(),
    ])
}

/// The word in JSON and in rows.
fn error_word(error: ReplyFailure) -> &'static str {
    match error {
        ReplyFailure::AiApiError => "AI_API_ERROR",
        ReplyFailure::NoAiResponse => "NO_AI_RESPONSE",
        ReplyFailure::AdvisorNotFound => "ADVISOR_NOT_FOUND",
        ReplyFailure::AttemptsExhausted => "ATTEMPTS_EXHAUSTED",
        ReplyFailure::MessageDeleted => "MESSAGE_DELETED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{opened, read_side::told};

    #[tokio::test]
    async fn open_replies_of_all_conversations_come_in_the_order_of_their_asking() {
        let failed = ReplyFailure::AiApiError;
        let story = opened("this log")
            .started("c", "ana")
            .started("d", "ben")
            .sent(("d", "ben"), "m", &["z", "y"])
            .sent(("c", "ana"), "n", &["x", "failed"])
            .failed(("c", "ana"), "failed", failed)
            .reply_started(("d", "ben"), "y", 1);
        let (side, _) = told(&story).await;

        let rows = side.read(open(10)).await;

        assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["z", "y", "x"]);
        assert_eq!(side.read(open(1)).await.len(), 1);
        let of_ana = side.read(of_conversation(&"ana".into(), &"c".into())).await;
        assert_eq!(of_ana.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["x", "failed"]);
        assert_eq!(of_ana[1].error, Some(failed));
        assert!(side.read(of_conversation(&"ben".into(), &"c".into())).await.is_empty());
    }

    #[tokio::test]
    async fn of_a_conversation_only_the_replies_to_the_first_message_that_waits_are_open() {
        let at = ("c", "ana");
        let story =
            opened("this log").started("c", "ana").sent(at, "m", &["first", "second"]).sent(at, "n", &["later"]);
        let (side, _) = told(&story).await;
        let ids = |rows: Vec<ReplyRow>| rows.into_iter().map(|row| row.id.0).collect::<Vec<_>>();

        assert_eq!(ids(side.read(open(10)).await), ["first", "second"]);

        let story = story.completed(at, "first", "text").failed(at, "second", ReplyFailure::AiApiError);
        let (side, _) = told(&story).await;
        assert_eq!(ids(side.read(open(10)).await), ["later"]);
    }

    #[tokio::test]
    async fn a_reply_comes_back_as_it_was_stored() {
        let at = ("c", "ana");
        let story = opened("this log")
            .started("c", "ana")
            .sent(at, "m", &["r", "s"])
            .reply_started(at, "r", 1)
            .stop_requested(at, "r")
            .failed(at, "s", ReplyFailure::NoAiResponse);
        let (side, _) = told(&story).await;

        let rows = story.fold_with_stride(3);
        for row in rows.replies.all() {
            assert_eq!(side.read(by_id(&"ana".into(), &row.id)).await.as_ref(), Some(row));
            assert_eq!(side.read(by_id(&"ben".into(), &row.id)).await, None);
        }
    }
}
