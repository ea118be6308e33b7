//! The doorbell between processes as a port ([`Bus`]), and its adapters, one file each.
//!
//! Losing every message costs time, never data: whoever listens also looks by itself now and then,
//! and what a client may see is decided by the API over the read models, never by what the bus says.

pub mod in_process;
pub mod port;

pub use in_process::InProcessBus;
pub use port::{Bus, BusError, BusMessage, Change, Changes, Delta, Listener, Topic};
