//! Advisors: their cards, and who sees them.

use crate::{
    Changed, Query,
    changes::{PUBLIC, changed_row, texts_of},
    deletions,
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    store::{Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow, in_loads},
};
use advisor_eventlog::Position;
use advisor_events::{
    AdvisorId, ConversationId, Event, StreamName, Timestamp, UserId,
    advisor::{AdvisorEvent, Created, Document, Status, Visibility},
    user::UserEvent,
};

/// What `seen_by` holds of advisors that everybody sees: no person's id has a star in it.
const EVERYBODY: &str = "*";

/// The columns of a whole row, as they stand in the texts below.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.stream, a.id, a.owner_id, a.visibility, a.seen_by, a.status, a.name, a.first_name, a.title,
                a.revision, a.position, a.created_at, a.updated_at, a.created_position, a.document FROM advisors a ",
            $rest
        )
    };
}

/// An advisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvisorRow {
    /// The advisor.
    pub id: AdvisorId,
    /// Who made it; `None` for seeded and imported ones.
    pub owner_id: Option<UserId>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether it can be talked to.
    pub status: Status,
    /// Name of the persona.
    pub name: String,
    /// The document's first name, else the first word of the name.
    pub first_name: String,
    /// Title of the persona.
    pub title: String,
    /// Revision of the event that holds the document.
    pub revision: u64,
    /// The last event that changed the row.
    pub position: Position,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something here changed.
    pub updated_at: Timestamp,
    /// The event that made it: the order of advisors.
    pub created_position: Position,
    /// The whole document, as JSON text; `{}` where its words have been erased.
    pub document: String,
}

/// What finding mentions and choosing an advisor needs: no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvisorName {
    /// The advisor.
    pub id: AdvisorId,
    /// Name of the persona.
    pub name: String,
    /// The document's first name, else the first word of the name.
    pub first_name: String,
    /// Title of the persona.
    pub title: String,
}

/// The short card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortCard {
    /// The advisor.
    pub id: AdvisorId,
    /// Name of the persona.
    pub name: String,
    /// Title of the persona.
    pub title: String,
}

impl TableRow for AdvisorRow {
    const TABLE: Table = Table {
        name: "advisors",
        key: "stream",
        columns: &[
            Column::text("stream"),
            Column::text("id"),
            Column::optional_text("owner_id"),
            Column::text("visibility"),
            Column::text("seen_by"),
            Column::text("status"),
            Column::text("name"),
            Column::text("first_name"),
            Column::text("title"),
            Column::int("revision"),
            Column::int("position"),
            Column::int("created_at"),
            Column::int("updated_at"),
            Column::int("created_position"),
            Column::text("document"),
        ],
        indexes: &[("advisors_by_id", "id", ""), ("advisors_seen", "seen_by, status, created_position", "")],
        groups: &[("seen_by", "seen_by = $1")],
    };
    const KEPT: bool = false;

    fn key(&self) -> String {
        StreamName::advisor(&self.id).to_string()
    }

    fn group(&self, _column: &str) -> Option<&str> {
        Some(self.seen_by())
    }

    fn concern(&self) -> Option<Concern> {
        let feed = match self.visibility {
            Visibility::Public => PUBLIC,
            Visibility::Private => self.owner_id.as_ref()?.as_str(),
        };
        Some(Concern { feed: feed.to_owned(), scope: String::new(), key: self.id.0.clone() })
    }

    fn into_values(self) -> Vec<Value> {
        vec![
            self.key().into(),
            (&self.id).into(),
            self.owner_id.as_ref().into(),
            self.visibility.as_str().into(),
            self.seen_by().into(),
            self.status.as_str().into(),
            self.name.into(),
            self.first_name.into(),
            self.title.into(),
            self.revision.into(),
            self.position.into(),
            self.created_at.into(),
            self.updated_at.into(),
            self.created_position.into(),
            self.document.into(),
        ]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        cells.text()?;
        let (id, owner_id, visibility) = (cells.id()?, cells.optional_id()?, cells.word()?);
        cells.text()?;
        Ok(Self {
            id,
            owner_id,
            visibility,
            status: cells.word()?,
            name: cells.text()?,
            first_name: cells.text()?,
            title: cells.text()?,
            revision: cells.number()?,
            position: cells.position()?,
            created_at: cells.time()?,
            updated_at: cells.time()?,
            created_position: cells.position()?,
            document: cells.text()?,
        })
    }
}

impl AdvisorRow {
    fn seen_by(&self) -> &str {
        match self.visibility {
            Visibility::Public => EVERYBODY,
            Visibility::Private => self.owner_id.as_ref().map_or("", UserId::as_str),
        }
    }
}

/// Active advisors that somebody (`None`: signed out) sees, oldest first.
pub fn visible_to(viewer: Option<&UserId>) -> Query<Vec<AdvisorRow>> {
    const SQL: &str = select!("WHERE a.seen_by IN ('*', $1) AND a.status = 'active' ORDER BY a.created_position");
    Query::many(Statement::new(SQL, vec![viewer.into()]), AdvisorRow::from_row)
}

/// The same without their documents.
pub fn names(viewer: Option<&UserId>) -> Query<Vec<AdvisorName>> {
    const SQL: &str = "SELECT id, name, first_name, title FROM advisors
        WHERE seen_by IN ('*', $1) AND status = 'active' ORDER BY created_position";
    Query::many(Statement::new(SQL, vec![viewer.into()]), |row| {
        let mut cells = row.into_cells();
        Ok(AdvisorName { id: cells.id()?, name: cells.text()?, first_name: cells.text()?, title: cells.text()? })
    })
}

/// How many private advisors of any status a person has, counted up to `limit`.
pub fn count_of_user(user: &UserId, limit: u32) -> Query<u64> {
    const SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM advisors WHERE seen_by = $1 LIMIT $2) counted";
    Query::one(Statement::new(SQL, vec![user.into(), limit.into()]), |row| row.into_cells().number())
}

/// An advisor of any status, if the viewer sees it.
pub fn by_id(viewer: Option<&UserId>, id: &AdvisorId) -> Query<Option<AdvisorRow>> {
    const SQL: &str = select!("WHERE a.stream = $1 AND a.seen_by IN ('*', $2)");
    let stream = StreamName::advisor(id);
    Query::optional(Statement::new(SQL, vec![(&stream).into(), viewer.into()]), AdvisorRow::from_row)
}

/// Whether somebody sees an advisor, of any status.
pub fn is_seen_by(viewer: &UserId, id: &AdvisorId) -> Query<bool> {
    const SQL: &str = "SELECT 1 FROM advisors WHERE stream = $1 AND seen_by IN ('*', $2)";
    let stream = StreamName::advisor(id);
    let seen = Query::optional(Statement::new(SQL, vec![(&stream).into(), viewer.into()]), |_| Ok(()));
    seen.map(|seen| seen.is_some())
}

/// An advisor of any status, whosever it is (for operators and workers).
pub fn find(id: &AdvisorId) -> Query<Option<AdvisorRow>> {
    const SQL: &str = select!("WHERE a.stream = $1");
    Query::optional(Statement::new(SQL, vec![(&StreamName::advisor(id)).into()]), AdvisorRow::from_row)
}

/// Those of these advisors, of any status, that the viewer sees, oldest first.
pub fn by_ids(viewer: Option<&UserId>, ids: &[AdvisorId]) -> Query<Vec<AdvisorRow>> {
    let streams: Vec<String> = ids.iter().map(|id| StreamName::advisor(id).to_string()).collect();
    let viewer = viewer.cloned();
    let queries = in_loads(&streams).into_iter().map(|streams| {
        let sql = AdvisorRow::TABLE.load(streams.len());
        Query::many(Statement::new(sql, streams), AdvisorRow::from_row)
    });
    Query::all(queries.collect()).map(move |rows| {
        let mut rows: Vec<AdvisorRow> =
            rows.into_iter().flatten().filter(|row| is_seen(row, viewer.as_ref())).collect();
        rows.sort_by_key(|row| row.created_position);
        rows
    })
}

/// The advisors, of any status, that a conversation of the viewer's names (as the active one, in messages and
/// in replies) and the viewer sees. The advisors of messages are found by a step in the index each, however many
/// messages there are.
pub fn of_conversation(viewer: &UserId, conversation: &ConversationId) -> Query<Vec<AdvisorRow>> {
    const SQL: &str = select!(
        "WHERE a.seen_by IN ('*', $1)
            AND EXISTS (SELECT 1 FROM conversations WHERE stream = $2 AND user_id = $1)
            AND a.id IN (
                WITH RECURSIVE writers (id) AS (
                    SELECT min(advisor_id) FROM messages WHERE conversation_id = $3 AND advisor_id IS NOT NULL
                    UNION ALL
                    SELECT (SELECT min(m.advisor_id) FROM messages m
                        WHERE m.conversation_id = $3 AND m.advisor_id > w.id)
                    FROM writers w WHERE w.id IS NOT NULL)
                SELECT active_advisor_id FROM conversations WHERE stream = $2
                UNION SELECT id FROM writers
                UNION SELECT advisor_id FROM replies WHERE conversation_id = $3)
        ORDER BY a.created_position"
    );
    let stream = StreamName::conversation(conversation);
    let params = vec![viewer.into(), (&stream).into(), conversation.into()];
    Query::many(Statement::new(SQL, params), AdvisorRow::from_row)
}

/// The advisors that changed after a position for this viewer; `row: None`: gone, or not visible (any more).
pub fn changed(viewer: Option<&UserId>, after: Position) -> Query<Vec<Changed<AdvisorRow>>> {
    const SQL: &str = "SELECT k.key, a.stream, a.id, a.owner_id, a.visibility, a.seen_by, a.status, a.name,
            a.first_name, a.title, a.revision, a.position, a.created_at, a.updated_at, a.created_position, a.document
        FROM (SELECT DISTINCT key FROM changes
            WHERE feed IN ('public', $1) AND projection = 'advisors' AND position > $2) k
        LEFT JOIN advisors a ON a.id = k.key AND a.seen_by IN ('*', $1)";
    Query::many(Statement::new(SQL, vec![viewer.into(), after.into()]), changed_row)
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let (user, id, conversation) = (UserId::from("user"), AdvisorId::from("a"), ConversationId::from("c"));
    texts_of([
        visible_to(Some(&user)).into_statements(),
        names(Some(&user)).into_statements(),
        count_of_user(&user, 1).into_statements(),
        by_id(Some(&user), &id).into_statements(),
        is_seen_by(&user, &id).into_statements(),
        find(&id).into_statements(),
        by_ids(Some(&user), &[id]).into_statements(),
        of_conversation(&user, &conversation).into_statements(),
        changed(Some(&user), Position::START).into_statements(),
    ])
}

/// The projection of advisors.
pub struct Advisors;

impl Projection for Advisors {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        AdvisorRow::TABLE
    }

    fn keys(&self, fact: &Fact, rows: &mut Rows) {
        let Event::Advisor(event) = &fact.event else { return };
        rows.advisors.want(fact.stream.as_str());
        if let AdvisorEvent::Created(Created { owner_id: Some(owner), .. }) = event {
            deletions::want(owner, rows);
        }
    }

    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes) {
        match &fact.event {
            Event::Advisor(event) => apply(event, fact, rows, writes),
            Event::User(UserEvent::Deleted(event)) => writes.advisors.remove_where("seen_by", event.user_id.0.clone()),
            Event::Log(_) | Event::User(_) | Event::Conversation(_) => {}
        }
    }
}

fn apply(event: &AdvisorEvent, fact: &Fact, rows: &Rows, writes: &mut Writes) {
    let row = rows.advisors.get(fact.stream.as_str());
    let changed = match (event, row) {
        (AdvisorEvent::Created(event), None) if !is_erased(event, rows) => created(event, fact),
        (AdvisorEvent::Revised(event), Some(row)) => with_document(touched(row, fact), &event.document, fact),
        (AdvisorEvent::StatusChanged(event), Some(row)) => AdvisorRow { status: event.status, ..touched(row, fact) },
        (AdvisorEvent::VisibilityChanged(event), Some(row)) => {
            let row = AdvisorRow { visibility: event.visibility, ..touched(row, fact) };
            with_document(row, &event.document, fact)
        }
        (AdvisorEvent::Created(_), Some(_) | None)
        | (AdvisorEvent::Revised(_) | AdvisorEvent::StatusChanged(_) | AdvisorEvent::VisibilityChanged(_), None) => {
            return;
        }
    };
    writes.advisors.put(changed);
}

/// A public advisor stays when its maker goes.
fn is_erased(event: &Created, rows: &Rows) -> bool {
    let owner = event.owner_id.as_ref().filter(|_| event.visibility == Visibility::Private);
    owner.is_some_and(|owner| deletions::is_deleted(owner, rows))
}

fn created(event: &Created, fact: &Fact) -> AdvisorRow {
    let row = AdvisorRow {
        id: event.advisor_id.clone(),
        owner_id: event.owner_id.clone(),
        visibility: event.visibility,
        status: event.status,
        name: String::new(),
        first_name: String::new(),
        title: String::new(),
        revision: fact.revision,
        position: fact.position,
        created_at: fact.recorded_at,
        updated_at: fact.recorded_at,
        created_position: fact.position,
        document: String::new(),
    };
    with_document(row, &event.document, fact)
}

/// The row with what lists show of the document. Nothing is known of one whose words have been erased.
fn with_document(row: AdvisorRow, document: &Document, fact: &Fact) -> AdvisorRow {
    let nothing = serde_json::Value::Object(serde_json::Map::new());
    let document = document.known().unwrap_or(&nothing);
    let said = |pointer| document.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    let name = said("/persona/name").to_owned();
    let first_name = match said("/firstName") {
        "" => name.split_whitespace().next().unwrap_or_default(),
        first_name => first_name,
    };
    AdvisorRow {
        first_name: first_name.to_owned(),
        title: said("/persona/title").to_owned(),
        revision: fact.revision,
        document: document.to_string(),
        name,
        ..row
    }
}

fn touched(row: &AdvisorRow, fact: &Fact) -> AdvisorRow {
    AdvisorRow { updated_at: fact.recorded_at, position: fact.position, ..row.clone() }
}

fn is_seen(row: &AdvisorRow, viewer: Option<&UserId>) -> bool {
    match row.visibility {
        Visibility::Public => true,
        Visibility::Private => viewer.is_some() && row.owner_id.as_ref() == viewer,
    }
}

#[cfg(test)]
mod tests;
