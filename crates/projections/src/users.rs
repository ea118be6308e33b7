//! People: `me`.

use crate::{
    Changed, Query,
    changes::{self, changed_row},
    projection::{Fact, Projection},
    rows::{Rows, Writes},
    store::{Row, RowError, Statement, Value},
    table::{Column, Concern, Table, TableRow},
};
use advisor_eventlog::Position;
use advisor_events::{
    Event, Personal, StreamName, Timestamp, UserId,
    user::{Profile, Registered, UserEvent},
};

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// The person.
    pub id: UserId,
    /// E-mail address.
    pub email: Option<String>,
    /// Name as the person writes it.
    pub name: Option<String>,
    /// URL of a picture.
    pub image: Option<String>,
    /// The plan's word.
    pub plan: String,
    /// When the person was seen for the first time.
    pub created_at: Timestamp,
    /// When something here changed.
    pub updated_at: Timestamp,
    /// The last event that changed the row.
    pub position: Position,
}

impl TableRow for UserRow {
    const TABLE: Table = Table {
        name: "users",
        key: "stream",
        columns: &[
            Column::text("stream"),
            Column::text("id"),
            Column::optional_text("email"),
            Column::optional_text("name"),
            Column::optional_text("image"),
            Column::text("plan"),
            Column::int("created_at"),
            Column::int("updated_at"),
            Column::int("position"),
        ],
        indexes: &[],
        groups: &[],
    };
    const KEPT: bool = false;

    fn key(&self) -> String {
        StreamName::user(&self.id).to_string()
    }

    fn group(&self, _column: &str) -> Option<&str> {
        None
    }

    fn concern(&self) -> Option<Concern> {
        Some(Concern { feed: self.id.0.clone(), scope: String::new(), key: self.id.0.clone() })
    }

    fn into_values(self) -> Vec<Value> {
        vec![
            self.key().into(),
            self.id.0.into(),
            self.email.into(),
            self.name.into(),
            self.image.into(),
            self.plan.into(),
            self.created_at.into(),
            self.updated_at.into(),
            self.position.into(),
        ]
    }

    fn from_row(row: Row) -> Result<Self, RowError> {
        let mut cells = row.into_cells();
        cells.text()?;
        Ok(Self {
            id: cells.id()?,
            email: cells.optional_text()?,
            name: cells.optional_text()?,
            image: cells.optional_text()?,
            plan: cells.text()?,
            created_at: cells.time()?,
            updated_at: cells.time()?,
            position: cells.position()?,
        })
    }
}

/// A person by their id.
pub fn by_id(id: &UserId) -> Query<Option<UserRow>> {
    const SQL: &str = "SELECT stream, id, email, name, image, plan, created_at, updated_at, position
        FROM users WHERE stream = $1";
    Query::optional(Statement::new(SQL, vec![(&StreamName::user(id)).into()]), UserRow::from_row)
}

/// The person's own row, if it changed after a position: one element or none.
pub fn changed(id: &UserId, after: Position) -> Query<Vec<Changed<UserRow>>> {
    const SQL: &str = "SELECT k.key, u.stream, u.id, u.email, u.name, u.image, u.plan, u.created_at, u.updated_at,
            u.position
        FROM (SELECT DISTINCT key FROM changes WHERE feed = $1 AND projection = 'users' AND position > $2) k
        LEFT JOIN users u ON u.stream = $3";
    let stream = StreamName::user(id);
    Query::many(Statement::new(SQL, vec![id.into(), after.into(), (&stream).into()]), changed_row)
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let id = UserId::from("user");
    changes::texts_of([by_id(&id).into_statements(), changed(&id, Position::START).into_statements()])
}

/// The projection of people.
pub struct Users;

impl Projection for Users {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        UserRow::TABLE
    }

    fn keys(&self, fact: &Fact, rows: &mut Rows) {
        if let Event::User(_) = fact.event {
            rows.users.want(fact.stream.as_str());
        }
    }

    fn apply(&self, fact: &Fact, rows: &Rows, writes: &mut Writes) {
        let Event::User(event) = &fact.event else { return };
        let row = rows.users.get(fact.stream.as_str());
        match (event, row) {
            (UserEvent::Registered(event), None) => writes.users.put(registered(event, fact)),
            (UserEvent::ProfileChanged(event), Some(row)) => {
                writes.users.put(with_profile(touched(row, fact), &event.profile));
            }
            (UserEvent::PlanChanged(event), Some(row)) => {
                writes.users.put(UserRow { plan: event.plan.clone(), ..touched(row, fact) });
            }
            (UserEvent::Deleted(_), Some(row)) => writes.users.remove(row),
            (UserEvent::Registered(_), Some(_))
            | (UserEvent::ProfileChanged(_) | UserEvent::PlanChanged(_) | UserEvent::Deleted(_), None) => {}
        }
    }
}

fn registered(event: &Registered, fact: &Fact) -> UserRow {
    let row = UserRow {
        id: event.user_id.clone(),
        email: None,
        name: None,
        image: None,
        plan: event.plan.clone(),
        created_at: fact.recorded_at,
        updated_at: fact.recorded_at,
        position: fact.position,
    };
    with_profile(row, &event.profile)
}

fn with_profile(row: UserRow, profile: &Profile) -> UserRow {
    let known = |field: &Option<Personal<String>>| field.as_ref().and_then(Personal::known).cloned();
    UserRow { email: known(&profile.email), name: known(&profile.name), image: known(&profile.image), ..row }
}

fn touched(row: &UserRow, fact: &Fact) -> UserRow {
    UserRow { updated_at: fact.recorded_at, position: fact.position, ..row.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{recorded_at, story};
    use advisor_events::user::PlanChanged;

    #[test]
    fn a_registered_person_has_a_row() {
        let rows = story().registered("ana").fold();

        let ana = rows.users.get("user-ana").unwrap();
        assert_eq!(ana.email.as_deref(), Some("ana@example.org"));
        assert_eq!((ana.plan.as_str(), ana.created_at), ("free", recorded_at(1)));
    }

    #[test]
    fn a_profile_is_replaced_as_a_whole() {
        let profile = Profile { email: None, name: Some("Ana B.".to_owned().into()), image: None };
        let event = UserEvent::ProfileChanged(advisor_events::user::ProfileChanged { profile, told_at: None });
        let rows = story().registered("ana").user("ana", event).fold();

        let ana = rows.users.get("user-ana").unwrap();
        assert_eq!((ana.email.as_deref(), ana.name.as_deref()), (None, Some("Ana B.")));
        assert_eq!((ana.created_at, ana.updated_at), (recorded_at(1), recorded_at(2)));
    }

    #[test]
    fn a_plan_is_kept_as_its_word() {
        let event = UserEvent::PlanChanged(PlanChanged { plan: "enterprise".into(), told_at: None });
        let rows = story().registered("ana").user("ana", event).fold();

        assert_eq!(rows.users.get("user-ana").unwrap().plan, "enterprise");
    }

    #[test]
    fn who_is_deleted_leaves_nothing_anywhere() {
        let at = ("c", "ana");
        let rows = story()
            .registered("ana")
            .registered("ben")
            .advisor("mine", Some("ana"), advisor_events::advisor::Visibility::Private)
            .advisor("for-all", Some("ana"), advisor_events::advisor::Visibility::Public)
            .started("c", "ana")
            .sent(at, "m", &["r"])
            .started("d", "ben")
            .sent(("d", "ben"), "n", &["s"])
            .user_deleted("ana")
            .fold();

        assert_eq!(rows.users.all().len(), 1);
        assert_eq!(rows.advisors.all()[0].id.as_str(), "for-all");
        assert_eq!(rows.advisors.all().len(), 1);
        assert!(rows.conversations.all().iter().all(|row| row.user_id.as_str() == "ben"));
        assert!(rows.messages.all().iter().all(|row| row.user_id.as_str() == "ben"));
        assert!(rows.replies.all().iter().all(|row| row.user_id.as_str() == "ben"));
    }
}
