//! The commands that a stream remembers, so that one asked again is answered and not done again.
//!
//! A pure fold of the stream's events, like the aggregate's own state: every process that has read
//! the same events remembers the same commands. A command costs about 100 bytes.

use advisor_events::{Timestamp, ids::derived_id};
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// How long a command is remembered, by the events' own times.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;
/// How many of the last commands are remembered, however old they are.
pub const KEPT_MIN: usize = 1_000;
/// How many commands are remembered at most.
pub const KEPT_MAX: usize = 10_000;

/// A command of one actor: two actors may choose the same command id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CommandKey(Uuid);

impl CommandKey {
    pub(crate) fn new(actor: &str, command_id: &str) -> Self {
        Self(derived_id(actor, command_id, "command"))
    }
}

/// What tells a command's body from another one: the beginning of its hash, 96 bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body([u8; 16]);

impl Body {
    pub(crate) fn new(body_hash: &str) -> Self {
        let mut beginning = [0; 16];
        for (to, from) in beginning.iter_mut().zip(body_hash.bytes()) {
            *to = from;
        }
        Self(beginning)
    }
}

/// What an event tells of its command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) command: CommandKey,
    pub(crate) body: Body,
    /// The event's own time.
    pub(crate) at: Timestamp,
}

/// Where the events of a command stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Its body: asked with another one, it is another command.
    pub(crate) body: Body,
    /// Revision of the first event.
    pub(crate) revision: u64,
    /// How many there are.
    pub(crate) count: usize,
}

/// The commands that a stream remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentCommands {
    done: HashMap<CommandKey, Done>,
    oldest_first: VecDeque<Remembered>,
    newest: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    command: CommandKey,
    revision: u64,
    at: Timestamp,
}

impl RecentCommands {
    /// Where the events of this command stand, if it is remembered.
    pub(crate) fn find(&self, command: CommandKey) -> Option<Done> {
        self.done.get(&command).copied()
    }

    /// Takes in the stream's next event.
    pub(crate) fn remember(&mut self, mark: Mark, revision: u64) {
        let Mark { command, body, at } = mark;
        match self.done.get_mut(&command) {
            Some(done) if done.revision + done.count as u64 == revision => done.count += 1,
            Some(_) | None => {
                self.done.insert(command, Done { body, revision, count: 1 });
                self.oldest_first.push_back(Remembered { command, revision, at });
            }
        }
        self.newest = self.newest.max(Some(at));
        self.forget();
    }

    fn forget(&mut self) {
        let kept_since = self.newest.map(|newest| newest.plus_ms(-KEPT_MS));
        while let Some(oldest) = self.oldest_first.front().copied() {
            let count = self.oldest_first.len();
            if count <= KEPT_MIN || (count <= KEPT_MAX && Some(oldest.at) >= kept_since) {
                return;
            }
            self.oldest_first.pop_front();
            // A command that was done once more after it had been forgotten stands here again.
            if self.done.get(&oldest.command).is_some_and(|done| done.revision == oldest.revision) {
                self.done.remove(&oldest.command);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 60 * 60 * 1_000;

    #[test]
    fn a_command_is_found_with_all_its_events() {
        let mut recent = RecentCommands::default();
        recent.remember(mark(1, 0, Timestamp(0)), 0);
        recent.remember(mark(2, 1, Timestamp(1)), 1);
        recent.remember(mark(2, 1, Timestamp(1)), 2);
        recent.remember(mark(3, 3, Timestamp(2)), 3);
        assert_eq!(recent.find(key(2)), Some(Done { body: body(1), revision: 1, count: 2 }));
        assert_eq!(recent.find(key(4)), None);
    }

    #[test]
    fn bodies_are_told_apart_by_the_beginning_of_their_hashes() {
        assert_eq!(Body::new("0123456789abcdef…"), Body::new("0123456789abcdef,"));
        assert_ne!(Body::new("0123456789abcdef"), Body::new("0123456789abcdeg"));
        assert_ne!(Body::new(""), Body::new("0"));
    }

    #[test]
    fn two_actors_may_choose_the_same_command_id() {
        assert_ne!(CommandKey::new("user:a", "k"), CommandKey::new("user:b", "k"));
    }

    #[test]
    fn a_day_of_commands_is_remembered_up_to_ten_thousand() {
        let recent = remembering(12_000, 1);
        assert_eq!(recent.find(key(1_999)), None);
        assert!(recent.find(key(2_000)).is_some());
        assert_eq!(recent.done.len(), KEPT_MAX);
        assert_eq!(recent.oldest_first.len(), KEPT_MAX);
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten_beyond_a_thousand() {
        let mut recent = remembering(1_500, 1);
        assert!(recent.find(key(0)).is_some());
        recent.remember(mark(9_999, 1_500, Timestamp(24 * HOUR_MS + 700)), 1_500);
        assert_eq!(recent.find(key(500)), None);
        assert!(recent.find(key(501)).is_some(), "the last thousand stay");
        assert_eq!(recent.done.len(), KEPT_MIN);
    }

    #[test]
    fn the_last_thousand_are_remembered_however_old_they_are() {
        let recent = remembering(1_000, 48 * HOUR_MS);
        assert!(recent.find(key(0)).is_some());
    }

    #[test]
    fn a_clock_that_goes_back_forgets_nothing_early() {
        let mut recent = RecentCommands::default();
        recent.remember(mark(0, 0, Timestamp(48 * HOUR_MS)), 0);
        for n in 1..2_000 {
            recent.remember(mark(n, n, Timestamp(47 * HOUR_MS)), n);
        }
        assert!(recent.find(key(0)).is_some());
    }

    #[test]
    fn a_forgotten_command_that_is_done_again_is_remembered_anew() {
        let mut recent = remembering(1_500, 48 * HOUR_MS);
        assert_eq!(recent.find(key(0)), None);
        recent.remember(mark(0, 7, Timestamp(1_500 * 48 * HOUR_MS)), 1_500);
        assert_eq!(recent.find(key(0)), Some(Done { body: body(7), revision: 1_500, count: 1 }));
    }

    /// So many commands of one event, so many milliseconds apart.
    fn remembering(count: u64, apart_ms: i64) -> RecentCommands {
        let mut recent = RecentCommands::default();
        for (n, ms) in (0..count).zip((0..).step_by(usize::try_from(apart_ms).unwrap())) {
            recent.remember(mark(n, n, Timestamp(ms)), n);
        }
        recent
    }

    fn mark(command: u64, of_body: u64, at: Timestamp) -> Mark {
        Mark { command: key(command), body: body(of_body), at }
    }

    fn key(n: u64) -> CommandKey {
        CommandKey::new("user:ana", &n.to_string())
    }

    fn body(n: u64) -> Body {
        Body::new(&n.to_string())
    }
}
