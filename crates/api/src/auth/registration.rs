//! A person is registered when their token is seen for the first time, and their plan follows their token.

use super::token::Verified;
use advisor_commands::{CommandContext, CommandError, Commands, UserCommand, UserRefusal};
use advisor_events::{Actor, StreamName, Timestamp, UserId, user::Profile};
use async_trait::async_trait;
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};
use uuid::Uuid;

/// How long a person is remembered as registered. Their deletion is heard of otherwise; were it not, they would be
/// refused from then on, which is before their revocation is forgotten.
pub const REGISTERED_FOR_MS: i64 = 3_600_000;
/// The plan of whom no token says anything else.
const DEFAULT_PLAN: &str = "free";

/// Why a person is not let in although their token is valid.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Their account was deleted.
    #[error("the account was deleted")]
    Deleted,
    /// It can't be told now.
    #[error("registration is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where people are kept.
#[async_trait]
pub trait People: Send + Sync {
    /// Registers a person, if they are not yet.
    async fn register(&self, person: &Verified, plan: &str, now: Timestamp) -> Result<(), RegistrationError>;
    /// Gives a registered person this plan, if they have another one.
    async fn change_plan(&self, person: &Verified, plan: &str, now: Timestamp) -> Result<(), RegistrationError>;
}

/// What is remembered of a registered person.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    registered_at: Timestamp,
    plan: Option<String>,
    /// When the token was issued that named the plan: an older one changes nothing any more.
    plan_since: Timestamp,
}

/// Registers each person once, and remembers whom it has registered.
pub struct Registration {
    people: Arc<dyn People>,
    known: Mutex<LruCache<UserId, Known>>,
}

impl Registration {
    /// One that keeps people there, and remembers so many of them.
    pub fn new(people: Arc<dyn People>, remembered_max: NonZeroUsize) -> Self {
        Self { people, known: Mutex::new(LruCache::new(remembered_max)) }
    }

    /// Returns once the person of this token is registered and has the plan that the token names.
    pub async fn ensure(&self, person: &Verified, now: Timestamp) -> Result<(), RegistrationError> {
        let is_recent = |known: &&Known| now < known.registered_at.plus_ms(REGISTERED_FOR_MS);
        let known = self.lock().get(&person.user_id).filter(is_recent).cloned();
        let known = if let Some(known) = known {
            known
        } else {
            let plan = person.plan.as_deref().unwrap_or(DEFAULT_PLAN);
            self.people.register(person, plan, now).await?;
            // Who was registered long ago may have another plan: nothing is known of it yet.
            Known { registered_at: now, plan: None, plan_since: Timestamp(i64::MIN) }
        };
        let known = self.follow_plan(person, known, now).await?;
        self.lock().put(person.user_id.clone(), known);
        Ok(())
    }

    async fn follow_plan(&self, person: &Verified, known: Known, now: Timestamp) -> Result<Known, RegistrationError> {
        let Some(plan) = &person.plan else { return Ok(known) };
        if known.plan.as_ref() == Some(plan) || person.issued_at < known.plan_since {
            return Ok(known);
        }
        self.people.change_plan(person, plan, now).await?;
        Ok(Known { plan: Some(plan.clone()), plan_since: person.issued_at, ..known })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<UserId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl People for Commands {
    async fn register(&self, person: &Verified, plan: &str, now: Timestamp) -> Result<(), RegistrationError> {
        let told = person.profile.clone();
        let profile = Profile {
            email: told.email.map(Into::into),
            name: told.name.map(Into::into),
            image: told.image.map(Into::into),
        };
        let command = UserCommand::Register { user_id: person.user_id.clone(), profile, plan: plan.to_owned() };
        // A new id every time: a repeat of an older registration would be told of its success even after
        // the account was deleted. Registering twice changes nothing by itself.
        execute(self, person, command, (format!("register-{}", Uuid::new_v4()), now)).await
    }

    async fn change_plan(&self, person: &Verified, plan: &str, now: Timestamp) -> Result<(), RegistrationError> {
        let command = UserCommand::ChangePlan { plan: plan.to_owned(), told_at: person.issued_at };
        execute(self, person, command, (format!("plan-{plan}-{}", person.issued_at.0), now)).await
    }
}

/// The id alone tells a repeat from another command.
async fn execute(
    commands: &Commands,
    person: &Verified,
    command: UserCommand,
    (command_id, now): (String, Timestamp),
) -> Result<(), RegistrationError> {
    let mut context = CommandContext::new(Actor::User(person.user_id.clone()), command_id.clone(), now);
    context.body = command_id.into_bytes();
    let done = commands.users.execute(&StreamName::user(&person.user_id), command, context).await;
    match done {
        Ok(_) => Ok(()),
        Err(CommandError::Refused(UserRefusal::Deleted | UserRefusal::NotFound) | CommandError::KeyDestroyed) => {
            Err(RegistrationError::Deleted)
        }
        Err(
            error @ (CommandError::KeyReused
            | CommandError::Busy
            | CommandError::PreconditionFailed
            | CommandError::TooLarge
            | CommandError::Unavailable(_)
            | CommandError::OutcomeUnknown(_)
            | CommandError::UnknownEvent(_)
            | CommandError::Broken(_)),
        ) => Err(RegistrationError::Unavailable(Box::new(error))),
    }
}
