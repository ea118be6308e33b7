//! What tells a command from another one, and a retry from a reuse of its id.

use crate::recent_commands::{Body, CommandKey};
use advisor_events::{KeyError, KeyStore, PersonKey, UserId, ids::event_id};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::CommandContext;

/// Who asked what under which id.
pub(super) struct Identity {
    actor: String,
    /// The command id and a random name of this decision. Event ids are derived from it, so that the log
    /// takes the repeat of this very append for one, and no other decision on the same command: that one
    /// may have been made from other facts, and is answered from the log instead.
    decision: String,
    /// Whose key the body was hashed with.
    hashed_with: Option<Person>,
    pub(super) key: CommandKey,
    pub(super) body_hash: String,
    pub(super) body: Body,
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
        let actor = context.actor.key();
        let body_hash = match &hashed_with {
            Some(person) => person.key.body_hash(&context.body),
            None => BASE64URL_NOPAD.encode(&Sha256::digest(&context.body)),
        };
        let key = CommandKey::new(&actor, &context.command_id);
        let decision = format!("{}\0{}", context.command_id, Uuid::new_v4());
        Ok(Self { actor, decision, hashed_with, key, body: Body::new(&body_hash), body_hash })
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
        event_id(&self.actor, &self.decision, &self.body_hash, index)
    }
}
