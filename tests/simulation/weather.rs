//! What all ports of a simulated world share: the seed, whether anything goes wrong just now, the clock, and the
//! trace of what happened.

use crate::dice::Dice;
use advisor_events::{Clock, Timestamp};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// What goes on in a world.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sky {
    /// Nothing goes wrong, and nothing takes time.
    Calm,
    /// Nothing goes wrong, and everything takes its time.
    Breeze,
    /// Things go wrong.
    Storm,
}

/// The weather of one world.
pub(crate) struct Weather {
    seed: u64,
    sky: Mutex<Sky>,
    began: Instant,
    trace: Mutex<(Sha256, Vec<String>)>,
    wrong: Mutex<Vec<String>>,
}

impl Weather {
    /// Faults and delays fall as this seed says.
    pub(crate) fn stormy(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            sky: Mutex::new(Sky::Storm),
            began: Instant::now(),
            trace: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    /// Nothing goes wrong, and nothing takes time.
    pub(crate) fn calm() -> Arc<Self> {
        let weather = Self::stormy(0);
        weather.clear_up();
        weather
    }

    /// Dice of this name.
    pub(crate) fn dice(&self, name: &str) -> Dice {
        Dice::new(self.seed, name)
    }

    /// Whether things go wrong.
    pub(crate) fn is_stormy(&self) -> bool {
        self.sky() == Sky::Storm
    }

    /// From now on things go wrong.
    pub(crate) fn blow_up(&self) {
        *self.sky.lock().unwrap() = Sky::Storm;
    }

    /// From now on nothing goes wrong any more, but everything takes its time.
    pub(crate) fn calm_down(&self) {
        *self.sky.lock().unwrap() = Sky::Breeze;
    }

    /// From now on nothing goes wrong, and nothing takes time.
    pub(crate) fn clear_up(&self) {
        *self.sky.lock().unwrap() = Sky::Calm;
    }

    fn sky(&self) -> Sky {
        *self.sky.lock().unwrap()
    }

    /// Waits as the dice say, unless it is calm.
    pub(crate) async fn delay(&self, dice: &Dice, ms: std::ops::Range<u64>) {
        if self.sky() != Sky::Calm {
            tokio::time::sleep(dice.ms(ms)).await;
        }
    }

    /// Whether this goes wrong now.
    pub(crate) fn strikes(&self, dice: &Dice, per_mille: u64) -> bool {
        self.is_stormy() && dice.happens(per_mille)
    }

    /// Something happened that the same seed must lead to again. Random ids and keys have no place here.
    pub(crate) fn note(&self, who: &str, what: &str) {
        let line = format!("{:>6} {who}: {what}", self.began.elapsed().as_millis());
        let mut trace = self.trace.lock().unwrap();
        trace.0.update(line.as_bytes());
        trace.1.push(line);
    }

    /// Something happened that must not.
    pub(crate) fn wrong(&self, what: String) {
        self.note("WRONG", &what);
        self.wrong.lock().unwrap().push(what);
    }

    /// What must not have happened.
    pub(crate) fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// All that happened, as one number.
    pub(crate) fn trace_hash(&self) -> Vec<u8> {
        self.trace.lock().unwrap().0.clone().finalize().to_vec()
    }

    /// All that happened.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.trace.lock().unwrap().1.clone()
    }
}

/// The time of day in a world: it goes with the world's own clock.
impl Clock for Weather {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000 + i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
