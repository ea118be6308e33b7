//! The event log as a port ([`EventLog`]), and its adapters, one file each.
//!
//! The semantics are KurrentDB's, because those can't be changed. In short: revisions are dense from 0
//! in each stream; positions increase over all of them and may have gaps; an append is all or nothing,
//! and its repeat (the same ids at the same place) adds nothing; whoever has scanned up to a position
//! has seen everything up to it, for ever. `contract` states all this as tests that every adapter passes.
//!
//! # Adapters
//!
//! * [`MemoryLog`]: the double for tests, and the simplest reading of the rules.
//! * [`SqliteLog`]: the embedded default, one file and one process.
//! * [`PostgresLog`]: a schema in PostgreSQL, and any number of processes.
//! * `KurrentDbLog` (feature `kurrentdb`): a server or cluster of KurrentDB or EventStoreDB.
//!
//! # Adding an adapter
//!
//! 1. Write `src/<name>.rs` (and `src/<name>/` when it outgrows a sitting) behind a cargo feature, with a
//!    `pub mod <name>` here. Begin [`EventLog::append`] with [`port::check_append`], so that the limits and
//!    the names are the same everywhere.
//! 2. Sort every error of the backend into the few variants of [`AppendError`] and [`ReadError`] by what
//!    the caller must do. A time-out, a cut connection or a failed commit *after* the request went out is
//!    [`AppendError::OutcomeUnknown`]: the caller repeats the identical append until it hears which. What
//!    certainly wrote nothing is [`AppendError::Unavailable`].
//! 3. A page of [`EventLog::read_all`] may be short, or empty, before the end, as long as `scanned_to` moves
//!    on; no event may ever appear at or below a `scanned_to` that was given. Where positions become visible
//!    out of order, this is the hard part: read below what is proven complete.
//! 4. Followers: `follow` joins pages and a ring of recent events without gap or repeat, for a log that is
//!    appended to by this process alone (implement its `Source`). For a log that other processes append to,
//!    `tail` looks at its end for all followers (implement its `Looked`).
//! 5. In the file's tests, implement `contract::Fixture` and call `contract_tests!` with it: each case
//!    becomes a test. Call it once more with the smallest limits the adapter allows, so that buffers overflow
//!    and pages are short. An adapter in another crate turns the feature `contract` on in its
//!    dev-dependencies.
//! 6. Add one arm where the program opens its log.

#[cfg(any(test, feature = "contract"))]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "these are tests, which other adapters run too"
)]
pub mod contract;
mod follow;
#[cfg(feature = "kurrentdb")]
pub mod kurrentdb;
pub mod limits;
pub mod memory;
pub mod port;
pub mod postgres;
mod recent;
mod room;
pub mod sqlite;
mod tail;

#[cfg(feature = "kurrentdb")]
pub use kurrentdb::{KurrentDbLog, KurrentDbOptions};
pub use memory::MemoryLog;
pub use port::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, Page, Position, ReadError, Recorded,
    Subscription, SubscriptionEvent,
};
pub use postgres::{PostgresLog, PostgresLogOptions};
pub use sqlite::{OpenError, SqliteLog, SqliteLogOptions};
