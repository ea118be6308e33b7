//! Which rows each commit changed, and whom it concerns: what live queries resume from.
//!
//! A change row says that a row moved, never how: whoever asks reads the row as it is now. Rows that were removed
//! with what they belonged to (the messages of a deleted conversation) are not told of one by one.

use crate::{
    Query, checkpoint,
    store::{Row, RowError, Statement, Value},
    table::TableRow,
};
use advisor_bus::Change;
use advisor_eventlog::Position;
use advisor_events::{ConversationId, UserId};

/// A row that changed since a position, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed<R> {
    /// The row's id.
    pub key: String,
    /// The row; `None` when it is gone, or not to be seen by who asks.
    pub row: Option<R>,
}

/// The feed of what everybody sees.
pub const PUBLIC: &str = "public";

/// Most feeds that are asked for at once: a person's, and the public one.
const FEEDS_MAX: usize = 2;

pub(crate) const CREATE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS changes (sequence BIGINT NOT NULL PRIMARY KEY, position BIGINT NOT NULL,
        at BIGINT NOT NULL, projection TEXT NOT NULL, feed TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS changes_of_feed ON changes (feed, position, projection, scope, key)",
];
pub(crate) const INSERT: &str = "INSERT INTO changes (sequence, position, at, projection, feed, scope, key)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(crate) const TRIM: &str = "DELETE FROM changes WHERE sequence <= $1";
pub(crate) const EXTENT: &str = "SELECT min(sequence), max(sequence) FROM changes";
pub(crate) const OLDEST_UP_TO: &str =
    "SELECT sequence, position, at FROM changes WHERE sequence <= $1 ORDER BY sequence DESC LIMIT 1";

/// The distinct rows of these feeds (a person's id, [`PUBLIC`]) that changed in `(after, to]`. Feeds beyond the
/// second are not looked at.
pub fn between(feeds: &[&str], after: Position, to: Position) -> Query<Vec<Change>> {
    const SQL: &str = "SELECT DISTINCT feed, projection, key FROM changes
        WHERE feed IN ($1, $2) AND position > $3 AND position <= $4 ORDER BY feed, projection, key";
    let first = feeds.first().copied().unwrap_or_default();
    let second = feeds.get(FEEDS_MAX - 1).copied().unwrap_or(first);
    Query::many(Statement::new(SQL, vec![first.into(), second.into(), after.into(), to.into()]), change)
}

/// Changes are kept from here on: who stands before it must start anew. `None` before the generation
/// has caught up for the first time.
pub fn kept_after() -> Query<Option<Position>> {
    const SQL: &str = "SELECT changes_after FROM checkpoint WHERE id = 1";
    Query::one(Statement::new(SQL, vec![]), |row| Ok(row.into_cells().optional_number::<u64>()?.map(Position)))
}

/// The conversation of a message or a reply of this person that has changed while changes are kept, though it may
/// be gone: where a command that is sent again has to ask.
pub fn conversation_of(person: &UserId, key: &str) -> Query<Option<ConversationId>> {
    const SQL: &str = "SELECT scope FROM changes
        WHERE feed = $1 AND key = $2 AND projection IN ('messages', 'replies') LIMIT 1";
    Query::optional(Statement::new(SQL, vec![person.into(), key.into()]), |row| row.into_cells().id())
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let start = Position::START;
    let mut all = texts_of([
        between(&[PUBLIC], start, start).into_statements(),
        kept_after().into_statements(),
        conversation_of(&UserId::from("user"), "m").into_statements(),
    ]);
    all.extend([INSERT, TRIM, EXTENT, OLDEST_UP_TO].map(|sql| Statement::new(sql, vec![])));
    all.extend(checkpoint::TEXTS.map(|sql| Statement::new(sql, vec![])));
    all
}

pub(crate) fn texts_of<const N: usize>(queries: [Vec<Statement>; N]) -> Vec<Statement> {
    queries.into_iter().flatten().collect()
}

/// A key that changed, and the row that an outer join found for it: nothing but nulls when there is none.
pub(crate) fn changed_row<R: TableRow>(row: Row) -> Result<Changed<R>, RowError> {
    let mut values = row.0.into_iter();
    let Some(Value::Text(key)) = values.next() else { return Err(RowError("text")) };
    let rest: Vec<Value> = values.collect();
    let is_there = rest.first().is_some_and(|first| *first != Value::Null);
    Ok(Changed { key, row: if is_there { Some(R::from_row(Row(rest))?) } else { None } })
}

fn change(row: Row) -> Result<Change, RowError> {
    let mut cells = row.into_cells();
    Ok(Change { feed: cells.text()?, projection: cells.text()?, key: cells.text()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        advisors, conversations,
        given::{Story, document, opened, read_side::ReadSide, read_side::empty},
        messages, replies, users,
    };
    use advisor_events::{
        UserId,
        advisor::{AdvisorEvent, Visibility, VisibilityChanged},
        conversation::TitleSource,
    };

    const AT: (&str, &str) = ("c", "ana");

    #[tokio::test]
    async fn an_advisor_that_becomes_private_is_gone_for_all_but_its_owner() {
        let private =
            VisibilityChanged { visibility: Visibility::Private, document: document(Visibility::Private, "Nadia") };
        let before = opened("this log").advisor("mine", Some("ana"), Visibility::Public);
        let after = before.clone().advisor_event("mine", Some("ana"), AdvisorEvent::VisibilityChanged(private));

        let (side, from) = moved(&before, &after).await;

        let seen = |viewer: Option<&'static str>| {
            let viewer = viewer.map(UserId::from);
            let query = advisors::changed(viewer.as_ref(), from);
            let side = &side;
            async move {
                side.read(query).await.into_iter().map(|change| (change.key, change.row.is_some())).collect::<Vec<_>>()
            }
        };
        let (gone, kept) = (vec![("mine".to_owned(), false)], vec![("mine".to_owned(), true)]);
        assert_eq!(seen(None).await, gone);
        assert_eq!(seen(Some("ben")).await, gone);
        assert_eq!(seen(Some("ana")).await, kept);
    }

    #[tokio::test]
    async fn what_changed_in_one_conversation_is_told_with_the_rows_as_they_are_now() {
        let before =
            opened("this log").started("c", "ana").sent(AT, "m", &["r"]).sent(AT, "gone", &[]).started("other", "ana");
        let after = before
            .clone()
            .edited(AT, "m", "first")
            .edited(AT, "m", "second")
            .message_deleted(AT, "gone")
            .completed(AT, "r", "an answer")
            .sent(("other", "ana"), "elsewhere", &["s"]);

        let (side, from) = moved(&before, &after).await;

        let (ana, c) = ("ana".into(), "c".into());
        let rows = side.read(messages::changed(&ana, &c, from)).await;
        let texts: Vec<_> = rows
            .iter()
            .map(|change| (change.key.as_str(), change.row.as_ref().map(|row| row.content.as_str())))
            .collect();
        assert_eq!(texts, [("gone", None), ("m", Some("second")), ("r", Some("an answer"))]);
        let rows = side.read(replies::changed(&ana, &c, from)).await;
        assert_eq!(
            rows.iter().map(|change| (change.key.as_str(), change.row.is_some())).collect::<Vec<_>>(),
            [("r", false)]
        );
        let one = side.read(conversations::changed_one(&ana, &c, from)).await;
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].row.as_ref().unwrap().message_count, 2);
        assert_eq!(side.read(conversations::changed(&ana, from)).await.len(), 2);
    }

    /// Whoever stood in the middle, before a power cut took that back, may have seen it there.
    #[tokio::test]
    async fn what_comes_and_goes_within_one_batch_is_told_of() {
        let shown = |visibility| {
            let document = document(visibility, "Nadia");
            AdvisorEvent::VisibilityChanged(VisibilityChanged { visibility, document })
        };
        let before = opened("this log").started("c", "ana").advisor("mine", Some("ana"), Visibility::Private);
        let after = before
            .clone()
            .sent(AT, "m", &["r"])
            .completed(AT, "r", "an answer")
            .advisor_event("mine", Some("ana"), shown(Visibility::Public))
            .advisor_event("mine", Some("ana"), shown(Visibility::Private));
        let side = empty().await;
        before.append_to(side.log.as_ref(), side.keys.as_ref()).await;
        let running = side.run().await;
        let from = side.reach_head().await;
        running.stop().await;

        after.append_to(side.log.as_ref(), side.keys.as_ref()).await;
        let running = side.run().await;
        side.reach_head().await;
        running.stop().await;

        let told = side.read(replies::changed(&"ana".into(), &"c".into(), from)).await;
        assert_eq!(told, [Changed { key: "r".to_owned(), row: None }]);
        let told = side.read(advisors::changed(Some(&"ben".into()), from)).await;
        assert_eq!(told, [Changed { key: "mine".to_owned(), row: None }]);
    }

    #[tokio::test]
    async fn the_deletion_of_a_conversation_is_told_by_itself_alone() {
        let before = opened("this log").started("c", "ana").sent(AT, "m", &["r"]);

        let (side, from) = moved(&before, &before.clone().deleted(AT)).await;

        let all = side.read(between(&["ana", PUBLIC], from, side.reader().position())).await;
        assert_eq!(all, [Change { feed: "ana".into(), projection: "conversations".into(), key: "c".into() }]);
        let gone = side.read(conversations::changed_one(&"ana".into(), &"c".into(), from)).await;
        assert_eq!(gone, [Changed { key: "c".to_owned(), row: None }]);
    }

    #[tokio::test]
    async fn nobody_is_told_of_what_is_somebody_elses() {
        let before = opened("this log").registered("ana").started("c", "ana");
        let after = before.clone().renamed("c", "ana", "A title", TitleSource::User).sent(AT, "m", &["r"]);

        let (side, from) = moved(&before, &after).await;

        let (ben, c) = ("ben".into(), "c".into());
        assert!(side.read(conversations::changed(&ben, from)).await.is_empty());
        assert!(side.read(conversations::changed_one(&ben, &c, from)).await.is_empty());
        assert!(side.read(messages::changed(&ben, &c, from)).await.is_empty());
        assert!(side.read(replies::changed(&ben, &c, from)).await.is_empty());
        assert!(side.read(users::changed(&ben, from)).await.is_empty());
        assert!(side.read(between(&["ben", PUBLIC], from, side.reader().position())).await.is_empty());
    }

    #[tokio::test]
    async fn the_person_is_told_of_their_own_row_and_of_its_end() {
        let before = opened("this log").registered("ana");
        let (side, from) = moved(&before, &before.clone().user_deleted("ana")).await;

        let told = side.read(users::changed(&"ana".into(), from)).await;

        assert_eq!(told, [Changed { key: "ana".to_owned(), row: None }]);
    }

    #[tokio::test]
    async fn failed_replies_that_the_next_message_takes_away_are_told_of() {
        let failed = advisor_events::conversation::ReplyFailure::AiApiError;
        let before = opened("this log").started("c", "ana").sent(AT, "m", &["r"]).failed(AT, "r", failed);

        let (side, from) = moved(&before, &before.clone().sent(AT, "n", &[])).await;

        let told = side.read(replies::changed(&"ana".into(), &"c".into(), from)).await;
        assert_eq!(told, [Changed { key: "r".to_owned(), row: None }]);
    }

    /// A read side that has lived through a story, and where it stood when only the beginning had been told.
    async fn moved(before: &Story, after: &Story) -> (ReadSide, Position) {
        let side = empty().await;
        before.append_to(side.log.as_ref(), side.keys.as_ref()).await;
        let running = side.run().await;
        let from = side.reach_head().await;
        side.tell(after).await;
        running.stop().await;
        (side, from)
    }
}
