//! Whether the owner of somebody else's reply still lives: by its beat, on this observer's own clock.

use advisor_events::ReplyId;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// What was seen of a reply: its attempt and its beat.
pub(crate) type Sign = (u32, u64);

/// What has been seen of others' replies, and since when it is the same.
#[derive(Debug, Default)]
pub(crate) struct Sightings(HashMap<ReplyId, (Sign, Instant)>);

impl Sightings {
    /// Notes what is seen now; tells for how long it has been the same.
    pub(crate) fn unchanged_for(&mut self, reply_id: &ReplyId, sign: Sign) -> Duration {
        let now = Instant::now();
        let (seen, since) = self.0.entry(reply_id.clone()).or_insert((sign, now));
        if *seen != sign {
            (*seen, *since) = (sign, now);
        }
        now.duration_since(*since)
    }

    /// Forgets all replies but these.
    pub(crate) fn keep_only(&mut self, keep: impl Fn(&ReplyId) -> bool) {
        self.0.retain(|reply_id, _| keep(reply_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_beat_that_stands_still_is_noticed_and_any_change_begins_anew() {
        let mut sightings = Sightings::default();
        let reply = ReplyId::from("r");
        assert_eq!(sightings.unchanged_for(&reply, (1, 7)), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(sightings.unchanged_for(&reply, (1, 7)), Duration::from_secs(9));
        assert_eq!(sightings.unchanged_for(&reply, (1, 8)), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(sightings.unchanged_for(&reply, (2, 8)), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(sightings.unchanged_for(&reply, (2, 8)), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_is_forgotten_is_seen_for_the_first_time_again() {
        let mut sightings = Sightings::default();
        let reply = ReplyId::from("r");
        sightings.unchanged_for(&reply, (1, 7));
        tokio::time::advance(Duration::from_secs(9)).await;
        sightings.keep_only(|_| false);
        assert_eq!(sightings.unchanged_for(&reply, (1, 7)), Duration::ZERO);
    }
}
