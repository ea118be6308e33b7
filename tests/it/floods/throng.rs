//! Attackers in number: connections from an address of their own, which say and read what they like.

use futures::future::join_all;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

/// Where attackers come from: what is limited by address must not hit anybody else.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// How many of them connect at a time: more than the system's queue takes would be connections at this end alone.
const CONNECTING_MAX: usize = 200;
/// What an attacker's system holds of what it does not read.
const UNREAD_BYTES: u32 = 4 * 1024;

const LAST_OF_A_CROWD: &[u8] = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";

/// How often each status was answered; 0 where the connection was closed without a word.
pub(super) type Tally = BTreeMap<u16, usize>;

/// A connection to the server.
pub(super) async fn connect(url: &str) -> TcpStream {
    let server: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(UNREAD_BYTES).unwrap();
    socket.bind((ADDRESS, 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

/// So many connections, on each of which these bytes are sent at once.
pub(super) async fn crowd(url: &str, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let connecting = (streams.len()..count).take(CONNECTING_MAX).map(async |_| {
            let mut stream = connect(url).await;
            // A server that has heard enough may close before everything is sent.
            drop(stream.write_all(bytes).await);
            stream
        });
        streams.extend(join_all(connecting).await);
        // Whoever comes after them is answered: the server has them all.
        assert_eq!(each(url, 1, LAST_OF_A_CROWD).await.get(&200), Some(&1));
    }
    streams
}

/// The same, each of which says what it likes and hears what is answered before the connection is closed.
pub(super) async fn each(url: &str, count: usize, request: &[u8]) -> Tally {
    let asking = (0..count).map(async |_| {
        let (reader, mut writer) = connect(url).await.into_split();
        let mut line = Line { reader: BufReader::new(reader) };
        let (status, ()) = futures::join!(line.status(), async { drop(writer.write_all(request).await) });
        status.unwrap_or(0)
    });
    tally(join_all(asking).await)
}

/// So many requests on so many connections; `request` makes each of its number.
pub(super) async fn ask(url: &str, connections: usize, count: usize, request: impl Fn(usize) -> Vec<u8>) -> Tally {
    let asking = (0..connections).map(async |connection| {
        let (mut statuses, mut line) = (Vec::new(), None);
        for number in (connection..count).step_by(connections) {
            let stream = match line.take() {
                Some(stream) => stream,
                None => connect(url).await,
            };
            let mut stream = Line { reader: BufReader::new(stream) };
            let sent = stream.reader.get_mut().write_all(&request(number)).await.is_ok();
            let status = if sent { stream.status().await } else { None };
            line = status.map(|_| stream.reader.into_inner());
            statuses.push(status.unwrap_or(0));
        }
        statuses
    });
    tally(join_all(asking).await.concat())
}

/// Sends a byte more on each of these connections again and again, for a while.
pub(super) async fn drip(streams: &mut [TcpStream], time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        for stream in &mut *streams {
            drop(stream.try_write(b"a"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns when the server has closed all of these connections, whatever it says before.
pub(super) async fn closed(streams: Vec<TcpStream>, time: Duration) -> Tally {
    let closing = streams.into_iter().map(|stream| async move {
        let mut line = Line { reader: BufReader::new(stream) };
        let status = line.status().await.unwrap_or(0);
        drop(tokio::io::copy(&mut line.reader, &mut tokio::io::sink()).await);
        status
    });
    tally(timeout(time, join_all(closing)).await.expect("connections are left open"))
}

fn tally(statuses: Vec<u16>) -> Tally {
    let mut tally = Tally::new();
    for status in statuses {
        *tally.entry(status).or_default() += 1;
    }
    tally
}

/// What comes back on a connection.
struct Line<R> {
    reader: BufReader<R>,
}

impl<R: tokio::io::AsyncRead + Unpin> Line<R> {
    /// Reads one answer whole; its status, or nothing where the connection ends.
    async fn status(&mut self) -> Option<u16> {
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        loop {
            line.clear();
            if self.reader.read_line(&mut line).await.ok()? == 0 {
                return status;
            }
            let text = line.trim_end();
            match (status, text.split_once(": ")) {
                (None, _) => status = Some(text.split(' ').nth(1)?.parse().ok()?),
                (Some(_), _) if text.is_empty() => break,
                (Some(_), Some((name, value))) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().ok()?;
                }
                (Some(_), _) => {}
            }
        }
        let mut body = (&mut self.reader).take(length);
        drop(tokio::io::copy(&mut body, &mut tokio::io::sink()).await);
        status
    }
}
