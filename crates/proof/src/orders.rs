//! What the environment asks of a proof build.

use crate::{Mutant, Point};
use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

/// Where to die, and when.
struct Death {
    point: Point,
    passings_left: AtomicU64,
}

static DEATH: LazyLock<Option<Death>> = LazyLock::new(|| variable("PROOF_KILL").map(|text| death(&text)));
static MUTANT: LazyLock<Option<Mutant>> = LazyLock::new(|| variable("PROOF_MUTANT").map(|text| mutant(&text)));

static POSITION: LazyLock<Option<u64>> = LazyLock::new(|| variable("PROOF_POSITION")?.parse().ok());

/// The process has come to a place where it may be wanted dead.
pub fn reached(point: Point) {
    if let Some(death) = &*DEATH
        && death.point == point
        && death.passings_left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        die();
    }
}

/// Whether this fault is planted.
pub fn is_planted(mutant: Mutant) -> bool {
    *MUTANT == Some(mutant)
}

/// The one place of the log at which some faults strike.
pub fn position() -> Option<u64> {
    *POSITION
}

/// At once, as the system would do it: nothing is flushed, nothing is dropped.
fn die() {
    let died = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    if died.is_err() {
        std::process::abort();
    }
    loop {
        std::thread::park();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "A proof build is steered past the configuration, which it must not change."
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::panic, reason = "A test that asked for what is not there must not go on.")]
fn death(text: &str) -> Death {
    let (name, passing) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.into_iter().find(|point| point.name() == name);
    match (point, passing.parse()) {
        (Some(point), Ok(passing)) => Death { point, passings_left: AtomicU64::new(passing) },
        (None, _) | (_, Err(_)) => panic!("PROOF_KILL={text} is no place and number"),
    }
}

#[expect(clippy::panic, reason = "A test that asked for what is not there must not go on.")]
fn mutant(text: &str) -> Mutant {
    match Mutant::ALL.into_iter().find(|mutant| mutant.name() == text) {
        Some(mutant) => mutant,
        None => panic!("PROOF_MUTANT={text} is no fault that can be planted"),
    }
}
