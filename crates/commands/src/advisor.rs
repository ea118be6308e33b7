//! The rules of an advisor: stream `advisor-<id>`.

use crate::Decider;
use advisor_events::{
    AdvisorId, Event, UserId,
    advisor::{AdvisorEvent, Created, Document, Revised, Status, StatusChanged, Visibility, VisibilityChanged},
};
use serde_json::Value;

/// Decides over an advisor.
#[derive(Debug)]
pub enum Advisor {}

/// Who asks, as their verified token tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person.
    pub user_id: UserId,
    /// What they may do beyond what is theirs.
    pub role: CallerRole,
}

/// What a caller may do beyond what is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerRole {
    /// Nothing.
    User,
    /// Run the system: take any advisor off the list, publish any, revise public ones.
    Operator,
}

/// What may be asked of an advisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdvisorCommand {
    /// Makes an advisor.
    Create {
        /// Its id.
        advisor_id: AdvisorId,
        /// Whose it is; nobody's when it is seeded or imported.
        owner_id: Option<UserId>,
        /// Who sees it.
        visibility: Visibility,
        /// Whether it can be talked to.
        status: Status,
        /// Its document.
        document: Value,
    },
    /// Replaces the document.
    Revise {
        /// Who asks.
        by: Caller,
        /// The new document.
        document: Value,
    },
    /// Makes it active, inactive or archived.
    SetStatus {
        /// Who asks.
        by: Caller,
        /// The new status.
        status: Status,
    },
    /// Shows it to all, or to its owner alone.
    SetVisibility {
        /// Who asks: operators only.
        by: Caller,
        /// The new visibility.
        visibility: Visibility,
        /// Its document as the caller has read it, since the event holds it once more.
        document: Value,
        /// The revision of the event that holds that document.
        document_revision: u64,
    },
}

/// Why an advisor does not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvisorRefusal {
    /// There is none, or none that the caller may change: the two answer alike.
    #[error("There is no such advisor.")]
    NotFound,
    /// The id is taken.
    #[error("There is an advisor of this id already.")]
    Exists {
        /// Whether the caller sees the one who has it. If not, another id is taken instead of an answer
        /// that would tell of somebody else's advisor.
        visible: bool,
    },
    /// Only operators may do this.
    #[error("Only operators may do this.")]
    NotOperator,
    /// What is seen by its owner alone has to have one.
    #[error("An advisor without an owner can't be private.")]
    NoOwner,
    /// The document has been replaced since it was read: read it again.
    #[error("The advisor was changed in the meantime.")]
    DocumentMoved,
}

/// A situation of an advisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdvisorState {
    /// There is none.
    #[default]
    Unknown,
    /// It was made.
    Made(Made),
}

/// What the rules ask of an advisor that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    owner_id: Option<UserId>,
    visibility: Visibility,
    status: Status,
    revision: u64,
    document_revision: u64,
}

impl Made {
    fn is_owned_by(&self, caller: &Caller) -> bool {
        self.owner_id.as_ref() == Some(&caller.user_id)
    }

    /// Whether the caller may replace its document: what is private is its owner's alone.
    fn may_revise(&self, caller: &Caller) -> bool {
        self.is_owned_by(caller) || (caller.role == CallerRole::Operator && self.visibility == Visibility::Public)
    }

    fn may_set_status(&self, caller: &Caller) -> bool {
        self.is_owned_by(caller) || caller.role == CallerRole::Operator
    }

    fn is_seen_by(&self, caller: &Caller) -> bool {
        self.is_owned_by(caller) || self.visibility == Visibility::Public
    }
}

impl Decider for Advisor {
    type State = AdvisorState;
    type Command = AdvisorCommand;
    type Event = AdvisorEvent;
    type Refusal = AdvisorRefusal;

    fn decide(state: &AdvisorState, command: AdvisorCommand) -> Result<Vec<AdvisorEvent>, AdvisorRefusal> {
        match (state, command) {
            (AdvisorState::Unknown, AdvisorCommand::Create { advisor_id, owner_id, visibility, status, document }) => {
                let document = document_for(visibility, owner_id.as_ref(), document)?;
                Ok(vec![AdvisorEvent::Created(Created { advisor_id, owner_id, visibility, status, document })])
            }
            (
                AdvisorState::Unknown,
                AdvisorCommand::Revise { .. } | AdvisorCommand::SetStatus { .. } | AdvisorCommand::SetVisibility { .. },
            ) => Err(AdvisorRefusal::NotFound),
            (AdvisorState::Made(made), AdvisorCommand::Create { owner_id, .. }) => {
                let own = owner_id.is_some() && owner_id == made.owner_id;
                Err(AdvisorRefusal::Exists { visible: own || made.visibility == Visibility::Public })
            }
            (AdvisorState::Made(made), AdvisorCommand::Revise { by, document }) => {
                if !made.may_revise(&by) {
                    return Err(AdvisorRefusal::NotFound);
                }
                let document = document_for(made.visibility, made.owner_id.as_ref(), document)?;
                Ok(vec![AdvisorEvent::Revised(Revised { document })])
            }
            (AdvisorState::Made(made), AdvisorCommand::SetStatus { by, status }) => {
                if !made.may_set_status(&by) {
                    return Err(AdvisorRefusal::NotFound);
                }
                if made.status == status {
                    return Ok(Vec::new());
                }
                Ok(vec![AdvisorEvent::StatusChanged(StatusChanged { status })])
            }
            (
                AdvisorState::Made(made),
                AdvisorCommand::SetVisibility { by, visibility, document, document_revision },
            ) => {
                if by.role != CallerRole::Operator {
                    let seen = made.is_seen_by(&by);
                    return Err(if seen { AdvisorRefusal::NotOperator } else { AdvisorRefusal::NotFound });
                }
                if made.visibility == visibility {
                    return Ok(Vec::new());
                }
                if made.document_revision != document_revision {
                    return Err(AdvisorRefusal::DocumentMoved);
                }
                let document = document_for(visibility, made.owner_id.as_ref(), document)?;
                Ok(vec![AdvisorEvent::VisibilityChanged(VisibilityChanged { visibility, document })])
            }
        }
    }

    fn evolve(state: AdvisorState, event: &AdvisorEvent) -> AdvisorState {
        match (state, event) {
            (_, AdvisorEvent::Created(event)) => AdvisorState::Made(Made {
                owner_id: event.owner_id.clone(),
                visibility: event.visibility,
                status: event.status,
                revision: 0,
                document_revision: 0,
            }),
            (AdvisorState::Unknown, _) => AdvisorState::Unknown,
            (AdvisorState::Made(mut made), event) => {
                made.revision += 1;
                match event {
                    AdvisorEvent::Created(_) => {}
                    AdvisorEvent::Revised(_) => made.document_revision = made.revision,
                    AdvisorEvent::StatusChanged(event) => made.status = event.status,
                    AdvisorEvent::VisibilityChanged(event) => {
                        made.visibility = event.visibility;
                        made.document_revision = made.revision;
                    }
                }
                AdvisorState::Made(made)
            }
        }
    }

    fn subject(state: &AdvisorState, command: &AdvisorCommand) -> Option<UserId> {
        match (state, command) {
            (AdvisorState::Made(made), _) => made.owner_id.clone(),
            (AdvisorState::Unknown, AdvisorCommand::Create { owner_id, .. }) => owner_id.clone(),
            (
                AdvisorState::Unknown,
                AdvisorCommand::Revise { .. } | AdvisorCommand::SetStatus { .. } | AdvisorCommand::SetVisibility { .. },
            ) => None,
        }
    }

    fn event(event: Event) -> Option<AdvisorEvent> {
        match event {
            Event::Advisor(event) => Some(event),
            Event::Log(_) | Event::User(_) | Event::Conversation(_) => None,
        }
    }
}

/// The document as the visibility asks for it: in the clear, or to be sealed under the owner's key.
fn document_for(
    visibility: Visibility,
    owner_id: Option<&UserId>,
    document: Value,
) -> Result<Document, AdvisorRefusal> {
    match (visibility, owner_id) {
        (Visibility::Public, _) => Ok(Document::Public(document)),
        (Visibility::Private, Some(_)) => Ok(Document::Private(document.into())),
        (Visibility::Private, None) => Err(AdvisorRefusal::NoOwner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specification::given;
    use serde_json::json;

    #[test]
    fn a_public_advisor_is_made_in_the_clear_and_a_private_one_is_personal() {
        let create = |visibility| create(Some("ana"), visibility);
        given::<Advisor>([]).when(create(Visibility::Public)).then(vec![public(Some("ana"))]);
        given::<Advisor>([]).when(create(Visibility::Private)).then(vec![private("ana")]);
    }

    #[test]
    fn a_seeded_advisor_is_nobodys() {
        given::<Advisor>([]).when(create(None, Visibility::Public)).then(vec![public(None)]);
    }

    #[test]
    fn a_private_advisor_without_an_owner_is_refused() {
        given::<Advisor>([]).when(create(None, Visibility::Private)).then_refused(AdvisorRefusal::NoOwner);
        given::<Advisor>([public(None)])
            .when(set_visibility(operator("olga"), Visibility::Private, 0))
            .then_refused(AdvisorRefusal::NoOwner);
    }

    #[test]
    fn an_id_that_is_taken_is_told_of_when_its_advisor_is_seen_and_only_then() {
        for (there, asking, visible) in [
            (public(None), Some("ana"), true),
            (public(Some("ben")), Some("ana"), true),
            (public(None), None, true),
            (private("ana"), Some("ana"), true),
            (private("ben"), Some("ana"), false),
            (private("ben"), None, false),
        ] {
            given::<Advisor>([there])
                .when(create(asking, Visibility::Private))
                .then_refused(AdvisorRefusal::Exists { visible });
        }
    }

    #[test]
    fn an_advisor_that_was_not_made_refuses_everything_else() {
        for command in [
            revise(user("ana")),
            set_status(user("ana"), Status::Archived),
            set_visibility(operator("olga"), Visibility::Public, 0),
        ] {
            given::<Advisor>([]).when(command).then_refused(AdvisorRefusal::NotFound);
        }
    }

    #[test]
    fn an_owner_revises_their_advisor_as_it_is_visible() {
        given::<Advisor>([private("ana")]).when(revise(user("ana"))).then(vec![privately_revised()]);
        given::<Advisor>([public(Some("ana"))]).when(revise(user("ana"))).then(vec![publicly_revised()]);
    }

    #[test]
    fn an_operator_revises_public_advisors_and_no_private_ones() {
        given::<Advisor>([public(None)]).when(revise(operator("olga"))).then(vec![publicly_revised()]);
        given::<Advisor>([private("ana")]).when(revise(operator("olga"))).then_refused(AdvisorRefusal::NotFound);
    }

    #[test]
    fn somebody_elses_advisor_answers_as_if_there_were_none() {
        for there in [public(None), public(Some("ana")), private("ana")] {
            for command in [revise(user("ben")), set_status(user("ben"), Status::Archived)] {
                given::<Advisor>([there.clone()]).when(command).then_refused(AdvisorRefusal::NotFound);
            }
        }
    }

    #[test]
    fn an_owner_or_an_operator_archives_an_advisor_once() {
        for by in [user("ana"), operator("olga")] {
            let archive = set_status(by, Status::Archived);
            given::<Advisor>([private("ana")]).when(archive.clone()).then(vec![status_changed(Status::Archived)]);
            given::<Advisor>([private("ana"), status_changed(Status::Archived)]).when(archive).then_nothing();
        }
    }

    #[test]
    fn an_advisor_becomes_active_again() {
        given::<Advisor>([public(None), status_changed(Status::Archived)])
            .when(set_status(operator("olga"), Status::Active))
            .then(vec![status_changed(Status::Active)]);
    }

    #[test]
    fn an_operator_publishes_a_private_advisor_and_takes_it_back() {
        let publish = set_visibility(operator("olga"), Visibility::Public, 0);
        given::<Advisor>([private("ana")]).when(publish.clone()).then(vec![published()]);
        given::<Advisor>([private("ana"), published()]).when(publish).then_nothing();
        given::<Advisor>([private("ana"), published()])
            .when(set_visibility(operator("olga"), Visibility::Private, 1))
            .then(vec![AdvisorEvent::VisibilityChanged(VisibilityChanged {
                visibility: Visibility::Private,
                document: Document::Private(document().into()),
            })]);
    }

    #[test]
    fn only_operators_publish_and_only_who_sees_an_advisor_is_told_so() {
        let publish = |by| set_visibility(by, Visibility::Public, 0);
        given::<Advisor>([private("ana")]).when(publish(user("ana"))).then_refused(AdvisorRefusal::NotOperator);
        given::<Advisor>([public(None)]).when(publish(user("ben"))).then_refused(AdvisorRefusal::NotOperator);
        given::<Advisor>([private("ana")]).when(publish(user("ben"))).then_refused(AdvisorRefusal::NotFound);
    }

    #[test]
    fn a_document_that_was_replaced_since_it_was_read_is_not_published() {
        let history = [private("ana"), status_changed(Status::Inactive), privately_revised()];
        for document_revision in [0, 1, 3] {
            given::<Advisor>(history.clone())
                .when(set_visibility(operator("olga"), Visibility::Public, document_revision))
                .then_refused(AdvisorRefusal::DocumentMoved);
        }
        given::<Advisor>(history).when(set_visibility(operator("olga"), Visibility::Public, 2)).then(vec![published()]);
    }

    #[test]
    fn the_subject_is_the_owner_where_there_is_one() {
        let command = create(Some("ana"), Visibility::Private);
        assert_eq!(Advisor::subject(&AdvisorState::Unknown, &command), Some("ana".into()));
        let state = Advisor::evolve(AdvisorState::Unknown, &private("ana"));
        assert_eq!(Advisor::subject(&state, &revise(operator("olga"))), Some("ana".into()));
        let state = Advisor::evolve(AdvisorState::Unknown, &public(None));
        assert_eq!(Advisor::subject(&state, &revise(operator("olga"))), None);
    }

    fn create(owner: Option<&str>, visibility: Visibility) -> AdvisorCommand {
        AdvisorCommand::Create {
            advisor_id: "alex".into(),
            owner_id: owner.map(Into::into),
            visibility,
            status: Status::Active,
            document: document(),
        }
    }

    fn revise(by: Caller) -> AdvisorCommand {
        AdvisorCommand::Revise { by, document: document() }
    }

    fn set_status(by: Caller, status: Status) -> AdvisorCommand {
        AdvisorCommand::SetStatus { by, status }
    }

    fn set_visibility(by: Caller, visibility: Visibility, document_revision: u64) -> AdvisorCommand {
        AdvisorCommand::SetVisibility { by, visibility, document: document(), document_revision }
    }

    fn user(id: &str) -> Caller {
        Caller { user_id: id.into(), role: CallerRole::User }
    }

    fn operator(id: &str) -> Caller {
        Caller { user_id: id.into(), role: CallerRole::Operator }
    }

    fn document() -> Value {
        json!({"persona": {"name": "Alex", "title": "Coach"}})
    }

    fn public(owner: Option<&str>) -> AdvisorEvent {
        created(owner, Visibility::Public, Document::Public(document()))
    }

    fn private(owner: &str) -> AdvisorEvent {
        created(Some(owner), Visibility::Private, Document::Private(document().into()))
    }

    fn created(owner: Option<&str>, visibility: Visibility, document: Document) -> AdvisorEvent {
        AdvisorEvent::Created(Created {
            advisor_id: "alex".into(),
            owner_id: owner.map(Into::into),
            visibility,
            status: Status::Active,
            document,
        })
    }

    fn privately_revised() -> AdvisorEvent {
        AdvisorEvent::Revised(Revised { document: Document::Private(document().into()) })
    }

    fn publicly_revised() -> AdvisorEvent {
        AdvisorEvent::Revised(Revised { document: Document::Public(document()) })
    }

    fn status_changed(status: Status) -> AdvisorEvent {
        AdvisorEvent::StatusChanged(StatusChanged { status })
    }

    fn published() -> AdvisorEvent {
        AdvisorEvent::VisibilityChanged(VisibilityChanged {
            visibility: Visibility::Public,
            document: Document::Public(document()),
        })
    }
}
