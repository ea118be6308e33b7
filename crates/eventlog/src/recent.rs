//! The newest events, kept in memory: followers that are not behind never ask the disk.

use crate::{
    follow::closed,
    port::{Filter, Position, ReadError, Recorded},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// What an event takes beside its data and metadata, about.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// A bounded ring of the last events, in order and without a gap.
pub(crate) struct Recent {
    events_max: usize,
    bytes_max: usize,
    ring: Mutex<Ring>,
    /// Rung after the ring has moved; its value is not looked at.
    moved: watch::Sender<Position>,
}

struct Ring {
    /// Every event of the log after `after` and up to `to`.
    events: VecDeque<Arc<Recorded>>,
    bytes: usize,
    after: Position,
    to: Position,
    /// Why nothing comes any more.
    closed: Option<ReadError>,
}

/// What the ring has for a follower.
pub(crate) enum Glance {
    /// The ring begins later: the log itself must be read first.
    Behind,
    /// What matches in (asked, `scanned_to`].
    Events {
        /// Matching events, in order.
        events: Vec<Arc<Recorded>>,
        /// Everything up to here has been looked at.
        scanned_to: Position,
    },
    /// Nothing comes any more, and why.
    Closed(ReadError),
}

/// Whether what was to be added follows what the ring has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joint {
    /// It did, and was added.
    Joined,
    /// Something stands between, which the ring has not got: nothing was added.
    Missing,
}

impl Recent {
    /// A ring for a log whose last event stands at `head`.
    pub(crate) fn new(head: Position, events_max: usize, bytes_max: usize) -> Self {
        let ring = Ring { events: VecDeque::new(), bytes: 0, after: head, to: head, closed: None };
        Self { events_max, bytes_max, ring: Mutex::new(ring), moved: watch::Sender::new(head) }
    }

    /// The last event's position.
    pub(crate) fn head(&self) -> Position {
        self.lock().to
    }

    /// Whether the log has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed.is_some()
    }

    /// Adds what was appended. Followers see it at once, but sleep on until [`Recent::ring_the_bell`].
    pub(crate) fn push(&self, events: impl IntoIterator<Item = Arc<Recorded>>) {
        self.add(&mut self.lock(), events);
    }

    /// Adds all that stands after `after` in the log, but for what the ring has already.
    pub(crate) fn join(&self, after: Position, events: impl IntoIterator<Item = Arc<Recorded>>) -> Joint {
        let mut ring = self.lock();
        if after > ring.to {
            return Joint::Missing;
        }
        let to = ring.to;
        self.add(&mut ring, events.into_iter().filter(|event| event.position > to));
        Joint::Joined
    }

    fn add(&self, ring: &mut Ring, events: impl IntoIterator<Item = Arc<Recorded>>) {
        for event in events {
            ring.to = event.position;
            ring.bytes += bytes_of(&event);
            ring.events.push_back(event);
        }
        while ring.events.len() > self.events_max || ring.bytes > self.bytes_max {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= bytes_of(&oldest);
            ring.after = oldest.position;
        }
    }

    /// Everything up to here has been looked at, and added if it was to be: others' events may stand there, too.
    pub(crate) fn scanned(&self, to: Position) {
        let mut ring = self.lock();
        ring.to = ring.to.max(to);
    }

    /// Wakes the followers.
    pub(crate) fn ring_the_bell(&self) {
        self.moved.send_replace(self.head());
    }

    /// Whether somebody holds a bell.
    pub(crate) fn is_followed(&self) -> bool {
        self.moved.receiver_count() > 0
    }

    /// A bell that rings when the ring has moved.
    pub(crate) fn bell(&self) -> watch::Receiver<Position> {
        self.moved.subscribe()
    }

    /// Forgets every event: the log's head has been read anew, after a failure that left it unknown.
    pub(crate) fn restart_at(&self, head: Position) {
        let mut ring = self.lock();
        ring.events.clear();
        ring.bytes = 0;
        ring.after = head;
        ring.to = head;
    }

    /// Ends every follower: the log has been closed.
    pub(crate) fn close(&self) {
        self.fail(closed());
    }

    /// Ends every follower, with this error.
    pub(crate) fn fail(&self, error: ReadError) {
        self.lock().closed = Some(error);
        self.ring_the_bell();
    }

    /// Why nothing comes any more.
    pub(crate) fn failure(&self) -> Option<ReadError> {
        self.lock().closed.clone()
    }

    /// At most `max` events after `after` are looked at.
    pub(crate) fn after(&self, after: Position, filter: &Filter, max: usize) -> Glance {
        let ring = self.lock();
        if let Some(error) = &ring.closed {
            return Glance::Closed(error.clone());
        }
        if after < ring.after {
            return Glance::Behind;
        }
        let first = ring.events.partition_point(|event| event.position <= after);
        let mut scanned_to = after;
        let mut events = Vec::new();
        for event in ring.events.range(first..).take(max) {
            scanned_to = event.position;
            if filter.matches(&event.stream) {
                events.push(Arc::clone(event));
            }
        }
        if ring.events.len() - first <= max {
            scanned_to = scanned_to.max(ring.to);
        }
        Glance::Events { events, scanned_to }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(event: &Recorded) -> usize {
    event.data.len() + event.metadata.len() + EVENT_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use advisor_events::StreamName;
    use uuid::Uuid;

    #[test]
    fn a_follower_of_what_the_ring_still_has_is_served_from_it() {
        let recent = Recent::new(Position(10), 3, usize::MAX);
        recent.push((11..=13).map(event));

        assert_eq!(seen(&recent, 10), Some(vec![11, 12, 13]));
        assert_eq!(seen(&recent, 12), Some(vec![13]));
        assert_eq!(seen(&recent, 13), Some(vec![]));
    }

    #[test]
    fn a_follower_of_what_was_pushed_out_is_behind() {
        let recent = Recent::new(Position(10), 3, usize::MAX);
        assert_eq!(seen(&recent, 9), None);

        recent.push((11..=14).map(event));

        assert_eq!(seen(&recent, 10), None);
        assert_eq!(seen(&recent, 11), Some(vec![12, 13, 14]));
    }

    #[test]
    fn bytes_push_events_out_as_their_number_does() {
        let recent = Recent::new(Position::START, usize::MAX, 2 * EVENT_OVERHEAD_BYTES);
        recent.push((1..=3).map(event));

        assert_eq!(seen(&recent, 0), None);
        assert_eq!(seen(&recent, 1), Some(vec![2, 3]));
    }

    #[test]
    fn a_restarted_ring_sends_followers_to_the_log() {
        let recent = Recent::new(Position::START, 10, usize::MAX);
        recent.push((1..=3).map(event));

        recent.restart_at(Position(5));

        assert_eq!(seen(&recent, 3), None);
        assert_eq!(recent.head(), Position(5));
        recent.push([event(6)]);
        assert_eq!(seen(&recent, 5), Some(vec![6]));
    }

    #[test]
    fn what_is_nobodys_moves_the_end_of_the_ring() {
        let recent = Recent::new(Position(10), 10, usize::MAX);
        recent.push((11..=13).map(event));
        recent.scanned(Position(20));

        let scanned_to = |max| match recent.after(Position(11), &Filter::all(), max) {
            Glance::Events { scanned_to, .. } => Some(scanned_to),
            Glance::Behind | Glance::Closed(_) => None,
        };
        assert_eq!((scanned_to(1), scanned_to(2)), (Some(Position(12)), Some(Position(20))));
        assert_eq!(recent.join(Position(20), [event(21)]), Joint::Joined);
    }

    #[test]
    fn what_joins_the_ring_leaves_no_gap_and_adds_nothing_twice() {
        let recent = Recent::new(Position(10), 10, usize::MAX);
        assert_eq!(recent.join(Position(10), (11..=13).map(event)), Joint::Joined);
        assert_eq!(recent.join(Position(11), (12..=14).map(event)), Joint::Joined);

        assert_eq!(recent.join(Position(15), [event(16)]), Joint::Missing);

        assert_eq!(seen(&recent, 10), Some(vec![11, 12, 13, 14]));
    }

    fn seen(recent: &Recent, after: u64) -> Option<Vec<u64>> {
        match recent.after(Position(after), &Filter::all(), 100) {
            Glance::Events { events, .. } => Some(events.iter().map(|event| event.position.0).collect()),
            Glance::Behind | Glance::Closed(_) => None,
        }
    }

    fn event(position: u64) -> Arc<Recorded> {
        Arc::new(Recorded {
            stream: StreamName::from_text("ring-1"),
            revision: position,
            position: Position(position),
            id: Uuid::from_u128(u128::from(position)),
            type_name: "ring.moved.v1".into(),
            data: Vec::new(),
            metadata: Vec::new(),
        })
    }
}
