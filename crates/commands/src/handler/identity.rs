//! What tells a command from another one, and a retry from a reuse of its id.

use crate::recent_commands::CommandKey;
use advisor_events::{KeyError, KeyStore, PersonKey, UserId, ids::event_id};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::CommandContext;

/// Who asked what under which id.
pub(super) struct Identity {
    actor: String,
    command_id: String,
    /// Whose key the body was hashed with.
    hashed_with: Option<Person>,
    pub(super) key: CommandKey,
    pub(super) body_hash: String,
    pub(super) first_event: Uuid,
}

/// A person and their key.
pub(super) struct Person {
    pub(super) user_id: UserId,
    pub(super) key: PersonKey,
}

impl Identity {
    /// The body is hashed with the key of the person who asks, else of the one concerned, so that
    /// nothing can be guessed from the hash once that key is gone.
    pub(super) async fn of(
        context: &CommandContext,
        subject: Option<&UserId>,
        keys: &dyn KeyStore,
    ) -> Result<Self, KeyError> {
        let hashed_with = match context.actor.person().or(subject) {
            Some(user_id) => Some(Person { user_id: user_id.clone(), key: keys.obtain(user_id).await? }),
            None => None,
        };
        let (actor, command_id) = (context.actor.key(), context.command_id.clone());
        let body_hash = match &hashed_with {
            Some(person) => person.key.body_hash(&context.body),
            None => BASE64URL_NOPAD.encode(&Sha256::digest(&context.body)),
        };
        let first_event = event_id(&actor, &command_id, &body_hash, 0);
        let key = CommandKey::new(&actor, &command_id);
        Ok(Self { actor, command_id, hashed_with, key, body_hash, first_event })
    }

    /// The key that seals this person's words.
    pub(super) async fn key_of(&self, person: &UserId, keys: &dyn KeyStore) -> Result<PersonKey, KeyError> {
        match &self.hashed_with {
            Some(known) if known.user_id == *person => Ok(known.key.clone()),
            Some(_) | None => keys.obtain(person).await,
        }
    }

    /// The id of the command's `index`-th event.
    pub(super) fn event_id(&self, index: usize) -> Uuid {
        event_id(&self.actor, &self.command_id, &self.body_hash, index)
    }
}
