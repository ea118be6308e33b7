//! How much somebody has used of what flows back at an even rate: the generic cell rate algorithm, a number for
//! each of them. Time comes in with each call.

use super::rates::Rate;
use lru::LruCache;
use std::{
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// One bucket for each key that was used lately.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// How long it takes until one more may be used; nothing is counted without.
    interval: Option<Duration>,
    burst: u32,
    keys: RandomState,
    /// When each bucket is full again. Those that were used longest ago are forgotten, which lets them be full at once.
    full_at: Mutex<LruCache<u64, Instant>>,
}

/// What is left for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// How much may be used now.
    pub(crate) left: u32,
    /// Until all may be used.
    pub(crate) full_in: Duration,
}

/// There is not enough left; so much time has to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) wait: Duration,
}

impl Buckets {
    /// Empty ones, for at most so many keys.
    pub(crate) fn new(rate: Rate, keys_max: NonZeroUsize) -> Self {
        let interval = (rate.per_minute > 0).then(|| Duration::from_mins(1) / rate.per_minute);
        let full_at = Mutex::new(LruCache::new(keys_max));
        Self { interval, burst: rate.burst.max(1), keys: RandomState::new(), full_at }
    }

    /// Uses `cost`, if there is so much left: more than fits is taken for all that fits. `None` where nothing is
    /// counted.
    pub(crate) fn take(&self, key: impl Hash, cost: u32, now: Instant) -> Option<Result<Level, Exhausted>> {
        let interval = self.interval?;
        let key = self.keys.hash_one(key);
        let mut full_at = self.lock();
        let full = full_at.get(&key).map_or(now, |at| (*at).max(now)) + interval * cost.min(self.burst);
        let level = self.level(full, interval, now);
        if level.is_ok() {
            full_at.put(key, full);
        }
        Some(level)
    }

    /// Whether there is anything left, without using it.
    pub(crate) fn look(&self, key: impl Hash, now: Instant) -> Option<Result<Level, Exhausted>> {
        let interval = self.interval?;
        let full = self.lock().peek(&self.keys.hash_one(key)).map_or(now, |at| (*at).max(now));
        Some(
            self.level(full + interval, interval, now)
                .map(|_| Level { left: self.left(full - now, interval), full_in: full - now }),
        )
    }

    fn level(&self, full: Instant, interval: Duration, now: Instant) -> Result<Level, Exhausted> {
        let full_in = full.saturating_duration_since(now);
        match full_in.checked_sub(interval * self.burst) {
            None | Some(Duration::ZERO) => Ok(Level { left: self.left(full_in, interval), full_in }),
            Some(wait) => Err(Exhausted { wait }),
        }
    }

    fn left(&self, full_in: Duration, interval: Duration) -> u32 {
        let used = full_in.as_nanos().div_ceil(interval.as_nanos());
        self.burst.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// The map stays whole whatever panicked while it was held: it is only looked at and put into.
    fn lock(&self) -> MutexGuard<'_, LruCache<u64, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_one_after_another() {
        let (buckets, now) = (buckets(600, 3), Instant::now());
        let lefts: Vec<_> = (0..3).map(|_| buckets.take("ana", 1, now).unwrap().unwrap().left).collect();
        assert_eq!(lefts, [2, 1, 0]);
        let wait = Duration::from_millis(100);
        assert_eq!(buckets.take("ana", 1, now), Some(Err(Exhausted { wait })));
        assert_eq!(buckets.take("ana", 1, now), Some(Err(Exhausted { wait })), "a refusal uses nothing");

        let then = now + wait;
        assert!(buckets.take("ana", 1, then).unwrap().is_ok());
        assert!(buckets.take("ana", 1, then).unwrap().is_err());
    }

    #[test]
    fn a_bucket_is_full_again_in_time_and_never_more_than_full() {
        let (buckets, now) = (buckets(600, 3), Instant::now());
        let full_in = Duration::from_millis(300);
        assert_eq!(buckets.take("ana", 3, now), Some(Ok(Level { left: 0, full_in })));
        let much_later = now + Duration::from_hours(1);
        assert_eq!(buckets.take("ana", 1, much_later).unwrap().unwrap().left, 2);
    }

    #[test]
    fn everybody_has_a_bucket_of_their_own() {
        let (buckets, now) = (buckets(60, 1), Instant::now());
        assert!(buckets.take("ana", 1, now).unwrap().is_ok());
        assert!(buckets.take("ana", 1, now).unwrap().is_err());
        assert!(buckets.take("ben", 1, now).unwrap().is_ok());
    }

    #[test]
    fn what_costs_more_than_fits_takes_all() {
        let (buckets, now) = (buckets(60, 2), Instant::now());
        assert_eq!(buckets.take("ana", 5, now).unwrap().unwrap().left, 0);
        assert!(buckets.take("ana", 5, now + Duration::from_secs(1)).unwrap().is_err());
        assert!(buckets.take("ana", 5, now + Duration::from_secs(2)).unwrap().is_ok());
    }

    #[test]
    fn looking_uses_nothing() {
        let (buckets, now) = (buckets(60, 1), Instant::now());
        for _ in 0..3 {
            assert_eq!(buckets.look("ana", now), Some(Ok(Level { left: 1, full_in: Duration::ZERO })));
        }
        assert!(buckets.take("ana", 1, now).unwrap().is_ok());
        assert_eq!(buckets.look("ana", now), Some(Err(Exhausted { wait: Duration::from_secs(1) })));
    }

    #[test]
    fn nothing_is_counted_without_a_rate() {
        let buckets = buckets(0, 1);
        assert_eq!(buckets.take("ana", 1, Instant::now()), None);
        assert_eq!(buckets.look("ana", Instant::now()), None);
        assert_eq!(buckets.lock().len(), 0);
    }

    #[test]
    fn no_more_keys_are_remembered_than_allowed() {
        let (buckets, now) = (buckets(60, 1), Instant::now());
        for key in 0..10_000 {
            assert!(buckets.take(key, 1, now).unwrap().is_ok());
        }
        assert_eq!(buckets.lock().len(), 100);
        assert!(buckets.take(9_999, 1, now).unwrap().is_err(), "those used last are remembered");
    }

    fn buckets(per_minute: u32, burst: u32) -> Buckets {
        Buckets::new(Rate { per_minute, burst }, NonZeroUsize::new(100).unwrap())
    }
}
