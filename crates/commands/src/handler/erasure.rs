//! Erasing a person: their account is deleted, then their key destroyed.

use super::{CommandContext, CommandError, Commands};
use crate::{UserCommand, UserRefusal};
use advisor_events::{StreamName, UserId};

impl Commands {
    /// Carries out a command that deletes the account, and destroys the person's key. Asked again it destroys the
    /// key once more. A process that dies between the two leaves the event: whoever reacts to it destroys the key.
    pub async fn erase(
        &self,
        person: &UserId,
        command: UserCommand,
        context: CommandContext,
    ) -> Result<(), CommandError<UserRefusal>> {
        // Without a key of the asker's own, only the person's can be the one that is gone.
        let asks_for_others = context.actor.person().is_some_and(|actor| actor != person);
        match self.users.execute(&StreamName::user(person), command, context).await {
            Ok(_) | Err(CommandError::Refused(UserRefusal::Deleted)) => {}
            Err(CommandError::KeyDestroyed) if !asks_for_others => {}
            Err(error) => return Err(error),
        }
        Ok(self.keys.destroy(person).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HandlerLimits, handler::tests::doubles::Keys};
    use advisor_eventlog::{Direction, EventLog, MemoryLog};
    use advisor_events::{Actor, KeyError, KeyStore, Timestamp, user::Profile};
    use std::sync::Arc;

    #[tokio::test]
    async fn an_erased_person_has_no_account_and_no_key_and_erasing_again_is_the_same() {
        let (log, keys, commands) = world().await;
        for command_id in ["first", "again", "first"] {
            commands.erase(&ana(), delete(), asked_by("a socket", command_id)).await.unwrap();

            assert!(matches!(keys.obtain(&ana()).await, Err(KeyError::Destroyed)));
            assert_eq!(log.read_stream(&StreamName::user(&ana()), 0, Direction::Forward, 9).await.unwrap().len(), 2);
        }
    }

    #[tokio::test]
    async fn whoever_asks_without_a_key_of_their_own_erases_nobody() {
        let (_, keys, commands) = world().await;
        keys.destroy(&"op".into()).await.unwrap();
        let context = CommandContext::new(Actor::Operator("op".into()), "c".into(), Timestamp(0));

        let refused = commands.erase(&ana(), delete(), context).await;

        assert!(matches!(refused, Err(CommandError::KeyDestroyed)), "{refused:?}");
        assert!(keys.find(&ana()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn nobody_who_was_never_seen_is_erased_by_a_slip() {
        let (_, _, commands) = world().await;

        let refused = commands.erase(&"anna".into(), delete(), asked_by("a socket", "c")).await;

        assert!(matches!(refused, Err(CommandError::Refused(UserRefusal::NotFound))), "{refused:?}");
    }

    async fn world() -> (Arc<dyn EventLog>, Arc<dyn KeyStore>, Commands) {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let keys: Arc<dyn KeyStore> = Arc::new(Keys::default());
        let commands = Commands::new(&log, &keys, HandlerLimits::default());
        let register = UserCommand::Register { user_id: ana(), profile: Profile::default(), plan: "free".into() };
        commands.users.execute(&StreamName::user(&ana()), register, asked_by("sign-in", "r")).await.unwrap();
        keys.obtain(&ana()).await.unwrap();
        (log, keys, commands)
    }

    fn ana() -> UserId {
        UserId::from("ana")
    }

    fn delete() -> UserCommand {
        UserCommand::Delete { user_id: ana() }
    }

    fn asked_by(worker: &str, command_id: &str) -> CommandContext {
        CommandContext::new(Actor::Worker(worker.into()), command_id.into(), Timestamp(0))
    }
}
