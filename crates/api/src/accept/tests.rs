//! Connections that misbehave, over real sockets.

use super::*;
use crate::problem::Problem;
use axum::{Extension, body::Body, routing::get};
use futures::StreamExt;
use std::{net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

#[tokio::test]
async fn an_answer_leaves_a_connection_open_for_the_next() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(read_some(&mut client).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_client_that_is_silent_or_slow_with_its_headers_is_cut_off() {
    let server = Server::start(limits()).await;
    for begun in ["", "GET / HTTP/1.1\r\nhost"] {
        let mut client = server.connect().await;
        client.write_all(begun.as_bytes()).await.unwrap();
        let started = Instant::now();
        read_to_end(&mut client).await;
        assert!(started.elapsed() >= limits().header_timeout / 2, "{begun:?}");
    }
    let mut dripping = server.connect().await;
    let (mut read, mut write) = dripping.split();
    let drip = async {
        for byte in b"GET / HTTP/1.1\r\nx-a: ".iter().chain(std::iter::repeat_n(&b'a', 1_000)) {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the connection outlasted its headers");
    };
    let ended = async { while matches!(read.read(&mut [0; 1_024]).await, Ok(1..)) {} };
    tokio::select! { () = drip => {}, () = ended => {} }
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_431() {
    let server = Server::start(limits()).await;
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-many: a\r\n".repeat(200));
    for request in [large, many] {
        let mut client = server.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        check_refusal(&answer, 431, "HEADERS_TOO_LARGE");
    }
}

#[tokio::test]
async fn what_is_no_http_is_400_and_the_end_of_the_connection() {
    let server = Server::start(limits()).await;
    for request in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx-a: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx-nul: a\0b\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: nonsense\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        check_refusal(&answer, 400, "MALFORMED_REQUEST");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_refused_takes_nothing_from_the_requests_before_it() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    let posted = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    let waiting = "GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(format!("{posted}{waiting}nonsense\r\n\r\n{posted}").as_bytes()).await.unwrap();
    server.entered.notified().await;
    server.go_on.notify_one();
    let answer = read_to_end(&mut client).await;
    let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answer}");
}

#[tokio::test]
async fn a_request_whose_end_is_told_in_chunks_is_the_last_of_its_connection() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    let next = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.write_all(format!("{next}{chunked}{next}").as_bytes()).await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_its_answer_unread_is_cut_off() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The handler's stream is dropped when the connection is cut.
    tokio::time::timeout(Duration::from_secs(10), server.cut.notified()).await.unwrap();
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_for_their_turn() {
    let server = Server::start(AcceptLimits { connections_max: 1, ..limits() }).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    drop(first);
    assert!(read_some(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_no_more_and_others_do() {
    let of_address = AddressLimits { connections_max: 1, ..AddressLimits::default() };
    let server = Server::start(AcceptLimits { of_address, ..limits() }).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(read_to_end(&mut second).await, "", "it is closed without a word");
    let mut other = server.connect_from("127.0.0.2").await;
    for client in [&mut first, &mut other] {
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(read_some(client).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn on_shutdown_a_running_answer_is_finished_and_nothing_new_is_taken() {
    let server = Server::start(AcceptLimits { header_timeout: Duration::from_mins(1), ..limits() }).await;
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_some(&mut idle).await;
    busy.write_all(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.entered.notified().await;

    server.shutdown.cancel();

    assert_eq!(read_to_end(&mut idle).await, "");
    server.go_on.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("waited"), "{answer}");
    server.serving.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_connection_that_was_taken_over_is_counted_and_waited_for_until_it_ends() {
    let server = Server::start(AcceptLimits { connections_max: 1, ..limits() }).await;
    let mut upgraded = server.upgraded().await;
    upgraded.write_all(b"hello").await.unwrap();
    assert_eq!(read_some(&mut upgraded).await, "hello");
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    // What was taken over outlasts every time-out of requests, and nobody else comes in meanwhile.
    let nothing = tokio::time::timeout(limits().header_timeout * 2, read_some(&mut second)).await;
    assert!(nothing.is_err(), "{nothing:?}");
    upgraded.write_all(b"again").await.unwrap();
    assert_eq!(read_some(&mut upgraded).await, "again");
    upgraded.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut upgraded).await, "");
    assert!(read_to_end(&mut second).await.starts_with("HTTP/1.1 200"));

    let mut upgraded = server.upgraded().await;
    server.shutdown.cancel();
    upgraded.write_all(b"still").await.unwrap();
    assert_eq!(read_some(&mut upgraded).await, "still");
    assert!(!server.serving.is_finished());
    drop(upgraded);
    server.serving.await.unwrap();
}

#[tokio::test]
async fn a_socket_in_the_file_system_is_for_its_owner_and_replaces_a_dead_one() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    drop(bind_unix(&path).unwrap());
    let listener = bind_unix(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let router = Router::new().route("/", get(async || "hello"));
    tracker.spawn(serve_unix(listener, router, limits(), shutdown.clone()));
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
}

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    entered: Arc<Notify>,
    go_on: Arc<Notify>,
    cut: Arc<Notify>,
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Server {
    async fn start(limits: AcceptLimits) -> Self {
        let [entered, go_on, cut]: [Arc<Notify>; 3] = std::array::from_fn(|_| Arc::default());
        let waiting = {
            let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
            async move || {
                entered.notify_one();
                go_on.notified().await;
                "waited"
            }
        };
        let endless = {
            let cut = Arc::clone(&cut);
            async move || {
                let dropped = Dropped(cut);
                Body::from_stream(futures::stream::repeat(vec![b'x'; 65_536]).map(move |chunk| {
                    let _alive = &dropped;
                    Ok::<_, Infallible>(chunk)
                }))
            }
        };
        let router = Router::new()
            .route("/", get(async || "hello").post(async || "hello"))
            .route("/waiting", get(waiting))
            .route("/endless", get(endless))
            .route("/echo", get(echo))
            .fallback(async || Problem::not_found());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = TaskTracker::new().spawn(serve_tcp(listener, router, limits, shutdown.clone()));
        Self { address, shutdown, serving, entered, go_on, cut }
    }

    /// A connection that is an echo.
    async fn upgraded(&self) -> TcpStream {
        let mut client = self.connect().await;
        let request = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        client.write_all(request).await.unwrap();
        assert!(read_some(&mut client).await.starts_with("HTTP/1.1 101"));
        client
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// All of 127.0.0.0/8 is this machine.
    async fn connect_from(&self, place: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(place.parse().unwrap(), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

/// Takes the connection over and says again what it hears.
async fn echo(Extension(takeover): Extension<Takeover>, mut request: Request<Body>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    takeover.with(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        // A client that goes away ends it.
        drop(tokio::io::copy(&mut read, &mut write).await);
    });
    let upgraded = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
    upgraded.body(Body::empty()).unwrap()
}

fn limits() -> AcceptLimits {
    AcceptLimits {
        header_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        ..AcceptLimits::default()
    }
}

/// A refusal is an answer like any other.
fn check_refusal(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    for header in [
        "content-type: application/problem+json",
        "x-request-id: ",
        "x-content-type-options: nosniff",
        "connection: close",
    ] {
        assert!(head.contains(header), "{header}: {answer}");
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()), "{answer}");
}

async fn read_some(client: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    let read = client.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// What comes until the connection ends, however it ends.
async fn read_to_end(client: &mut TcpStream) -> String {
    let (mut text, mut bytes) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = client.read(&mut bytes).await {
        text.extend_from_slice(&bytes[..read]);
    }
    String::from_utf8_lossy(&text).into_owned()
}
