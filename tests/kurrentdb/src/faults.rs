//! What a node is told to do wrong, and what it has seen.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tonic::Code;

/// What becomes of one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written; the answer is this code.
    Refused(Code),
    /// It is written; the answer is this code all the same.
    WrittenBut(Code),
    /// It is written; the answer tells no position.
    WithoutPosition,
    /// Nothing is written, and nothing is ever answered.
    Silence,
    /// It is written when [`Double::replicate`](crate::Double::replicate) says so; neither it nor an identical
    /// repeat before that is ever answered.
    SlowReplication,
}

/// What clients have asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Appends.
    pub appends: u64,
    /// Calls that asked for the leader.
    pub for_leader: u64,
    /// Calls that did not.
    pub for_anybody: u64,
    /// Reads that go on without end.
    pub subscriptions: u64,
    /// Events of the whole log that were sent to whoever read it.
    pub told_of_all: u64,
    /// Reads of the whole log whose end nobody waited for.
    pub left_early: u64,
    /// Sessions of appends.
    pub batches: u64,
    /// Questions who is there.
    pub gossip: u64,
    /// Time-outs that clients named in their calls.
    pub deadlines: u64,
}

/// When a read of the whole log ends, after its last event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ends {
    /// With it.
    #[default]
    AtOnce,
    /// A while later.
    Late,
}

/// Whether somebody may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Yes.
    #[default]
    Granted,
    /// No.
    Denied,
}

#[derive(Default)]
pub(crate) struct Faults {
    appends: Mutex<VecDeque<Fault>>,
    whole_log: Mutex<Access>,
    ends: Mutex<Ends>,
    seen: Mutex<Seen>,
}

impl Faults {
    pub(crate) fn next_appends(&self, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.appends).extend(faults);
    }

    pub(crate) fn of_this_append(&self) -> Option<Fault> {
        locked(&self.appends).pop_front()
    }

    pub(crate) fn let_whole_log(&self, access: Access) {
        *locked(&self.whole_log) = access;
    }

    pub(crate) fn whole_log(&self) -> Access {
        *locked(&self.whole_log)
    }

    pub(crate) fn let_reads_end(&self, ends: Ends) {
        *locked(&self.ends) = ends;
    }

    pub(crate) fn ends(&self) -> Ends {
        *locked(&self.ends)
    }

    pub(crate) fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }

    pub(crate) fn see(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut locked(&self.seen));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
