//! One connection of HTTP/1.1 that is kept alive. Whoever asks drives it, so that no task wakes another.

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::{FutureExt, future::Fuse};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Connection, SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Most time until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A request whose body is known.
pub(crate) type Asked = Request<Bytes>;

/// Where to connect to.
#[derive(Clone, Copy)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    /// The address to come from.
    pub(crate) from: Option<IpAddr>,
}

impl Door {
    pub(crate) async fn enter(self) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let stream = timeout(CONNECT_MAX, socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

type Driver = Pin<Box<Fuse<Connection<TokioIo<TcpStream>, Full<Bytes>>>>>;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// A body that comes bit by bit.
pub(crate) struct Stream {
    body: Incoming,
    client: Client,
}

impl Client {
    pub(crate) async fn connect(door: Door) -> Result<Self> {
        let stream = door.enter().await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Box::pin(connection.fuse()) })
    }

    pub(crate) async fn ask(&mut self, request: Asked) -> Result<Answer> {
        let Self { sender, driver } = self;
        let asked = async {
            sender.ready().await?;
            let response = sender.send_request(request.map(Full::new)).await?;
            let status = response.status();
            Ok(Answer { status, body: response.into_body().collect().await?.to_bytes() })
        };
        driven(driver, asked).await
    }

    /// Asks for something that must be there, and reads it as JSON.
    pub(crate) async fn json(&mut self, request: Asked) -> Result<Value> {
        let path = request.uri().clone();
        let answer = self.ask(request).await?;
        let status = answer.status;
        ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&answer.body));
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Asks for a body that does not end.
    pub(crate) async fn stream(mut self, request: Asked) -> Result<Stream> {
        let response = driven(&mut self.driver, self.sender.send_request(request.map(Full::new))).await?;
        ensure!(response.status() == StatusCode::OK, "a stream is answered {}", response.status());
        Ok(Stream { body: response.into_body(), client: self })
    }
}

impl Stream {
    /// What came next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            match driven(&mut self.client.driver, self.body.frame()).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// Does what needs the connection while the connection goes on. That the connection ends shows in the work.
async fn driven<T>(driver: &mut Driver, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        drop(driver.as_mut().poll(context));
        work.as_mut().poll(context)
    })
    .await
}

/// A query.
pub(crate) fn get(path: &str, token: Option<&HeaderValue>) -> Result<Asked> {
    request(Method::GET, path, token, Bytes::new())
}

/// A query as a stream of events.
pub(crate) fn get_events(path: &str, token: Option<&HeaderValue>) -> Result<Asked> {
    let mut request = get(path, token)?;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    Ok(request)
}

/// A command.
pub(crate) fn command(name: &str, token: &HeaderValue, body: &Value) -> Result<Asked> {
    post(&format!("/api/commands/{name}"), Some(token), Bytes::from(body.to_string()))
}

/// A body of JSON.
pub(crate) fn post(path: &str, token: Option<&HeaderValue>, body: Bytes) -> Result<Asked> {
    request(Method::POST, path, token, body)
}

fn request(method: Method, path: &str, token: Option<&HeaderValue>, body: Bytes) -> Result<Asked> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    if let Some(token) = token {
        headers.insert(header::AUTHORIZATION, token.clone());
    }
    if method == Method::POST {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut request = Request::builder().method(method).uri(path).body(body)?;
    *request.headers_mut() = headers;
    Ok(request)
}
