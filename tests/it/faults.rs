//! Faults, for real: a server is killed, cut from its power, refused by its disk, stopped, robbed of time, memory or
//! descriptors, while clients command it. What was acknowledged is there exactly once, what was not is there once or
//! not at all, and what is read is what the log says.
//!
//! A *trial* (one file each) starts a build, does something to it, and fails where a promise was not kept. It runs
//! on the usual build, where it must pass, and in `mutants` on one with a fault planted, where it must fail.
//! Clients write what they sent and what they heard into a history (`load`); `checker` compares it with the log.
//! How long a trial goes on is told by variables, such as `ADVISOR_TEST_KILLS`: CONTRIBUTING says how.

mod after;
mod asks;
mod bit_rot;
mod checker;
mod checkpoint_race;
mod clock;
mod consumption;
mod descriptors;
mod disk;
mod fold;
mod full_disk;
mod io_errors;
mod kills;
mod load;
mod logs_apart;
mod made_anew;
mod mutants;
mod named_points;
mod old_events;
mod other_builds;
mod pauses;
mod power_cuts;
mod races;
mod reads_own_writes;
mod reconnect;
mod scaled;
mod shared_keys;
mod shutdown;
mod strace;
mod watchers;

use std::str::FromStr;
use uuid::Uuid;

/// A number below `most`, another one every time.
fn chance(most: usize) -> usize {
    usize::try_from(Uuid::new_v4().as_u128() % most as u128).unwrap()
}

/// How often a trial does what it does: as its variable says, else a number that a check has time for.
#[expect(clippy::disallowed_methods, reason = "Who runs the tests for long says so by a variable.")]
fn rounds(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| usize::from_str(&text).unwrap())
}
