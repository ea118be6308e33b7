//! Machines of a test's own, which are network namespaces: each is joined to this one by three networks, and any of them
//! can be cut for it. What is sent over a network that is cut vanishes, in both directions, and nobody is told.
//!
//! A network is a bridge, at which each machine has a port. Which hardware has which address is known to all from the
//! start: one who asks and hears nothing would be told that nobody is there.

use crate::server::Place;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{self, Command},
};

/// What a machine is joined to this one by.
#[derive(Clone, Copy)]
pub(super) enum Network {
    /// Where clients ask, and operators.
    Clients,
    /// Where PostgreSQL is.
    Database,
    /// Where NATS is.
    Bus,
}

const NETWORKS: [Network; 3] = [Network::Clients, Network::Database, Network::Bus];
/// Addresses for trials of networks (RFC 2544), which nobody else has; 64 of them for each test.
const ADDRESSES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const BLOCKS: u32 = 2_048;

/// Some machines. They end with the test, and so must do what runs there.
pub(super) struct Machines {
    /// What the names of this test's devices begin with, of which a name has room for fifteen.
    name: String,
    block: u32,
    count: u32,
}

impl Machines {
    /// Makes so many, which are numbered from 0.
    pub(super) fn make(count: u32) -> Self {
        let taken = ip("-oneline -4 address show");
        let is_free = |block: &u32| !taken.contains(&format!(" {}/", address(*block, Network::Clients, 0)));
        let block = (0..BLOCKS).map(|next| (process::id() + next) % BLOCKS).find(is_free).unwrap();
        let machines = Self { name: format!("adv{block}n"), block, count };
        for network in NETWORKS {
            machines.lay(network);
        }
        for number in 0..count {
            machines.set_up(number);
        }
        machines
    }

    /// Where this machine itself is in a network.
    pub(super) fn here(&self, network: Network) -> IpAddr {
        address(self.block, network, 0).into()
    }

    /// Where a machine is in a network.
    pub(super) fn there(&self, number: u32, network: Network) -> IpAddr {
        address(self.block, network, number + 1).into()
    }

    /// Where what runs on a machine is found by clients.
    pub(super) fn place(&self, number: u32) -> Place {
        let namespace = format!("--net=/run/netns/{}", self.namespace(number));
        let listen = SocketAddr::new(self.there(number, Network::Clients), 0);
        Place { through: vec!["nsenter".to_owned(), namespace, "--".to_owned()], listen }
    }

    /// Nothing comes through this network to the machine or from it any more.
    pub(super) fn cut(&self, number: u32, network: Network) {
        self.set_state(number, network, "disabled");
    }

    /// Everything comes through again.
    pub(super) fn heal(&self, number: u32, network: Network) {
        self.set_state(number, network, "forwarding");
    }

    /// Of the port at the bridge: its machine does not notice.
    fn set_state(&self, number: u32, network: Network, state: &str) {
        let port = self.port(number, network);
        must(&format!("bridge link set dev {port} state {state}"));
        let now = must(&format!("bridge link show dev {port}"));
        assert!(now.contains(&format!("state {state}")), "{now}");
    }

    fn lay(&self, network: Network) {
        let (bridge, here) = (self.bridge(network), address(self.block, network, 0));
        ip(&format!("link add {bridge} address {} type bridge", hardware(here)));
        ip(&format!("address add {here}/28 dev {bridge}"));
        ip(&format!("link set {bridge} up"));
    }

    fn set_up(&self, number: u32) {
        let namespace = self.namespace(number);
        ip(&format!("netns add {namespace}"));
        ip(&format!("-netns {namespace} link set lo up"));
        for network in NETWORKS {
            let (bridge, port) = (self.bridge(network), self.port(number, network));
            let (here, there) = (address(self.block, network, 0), address(self.block, network, number + 1));
            let hardware = (hardware(here), hardware(there));
            ip(&format!("link add {port} type veth peer name {port} address {} netns {namespace}", hardware.1));
            ip(&format!("-netns {namespace} address add {there}/28 dev {port}"));
            ip(&format!("-netns {namespace} link set {port} up"));
            ip(&format!("-netns {namespace} neighbour add {here} lladdr {} dev {port}", hardware.0));
            ip(&format!("link set {port} master {bridge} up"));
            ip(&format!("neighbour add {there} lladdr {} dev {bridge}", hardware.1));
        }
    }

    fn namespace(&self, number: u32) -> String {
        format!("{}{number}", self.name)
    }

    fn bridge(&self, network: Network) -> String {
        format!("{}b{}", self.name, network as u8)
    }

    fn port(&self, number: u32, network: Network) -> String {
        format!("{}{number}p{}", self.name, network as u8)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        // Whatever of it there is.
        for number in 0..self.count {
            for network in NETWORKS {
                drop(run(&format!("ip link delete {}", self.port(number, network))));
            }
            drop(run(&format!("ip netns delete {}", self.namespace(number))));
        }
        for network in NETWORKS {
            drop(run(&format!("ip link delete {}", self.bridge(network))));
        }
    }
}

/// The address of this machine, which is 0, or of another one.
fn address(block: u32, network: Network, host: u32) -> Ipv4Addr {
    (u32::from(ADDRESSES) + 64 * block + 16 * network as u32 + 1 + host).into()
}

/// What the hardware at an address has for its own.
fn hardware(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn ip(words: &str) -> String {
    must(&format!("ip {words}"))
}

fn must(words: &str) -> String {
    run(words).unwrap_or_else(|error| {
        panic!("`{words}`: {error}: this trial needs root, to make network namespaces, and the package iproute2")
    })
}

fn run(words: &str) -> Result<String, String> {
    let mut words = words.split(' ');
    let said = Command::new(words.next().unwrap()).args(words).output().map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if said.status.success() { Ok(text(said.stdout)) } else { Err(text(said.stderr)) }
}
