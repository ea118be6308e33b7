//! The doorbell between processes as a port ([`Bus`]), and its adapters, one file each.
//!
//! Losing every message costs time, never data: whoever listens also looks by itself now and then,
//! and what a client may see is decided by the API over the read models, never by what the bus says.
//!
//! * [`InProcessBus`]: the embedded default, within one process.
//! * [`NatsBus`]: between any number of processes on any number of hosts.
//!
//! `contract` states what both of them do, as tests.

#[cfg(any(test, feature = "contract"))]
#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "these are tests, and what tests of other crates stand on"
)]
pub mod contract;
pub mod in_process;
pub mod limits;
pub mod nats;
pub mod port;

pub use in_process::InProcessBus;
pub use nats::{NatsBus, NatsOptions};
pub use port::{Appended, Bus, BusError, BusMessage, Change, Changes, Delta, Listener, Topic};
