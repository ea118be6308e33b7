//! A circuit breaker: a provider that fails again and again is left alone for a while.
//!
//! Closed until `failures_max` failures in a row; then open for `pause`; then one probe is let
//! through, and its outcome closes the breaker or opens it again. Time is tokio's, so that tests
//! can wind it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// Failures in a row that open it.
    pub failures_max: u32,
    /// How long it stays open before a probe.
    pub pause: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures_max: 5, pause: Duration::from_secs(30) }
    }
}

/// Name of the gauge of how a provider stands: 0 is asked, 1 is tried, 2 is left alone.
const STANDING: &str = "advisor_model_provider_standing";
/// Name of the counter of how often a provider was left alone.
const OPENED: &str = "advisor_model_breaker_opened_total";

/// The breaker of one provider.
#[derive(Debug)]
pub struct Breaker {
    provider: String,
    options: BreakerOptions,
    state: Mutex<State>,
}

/// How a provider stands, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is asked; so many calls in a row have failed.
    Asked {
        /// Failures since the last success.
        failures: u32,
    },
    /// It is left alone for so much longer; without any, the next call tries it.
    LeftAlone {
        /// Until a call may try it.
        left: Duration,
    },
    /// One call tries whether it answers again.
    Tried,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

impl Breaker {
    /// A closed breaker; `provider` is what measurements call it.
    pub fn new(provider: impl Into<String>, options: BreakerOptions) -> Arc<Self> {
        let closed = State::Closed { failures: 0 };
        let breaker = Self { provider: provider.into(), options, state: Mutex::new(closed) };
        breaker.measure(closed);
        Arc::new(breaker)
    }

    /// How the provider stands now.
    pub fn standing(&self) -> Standing {
        match *self.lock() {
            State::Closed { failures } => Standing::Asked { failures },
            State::Open { until } => Standing::LeftAlone { left: until.saturating_duration_since(Instant::now()) },
            State::Probing => Standing::Tried,
        }
    }

    /// Leave to make one call; `None` while the breaker is open.
    pub fn admit(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.lock();
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if Instant::now() >= until => {
                self.turn(&mut state, State::Probing);
                true
            }
            State::Open { .. } | State::Probing => return None,
        };
        drop(state);
        Some(Permit { breaker: Arc::clone(self), probe })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> State {
        metrics::counter!(OPENED, "provider" => self.provider.clone()).increment(1);
        tracing::warn!(model.provider = self.provider, "a model provider is left alone for a while");
        State::Open { until: Instant::now() + self.options.pause }
    }

    fn turn(&self, state: &mut State, to: State) {
        *state = to;
        self.measure(to);
    }

    fn measure(&self, state: State) {
        let standing = match state {
            State::Closed { .. } => 0.0,
            State::Probing => 1.0,
            State::Open { .. } => 2.0,
        };
        metrics::gauge!(STANDING, "provider" => self.provider.clone()).set(standing);
    }
}

/// Leave to make one call. Dropped without a word, it counts neither way, and a probe may be made again.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    probe: bool,
}

impl Permit {
    /// The provider has begun to answer: enough for a probe, while others are judged by their end.
    pub fn spoke(&mut self) {
        if self.probe {
            self.succeeded();
        }
    }

    /// The provider answers as it should.
    pub fn succeeded(&mut self) {
        let mut state = self.breaker.lock();
        if self.probe || matches!(*state, State::Closed { .. }) {
            self.breaker.turn(&mut state, State::Closed { failures: 0 });
        }
        self.probe = false;
    }

    /// The provider does not answer as it should.
    pub fn failed(&mut self) {
        let mut state = self.breaker.lock();
        let next = match *state {
            State::Closed { failures } if failures + 1 < self.breaker.options.failures_max => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => self.breaker.opened(),
            State::Probing if self.probe => self.breaker.opened(),
            unchanged @ (State::Open { .. } | State::Probing) => unchanged,
        };
        self.breaker.turn(&mut state, next);
        self.probe = false;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.turn(&mut self.breaker.lock(), State::Open { until: Instant::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_thirty_seconds_later_one_probe_passes() {
        let breaker = Breaker::new("a provider", BreakerOptions::default());
        fail(&breaker, 5);

        assert!(breaker.admit().is_none());
        tokio::time::advance(Duration::from_millis(29_999)).await;
        assert!(breaker.admit().is_none());

        tokio::time::advance(Duration::from_millis(1)).await;
        let probe = breaker.admit();
        assert!(probe.is_some());
        assert!(breaker.admit().is_none(), "only one probe at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_keeps_it_closed() {
        let breaker = Breaker::new("a provider", BreakerOptions::default());
        fail(&breaker, 4);
        breaker.admit().unwrap().succeeded();
        fail(&breaker, 4);
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_it_again_and_a_successful_one_closes_it() {
        let breaker = Breaker::new("a provider", BreakerOptions::default());
        fail(&breaker, 5);
        tokio::time::advance(Duration::from_secs(30)).await;
        breaker.admit().unwrap().failed();
        assert!(breaker.admit().is_none());

        tokio::time::advance(Duration::from_secs(30)).await;
        breaker.admit().unwrap().succeeded();
        fail(&breaker, 4);
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_lets_another_one_through() {
        let breaker = Breaker::new("a provider", BreakerOptions::default());
        fail(&breaker, 5);
        tokio::time::advance(Duration::from_secs(30)).await;
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_do_not_close_it() {
        let breaker = Breaker::new("a provider", BreakerOptions::default());
        let mut early = breaker.admit().unwrap();
        fail(&breaker, 5);
        early.succeeded();
        assert!(breaker.admit().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_sees_how_the_provider_stands() {
        let breaker = Breaker::new("a provider", BreakerOptions::default());
        fail(&breaker, 2);
        assert_eq!(breaker.standing(), Standing::Asked { failures: 2 });
        fail(&breaker, 3);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(breaker.standing(), Standing::LeftAlone { left: Duration::from_secs(20) });
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(breaker.standing(), Standing::LeftAlone { left: Duration::ZERO });
        let mut probe = breaker.admit().unwrap();
        assert_eq!(breaker.standing(), Standing::Tried);
        probe.succeeded();
        assert_eq!(breaker.standing(), Standing::Asked { failures: 0 });
    }

    fn fail(breaker: &Arc<Breaker>, times: u32) {
        for _ in 0..times {
            breaker.admit().unwrap().failed();
        }
    }
}
