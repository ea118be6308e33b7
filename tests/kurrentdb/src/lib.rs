//! A double of a KurrentDB server for tests: **our reading** of what one does, over real gRPC.
//!
//! No server can be had where the tests run, so this one stands in: it speaks the protocol of the files that
//! the client's package ships, and keeps events in memory by the rules as we read them in the server's sources
//! (23.10 to 26). Whatever passes here agrees with that reading, and with the client; nothing here
//! proves that a real server does the same. For that, the same tests run against one (`it/main.rs`).
//!
//! A [`Double`] is one node; [`Double::join`] adds another that shares its log. Nodes are killed and
//! started again, and made to fail ([`Fault`]).
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "this is a part of tests")]
#![expect(clippy::result_large_err, reason = "tonic's `Status` is what it is")]

mod cluster;
mod connection;
mod faults;
mod log;
mod protocol;
mod reads;
mod streams;

pub use faults::{Access, Ends, Fault, Seen};
pub use log::Stored;

use cluster::{Cluster, Node};
use connection::QuickAcks;
use futures::TryStreamExt;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// Largest message that is read: an append of the largest size, and its frame.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// One node of a server, on a port of loopback.
pub struct Double {
    node: Node,
    /// `None` while it is killed. A runtime of its own: its end cuts every connection.
    running: Mutex<Option<Runtime>>,
}

impl Double {
    /// A server of one node, with some events of the system and of somebody else in its log.
    pub fn start() -> Self {
        Self::start_in(&Arc::new(Cluster::new()))
    }

    /// One node more, which shares this one's log. The first one leads.
    #[must_use]
    pub fn join(&self) -> Self {
        Self::start_in(&self.node.cluster)
    }

    fn start_in(cluster: &Arc<Cluster>) -> Self {
        let runtime = runtime();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let node = Node { cluster: Arc::clone(cluster), number: cluster.add(address) };
        serve(&runtime, listener, node.clone());
        Self { node, running: Mutex::new(Some(runtime)) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.node.cluster.address(self.node.number)
    }

    /// What a client connects to.
    pub fn url(&self) -> String {
        url(&self.address().to_string())
    }

    /// Cuts every connection and refuses new ones. What was written stays.
    pub fn kill(&self) {
        let Some(runtime) = self.running().take() else { return };
        // Ends its tasks before it returns, which no async context may wait for.
        let end = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        end.join().expect("an end");
    }

    /// Listens again, on the same port.
    pub fn start_again(&self) {
        let address = self.address();
        let runtime = runtime();
        let listener = std::net::TcpListener::bind(address).expect("its old port");
        serve(&runtime, listener, self.node.clone());
        *self.running() = Some(runtime);
    }

    /// Makes this node the leader.
    pub fn lead(&self) {
        self.node.cluster.lead(self.node.number);
    }

    /// What the next appends, one each, come to.
    pub fn next_appends(&self, faults: impl IntoIterator<Item = Fault>) {
        self.node.cluster.faults.next_appends(faults);
    }

    /// Writes what [`Fault::SlowReplication`] held back.
    pub fn replicate(&self) {
        self.node.cluster.replicate();
    }

    /// Whether whoever reads the whole log is told that it must not.
    pub fn whole_log(&self, access: Access) {
        self.node.cluster.faults.let_whole_log(access);
    }

    /// When reads of the whole log end from now on.
    pub fn let_reads_end(&self, ends: Ends) {
        self.node.cluster.faults.let_reads_end(ends);
    }

    /// Hides a stream's events, as a deletion does; a later append goes on at the next revision.
    pub fn delete(&self, stream: &str) {
        self.node.cluster.log().delete(stream);
    }

    /// Ends a stream for ever.
    pub fn tombstone(&self, stream: &str) {
        self.node.cluster.log().tombstone(stream);
    }

    /// Appends an event that is none of the adapter's.
    pub fn append_foreign(&self, stream: &str, type_name: &str) {
        self.node.cluster.log().append_foreign(stream, type_name);
    }

    /// Every event of a stream, as it is kept.
    pub fn stored(&self, stream: &str) -> Vec<Arc<Stored>> {
        self.node.cluster.log().stream(stream)
    }

    /// What clients have asked for.
    pub fn seen(&self) -> Seen {
        self.node.cluster.faults.seen()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Runtime>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a client connects to, for a `host:port`.
pub fn url(address: &str) -> String {
    format!("esdb://{address}?tls=false")
}

fn runtime() -> Runtime {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    threads.expect("a runtime")
}

fn serve(runtime: &Runtime, listener: std::net::TcpListener, node: Node) {
    use protocol::event_store::client::{
        gossip::gossip_server::GossipServer, server_features::server_features_server::ServerFeaturesServer,
        streams::streams_server::StreamsServer,
    };
    let services = Server::builder()
        .add_service(StreamsServer::new(node.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(ServerFeaturesServer::new(node.clone()))
        .add_service(GossipServer::new(node));
    listener.set_nonblocking(true).expect("a socket that does not block");
    let _inside = runtime.enter();
    let listener = TcpListener::from_std(listener).expect("a listener");
    runtime.spawn(services.serve_with_incoming(TcpListenerStream::new(listener).map_ok(QuickAcks::new)));
}
