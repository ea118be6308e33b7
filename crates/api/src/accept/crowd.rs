//! How many connections one address has, and how fast it makes new ones.

use crate::traffic::{Address, Buckets, Rate, TrustedProxies};
use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// What one address may have of connections.
#[derive(Clone, Debug)]
pub struct AddressLimits {
    /// Most that are open.
    pub connections_max: usize,
    /// New ones.
    pub rate: Rate,
    /// Addresses whose new connections are remembered.
    pub remembered_max: NonZeroUsize,
    /// Addresses that many clients share, and that are not limited.
    pub trusted_proxies: TrustedProxies,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            connections_max: 12_288,
            rate: Rate { per_minute: 60_000, burst: 12_288 },
            remembered_max: NonZeroUsize::new(50_000).unwrap_or(NonZeroUsize::MIN),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// The connections that there are, by address: as many entries as there are connections, at most.
pub(super) struct Crowd {
    limits: AddressLimits,
    rate: Buckets,
    open: Mutex<HashMap<Address, usize>>,
}

/// One connection of an address.
pub(super) struct Admitted {
    crowd: Arc<Crowd>,
    address: Address,
}

/// The address has too many, or makes them too fast.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded;

impl Crowd {
    pub(super) fn new(limits: AddressLimits) -> Arc<Self> {
        let rate = Buckets::new(limits.rate, limits.remembered_max);
        Arc::new(Self { limits, rate, open: Mutex::default() })
    }

    /// Lets a connection in; nothing is counted of trusted proxies, and of local sockets, which have no address.
    pub(super) fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Option<Admitted>, Crowded> {
        let Some(peer) = peer.filter(|peer| !self.limits.trusted_proxies.contain(*peer)) else { return Ok(None) };
        let address = Address::from(peer);
        if self.rate.take(address, 1, Instant::now()).is_some_and(|level| level.is_err()) {
            return Err(refused("rate"));
        }
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if *count >= self.limits.connections_max {
            return Err(refused("open"));
        }
        *count += 1;
        drop(open);
        Ok(Some(Admitted { crowd: Arc::clone(self), address }))
    }

    /// The map stays whole whatever panicked while it was held.
    fn open(&self) -> MutexGuard<'_, HashMap<Address, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(reason: &'static str) -> Crowded {
    metrics::counter!("advisor_connections_refused_total", "reason" => reason).increment(1);
    Crowded
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.crowd.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_more_connections_than_allowed_until_it_closes_some() {
        let crowd = crowd(|limits| limits.connections_max = 2);
        let mut admitted: Vec<_> = (0..2).map(|_| crowd.admit(HERE).unwrap()).collect();
        assert_eq!(crowd.admit(HERE).err(), Some(Crowded));
        assert!(crowd.admit(ELSEWHERE).is_ok());
        admitted.pop();
        assert!(crowd.admit(HERE).is_ok());
        drop(admitted);
        assert!(crowd.open().is_empty(), "nothing is left of who has gone");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_makes_new_connections_no_faster_than_allowed() {
        let crowd = crowd(|limits| limits.rate = Rate { per_minute: 60, burst: 2 });
        for _ in 0..2 {
            assert!(crowd.admit(HERE).is_ok());
        }
        assert!(crowd.admit(HERE).is_err());
        assert!(crowd.admit(ELSEWHERE).is_ok());
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert!(crowd.admit(HERE).is_ok());
    }

    #[test]
    fn trusted_proxies_and_local_sockets_are_not_limited() {
        let crowd = crowd(|limits| {
            limits.connections_max = 1;
            limits.trusted_proxies = vec!["192.0.2.1".parse().unwrap()].into();
        });
        let admitted: Vec<_> = [HERE, HERE, None, None].map(|peer| crowd.admit(peer)).into();
        assert!(admitted.iter().all(Result::is_ok));
    }

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn crowd(change: impl FnOnce(&mut AddressLimits)) -> Arc<Crowd> {
        let mut limits = AddressLimits::default();
        change(&mut limits);
        Crowd::new(limits)
    }
}
