//! Chance that falls the same way for the same seed: a stream of numbers for each name (splitmix64).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Dice of one name.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    /// Each name has dice of its own, so that one more roll here changes nothing there.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let state = name.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte)));
        Self(Mutex::new(state))
    }

    /// A number from 0 up to `sides`, without it.
    pub(crate) fn roll(&self, sides: u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(*state) % sides.max(1)
    }

    /// Happens in so many of a thousand cases.
    pub(crate) fn happens(&self, per_mille: u64) -> bool {
        self.roll(1_000) < per_mille
    }

    /// So many milliseconds at least, and less than so many.
    pub(crate) fn ms(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.roll(range.end - range.start))
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[index(self.roll(choices.len() as u64))]
    }
}

/// A roll as an index.
pub(crate) fn index(roll: u64) -> usize {
    usize::try_from(roll).expect("a small number")
}

fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
