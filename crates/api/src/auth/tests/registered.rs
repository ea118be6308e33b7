//! Registration through the real command handlers, over a log in memory.

use super::*;
use crate::auth::{
    registration::{Registration, RegistrationError},
    token::{TokenProfile, Verified},
};
use advisor_commands::{CommandContext, Commands, HandlerLimits, UserCommand};
use advisor_eventlog::{Direction, EventLog, MemoryLog};
use advisor_events::{Actor, Clock, KeyError, KeyStore, PersonKey, StreamName, Timestamp, UserId};
use async_trait::async_trait;
use std::num::NonZeroUsize;

#[tokio::test]
async fn first_sight_registers_and_a_restart_changes_nothing() {
    let log = log();
    for _ in 0..2 {
        let registration = registering(commands(&log));
        for email in ["ana@example.com", "new@example.com"] {
            registration.ensure(&ana(None, NOW, email), now()).await.unwrap();
        }
    }
    assert_eq!(types(&log).await, ["user.registered.v1"]);
}

#[tokio::test]
async fn a_token_with_another_plan_changes_it_once() {
    let log = log();
    for _ in 0..2 {
        let registration = registering(commands(&log));
        registration.ensure(&ana(Some("premium"), NOW, "a@example.com"), now()).await.unwrap();
        registration.ensure(&ana(Some("free"), NOW - 60, "a@example.com"), now()).await.unwrap();
        registration.ensure(&ana(None, NOW + 1, "a@example.com"), now()).await.unwrap();
    }
    assert_eq!(types(&log).await, ["user.registered.v1"]);
    let registration = registering(commands(&log));
    registration.ensure(&ana(Some("base"), NOW + 2, "a@example.com"), now()).await.unwrap();
    assert_eq!(types(&log).await, ["user.registered.v1", "user.plan_changed.v1"]);
}

#[tokio::test]
async fn whose_account_was_deleted_is_not_let_in() {
    let log = log();
    let commands = commands(&log);
    registering(Arc::<Commands>::clone(&commands)).ensure(&ana(None, NOW, "a@example.com"), now()).await.unwrap();
    let delete = UserCommand::Delete { user_id: ana_id() };
    let context = CommandContext::new(Actor::Worker("webhook".to_owned()), "delete".to_owned(), now());
    commands.users.execute(&StreamName::user(&ana_id()), delete, context).await.unwrap();

    let refused = registering(commands).ensure(&ana(None, NOW, "a@example.com"), now()).await;

    assert!(matches!(refused, Err(RegistrationError::Deleted)), "{refused:?}");
}

#[tokio::test]
async fn many_first_sights_at_once_register_once() {
    let log = log();
    let registration = registering(commands(&log));
    let person = ana(Some("premium"), NOW, "a@example.com");
    let seen = futures::future::join_all((0..20).map(|_| registration.ensure(&person, now()))).await;
    assert!(seen.iter().all(Result::is_ok), "{seen:?}");
    assert_eq!(types(&log).await, ["user.registered.v1"]);
}

/// Everybody has the same key.
struct OneKey;

#[async_trait]
impl KeyStore for OneKey {
    async fn obtain(&self, _: &UserId) -> Result<PersonKey, KeyError> {
        Ok(PersonKey::from_bytes([7; 32]))
    }

    async fn find(&self, _: &UserId) -> Result<Option<PersonKey>, KeyError> {
        Ok(Some(PersonKey::from_bytes([7; 32])))
    }

    async fn destroy(&self, _: &UserId) -> Result<(), KeyError> {
        Ok(())
    }

    async fn scrub(&self) -> Result<(), KeyError> {
        Ok(())
    }
}

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new())
}

fn registering(people: Arc<Commands>) -> Registration {
    Registration::new(people, NonZeroUsize::MIN)
}

fn commands(log: &Arc<dyn EventLog>) -> Arc<Commands> {
    let keys: Arc<dyn KeyStore> = Arc::new(OneKey);
    Arc::new(Commands::new(log, &keys, HandlerLimits::default()))
}

async fn types(log: &Arc<dyn EventLog>) -> Vec<String> {
    let events = log.read_stream(&StreamName::user(&ana_id()), 0, Direction::Forward, 100).await.unwrap();
    events.iter().map(|event| event.type_name.to_string()).collect()
}

fn ana_id() -> UserId {
    "user_ana".into()
}

fn now() -> Timestamp {
    TestClock::new().now()
}

fn ana(plan: Option<&str>, issued_at: i64, email: &str) -> Verified {
    Verified {
        user_id: ana_id(),
        roles: crate::auth::roles::Roles::default(),
        plan: plan.map(str::to_owned),
        session_id: Some("sess_1".to_owned()),
        profile: TokenProfile { email: Some(email.to_owned()), ..TokenProfile::default() },
        issued_at: Timestamp(issued_at * 1_000),
        expires_at: Timestamp((issued_at + 60) * 1_000),
    }
}
