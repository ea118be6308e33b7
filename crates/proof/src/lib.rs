//! What proves that the tests of faults can fail: places where a process dies on request, and faults to plant.
//!
//! A build with the cargo feature `proof` reads three variables once:
//!
//! - `PROOF_KILL=append.after:7` — the process gets SIGKILL, from itself, when it comes to that [`Point`] for the
//!   seventh time;
//! - `PROOF_MUTANT=log_not_synced` — that [`Mutant`] is planted; where it strikes at one place of the log,
//!   `PROOF_POSITION` says at which.
//!
//! In any other build [`reached`] does nothing and [`is_planted`] is false, both constant: the compiler leaves
//! nothing of them. A name that is not known stops a proof build at once, lest a test believe that it planted
//! something.

mod names;

pub use names::{Mutant, Point};

/// The process has come to a place where it may be wanted dead.
#[cfg(not(feature = "proof"))]
#[inline]
pub const fn reached(_: Point) {}

/// Whether this fault is planted.
#[cfg(not(feature = "proof"))]
#[inline]
pub const fn is_planted(_: Mutant) -> bool {
    false
}

/// The one place of the log at which some faults strike.
#[cfg(not(feature = "proof"))]
#[inline]
pub const fn position() -> Option<u64> {
    None
}

#[cfg(feature = "proof")]
mod orders;
#[cfg(feature = "proof")]
pub use orders::{is_planted, position, reached};
