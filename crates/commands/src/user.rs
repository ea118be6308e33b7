//! The rules of a person's account: stream `user-<id>`.

use crate::Decider;
use advisor_events::{
    Event, UserId,
    user::{Deleted, PlanChanged, Profile, ProfileChanged, Registered, UserEvent},
};

/// Decides over a person's account.
#[derive(Debug)]
pub enum User {}

/// What may be asked of a person's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserCommand {
    /// Makes the account when a person is seen for the first time; asked again it changes nothing.
    Register {
        /// The person.
        user_id: UserId,
        /// What the sign-in tells of them.
        profile: Profile,
        /// The plan as its word stands in the sign-in service.
        plan: String,
    },
    /// Replaces the profile as a whole.
    ChangeProfile {
        /// The new profile.
        profile: Profile,
    },
    /// Puts the person on a plan.
    ChangePlan {
        /// The plan's word.
        plan: String,
    },
    /// Deletes the account.
    Delete {
        /// The person.
        user_id: UserId,
    },
}

/// Why an account does not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// Nobody of this id has ever been seen.
    #[error("There is no such account.")]
    NotFound,
    /// The account is gone for ever; its id is never used again.
    #[error("This account has been deleted.")]
    Deleted,
}

/// A situation of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserState {
    /// Nobody of this id has been seen.
    #[default]
    Unknown,
    /// The person is known.
    Registered {
        /// The person.
        user_id: UserId,
        /// Their plan's word.
        plan: String,
    },
    /// The account is gone.
    Deleted {
        /// Who it was, since their key hashes what is still asked.
        user_id: UserId,
    },
}

impl Decider for User {
    type State = UserState;
    type Command = UserCommand;
    type Event = UserEvent;
    type Refusal = UserRefusal;

    fn decide(state: &UserState, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
        match (state, command) {
            (UserState::Unknown, UserCommand::Register { user_id, profile, plan }) => {
                Ok(vec![UserEvent::Registered(Registered { user_id, profile, plan })])
            }
            (
                UserState::Unknown,
                UserCommand::ChangeProfile { .. } | UserCommand::ChangePlan { .. } | UserCommand::Delete { .. },
            ) => Err(UserRefusal::NotFound),
            (UserState::Registered { .. }, UserCommand::Register { .. }) => Ok(Vec::new()),
            (UserState::Registered { .. }, UserCommand::ChangeProfile { profile }) => {
                Ok(vec![UserEvent::ProfileChanged(ProfileChanged { profile })])
            }
            (UserState::Registered { plan: current, .. }, UserCommand::ChangePlan { plan }) => {
                if *current == plan {
                    return Ok(Vec::new());
                }
                Ok(vec![UserEvent::PlanChanged(PlanChanged { plan })])
            }
            (UserState::Registered { .. }, UserCommand::Delete { user_id }) => {
                Ok(vec![UserEvent::Deleted(Deleted { user_id })])
            }
            (
                UserState::Deleted { .. },
                UserCommand::Register { .. }
                | UserCommand::ChangeProfile { .. }
                | UserCommand::ChangePlan { .. }
                | UserCommand::Delete { .. },
            ) => Err(UserRefusal::Deleted),
        }
    }

    fn evolve(state: UserState, event: &UserEvent) -> UserState {
        match (state, event) {
            (_, UserEvent::Registered(event)) => {
                UserState::Registered { user_id: event.user_id.clone(), plan: event.plan.clone() }
            }
            (_, UserEvent::Deleted(event)) => UserState::Deleted { user_id: event.user_id.clone() },
            (UserState::Registered { user_id, .. }, UserEvent::PlanChanged(event)) => {
                UserState::Registered { user_id, plan: event.plan.clone() }
            }
            (
                state @ (UserState::Unknown | UserState::Registered { .. } | UserState::Deleted { .. }),
                UserEvent::ProfileChanged(_) | UserEvent::PlanChanged(_),
            ) => state,
        }
    }

    fn subject(state: &UserState, command: &UserCommand) -> Option<UserId> {
        match (state, command) {
            (UserState::Registered { user_id, .. } | UserState::Deleted { user_id }, _)
            | (UserState::Unknown, UserCommand::Register { user_id, .. } | UserCommand::Delete { user_id }) => {
                Some(user_id.clone())
            }
            (UserState::Unknown, UserCommand::ChangeProfile { .. } | UserCommand::ChangePlan { .. }) => None,
        }
    }

    fn event(event: Event) -> Option<UserEvent> {
        match event {
            Event::User(event) => Some(event),
            Event::Log(_) | Event::Advisor(_) | Event::Conversation(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specification::given;

    #[test]
    fn a_person_seen_for_the_first_time_is_registered() {
        given::<User>([]).when(register()).then(vec![registered()]);
    }

    #[test]
    fn registering_a_registered_person_changes_nothing() {
        given::<User>([registered()]).when(register()).then_nothing();
    }

    #[test]
    fn registering_a_deleted_person_is_refused() {
        given::<User>([registered(), deleted()]).when(register()).then_refused(UserRefusal::Deleted);
    }

    #[test]
    fn a_profile_is_replaced_as_a_whole() {
        let profile = Profile { name: Some("Ana".to_owned().into()), ..Profile::default() };
        given::<User>([registered()])
            .when(UserCommand::ChangeProfile { profile: profile.clone() })
            .then(vec![UserEvent::ProfileChanged(ProfileChanged { profile })]);
    }

    #[test]
    fn a_person_is_put_on_another_plan() {
        given::<User>([registered()]).when(change_plan("premium")).then(vec![plan_changed("premium")]);
    }

    #[test]
    fn a_person_who_is_on_the_plan_already_stays_there() {
        given::<User>([registered()]).when(change_plan("free")).then_nothing();
        given::<User>([registered(), plan_changed("premium")]).when(change_plan("premium")).then_nothing();
    }

    #[test]
    fn an_account_is_deleted() {
        given::<User>([registered()]).when(delete()).then(vec![deleted()]);
    }

    #[test]
    fn an_unknown_person_can_only_be_registered() {
        for command in [change_profile(), change_plan("premium"), delete()] {
            given::<User>([]).when(command).then_refused(UserRefusal::NotFound);
        }
    }

    #[test]
    fn a_deleted_account_refuses_everything() {
        for command in [change_profile(), change_plan("premium"), delete()] {
            given::<User>([registered(), deleted()]).when(command).then_refused(UserRefusal::Deleted);
        }
    }

    #[test]
    fn the_subject_is_the_person_from_the_first_command_on() {
        assert_eq!(User::subject(&UserState::Unknown, &register()), Some("ana".into()));
        assert_eq!(User::subject(&UserState::Unknown, &change_profile()), None);
        let state = User::evolve(UserState::Unknown, &registered());
        assert_eq!(User::subject(&state, &change_profile()), Some("ana".into()));
        let state = User::evolve(state, &deleted());
        assert_eq!(User::subject(&state, &change_profile()), Some("ana".into()));
    }

    fn register() -> UserCommand {
        UserCommand::Register { user_id: "ana".into(), profile: Profile::default(), plan: "free".into() }
    }

    fn change_profile() -> UserCommand {
        UserCommand::ChangeProfile { profile: Profile::default() }
    }

    fn change_plan(plan: &str) -> UserCommand {
        UserCommand::ChangePlan { plan: plan.into() }
    }

    fn delete() -> UserCommand {
        UserCommand::Delete { user_id: "ana".into() }
    }

    fn registered() -> UserEvent {
        UserEvent::Registered(Registered { user_id: "ana".into(), profile: Profile::default(), plan: "free".into() })
    }

    fn plan_changed(plan: &str) -> UserEvent {
        UserEvent::PlanChanged(PlanChanged { plan: plan.into() })
    }

    fn deleted() -> UserEvent {
        UserEvent::Deleted(Deleted { user_id: "ana".into() })
    }
}
