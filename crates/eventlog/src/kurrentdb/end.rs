//! Where our own last event stands in a server that others write to as well.

use crate::port::Position;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What looks back have found so far: none of them looks twice at what others wrote.
#[derive(Default)]
pub(super) struct End {
    known: Mutex<Known>,
}

/// Up to a position of the whole log, the last event that is ours.
#[derive(Clone, Copy, Default)]
struct Known {
    up_to: Position,
    ours: Position,
}

/// What a look back from somewhere has seen, the newest first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LookedBack {
    /// The first event that it saw; `None` where there is none any more.
    pub(super) newest: Option<Position>,
    /// The last event that it saw.
    pub(super) oldest: Option<Position>,
    /// The first that is ours, where it ended.
    pub(super) ours: Option<Position>,
}

impl End {
    /// Our last event, where this look has found it, or has come to what was seen before.
    pub(super) fn found(&self, looked: LookedBack) -> Option<Position> {
        let known = *self.lock();
        let is_known = looked.oldest.is_none_or(|oldest| oldest <= known.up_to);
        looked.ours.or(is_known.then_some(known.ours))
    }

    /// Remembers that our last event up to a position is this one.
    pub(super) fn note(&self, up_to: Position, ours: Position) {
        let mut known = self.lock();
        if up_to > known.up_to {
            *known = Known { up_to, ours };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
