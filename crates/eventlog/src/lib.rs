//! The event log as a port ([`EventLog`]), and its adapters, one file each.
//!
//! The semantics are KurrentDB's, because those can't be changed; `contract` states them as tests
//! that every adapter passes.

pub mod port;

pub use port::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, Page, Position, ReadError, Recorded,
    Subscription, SubscriptionEvent,
};
