//! Conversations, as their owner lists them.

mod apply;

pub use apply::Conversations;

use crate::{
    Changed, Query,
    advisors::ShortCard,
    changes::texts_of,
    messages::Sender,
    store::{Cells, Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow},
};
use advisor_eventlog::Position;
use advisor_events::{
    AdvisorId, ConversationId, MessageId, ReplyId, StreamName, Timestamp, UserId, conversation::TitleSource,
};

/// Begins every text here: the columns of a row and, where the newest message is not at hand because the one
/// before it was deleted, what is found in its place.
macro_rules! select {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            "c.stream, c.id, c.user_id, c.title, c.title_source, c.active_advisor_id, c.created_at, c.updated_at,
                c.message_count, c.position, c.wants_title, c.failed_replies,
                coalesce(c.last_message_id, m.id), coalesce(c.last_message_content, m.content),
                coalesce(c.last_message_at, m.created_at), coalesce(c.last_message_sender, m.sender) ",
            $rest
        )
    };
}

/// Finds the newest message of a conversation `c` that has some and does not say which is the newest.
macro_rules! newest_message {
    () => {
        "LEFT JOIN messages m ON c.last_message_id IS NULL AND c.message_count > 0
            AND m.id = (SELECT n.id FROM messages n WHERE n.conversation_id = c.id
                ORDER BY n.revision DESC LIMIT 1) "
    };
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRow {
    /// The conversation.
    pub id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// Its title.
    pub title: Option<String>,
    /// Where the title comes from; `None`: it is the one that it was started with.
    pub title_source: Option<TitleSource>,
    /// Who replies when nobody is named.
    pub active_advisor_id: Option<AdvisorId>,
    /// When it was started.
    pub created_at: Timestamp,
    /// When something in it changed.
    pub updated_at: Timestamp,
    /// How many messages there are.
    pub message_count: u64,
    /// The newest of them. Unknown while events are applied when the one after it was deleted; queries look it up.
    pub last_message: Option<LastMessage>,
    /// The last event that changed its own fields or turns: its `ETag`.
    pub position: Position,
    /// Whether a title shall be made from its content.
    pub wants_title: bool,
    /// Replies that failed since the last message of the user's.
    pub failed_replies: Vec<ReplyId>,
}

/// The newest message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastMessage {
    /// The message.
    pub id: MessageId,
    /// Its first 100 characters, then `...` if there are more.
    pub content: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Who wrote it.
    pub sender: Sender,
}

/// An element of a person's list of conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationItem {
    /// The conversation.
    pub conversation: ConversationRow,
    /// Its active advisor, if the person sees it.
    pub active_advisor: Option<ShortCard>,
}

/// Characters of the newest message that lists show.
const EXCERPT_CHARS_MAX: usize = 100;

impl LastMessage {
    /// What lists show of a message.
    pub fn new(id: MessageId, content: &str, created_at: Timestamp, sender: Sender) -> Self {
        Self { id, content: excerpt(content), created_at, sender }
    }
}

impl TableRow for ConversationRow {
    const TABLE: Table = Table {
        name: "conversations",
        key: "stream",
        columns: &[
            Column::text("stream"),
            Column::text("id"),
            Column::text("user_id"),
            Column::optional_text("title"),
            Column::optional_text("title_source"),
            Column::optional_text("active_advisor_id"),
            Column::int("created_at"),
            Column::int("updated_at"),
            Column::int("message_count"),
            Column::int("position"),
            Column::int("wants_title"),
            Column::text("failed_replies"),
            Column::optional_text("last_message_id"),
            Column::optional_text("last_message_content"),
            Column::optional_int("last_message_at"),
            Column::optional_text("last_message_sender"),
        ],
        indexes: &[
            ("conversations_by_id", "id", ""),
            ("conversations_of_user", "user_id, updated_at, position", ""),
            ("conversations_wanting_title", "position", "wants_title = 1"),
        ],
        groups: &[("user_id", "user_id = $1")],
    };
    const KEPT: bool = true;

    fn key(&self) -> String {
        StreamName::conversation(&self.id).to_string()
    }

    fn group(&self, _column: &str) -> Option<&str> {
        Some(self.user_id.as_str())
    }

    fn concern(&self) -> Option<Concern> {
        Some(Concern::in_conversation(self.id.as_str(), &self.user_id, &self.id))
    }

    fn into_values(self) -> Vec<Value> {
        let last = self.last_message.as_ref();
        vec![
            self.key().into(),
            (&self.id).into(),
            (&self.user_id).into(),
            self.title.as_deref().into(),
            self.title_source.map(source_word).into(),
            self.active_advisor_id.as_ref().into(),
            self.created_at.into(),
            self.updated_at.into(),
            self.message_count.into(),
            self.position.into(),
            self.wants_title.into(),
            ids_json(&self.failed_replies, ReplyId::as_str).into(),
            last.map(|last| &last.id).into(),
            last.map(|last| last.content.as_str()).into(),
            last.map(|last| last.created_at).into(),
            last.map(|last| last.sender.as_str()).into(),
        ]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        conversation(&mut row.into_cells())
    }
}

/// A person's conversations, the newest `updated_at` first, at most `limit`.
pub fn of_user(user: &UserId, limit: u32) -> Query<Vec<ConversationItem>> {
    const SQL: &str = concat!(
        select!("a.id, a.name, a.title, ", "FROM conversations c "),
        newest_message!(),
        "LEFT JOIN advisors a ON a.id = c.active_advisor_id AND a.seen_by IN ('*', $1)
        WHERE c.user_id = $1 ORDER BY c.updated_at DESC, c.position DESC LIMIT $2"
    );
    Query::many(Statement::new(SQL, vec![user.into(), limit.into()]), |row| {
        let mut cells = row.into_cells();
        let (id, name, title) = (cells.optional_id()?, cells.optional_text()?, cells.optional_text()?);
        let active_advisor = id.zip(name).zip(title).map(|((id, name), title)| ShortCard { id, name, title });
        Ok(ConversationItem { conversation: conversation(&mut cells)?, active_advisor })
    })
}

/// How many conversations a person has, counted up to `limit`.
pub fn count_of_user(user: &UserId, limit: u32) -> Query<u64> {
    const SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM conversations WHERE user_id = $1 LIMIT $2) counted";
    Query::one(Statement::new(SQL, vec![user.into(), limit.into()]), |row| row.into_cells().number())
}

/// A conversation of this person.
pub fn by_id(user: &UserId, id: &ConversationId) -> Query<Option<ConversationRow>> {
    const SQL: &str =
        concat!(select!("", "FROM conversations c "), newest_message!(), "WHERE c.stream = $1 AND c.user_id = $2");
    let stream = StreamName::conversation(id);
    Query::optional(Statement::new(SQL, vec![(&stream).into(), user.into()]), ConversationRow::from_row)
}

/// A conversation, whosever it is (for workers).
pub fn find(id: &ConversationId) -> Query<Option<ConversationRow>> {
    const SQL: &str = concat!(select!("", "FROM conversations c "), newest_message!(), "WHERE c.stream = $1");
    let stream = StreamName::conversation(id);
    Query::optional(Statement::new(SQL, vec![(&stream).into()]), ConversationRow::from_row)
}

/// Conversations that want a title (for workers), the longest untouched first.
pub fn wanting_title(limit: u32) -> Query<Vec<ConversationRow>> {
    const SQL: &str = concat!(
        select!("", "FROM conversations c "),
        newest_message!(),
        "WHERE c.wants_title = 1 ORDER BY c.position LIMIT $1"
    );
    Query::many(Statement::new(SQL, vec![limit.into()]), ConversationRow::from_row)
}

/// A person's conversations that changed after a position.
pub fn changed(user: &UserId, after: Position) -> Query<Vec<Changed<ConversationRow>>> {
    const SQL: &str = concat!(
        select!(
            "k.key, ",
            "FROM (SELECT DISTINCT key FROM changes
                WHERE feed = $1 AND projection = 'conversations' AND position > $2) k
            LEFT JOIN conversations c ON c.id = k.key AND c.user_id = $1 "
        ),
        newest_message!()
    );
    Query::many(Statement::new(SQL, vec![user.into(), after.into()]), crate::changes::changed_row)
}

/// One conversation of a person's, if it changed after a position: one element or none.
pub fn changed_one(user: &UserId, id: &ConversationId, after: Position) -> Query<Vec<Changed<ConversationRow>>> {
    const SQL: &str = concat!(
        select!(
            "k.key, ",
            "FROM (SELECT DISTINCT key FROM changes
                WHERE feed = $1 AND projection = 'conversations' AND position > $2 AND scope = $3) k
            LEFT JOIN conversations c ON c.stream = $4 AND c.user_id = $1 "
        ),
        newest_message!()
    );
    let stream = StreamName::conversation(id);
    let params = vec![user.into(), after.into(), id.into(), (&stream).into()];
    Query::many(Statement::new(SQL, params), crate::changes::changed_row)
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let (user, id) = (UserId::from("user"), ConversationId::from("c"));
    texts_of([
        of_user(&user, 1).into_statements(),
        count_of_user(&user, 1).into_statements(),
        by_id(&user, &id).into_statements(),
        find(&id).into_statements(),
        wanting_title(1).into_statements(),
        changed(&user, Position::START).into_statements(),
        changed_one(&user, &id, Position::START).into_statements(),
    ])
}

fn conversation(cells: &mut Cells) -> Result<ConversationRow, RowError> {
    cells.text()?;
    Ok(ConversationRow {
        id: cells.id()?,
        user_id: cells.id()?,
        title: cells.optional_text()?,
        title_source: cells.optional_word()?,
        active_advisor_id: cells.optional_id()?,
        created_at: cells.time()?,
        updated_at: cells.time()?,
        message_count: cells.number()?,
        position: cells.position()?,
        wants_title: cells.flag()?,
        failed_replies: cells.json()?,
        last_message: last_message(cells)?,
    })
}

/// A message that was looked up comes with its whole text.
fn last_message(cells: &mut Cells) -> Result<Option<LastMessage>, RowError> {
    let (id, content) = (cells.optional_id()?, cells.optional_text()?);
    let (created_at, sender) = (cells.optional_time()?, cells.optional_word()?);
    let parts = id.zip(content).zip(created_at.zip(sender));
    Ok(parts.map(|((id, content), (created_at, sender))| LastMessage {
        id,
        content: if is_excerpt(&content) { content } else { excerpt(&content) },
        created_at,
        sender,
    }))
}

fn excerpt(content: &str) -> String {
    match content.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", content.get(..end).unwrap_or_default()),
        None => content.to_owned(),
    }
}

/// An excerpt is at most 100 characters and `...`; what looks like one already is left alone.
fn is_excerpt(content: &str) -> bool {
    let dots = content.char_indices().nth(EXCERPT_CHARS_MAX).and_then(|(end, _)| content.get(end..));
    dots.is_none_or(|rest| rest == "...")
}

fn source_word(source: TitleSource) -> &'static str {
    match source {
        TitleSource::User => "user",
        TitleSource::Content => "content",
    }
}

/// A JSON array of ids.
pub(crate) fn ids_json<T>(ids: &[T], as_str: fn(&T) -> &str) -> String {
    if ids.is_empty() {
        return "[]".to_owned();
    }
    serde_json::Value::from(ids.iter().map(as_str).collect::<Vec<_>>()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{opened, read_side::told, recorded_at};
    use advisor_events::advisor::Visibility;

    #[tokio::test]
    async fn a_list_begins_with_what_changed_last_and_shows_the_advisor_that_is_seen() {
        let story = opened("this log")
            .advisor("nadia", None, Visibility::Public)
            .started("a", "ana")
            .started("b", "ana")
            .started("bens", "ben")
            .sent(("a", "ana"), "m", &[]);
        let (side, _) = told(&story).await;

        let items = side.read(of_user(&"ana".into(), 50)).await;

        let ids: Vec<_> = items.iter().map(|item| item.conversation.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        let card = items[0].active_advisor.as_ref().unwrap();
        assert_eq!((card.name.as_str(), card.title.as_str()), ("Nadia Okafor", "Coach"));
        assert_eq!(side.read(of_user(&"ana".into(), 1)).await.len(), 1);
        assert_eq!(side.read(count_of_user(&"ana".into(), 50)).await, 2);
        assert_eq!(side.read(count_of_user(&"ana".into(), 1)).await, 1);
    }

    #[tokio::test]
    async fn an_advisor_that_its_viewer_does_not_see_is_no_card() {
        let story = opened("this log").advisor("nadia", Some("ben"), Visibility::Private).started("a", "ana");
        let (side, _) = told(&story).await;

        assert_eq!(side.read(of_user(&"ana".into(), 50)).await[0].active_advisor, None);
    }

    #[tokio::test]
    async fn the_last_message_is_looked_up_when_the_one_after_it_was_deleted() {
        let at = ("c", "ana");
        let long = "é".repeat(101);
        let story = opened("this log")
            .started("c", "ana")
            .sent(at, "m", &[])
            .edited(at, "m", &long)
            .sent(at, "n", &[])
            .message_deleted(at, "n");
        let (side, _) = told(&story).await;

        let row = side.read(by_id(&"ana".into(), &"c".into())).await.unwrap();

        let last = row.last_message.unwrap();
        assert_eq!((last.id.as_str(), last.created_at), ("m", recorded_at(3)));
        assert_eq!(last.content, format!("{}...", "é".repeat(100)));
        let listed = side.read(of_user(&"ana".into(), 50)).await.remove(0);
        assert_eq!(listed.conversation.last_message.unwrap(), last);
        assert_eq!(side.read(by_id(&"ben".into(), &"c".into())).await, None);
        assert_eq!(side.read(by_id(&"ana".into(), &"none".into())).await, None);
    }

    #[tokio::test]
    async fn conversations_that_want_a_title_are_found() {
        let at = ("c", "ana");
        let story = (0..4).fold(opened("this log").started("c", "ana").started("d", "ana"), |story, message| {
            story.sent(at, &format!("m{message}"), &[])
        });
        let (side, _) = told(&story).await;

        let wanting = side.read(wanting_title(10)).await;

        assert_eq!(wanting.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    #[tokio::test]
    async fn a_conversation_whose_id_fits_no_stream_is_found_by_it() {
        let story = opened("this log").started("Gespräch 1", "ana");
        let (side, _) = told(&story).await;

        assert!(side.read(by_id(&"ana".into(), &"Gespräch 1".into())).await.is_some());
    }
}
