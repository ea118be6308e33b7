//! How much of what comes is let in: rates for each person and each address, and how much is done at a time.
//!
//! A request is metered from the moment its class is known (`meter`); who asks is charged once that is known too.
//! What it was charged stands in its answer. Then it passes the gate of its class (`gate`).

mod address;
mod buckets;
mod gate;
mod meter;
mod rates;

pub(crate) use address::Address;
pub use address::{Network, NoNetwork, Peer, TrustedProxies};
pub(crate) use buckets::Buckets;
pub use gate::GateLimits;
pub(crate) use gate::{GateOf, Place, gated, with_command_id};
pub use meter::Meter;
pub(crate) use meter::{Class, meter, metered};
pub use rates::{Rate, RateLimits};

use gate::Gate;
use rates::Rates;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

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
    /// Most bytes of bodies that are held at a time.
    pub bodies_bytes_max: usize,
    /// Who is believed about where a request comes from.
    pub trusted_proxies: TrustedProxies,
}

impl Default for TrafficLimits {
    fn default() -> Self {
        let wait = Duration::from_millis(250);
        let gate = GateLimits { running_max: 256, waiting_max: 512, wait };
        Self {
            rates: RateLimits::default(),
            commands: gate,
            queries: gate,
            chats: GateLimits { running_max: 1_024, waiting_max: 0, wait },
            bodies_bytes_max: 64 << 20,
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
            bodies: Arc::new(Semaphore::new(limits.bodies_bytes_max.min(Semaphore::MAX_PERMITS))),
            trusted_proxies: limits.trusted_proxies,
        }
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
mod tests;
