//! How often somebody may ask, by what they ask for.

use super::buckets::{Buckets, Exhausted, Level};
use crate::problem::{Code, Problem};
use std::{hash::Hash, num::NonZeroUsize, time::Duration};
use tokio::time::Instant;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run. Without any it is not counted.
    pub per_minute: u32,
    /// At once, after a while of nothing.
    pub burst: u32,
}

impl Rate {
    /// It is not counted.
    pub const OFF: Self = Self { per_minute: 0, burst: 1 };
}

/// How often somebody may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Commands of one person.
    pub commands: Rate,
    /// Queries of one person.
    pub queries: Rate,
    /// Replies of models that one person asks for: they cost money.
    pub replies: Rate,
    /// Sign-ins from one address that are refused; as many webhooks are, and they are counted apart.
    pub refused_sign_ins: Rate,
    /// Requests from one address of whom is not signed in.
    pub anonymous: Rate,
    /// People, and addresses, that are remembered for each of these.
    pub remembered_max: NonZeroUsize,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            commands: Rate { per_minute: 30_000, burst: 2_000 },
            queries: Rate { per_minute: 60_000, burst: 4_000 },
            replies: Rate { per_minute: 300, burst: 200 },
            refused_sign_ins: Rate { per_minute: 600, burst: 1_000 },
            anonymous: Rate { per_minute: 60_000, burst: 4_000 },
            remembered_max: NonZeroUsize::new(50_000).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl RateLimits {
    /// Nothing is counted.
    pub fn off() -> Self {
        let (off, remembered_max) = (Rate::OFF, NonZeroUsize::MIN);
        Self { commands: off, queries: off, replies: off, refused_sign_ins: off, anonymous: off, remembered_max }
    }
}

/// Everybody's use of each of them.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) commands: Counter,
    pub(super) queries: Counter,
    pub(super) replies: Counter,
    pub(super) refused_sign_ins: Counter,
    pub(super) refused_deliveries: Counter,
    pub(super) anonymous: Counter,
}

impl Rates {
    pub(super) fn new(limits: RateLimits) -> Self {
        let counter = |name, rate| Counter::new(name, rate, limits.remembered_max);
        Self {
            commands: counter("commands", limits.commands),
            queries: counter("queries", limits.queries),
            replies: counter("replies", limits.replies),
            refused_sign_ins: counter("sign-ins", limits.refused_sign_ins),
            refused_deliveries: counter("deliveries", limits.refused_sign_ins),
            anonymous: counter("anonymous", limits.anonymous),
        }
    }
}

/// Everybody's use of something.
#[derive(Debug)]
pub(super) struct Counter {
    name: &'static str,
    /// As `RateLimit-Policy` has it.
    policy: String,
    buckets: Buckets,
}

/// What somebody has left, as the answer tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// An item of `RateLimit-Policy`.
    pub(super) policy: String,
    /// An item of `RateLimit`.
    pub(super) standing: String,
}

impl Counter {
    fn new(name: &'static str, rate: Rate, remembered_max: NonZeroUsize) -> Self {
        let window = (u64::from(rate.burst) * 60).div_ceil(u64::from(rate.per_minute.max(1)));
        let policy = format!("\"{name}\";q={};w={window}", rate.burst);
        Self { name, policy, buckets: Buckets::new(rate, remembered_max) }
    }

    /// Uses `cost` of what `key` has left. The reading is of what is left then; the refusal says when to come back.
    pub(super) fn take(&self, key: impl Hash, cost: u32) -> Counted {
        self.counted(self.buckets.take(key, cost, Instant::now()))
    }

    /// Says what `key` has left.
    pub(super) fn look(&self, key: impl Hash) -> Counted {
        self.counted(self.buckets.look(key, Instant::now()))
    }

    fn counted(&self, level: Option<Result<Level, Exhausted>>) -> Counted {
        match level {
            None => Counted { reading: None, refusal: None },
            Some(Ok(level)) => Counted { reading: Some(self.reading(level.left, level.full_in)), refusal: None },
            Some(Err(Exhausted { wait })) => {
                metrics::counter!("advisor_rate_limited_total", "policy" => self.name).increment(1);
                let problem = Problem::new(Code::RateLimited, "That was too much in too short a time: wait a little.");
                Counted { reading: Some(self.reading(0, wait)), refusal: Some(problem.retry_after(wait)) }
            }
        }
    }

    fn reading(&self, left: u32, until: Duration) -> Reading {
        let seconds = until.as_millis().div_ceil(1_000);
        Reading { policy: self.policy.clone(), standing: format!("\"{}\";r={left};t={seconds}", self.name) }
    }
}

/// What came of counting.
#[derive(Debug)]
pub(super) struct Counted {
    /// None where nothing is counted.
    pub(super) reading: Option<Reading>,
    /// There was not enough left.
    pub(super) refusal: Option<Problem>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use http::header;

    #[tokio::test(start_paused = true)]
    async fn a_reading_says_what_is_left_and_a_refusal_when_to_come_back() {
        let counter = Counter::new("commands", Rate { per_minute: 30, burst: 2 }, NonZeroUsize::MIN);
        let reading =
            |standing: &str| Some(Reading { policy: "\"commands\";q=2;w=4".to_owned(), standing: standing.to_owned() });
        let first = counter.take("ana", 1);
        assert_eq!((first.reading, first.refusal.is_none()), (reading("\"commands\";r=1;t=2"), true));
        assert_eq!(counter.take("ana", 1).reading, reading("\"commands\";r=0;t=4"));

        let refused = counter.take("ana", 1);
        assert_eq!(refused.reading, reading("\"commands\";r=0;t=2"));
        let answer = refused.refusal.unwrap().into_response();
        assert_eq!(answer.status(), http::StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn nothing_is_said_of_what_is_not_counted() {
        let counted = Counter::new("commands", Rate::OFF, NonZeroUsize::MIN).take("ana", 1);
        assert!(counted.reading.is_none() && counted.refusal.is_none());
    }
}
