//! Keys in memory. They are durable before they are used, so nothing that happens in a world takes one away.

use advisor_events::{KeyError, KeyStore, PersonKey, UserId};
use async_trait::async_trait;
use std::{collections::HashMap, sync::Mutex};

/// The keys of a world.
#[derive(Default)]
pub(crate) struct Keys(Mutex<HashMap<UserId, PersonKey>>);

#[async_trait]
impl KeyStore for Keys {
    async fn obtain(&self, person: &UserId) -> Result<PersonKey, KeyError> {
        let mut keys = self.0.lock().unwrap();
        if !keys.contains_key(person) {
            keys.insert(person.clone(), PersonKey::generate()?);
        }
        keys.get(person).cloned().ok_or(KeyError::Destroyed)
    }

    async fn find(&self, person: &UserId) -> Result<Option<PersonKey>, KeyError> {
        Ok(self.0.lock().unwrap().get(person).cloned())
    }

    async fn destroy(&self, _person: &UserId) -> Result<(), KeyError> {
        Err(KeyError::Unavailable("nobody is erased here".to_owned()))
    }

    async fn scrub(&self) -> Result<(), KeyError> {
        Ok(())
    }
}
