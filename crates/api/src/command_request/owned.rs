//! Whose conversations are, as this process has read it before: what is somebody's once is theirs for ever.

use advisor_events::{ConversationId, UserId};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Conversations whose owner is remembered.
pub const CONVERSATIONS_REMEMBERED_MAX: usize = 20_000;

/// Owners of the conversations that were commanded last.
pub struct Owned(Mutex<LruCache<ConversationId, UserId>>);

impl Default for Owned {
    fn default() -> Self {
        let most = NonZeroUsize::new(CONVERSATIONS_REMEMBERED_MAX).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl Owned {
    /// Whether it is known to be this person's. What is not known may be theirs all the same.
    pub(super) fn is_known_to_be_of(&self, person: &UserId, id: &ConversationId) -> bool {
        self.lock().get(id) == Some(person)
    }

    /// The read side has said that it is this person's.
    pub(super) fn remember(&self, person: &UserId, id: &ConversationId) {
        self.lock().put(id.clone(), person.clone());
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<ConversationId, UserId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
