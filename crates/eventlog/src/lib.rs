//! The event log as a port ([`EventLog`]), and its adapters, one file each.
//!
//! The semantics are KurrentDB's, because those can't be changed; `contract` states them as tests
//! that every adapter passes.

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
pub mod memory;
pub mod port;
mod recent;
pub mod sqlite;

pub use memory::MemoryLog;
pub use port::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, Page, Position, ReadError, Recorded,
    Subscription, SubscriptionEvent,
};
pub use sqlite::{OpenError, SqliteLog, SqliteLogOptions};
