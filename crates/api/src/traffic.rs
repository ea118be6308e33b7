//! How much of what comes is let in: rates for each person and each address, and how much is done at a time.
//!
//! A request is metered from the moment its class is known (`meter`); who asks is charged once that is known too.
//! What it was charged stands in its answer. Then it passes the gate of its class (`gate`).

mod address;
mod answers;
mod buckets;
mod gate;
mod meter;
mod rates;
mod shed;

pub(crate) use address::Address;
pub use address::{Network, NoNetwork, Peer, TrustedProxies};
pub use answers::{ANSWER_FREE_BYTES, ANSWER_PIECE_BYTES, ANSWER_SAFE_FOR};
pub(crate) use buckets::Buckets;
pub use gate::BODY_FREE_BYTES;
pub use gate::GateLimits;
pub(crate) use gate::{GateOf, Place, gated, with_command_id};
pub use meter::Meter;
pub(crate) use meter::{Class, meter, metered};
pub use rates::{Rate, RateLimits};
pub(crate) use shed::Shed;

use crate::problem::Problem;
use advisor_proof::{Mutant, is_planted};
use answers::Answers;
use gate::Gate;
use rates::Rates;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of what is let in.
#[derive(Clone, Debug)]
pub struct TrafficLimits {
    /// How often somebody may ask.
    pub rates: RateLimits,
    /// Commands that run at a time.
    pub commands: GateLimits,
    /// Queries that run at a time.
    pub queries: GateLimits,
    /// Chats that wait for a reply at a time.
    pub chats: GateLimits,
    /// Most bytes of bodies, and of what is made of them, that are held at a time.
    pub bodies_bytes_max: usize,
    /// Most bytes of answers that wait for their clients at a time.
    pub answers_bytes_max: usize,
    /// Most bytes of events of live streams that do so.
    pub events_bytes_max: usize,
    /// Who is believed about where a request comes from.
    pub trusted_proxies: TrustedProxies,
}

impl Default for TrafficLimits {
    fn default() -> Self {
        let wait = Duration::from_millis(50);
        let gate = GateLimits { running_max: 256, waiting_max: 256, wait };
        Self {
            rates: RateLimits::default(),
            commands: gate,
            queries: gate,
            chats: GateLimits { running_max: 1_024, waiting_max: 0, wait },
            bodies_bytes_max: 64 << 20,
            answers_bytes_max: 64 << 20,
            events_bytes_max: 64 << 20,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// What is let in, and has been lately.
#[derive(Debug)]
pub struct Traffic {
    rates: Rates,
    commands: Gate,
    queries: Gate,
    chats: Gate,
    bodies: Arc<Semaphore>,
    answers: Arc<Answers>,
    events: Arc<Semaphore>,
    trusted_proxies: TrustedProxies,
}

impl Traffic {
    /// Nothing has come yet.
    pub fn new(limits: TrafficLimits) -> Self {
        Self {
            rates: Rates::new(limits.rates),
            commands: Gate::new("commands", limits.commands),
            queries: Gate::new("queries", limits.queries),
            chats: Gate::new("chats", limits.chats),
            bodies: room(limits.bodies_bytes_max),
            answers: Arc::new(Answers::new(room(limits.answers_bytes_max))),
            events: room(limits.events_bytes_max),
            trusted_proxies: limits.trusted_proxies,
        }
    }

    /// Room for so many bytes of events that wait for the client of a live stream.
    pub(crate) fn hold_events(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let count = u32::try_from(bytes).map_err(|_| gate::overloaded("events"))?;
        Arc::clone(&self.events).try_acquire_many_owned(count).map_err(|_| gate::overloaded("events"))
    }

    fn gate(&self, of: GateOf) -> &Gate {
        match of {
            GateOf::Commands => &self.commands,
            GateOf::Queries => &self.queries,
            GateOf::Chats => &self.chats,
        }
    }
}

#[cfg(test)]
impl Traffic {
    /// The next place of each gate that is known by its path.
    pub(crate) fn occupy(&self) -> [OwnedSemaphorePermit; 2] {
        [&self.commands, &self.queries].map(Gate::occupy)
    }
}

fn room(bytes_max: usize) -> Arc<Semaphore> {
    let bytes_max = if is_planted(Mutant::RoomUnbounded) { usize::MAX } else { bytes_max };
    Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests;
