//! HTTP by hand: what no client library would send, and answers as they come.

use crate::server::PATIENCE;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What a server answered before it closed the connection.
#[derive(Clone, Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
    /// Whatever came after the first answer: a second one, where there should be none.
    pub(crate) rest: Vec<u8>,
}

impl RawAnswer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body, which is null where it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends bytes on a connection of their own and reads until the server closes it; `None` if it closes without a
/// word.
pub(crate) async fn exchange(url: &str, request: &[u8]) -> Option<RawAnswer> {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut bytes = Vec::new();
    let conversation = async {
        // A server that has heard enough may close before everything is sent.
        let write = async { drop(writer.write_all(request).await) };
        let read = async { drop(reader.read_to_end(&mut bytes).await) };
        futures::join!(write, read);
    };
    let in_time = tokio::time::timeout(PATIENCE, conversation).await.is_ok();
    assert!(in_time, "the connection is left open after {:?}", String::from_utf8_lossy(&bytes));
    parse(&bytes)
}

/// A request with `connection: close`; `head` is everything between the first line and the empty one.
pub(crate) fn request(line: &str, head: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n").into_bytes();
    for field in head {
        bytes.extend_from_slice(field.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

fn parse(bytes: &[u8]) -> Option<RawAnswer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let mut answer = RawAnswer { status, head, body: bytes[end + 4..].to_vec(), rest: Vec::new() };
    if let Some(length) = answer.header("content-length").map(|length| length.parse::<usize>().unwrap()) {
        answer.rest = answer.body.split_off(length.min(answer.body.len()));
    }
    Some(answer)
}
