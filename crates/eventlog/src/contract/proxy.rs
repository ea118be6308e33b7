//! A TCP proxy between an adapter and its backend, which fails as networks do.

use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Forwards to a target, as well as it is told to. It ends, with its connections, when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    wires: Arc<Wires>,
    ended: CancellationToken,
}

/// What becomes of bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Everything goes through.
    Flows,
    /// Requests go through, answers are held back: whoever asked can't know what became of it.
    AnswersHeld,
    /// A black hole: connections are accepted, and nothing goes through either way.
    Swallowed,
    /// Whoever connects is cut off at once. Connections that stand go on.
    Refused,
}

struct Wires {
    traffic: watch::Sender<Traffic>,
    /// Counts the cuts; each cuts the connections that stand then.
    cuts: watch::Sender<u64>,
    /// Counts the pieces that were held back.
    held: watch::Sender<u64>,
}

#[derive(Clone, Copy)]
enum Way {
    Request,
    Answer,
}

impl Proxy {
    /// Listens on a free port of loopback, for a `host:port` that need not be there yet.
    pub async fn to(target: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let wires = Arc::new(Wires {
            traffic: watch::Sender::new(Traffic::Flows),
            cuts: watch::Sender::new(0),
            held: watch::Sender::new(0),
        });
        let ended = CancellationToken::new();
        let tracker = TaskTracker::new();
        let accepting = accept(listener, target.into(), Arc::clone(&wires), tracker.clone());
        tracker.spawn(ended.clone().run_until_cancelled_owned(accepting));
        Self { address, wires, ended }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on. What was held back and not cut goes through when traffic flows again, however late.
    pub fn let_traffic_be(&self, traffic: Traffic) {
        self.wires.traffic.send_replace(traffic);
    }

    /// Cuts all connections that stand, and with them what is held back.
    pub fn cut(&self) {
        self.wires.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Counts the pieces that were held back, so that a test can wait until one more is.
    pub fn held(&self) -> watch::Receiver<u64> {
        self.wires.held.subscribe()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.cancel();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: String, wires: Arc<Wires>, tracker: TaskTracker) {
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        if *wires.traffic.borrow() == Traffic::Refused {
            continue;
        }
        let (wires, target, mut cuts) = (Arc::clone(&wires), target.clone(), wires.cuts.subscribe());
        tracker.spawn(async move {
            tokio::select! {
                _ = cuts.changed() => {}
                () = connect(client, &target, &wires) => {}
            }
        });
    }
}

/// A target that can't be reached cuts the client off.
async fn connect(client: TcpStream, target: &str, wires: &Wires) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let flat = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    flat.expect("sockets without delay");
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(wires.carry(Way::Request, from_client, to_server), wires.carry(Way::Answer, from_server, to_client),);
}

impl Wires {
    async fn carry(&self, way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut traffic = self.traffic.subscribe();
        let mut piece = vec![0; 64 << 10];
        while let Ok(bytes) = from.read(&mut piece).await
            && bytes > 0
        {
            if !way.is_open(*traffic.borrow_and_update()) {
                self.held.send_modify(|held| *held += 1);
                if traffic.wait_for(|traffic| way.is_open(*traffic)).await.is_err() {
                    return;
                }
            }
            if to.write_all(&piece[..bytes]).await.is_err() {
                return;
            }
        }
    }
}

impl Way {
    fn is_open(self, traffic: Traffic) -> bool {
        match (traffic, self) {
            (Traffic::Flows | Traffic::Refused, Self::Request | Self::Answer)
            | (Traffic::AnswersHeld, Self::Request) => true,
            (Traffic::AnswersHeld, Self::Answer) | (Traffic::Swallowed, Self::Request | Self::Answer) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_that_are_held_back_come_late_or_never() {
        let (proxy, mut held) = echo().await;
        let mut client = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert_eq!(ask(&mut client, b"1").await, Some(b'1'));

        proxy.let_traffic_be(Traffic::AnswersHeld);
        client.write_all(b"2").await.expect("a request");
        held.wait_for(|held| *held == 1).await.expect("a proxy");
        proxy.let_traffic_be(Traffic::Flows);
        assert_eq!(ask(&mut client, b"3").await, Some(b'2'));
        assert_eq!(client.read_u8().await.ok(), Some(b'3'));

        proxy.let_traffic_be(Traffic::Swallowed);
        client.write_all(b"4").await.expect("a request");
        held.wait_for(|held| *held == 2).await.expect("a proxy");
        proxy.cut();
        proxy.let_traffic_be(Traffic::Flows);
        assert_eq!(ask(&mut client, b"5").await, None);
    }

    #[tokio::test]
    async fn whoever_connects_is_cut_off_when_refused_and_others_go_on() {
        let (proxy, _) = echo().await;
        let mut standing = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert_eq!(ask(&mut standing, b"1").await, Some(b'1'));

        proxy.let_traffic_be(Traffic::Refused);
        let mut refused = TcpStream::connect(proxy.address()).await.expect("a connection");
        assert_eq!(ask(&mut refused, b"2").await, None);
        assert_eq!(ask(&mut standing, b"3").await, Some(b'3'));
    }

    /// A proxy before a server that sends back what it is sent.
    async fn echo() -> (Proxy, watch::Receiver<u64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Proxy::to(listener.local_addr().expect("an address").to_string()).await;
        TaskTracker::new().spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                TaskTracker::new().spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let held = proxy.held();
        (proxy, held)
    }

    async fn ask(client: &mut TcpStream, request: &[u8]) -> Option<u8> {
        client.write_all(request).await.ok()?;
        client.read_u8().await.ok()
    }
}
