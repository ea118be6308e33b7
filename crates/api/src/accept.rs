//! Our own accept loop: a limit on connections, time-outs for headers, idleness and slow readers, heads that
//! are judged before anybody reads them, and an orderly end. `axum::serve` has none of the first four.

mod course;
mod crowd;
mod guard;
mod head;
mod shedding;
mod stall;
mod takeover;

pub use takeover::Takeover;

pub use crowd::AddressLimits;
pub use shedding::{SHED_BODY_BYTES_MAX, SHED_DELAY, SHED_HASTE};

use crate::{
    layers,
    problem::Problem,
    traffic::{Peer, Shed},
};
use axum::{Extension, Router, body::Body};
use course::{Answer, Course, Last};
use crowd::Crowd;
use futures::future::BoxFuture;
use guard::HeadGuard;
use head::{HeadFault, HeadLimits};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use shedding::Shedding;
use stall::StallTimeout;
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// Most bytes of an answer that wait for a client to read, but for the last piece.
pub const CONNECTION_BUFFER_BYTES_MAX: usize = 128 * 1024;
/// A client that acknowledges nothing for so long is gone, whoever did not say so: a heartbeat finds out.
#[cfg(target_os = "linux")]
pub const SILENT_CLIENT_TIMEOUT_MS: u32 = 25_000;
/// Connections that have come and wait to be accepted: many come at once when a server is back.
pub const BACKLOG_MAX: u32 = 4_096;
/// Longest wait before the next attempt to accept after one that failed.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(1);
const BACK_OFF_MIN: Duration = Duration::from_millis(5);

/// Bounds of connections.
#[derive(Clone, Debug)]
pub struct AcceptLimits {
    /// Most open connections; more wait in the system's queue.
    pub connections_max: usize,
    /// What one address may have of them.
    pub of_address: AddressLimits,
    /// Most time for the headers of a request, and between two requests.
    pub header_timeout: Duration,
    /// Most bytes of a request's headers with its first line; more is 431.
    pub header_bytes_max: usize,
    /// Most headers of a request; more is 431.
    pub headers_max: usize,
    /// Most time that a client may leave an answer unread before the connection is cut.
    pub write_timeout: Duration,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            of_address: AddressLimits::default(),
            header_timeout: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            headers_max: 100,
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// Serves connections of `listener` until `shutdown`; returns when all of them have ended.
///
/// On shutdown no connection is accepted any more, each is closed after the answer that it is giving, and
/// streams and sockets are expected to end by themselves. Who is in a hurry drops the future.
pub async fn serve_tcp(
    listener: TcpListener,
    front: impl Into<Front>,
    limits: AcceptLimits,
    shutdown: CancellationToken,
) {
    serve(listener, front.into(), limits, shutdown).await;
}

/// The same over a socket in the file system.
pub async fn serve_unix(listener: UnixListener, router: Router, limits: AcceptLimits, shutdown: CancellationToken) {
    serve(listener, router.into(), limits, shutdown).await;
}

/// What answers requests.
#[derive(Clone)]
pub struct Front {
    router: Router,
    shed: Option<Shed>,
}

impl From<Router> for Front {
    fn from(router: Router) -> Self {
        Self { router, shed: None }
    }
}

impl Front {
    /// This router, and before it what refuses when there is too much.
    pub(crate) fn shedding(router: Router, shed: Shed) -> Self {
        Self { router, shed: Some(shed) }
    }
}

/// Where connections come from.
trait Listen: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and the address at its other end if it has one.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<IpAddr>)>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        let (stream, address) = self.accept().await?;
        // Small answers and events leave at once.
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_tcp_user_timeout(&stream, SILENT_CLIENT_TIMEOUT_MS)?;
        Ok((stream, Some(address.ip())))
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Option<IpAddr>)> {
        self.accept().await.map(|(stream, _)| (stream, None))
    }
}

/// A listener at `address`. Beyond its backlog the system drops who comes, to try again a second later.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The address can be taken again right after an end.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_MAX)
}

/// A socket at `path`, for its owner alone; one that a dead process left there is replaced.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(listener: impl Listen, front: Front, limits: AcceptLimits, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    let doors = Doors::new(front);
    let crowd = Crowd::new(limits.of_address.clone());
    let mut back_off = BACK_OFF_MIN;
    loop {
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.next() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                back_off = BACK_OFF_MIN;
                // A crowd is not answered: whoever makes one would have the server write for nothing.
                let Ok(admitted) = crowd.admit(peer) else { continue };
                let doors = Doors { peer, ..doors.clone() };
                let (limits, shutdown) = (limits.clone(), shutdown.clone());
                connections.spawn(async move {
                    let taken_over = connection(stream, doors, limits, shutdown).await;
                    // A connection that was upgraded is still one: it keeps its slot, and shutdown waits for it.
                    if let Some(taken_over) = taken_over {
                        taken_over.await;
                    }
                    drop((slot, admitted));
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            // No file descriptors, no memory: neither spin nor die.
            Err(error) => {
                tracing::warn!(accept.error = %error, accept.wait_ms = back_off.as_millis(), "no connection was accepted");
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

/// Where a request goes.
#[derive(Clone)]
struct Doors {
    front: Front,
    /// Answers what has no head that could be taken.
    refusing: Router,
    /// The address at the other end of the connection.
    peer: Option<IpAddr>,
}

impl Doors {
    fn new(front: Front) -> Self {
        Self { front, refusing: layers::observed(Router::new().fallback(refuse_head)), peer: None }
    }

    /// The answer to a request; to the last one of a connection, one that closes it.
    async fn answer(self, mut request: Request<Incoming>, course: Course) -> Response<Answer> {
        let last = course.take();
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(Peer(peer));
        }
        let router = match last {
            Some(Last::Refused(fault)) => {
                request.extensions_mut().insert(fault);
                self.refusing
            }
            Some(Last::Unmeasured) | None => self.front.router,
        };
        let Ok(mut response) = router.oneshot(request.map(Body::new)).await;
        if last.is_some() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        course.answer(response)
    }
}

async fn refuse_head(Extension(fault): Extension<HeadFault>) -> Problem {
    fault.into()
}

/// Answers requests until there are no more; gives what a handler has left to go on with the connection.
async fn connection<S>(
    stream: S,
    doors: Doors,
    limits: AcceptLimits,
    shutdown: CancellationToken,
) -> Option<BoxFuture<'static, ()>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers_max)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        .max_header_size(limits.header_bytes_max);
    let course = Course::default();
    let head = HeadLimits { bytes_max: limits.header_bytes_max, headers_max: limits.headers_max };
    let stream = HeadGuard::new(StallTimeout::new(stream, limits.write_timeout), head, course.clone())
        .shedding(Shedding::new(doors.front.shed.clone()), limits.header_timeout / 2);
    let takeover = Takeover::default();
    let offered = takeover.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(offered.clone());
        let answer = doors.clone().answer(request, course.clone());
        async { Ok::<_, Infallible>(answer.await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(connection.error = %error, "a connection ended with an error");
    }
    takeover.take()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
