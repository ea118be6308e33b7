//! What was measured, one sample for each request, and what is said of all of them.

use crate::client::Answer;
use hdrhistogram::Histogram;
use http::StatusCode;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Significant digits of times.
const DIGITS: u8 = 3;
/// Nothing is waited for as long as this, in microseconds.
const LONGEST: u64 = 600_000_000;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered well.
    Done,
    /// It was refused because there was too much, which leaves nothing.
    Refused(StatusCode),
    /// Any other answer.
    Failed(StatusCode),
    /// There was no answer.
    Unanswered,
    /// There was no connection left to send it on.
    Unsent,
}

impl Outcome {
    pub(crate) fn of(answer: &Answer) -> Self {
        match answer.status {
            status if status.is_success() => Self::Done,
            status @ StatusCode::TOO_MANY_REQUESTS => Self::Refused(status),
            status @ StatusCode::SERVICE_UNAVAILABLE if says_overloaded(&answer.body) => Self::Refused(status),
            status => Self::Failed(status),
        }
    }

    /// Whether what was asked may have been done although nobody said so.
    pub(crate) fn is_unclear(self) -> bool {
        match self {
            Self::Failed(status) => status.is_server_error(),
            Self::Unanswered => true,
            Self::Done | Self::Refused(_) | Self::Unsent => false,
        }
    }
}

fn says_overloaded(body: &[u8]) -> bool {
    const CODE: &[u8] = b"OVERLOADED";
    body.windows(CODE.len()).any(|window| window == CODE)
}

/// One request. Times are since the measurement began, in microseconds: an hour fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    due: u32,
    sent: u32,
    answered: u32,
    pub(crate) outcome: Outcome,
}

/// Samples of one measurement.
pub(crate) struct Samples {
    begun: Instant,
    taken: Mutex<Vec<Sample>>,
}

/// From which moment a time counts.
#[derive(Clone, Copy)]
pub(crate) enum Since {
    /// When it should have been sent.
    Due,
    /// When it was sent.
    Sent,
}

impl Samples {
    pub(crate) fn new(begun: Instant) -> Self {
        Self { begun, taken: Mutex::default() }
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// A request that has just been answered, or will never be.
    pub(crate) fn take(&self, due: Instant, sent: Instant, outcome: Outcome) {
        let since = |moment: Instant| u32::try_from((moment - self.begun).as_micros()).unwrap_or(u32::MAX);
        let sample = Sample { due: since(due), sent: since(sent), answered: since(Instant::now()), outcome };
        self.lock().push(sample);
    }

    /// How many had this outcome.
    pub(crate) fn count(&self, wanted: impl Fn(Outcome) -> bool) -> u64 {
        self.lock().iter().filter(|sample| wanted(sample.outcome)).count() as u64
    }

    /// What was done in this time, for each second.
    pub(crate) fn rate(&self, duration: Duration) -> f64 {
        let last = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let done = |sample: &&Sample| sample.outcome == Outcome::Done && sample.answered <= last;
        let count = self.lock().iter().filter(done).count();
        precise(count as u64) / duration.as_secs_f64()
    }

    /// How long the ones with this outcome took.
    pub(crate) fn times(&self, since: Since, wanted: impl Fn(Outcome) -> bool) -> Times {
        Times::of(self.lock().iter().filter(|sample| wanted(sample.outcome)).map(|sample| {
            let from = match since {
                Since::Due => sample.due,
                Since::Sent => sample.sent,
            };
            u64::from(sample.answered - from)
        }))
    }

    /// How much too late requests were sent.
    pub(crate) fn lateness(&self) -> Times {
        Times::of(self.lock().iter().map(|sample| u64::from(sample.sent - sample.due)))
    }

    /// How long those took that were due in each window of this length.
    pub(crate) fn windows(&self, length: Duration) -> Vec<Times> {
        let length = u32::try_from(length.as_micros()).unwrap_or(u32::MAX).max(1);
        let mut windows: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for sample in self.lock().iter() {
            windows.entry(sample.due / length).or_default().push(u64::from(sample.answered - sample.due));
        }
        windows.into_values().map(Times::of).collect()
    }

    /// How many were answered with each status that is no success.
    pub(crate) fn statuses(&self) -> BTreeMap<String, u64> {
        let mut statuses = BTreeMap::new();
        for sample in self.lock().iter() {
            let name = match sample.outcome {
                Outcome::Done => continue,
                Outcome::Refused(status) | Outcome::Failed(status) => status.as_u16().to_string(),
                Outcome::Unanswered => "unanswered".to_owned(),
                Outcome::Unsent => "unsent".to_owned(),
            };
            *statuses.entry(name).or_default() += 1;
        }
        statuses
    }

    /// The list stays whole whatever panicked while it was held: it is only added to.
    fn lock(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long things took.
pub(crate) struct Times(Option<Histogram<u64>>);

impl Times {
    /// In microseconds.
    pub(crate) fn of(micros: impl IntoIterator<Item = u64>) -> Self {
        // With these bounds there always is one.
        let mut times = Histogram::new_with_max(LONGEST, DIGITS).ok();
        for micros in micros {
            if let Some(times) = &mut times {
                times.saturating_record(micros);
            }
        }
        Self(times)
    }

    /// In milliseconds, the time that this share took at most; not a number where there is none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let filled = self.0.as_ref().filter(|times| !times.is_empty());
        filled.map_or(f64::NAN, |times| precise(times.value_at_quantile(share)) / 1e3)
    }

    pub(crate) fn max(&self) -> f64 {
        self.at(1.0)
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Counts and times here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "Nothing is lost below 2^53.")]
pub(crate) fn precise(count: u64) -> f64 {
    count as f64
}
