//! Sockets byte by byte: what no client library would send, on the connection and before it.

use crate::{
    raw_http,
    server::{PATIENCE, Server},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const OPENING: [&str; 4] = [
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
];

#[tokio::test]
async fn nothing_but_the_first_message_says_who_one_is() {
    let server = Server::start();
    let token = server.token("user_1", &[]);
    let (cookie, header) = (format!("cookie: __session={token}"), format!("authorization: Bearer {token}"));
    for more in [&[][..], &[cookie.as_str()], &[header.as_str()], &[&cookie, &header]] {
        let mut socket = RawSocket::open(&server, "/api/live", more).await.unwrap();
        socket.say(&json!({"type": "authenticate"})).await;
        assert_eq!(socket.message().await, json!({"type": "authenticated", "userId": null, "expiresAt": null}));
        socket.say(&json!({"type": "subscribe", "id": "me", "query": "/api/me"})).await;
        assert_eq!(socket.message().await["code"], "AUTH_REQUIRED");
    }
    for parameters in [format!("token={token}"), format!("access_token={token}"), "query=/api/advisors".to_owned()] {
        let refusal = RawSocket::open(&server, &format!("/api/live?{parameters}"), &[]).await.unwrap_err();
        assert!(refusal.starts_with("HTTP/1.1 400 "), "{refusal}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_before_there_is_a_socket() {
    let server = Server::start_with(&[("ADVISOR_ALLOWED_ORIGINS", "https://app.example.com,http://localhost:3000")]);
    let token = server.token("user_1", &[]);
    let cookie = format!("cookie: __session={token}");
    for (origins, status) in [
        (&["https://app.example.com"][..], 101),
        (&["http://localhost:3000"], 101),
        (&[], 101),
        (&["https://evil.com"], 403),
        (&["null"], 403),
        (&["https://app.example.com.evil.com"], 403),
        (&["https://app.example.com@evil.com"], 403),
        (&["http://app.example.com"], 403),
        (&["https://app.example.com:8443"], 403),
        (&["https://app.example.com,https://evil.com"], 403),
        (&["https://app.example.com", "https://evil.com"], 403),
    ] {
        let mut head: Vec<String> = origins.iter().map(|origin| format!("origin: {origin}")).collect();
        head.push(cookie.clone());
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let answered = match RawSocket::open(&server, "/api/live", &head).await {
            Ok(_) => 101,
            Err(refusal) => refusal.split(' ').nth(1).unwrap().parse().unwrap(),
        };
        assert_eq!(answered, status, "{origins:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_no_opening_of_a_websocket_is_refused() {
    let server = Server::start();
    let opening = |left_out: usize, instead: Option<&'static str>| {
        let mut head = OPENING.to_vec();
        head.remove(left_out);
        head.extend(instead);
        head
    };
    for (head, status, code) in [
        (opening(3, None), 400, "INVALID_UPGRADE"),
        (opening(3, Some("sec-websocket-key: short")), 400, "INVALID_UPGRADE"),
        (opening(2, None), 426, "INVALID_UPGRADE"),
        (opening(2, Some("sec-websocket-version: 8")), 426, "INVALID_UPGRADE"),
        (opening(0, Some("connection: keep-alive")), 400, "INVALID_UPGRADE"),
        // A request for another protocol is one for a stream of events, and this one names no query.
        (opening(1, Some("upgrade: h2c")), 400, "VALIDATION_ERROR"),
    ] {
        let line = "GET /api/live HTTP/1.1\r\nhost: localhost";
        let request = format!("{line}\r\naccept: */*\r\n{}\r\n\r\n", head.join("\r\n"));
        let mut stream = connect(&server).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains(code) {
            let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer)).await;
            assert!(matches!(read, Ok(Ok(1..))), "{head:?}: {:?}", String::from_utf8_lossy(&answer));
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {answer}");
        assert_eq!(answer.contains("sec-websocket-version: 13"), status == 426, "{answer}");
    }
    let post = raw_http::request("POST /api/live", &OPENING[1..], b"");
    assert_eq!(raw_http::exchange(&server.url, &post).await.unwrap().status, 405);
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_hears_why_though_it_goes_on_sending() {
    let server = Server::start();
    let token = server.token("user_1", &[]);
    // More than the connection holds lies behind the frame that breaks a rule.
    let and_more = |bytes: Vec<u8>| [bytes, frame(0x82, &vec![0; 8 * 1024 * 1024])].concat();
    let fragments = |count: usize| [frame(0x01, b"{"), frame(0x00, b" ").repeat(count)].concat();
    for (what, bytes, code) in [
        ("64 KiB and a byte", frame(0x81, &vec![b' '; 64 * 1024 + 1]), 1009),
        ("8 MiB", and_more(frame(0x81, &vec![b' '; 64 * 1024 + 1])), 1009),
        ("a million fragments", fragments(1_000_000), 1008),
        ("a thousand messages", frame(0x81, br#"{"type":"unsubscribe","id":1}"#).repeat(1_000), 1008),
        ("bytes that are no UTF-8", and_more(frame(0x81, b"\xc3\x28")), 1007),
        ("a reserved bit", and_more(frame(0xa1, b"{}")), 1002),
        ("no mask", and_more(vec![0x81, 2, b'{', b'}']), 1002),
        ("a binary message", and_more(frame(0x82, b"{}")), 1003),
        ("no JSON", frame(0x81, b"hello"), 1008),
        ("another protocol", frame(0x81, br#"{"type":"connection_init"}"#), 1008),
    ] {
        let mut socket = RawSocket::open(&server, "/api/live", &[]).await.unwrap();
        socket.say(&json!({"type": "authenticate", "token": token})).await;
        assert_eq!(socket.message().await["userId"], "user_1");
        assert_eq!(socket.code_after(&bytes).await, Some(code), "{what}");
    }
    // Nobody else has noticed.
    let ready = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
    assert_eq!(ready.status(), 200);
}

#[tokio::test]
async fn who_says_nothing_and_who_answers_nothing_holds_no_connection() {
    let server = Server::start_with(&[
        ("ADVISOR_CONNECTIONS_MAX", "1"),
        ("ADVISOR_SOCKET_AUTHENTICATE_TIMEOUT_MS", "300"),
        ("ADVISOR_SOCKET_SILENCE_TIMEOUT_MS", "300"),
        ("ADVISOR_STREAM_HEARTBEAT_MS", "100"),
    ]);
    let token = server.token("user_1", &[]);
    let mut silent = RawSocket::open(&server, "/api/live", &[]).await.unwrap();
    let begun = Instant::now();
    // The only connection there may be is taken: this one is served when it is free again.
    let mut next = RawSocket::open(&server, "/api/live", &[]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(silent.code_after(&[]).await, Some(1008));
    next.say(&json!({"type": "authenticate", "token": token})).await;
    assert_eq!(next.message().await["userId"], "user_1");
    let ready = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
    assert_eq!(ready.status(), 200);
    assert_eq!(next.code_after(&[]).await, None, "it was dropped without a word");
}

/// A connection that was upgraded.
#[derive(Debug)]
struct RawSocket(TcpStream);

impl RawSocket {
    /// Asks for a socket; the head of the answer if there is none.
    async fn open(server: &Server, path: &str, more: &[&str]) -> Result<Self, String> {
        let mut stream = connect(server).await;
        let head = [&["host: localhost"][..], &OPENING, more].concat().join("\r\n");
        stream.write_all(format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Byte by byte: what follows the head are frames.
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("no answer").unwrap();
            answer.push(byte);
        }
        let answer = String::from_utf8(answer).unwrap();
        if !answer.starts_with("HTTP/1.1 101 ") {
            return Err(answer);
        }
        // The answer to this key that RFC 6455 gives as its example.
        assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Ok(Self(stream))
    }

    async fn say(&mut self, message: &Value) {
        self.0.write_all(&frame(0x81, message.to_string().as_bytes())).await.unwrap();
    }

    /// The next message, which is a short one.
    async fn message(&mut self) -> Value {
        let read = async {
            assert_eq!(self.0.read_u8().await.unwrap(), 0x81);
            let length = match self.0.read_u8().await.unwrap() {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            serde_json::from_slice(&payload).unwrap()
        };
        tokio::time::timeout(PATIENCE, read).await.expect("no message")
    }

    /// The code that the server closes with after these bytes; `None` if it says none.
    async fn code_after(&mut self, bytes: &[u8]) -> Option<u16> {
        let (mut reader, mut writer) = self.0.split();
        let mut heard = Vec::new();
        let conversation = async {
            // A server that has heard enough may close before everything is sent.
            let write = async { drop(writer.write_all(bytes).await) };
            let read = async { drop(reader.read_to_end(&mut heard).await) };
            futures::join!(write, read);
        };
        tokio::time::timeout(PATIENCE, conversation).await.expect("the connection is left open");
        let at = heard.windows(2).position(|head| head[0] == 0x88 && usize::from(head[1]) < 126)?;
        Some(u16::from_be_bytes([heard[at + 2], heard[at + 3]]))
    }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap()
}

/// A frame of a client. Its mask is zero, which changes nothing.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=125) => bytes.push(0x80 | u8::try_from(short).unwrap()),
        Ok(length) => {
            bytes.push(0x80 | 0x7e);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 0x7f);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
