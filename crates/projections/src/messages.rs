//! Messages: the user's, and the replies that ended as one.

mod apply;

pub use apply::Messages;
pub(crate) use apply::is_empty;

use crate::{
    Changed, Query,
    changes::{changed_row, texts_of},
    conversations::ids_json,
    query::Rest,
    store::{Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow},
};
use advisor_eventlog::Position;
use advisor_events::{AdvisorId, ConversationId, MessageId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// Begins every text here.
macro_rules! select {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            "m.id, m.conversation_id, m.user_id, m.sender, m.advisor_id, m.mentions, m.tokens_used, m.created_at,
                m.edited_at, m.revision, m.text_revision, m.position, m.content_json, m.content ",
            $rest
        )
    };
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// The user.
    User,
    /// An advisor.
    Advisor,
    /// The system (imported messages).
    System,
}

impl Sender {
    /// The word in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Advisor => "advisor",
            Self::System => "system",
        }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    /// The message.
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Whose conversation that is.
    pub user_id: UserId,
    /// Who wrote it.
    pub sender: Sender,
    /// Which advisor wrote it.
    pub advisor_id: Option<AdvisorId>,
    /// Its text; empty where its words have been erased.
    pub content: String,
    /// What is kept beside the text: what the client gave, or a reply's usage, model and end.
    pub content_json: Option<serde_json::Value>,
    /// The advisors that the text mentions.
    pub mentions: Vec<AdvisorId>,
    /// Tokens that the reply took in all.
    pub tokens_used: Option<u64>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When the user changed it last.
    pub edited_at: Option<Timestamp>,
    /// The revision of the event that made it: its order in the conversation, and what cursors hold.
    pub revision: u64,
    /// The revision of the event that holds its text.
    pub text_revision: u64,
    /// The last event that changed it.
    pub position: Position,
}

/// A page of messages.
#[derive(Clone, Debug, PartialEq)]
pub struct MessagePage {
    /// Oldest first.
    pub messages: Vec<MessageRow>,
    /// Whether there are older ones.
    pub has_more: bool,
}

impl TableRow for MessageRow {
    const TABLE: Table = Table {
        name: "messages",
        key: "id",
        columns: &[
            Column::text("id"),
            Column::text("conversation_id"),
            Column::text("user_id"),
            Column::text("sender"),
            Column::optional_text("advisor_id"),
            Column::text("mentions"),
            Column::optional_int("tokens_used"),
            Column::int("created_at"),
            Column::optional_int("edited_at"),
            Column::int("revision"),
            Column::int("text_revision"),
            Column::int("position"),
            Column::optional_text("content_json"),
            Column::text("content"),
        ],
        indexes: &[
            ("messages_in_order", "conversation_id, revision", ""),
            ("messages_of_advisors", "conversation_id, advisor_id", "advisor_id IS NOT NULL"),
        ],
        groups: &[
            ("conversation_id", "conversation_id = $1"),
            ("user_id", "conversation_id IN (SELECT id FROM conversations WHERE user_id = $1)"),
        ],
    };
    const KEPT: bool = false;

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
            self.sender.as_str().into(),
            self.advisor_id.map(|id| id.0).into(),
            ids_json(&self.mentions, AdvisorId::as_str).into(),
            self.tokens_used.into(),
            self.created_at.into(),
            self.edited_at.into(),
            self.revision.into(),
            self.text_revision.into(),
            self.position.into(),
            self.content_json.map(|json| json.to_string()).into(),
            self.content.into(),
        ]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        Ok(Self {
            id: cells.id()?,
            conversation_id: cells.id()?,
            user_id: cells.id()?,
            sender: cells.word()?,
            advisor_id: cells.optional_id()?,
            mentions: cells.json()?,
            tokens_used: cells.optional_number()?,
            created_at: cells.time()?,
            edited_at: cells.optional_time()?,
            revision: cells.number()?,
            text_revision: cells.number()?,
            position: cells.position()?,
            content_json: cells.optional_json()?,
            content: cells.text()?,
        })
    }
}

/// Most bytes of messages that are read at once, but for a single one that has more.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// The newest messages of a conversation of this person, at most `limit`, and fewer if they are long.
pub fn newest(user: &UserId, conversation: &ConversationId, limit: u32) -> Query<MessagePage> {
    before(user, conversation, MAX_REVISION, limit)
}

/// The messages before the one with this `revision`, at most `limit`, and fewer if they are long.
pub fn before(user: &UserId, conversation: &ConversationId, revision: u64, limit: u32) -> Query<MessagePage> {
    const SQL: &str = select!(
        "",
        "FROM messages m WHERE m.conversation_id = $1 AND m.user_id = $2 AND m.revision < $3
        ORDER BY m.revision DESC LIMIT $4"
    );
    // One more than asked for tells whether there are more.
    let params = vec![conversation.into(), user.into(), revision.into(), limit.saturating_add(1).into()];
    let statement = Statement::new(SQL, params);
    Query::many_within(PAGE_BYTES_MAX, statement, MessageRow::from_row).map(move |(mut messages, rest)| {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rest == Rest::LeftOut || messages.len() > limit;
        messages.truncate(limit);
        messages.reverse();
        MessagePage { messages, has_more }
    })
}

/// A message of this person's conversations.
pub fn by_id(user: &UserId, id: &MessageId) -> Query<Option<MessageRow>> {
    const SQL: &str = select!("", "FROM messages m WHERE m.id = $1 AND m.user_id = $2");
    Query::optional(Statement::new(SQL, vec![id.into(), user.into()]), MessageRow::from_row)
}

/// A message, whosever it is (for workers).
pub fn find(id: &MessageId) -> Query<Option<MessageRow>> {
    const SQL: &str = select!("", "FROM messages m WHERE m.id = $1");
    Query::optional(Statement::new(SQL, vec![id.into()]), MessageRow::from_row)
}

/// The first messages of a conversation, whosever it is (for workers), oldest first, at most `limit`.
pub fn first(conversation: &ConversationId, limit: u32) -> Query<Vec<MessageRow>> {
    const SQL: &str = select!("", "FROM messages m WHERE m.conversation_id = $1 ORDER BY m.revision LIMIT $2");
    Query::many(Statement::new(SQL, vec![conversation.into(), limit.into()]), MessageRow::from_row)
}

/// The last messages before the one with this `revision` (for workers), oldest first, at most `limit`, and fewer if
/// they are long.
pub fn history(conversation: &ConversationId, revision: u64, limit: u32) -> Query<Vec<MessageRow>> {
    const SQL: &str = select!(
        "",
        "FROM messages m WHERE m.conversation_id = $1 AND m.revision < $2 ORDER BY m.revision DESC LIMIT $3"
    );
    let params = vec![conversation.into(), revision.into(), limit.into()];
    let statement = Statement::new(SQL, params);
    Query::many_within(PAGE_BYTES_MAX, statement, MessageRow::from_row).map(|(mut messages, _)| {
        messages.reverse();
        messages
    })
}

/// The messages of a conversation of this person that changed after a position. The conversation's own deletion
/// lists none: its own removal says it all.
pub fn changed(user: &UserId, conversation: &ConversationId, after: Position) -> Query<Vec<Changed<MessageRow>>> {
    const SQL: &str = select!(
        "k.key, ",
        "FROM (SELECT DISTINCT key FROM changes
            WHERE feed = $1 AND projection = 'messages' AND position > $2 AND scope = $3) k
        LEFT JOIN messages m ON m.id = k.key AND m.user_id = $1 AND m.conversation_id = $3
        ORDER BY m.revision NULLS FIRST"
    );
    let params = vec![user.into(), after.into(), conversation.into()];
    Query::many(Statement::new(SQL, params), changed_row)
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let (user, conversation, id) = (UserId::from("user"), ConversationId::from("c"), MessageId::from("m"));
    texts_of([
        before(&user, &conversation, 1, 1).into_statements(),
        by_id(&user, &id).into_statements(),
        find(&id).into_statements(),
        first(&conversation, 1).into_statements(),
        history(&conversation, 1, 1).into_statements(),
        changed(&user, &conversation, Position::START).into_statements(),
    ])
}

/// Beyond every revision.
const MAX_REVISION: u64 = i64::MAX.unsigned_abs();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{opened, read_side::told};

    const AT: (&str, &str) = ("c", "ana");

    #[tokio::test]
    async fn pages_from_the_newest_on_join_without_gap_or_repeat() {
        let story = (0..7)
            .fold(opened("this log").started("c", "ana"), |story, message| story.sent(AT, &format!("m{message}"), &[]));
        let (side, _) = told(&story).await;
        let (ana, c) = (UserId::from("ana"), ConversationId::from("c"));

        let first = side.read(newest(&ana, &c, 3)).await;
        let second = side.read(before(&ana, &c, first.messages[0].revision, 3)).await;
        let third = side.read(before(&ana, &c, second.messages[0].revision, 3)).await;

        assert_eq!((ids(&first.messages), first.has_more), (vec!["m4", "m5", "m6"], true));
        assert_eq!((ids(&second.messages), second.has_more), (vec!["m1", "m2", "m3"], true));
        assert_eq!((ids(&third.messages), third.has_more), (vec!["m0"], false));
        assert!(!side.read(newest(&ana, &c, 7)).await.has_more);
    }

    #[tokio::test]
    async fn pages_of_long_messages_are_shorter_and_join_as_well() {
        let long = "é".repeat(PAGE_BYTES_MAX / 5);
        let story = (0..5).fold(opened("this log").started("c", "ana"), |story, message| {
            let id = format!("m{message}");
            story.sent(AT, &id, &[]).edited(AT, &id, &long)
        });
        let (side, _) = told(&story).await;
        let (ana, c) = (UserId::from("ana"), ConversationId::from("c"));

        let first = side.read(newest(&ana, &c, 1_000)).await;
        let second = side.read(before(&ana, &c, first.messages[0].revision, 1_000)).await;
        let third = side.read(before(&ana, &c, second.messages[0].revision, 1_000)).await;

        assert_eq!((ids(&first.messages), first.has_more), (vec!["m3", "m4"], true));
        assert_eq!((ids(&second.messages), second.has_more), (vec!["m1", "m2"], true));
        assert_eq!((ids(&third.messages), third.has_more), (vec!["m0"], false));
        assert_eq!(ids(&side.read(history(&c, first.messages[1].revision, 200)).await), ["m2", "m3"]);
    }

    #[tokio::test]
    async fn what_is_somebody_elses_is_not_there() {
        let (side, _) = told(&opened("this log").started("c", "ana").sent(AT, "m", &[])).await;
        let (ana, ben) = (UserId::from("ana"), UserId::from("ben"));

        assert!(side.read(newest(&ben, &"c".into(), 10)).await.messages.is_empty());
        assert_eq!(side.read(by_id(&ben, &"m".into())).await, None);
        assert!(side.read(by_id(&ana, &"m".into())).await.is_some());
    }

    #[tokio::test]
    async fn workers_read_how_a_conversation_began_and_what_came_before_a_message() {
        let story = (0..5)
            .fold(opened("this log").started("c", "ana"), |story, message| story.sent(AT, &format!("m{message}"), &[]));
        let (side, _) = told(&story).await;
        let last = side.read(find(&"m4".into())).await.unwrap();

        assert_eq!(ids(&side.read(first(&"c".into(), 2)).await), ["m0", "m1"]);
        assert_eq!(ids(&side.read(history(&"c".into(), last.revision, 2)).await), ["m2", "m3"]);
    }

    #[tokio::test]
    async fn a_message_comes_back_as_it_was_stored() {
        let story = opened("this log").started("c", "ana").sent(AT, "m", &["r"]).completed(AT, "r", "an answer");
        let (side, _) = told(&story).await;

        let rows = story.fold_with_stride(3);
        for row in rows.messages.all() {
            assert_eq!(side.read(find(&row.id)).await.as_ref(), Some(row));
        }
    }

    fn ids(messages: &[MessageRow]) -> Vec<&str> {
        messages.iter().map(|row| row.id.as_str()).collect()
    }
}
