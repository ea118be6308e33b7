//! Nodes that share a log, and what they tell clients about themselves.

use crate::{
    faults::Faults,
    log::{Expected, Log, Proposed},
    protocol::event_store::client::{
        Empty,
        gossip::{ClusterInfo, EndPoint, MemberInfo, gossip_server::Gossip, member_info::VNodeState},
        server_features::{SupportedMethod, SupportedMethods, server_features_server::ServerFeatures},
    },
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tonic::{Request, Response, Status};

/// What the nodes share.
pub(crate) struct Cluster {
    log: Mutex<Log>,
    pub(crate) faults: Faults,
    nodes: Mutex<Vec<SocketAddr>>,
    leader: AtomicUsize,
    /// What is written, and not yet replicated.
    held_back: Mutex<Vec<HeldBack>>,
}

pub(crate) struct HeldBack {
    pub(crate) stream: String,
    pub(crate) expected: Expected,
    pub(crate) events: Vec<Proposed>,
}

/// One of them, by its number.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) number: usize,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            log: Mutex::new(Log::new()),
            faults: Faults::default(),
            nodes: Mutex::default(),
            leader: AtomicUsize::new(0),
            held_back: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, address: SocketAddr) -> usize {
        let mut nodes = locked(&self.nodes);
        nodes.push(address);
        nodes.len() - 1
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        *locked(&self.nodes).get(number).expect("a node")
    }

    pub(crate) fn lead(&self, number: usize) {
        self.leader.store(number, Ordering::SeqCst);
    }

    pub(crate) fn leader(&self) -> usize {
        self.leader.load(Ordering::SeqCst)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        locked(&self.log)
    }

    pub(crate) fn hold_back(&self, append: HeldBack) {
        locked(&self.held_back).push(append);
    }

    /// Whether the same append is held back.
    pub(crate) fn is_held_back(&self, stream: &str, events: &[Proposed]) -> bool {
        let ids = |events: &[Proposed]| events.iter().map(|event| event.id).collect::<Vec<_>>();
        locked(&self.held_back).iter().any(|held| held.stream == stream && ids(&held.events) == ids(events))
    }

    pub(crate) fn replicate(&self) {
        for held in locked(&self.held_back).drain(..) {
            self.log().append(&held.stream, held.expected, held.events);
        }
    }
}

#[tonic::async_trait]
impl ServerFeatures for Node {
    async fn get_supported_methods(&self, _: Request<Empty>) -> Result<Response<SupportedMethods>, Status> {
        // In lower case, as the server writes them.
        let methods = ["read", "append", "delete", "tombstone", "batchappend"].map(|name| SupportedMethod {
            method_name: name.to_owned(),
            service_name: "event_store.client.streams.streams".to_owned(),
            features: Vec::new(),
        });
        let event_store_server_version = "24.10.0.0".to_owned();
        Ok(Response::new(SupportedMethods { methods: methods.into(), event_store_server_version }))
    }
}

#[tonic::async_trait]
impl Gossip for Node {
    async fn read(&self, _: Request<Empty>) -> Result<Response<ClusterInfo>, Status> {
        self.cluster.faults.see(|seen| seen.gossip += 1);
        let leader = self.cluster.leader();
        let nodes = locked(&self.cluster.nodes);
        let members = nodes.iter().enumerate().map(|(number, address)| MemberInfo {
            instance_id: Some(crate::streams::structured(uuid::Uuid::from_u128(number as u128 + 1))),
            time_stamp: 0,
            state: if number == leader { VNodeState::Leader } else { VNodeState::Follower }.into(),
            is_alive: true,
            http_end_point: Some(EndPoint { address: address.ip().to_string(), port: address.port().into() }),
        });
        Ok(Response::new(ClusterInfo { members: members.collect() }))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
