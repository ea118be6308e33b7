//! The rules of a person's account: stream `user-<id>`.

use crate::Decider;
use advisor_events::{
    Event, Timestamp, UserId,
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
    /// Takes over what the sign-in service tells of a person as a whole, and makes the account if it is not there.
    /// What is older than what it told before changes nothing.
    FollowAccount {
        /// The person.
        user_id: UserId,
        /// The profile; it replaces the one before.
        profile: Profile,
        /// The plan's word.
        plan: String,
        /// As of when this is so.
        told_at: Timestamp,
    },
    /// Takes over that the sign-in service has deleted a person, whether they were seen here or not: nobody of this id
    /// is ever let in.
    FollowDeletion {
        /// The person.
        user_id: UserId,
    },
    /// Puts the person on the plan that their token names, unless something newer was told of it.
    ChangePlan {
        /// The plan's word.
        plan: String,
        /// When the token was issued.
        told_at: Timestamp,
    },
    /// Deletes the account of somebody who is known here.
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
        /// As of when their sign-in service told all this.
        told: Told,
    },
    /// The account is gone.
    Deleted {
        /// Who it was, since their key hashes what is still asked.
        user_id: UserId,
    },
}

/// As of when the sign-in service told something; what is older changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Of the person as a whole.
    pub person: Option<Timestamp>,
    /// Of the plan, with the person or by a token.
    pub plan: Option<Timestamp>,
}

impl Decider for User {
    type State = UserState;
    type Command = UserCommand;
    type Event = UserEvent;
    type Refusal = UserRefusal;

    fn decide(state: &UserState, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
        match (state, command) {
            (UserState::Unknown, UserCommand::Register { user_id, profile, plan }) => {
                Ok(vec![UserEvent::Registered(Registered { user_id, profile, plan, told_at: None })])
            }
            (UserState::Unknown, UserCommand::FollowAccount { user_id, profile, plan, told_at }) => {
                Ok(vec![UserEvent::Registered(Registered { user_id, profile, plan, told_at: Some(told_at) })])
            }
            (UserState::Unknown, UserCommand::ChangePlan { .. } | UserCommand::Delete { .. }) => {
                Err(UserRefusal::NotFound)
            }
            (UserState::Registered { .. }, UserCommand::Register { .. })
            | (UserState::Deleted { .. }, UserCommand::FollowDeletion { .. }) => Ok(Vec::new()),
            (
                UserState::Registered { plan: current, told, .. },
                UserCommand::FollowAccount { profile, plan, told_at, .. },
            ) => Ok(follow(current, *told, Account { profile, plan }, told_at)),
            (UserState::Registered { plan: current, told, .. }, UserCommand::ChangePlan { plan, told_at }) => {
                if *current == plan || told.plan > Some(told_at) {
                    return Ok(Vec::new());
                }
                Ok(vec![UserEvent::PlanChanged(PlanChanged { plan, told_at: Some(told_at) })])
            }
            (UserState::Registered { .. }, UserCommand::Delete { user_id })
            | (UserState::Unknown | UserState::Registered { .. }, UserCommand::FollowDeletion { user_id }) => {
                Ok(vec![UserEvent::Deleted(Deleted { user_id })])
            }
            (
                UserState::Deleted { .. },
                UserCommand::Register { .. }
                | UserCommand::FollowAccount { .. }
                | UserCommand::ChangePlan { .. }
                | UserCommand::Delete { .. },
            ) => Err(UserRefusal::Deleted),
        }
    }

    fn evolve(state: UserState, event: &UserEvent) -> UserState {
        match (state, event) {
            (_, UserEvent::Registered(event)) => UserState::Registered {
                user_id: event.user_id.clone(),
                plan: event.plan.clone(),
                told: Told { person: event.told_at, plan: event.told_at },
            },
            (_, UserEvent::Deleted(event)) => UserState::Deleted { user_id: event.user_id.clone() },
            (UserState::Registered { user_id, plan, told }, UserEvent::ProfileChanged(event)) => {
                // The plan was told too, and is left alone where it is the same.
                let told = Told { person: told.person.max(event.told_at), plan: told.plan.max(event.told_at) };
                UserState::Registered { user_id, plan, told }
            }
            (UserState::Registered { user_id, told, .. }, UserEvent::PlanChanged(event)) => {
                let told = Told { plan: told.plan.max(event.told_at), ..told };
                UserState::Registered { user_id, plan: event.plan.clone(), told }
            }
            (
                state @ (UserState::Unknown | UserState::Deleted { .. }),
                UserEvent::ProfileChanged(_) | UserEvent::PlanChanged(_),
            ) => state,
        }
    }

    fn subject(state: &UserState, command: &UserCommand) -> Option<UserId> {
        match (state, command) {
            (UserState::Registered { user_id, .. } | UserState::Deleted { user_id }, _)
            | (
                UserState::Unknown,
                UserCommand::Register { user_id, .. }
                | UserCommand::FollowAccount { user_id, .. }
                | UserCommand::FollowDeletion { user_id }
                | UserCommand::Delete { user_id },
            ) => Some(user_id.clone()),
            (UserState::Unknown, UserCommand::ChangePlan { .. }) => None,
        }
    }

    fn event(event: Event) -> Option<UserEvent> {
        match event {
            Event::User(event) => Some(event),
            Event::Log(_) | Event::Advisor(_) | Event::Conversation(_) => None,
        }
    }
}

/// What the sign-in service tells of a person.
struct Account {
    profile: Profile,
    plan: String,
}

fn follow(current_plan: &str, told: Told, account: Account, told_at: Timestamp) -> Vec<UserEvent> {
    let told_at = Some(told_at);
    if told.person >= told_at {
        return Vec::new();
    }
    let mut events = vec![UserEvent::ProfileChanged(ProfileChanged { profile: account.profile, told_at })];
    if account.plan != current_plan && told.plan < told_at {
        events.push(UserEvent::PlanChanged(PlanChanged { plan: account.plan, told_at }));
    }
    events
}

#[cfg(test)]
mod tests;
