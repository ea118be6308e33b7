//! Where our own first event stands in a server that others wrote to before.

use crate::port::{Position, Recorded};
use std::sync::OnceLock;

/// What has been found out; an event never moves.
#[derive(Default)]
pub(super) struct Beginning(OnceLock<Position>);

/// Where the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// With this event.
    At(Position),
    /// Nothing of ours has been written yet.
    NotYet,
    /// Nobody says where.
    Somewhere,
}

impl Beginning {
    pub(super) fn known(&self) -> Option<Begins> {
        self.0.get().copied().map(Begins::At)
    }

    /// Learns it from what the first stream begins with. Somebody may have cut off its first events in the server.
    pub(super) fn found(&self, first: Option<&Recorded>) -> Begins {
        match first {
            Some(first) if first.revision == 0 => Begins::At(*self.0.get_or_init(|| first.position)),
            Some(_) | None => Begins::Somewhere,
        }
    }
}
