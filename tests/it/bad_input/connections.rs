//! Paths, methods, headers and connections that are not as they should be.

use super::{JSON, check_discreet, check_problem};
use crate::{
    raw_http::{exchange, request},
    server::{PATIENCE, Server},
};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MALFORMED: &str = "MALFORMED_REQUEST";

#[tokio::test]
async fn an_unknown_route_is_404_and_an_unknown_method_is_405() {
    let user = Server::start().client_of("user_1");
    for line in
        ["GET /", "GET /api", "GET /nothing", "POST /admin/events", "GET /metrics", "GET /API/me", "GET /api/me/"]
    {
        check_problem(&user.raw(line, &[], b"").await, 404, "NOT_FOUND", line);
    }
    check_problem(&user.raw("POST /api/commands/Nothing", &[JSON], b"{}").await, 404, "UNKNOWN_COMMAND", "Nothing");
    for line in [
        "DELETE /api/me",
        "POST /api/me",
        "PUT /api/conversations/x",
        "GET /api/chat",
        "TRACE /api/me",
        "BREW /api/me",
        "CONNECT /api/me",
        "get /api/me",
        "GET /api/commands/StartConversation",
    ] {
        let answer = user.raw(line, &["x-http-method-override: GET"], b"").await;
        check_problem(&answer, 405, "METHOD_NOT_ALLOWED", line);
        assert!(answer.header("allow").is_some_and(|methods| !methods.is_empty()), "{line}: {answer:?}");
    }
    // HEAD is GET without its body, and nothing else.
    let (head, post) = (user.raw("HEAD /api/me", &[], b"").await, user.raw("HEAD /api/chat", &[], b"").await);
    assert_eq!((head.status, post.status), (200, 405));
    assert!(head.header("x-request-id").is_some() && post.header("x-request-id").is_some());
    // An override is no method.
    let answer = user.raw("GET /api/conversations", &["x-http-method-override: DELETE"], b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"[]".as_slice()));
}

#[tokio::test]
async fn tricks_in_the_path_lead_nowhere() {
    let user = Server::start().client_of("user_1");
    for path in [
        "//api/me",
        "/api//me",
        "/./api/me",
        "/api/../api/me",
        "/api/conversations/../me",
        "/api/conversations/%2e%2e/me",
        "/api/conversations/..%2fme",
        "/api/conversations/%2e%2e%2fme",
        "/api/conversations/%00",
        "/api/conversations/a%00b",
        "/api/conversations/%ff",
        "/api/conversations/%c0%ae%c0%ae",
        "/api/conversations/%ed%a0%80",
        "/api/conversations/%",
        "/api/conversations/%zz",
        "/api/conversations/a;b=c",
        "/api/conversations/%0d%0ax-evil:%201",
        "/api/conversations/x%27%20OR%20%271%27=%271",
        "/api%2fme",
        "/api/advisors/..%2f..%2f..%2fetc%2fpasswd",
        "/api/conversations/x/messages/../..",
    ] {
        for method in ["GET", "DELETE", "PATCH"] {
            let answer = user.raw(&format!("{method} {path}"), &[JSON], br#"{"content":"x","title":"x"}"#).await;
            assert!(matches!(answer.status, 400 | 404 | 405), "{method} {path}: {answer:?}");
            assert!(answer.header("x-request-id").is_some() && answer.header("x-evil").is_none(), "{method} {path}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
            check_discreet(&answer.body, path);
        }
    }
    // A whole URL names a path like any other, and its host is not reflected.
    let answer = user.raw("GET http://evil.example/api/me", &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(!String::from_utf8_lossy(&answer.body).contains("evil.example"));
}

#[tokio::test]
async fn headers_that_are_too_large_or_no_headers_are_refused() {
    let server = Server::start();
    let large = format!("x-large: {}", "a".repeat(17 * 1024));
    let many: Vec<String> = (0..200).map(|n| format!("x-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let ten_thousand = vec!["a: b"; 10_000];
    for (what, bytes, status, code) in [
        ("a large header", request("GET /livez", &[&large], b""), 431, "HEADERS_TOO_LARGE"),
        ("many headers", request("GET /livez", &many, b""), 431, "HEADERS_TOO_LARGE"),
        ("ten thousand headers", request("GET /livez", &ten_thousand, b""), 431, "HEADERS_TOO_LARGE"),
        ("a long path", request(&format!("GET /{}", "a".repeat(100_000)), &[], b""), 431, "HEADERS_TOO_LARGE"),
        ("a folded header", request("GET /livez", &["x-a: 1\r\n folded"], b""), 400, MALFORMED),
        ("a bare carriage return", request("GET /livez", &["x-a: 1\rx-b: 2"], b""), 400, MALFORMED),
        ("a NUL", request("GET /livez", &["x-a: 1\x002"], b""), 400, MALFORMED),
        ("a space before the colon", request("GET /livez", &["x-a : 1"], b""), 400, MALFORMED),
        ("no version", b"GET /livez\r\n\r\n".to_vec(), 400, MALFORMED),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00".repeat(100), 400, MALFORMED),
        ("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400, MALFORMED),
        ("no host", b"GET /livez HTTP/1.1\r\n\r\n".to_vec(), 400, MALFORMED),
        ("two hosts", request("GET /livez", &["host: localhost"], b""), 400, MALFORMED),
        (
            "two lengths",
            request("POST /api/chat", &[JSON, "content-length: 2", "content-length: 3"], b"{}}"),
            400,
            MALFORMED,
        ),
        ("a negative length", request("POST /api/chat", &[JSON, "content-length: -1"], b"{}"), 400, MALFORMED),
        ("an unknown coding", request("POST /api/chat", &[JSON, "transfer-encoding: gzip"], b"{}"), 400, MALFORMED),
    ] {
        let answer = exchange(&server.url, &bytes).await.unwrap_or_else(|| panic!("no answer to {what}"));
        check_problem(&answer, status, code, what);
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
    }
    // A line may end without a carriage return, and is no more than one line for that (RFC 9112, 2.2).
    let answer = exchange(&server.url, b"GET /livez HTTP/1.1\nhost: x\nconnection: close\n\n").await.unwrap();
    assert_eq!((answer.status, answer.rest.as_slice()), (200, b"".as_slice()));
    assert_eq!(exchange(&server.url, &request("GET /livez", &[], b"")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_is_not_smuggled_in_behind_another() {
    let user = Server::start().client_of("user_1");
    let smuggled = format!("GET /api/me HTTP/1.1\r\nhost: a\r\n{}\r\n\r\n", user.bearer());
    // The body ends where its length says; what follows is judged as a request of its own, and it is none.
    let answer =
        user.raw_unmeasured("POST /api/mentions", &[JSON, "content-length: 1"], &format!("{{\"{smuggled}")).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &"INVALID_JSON".into()), "{answer:?}");
    assert!(answer.rest.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&answer.rest));
    // Length and chunks at once say two things: neither is believed, and nothing after them is looked at.
    let body = format!("0\r\n\r\n{smuggled}");
    let (length, chunked) = (format!("content-length: {}", body.len()), "transfer-encoding: chunked");
    for both in [[length.as_str(), chunked], [chunked, &length]] {
        let answer = user.raw_unmeasured("POST /api/mentions", &[&[JSON], &both[..]].concat(), &body).await;
        check_problem(&answer, 400, MALFORMED, &both.join(", "));
        assert_eq!(answer.header("connection"), Some("close"), "{both:?}");
    }
    // Behind chunks nothing is answered any more: where they end is not seen by who judges heads.
    let body = format!("2\r\n{{}}\r\n0\r\n\r\n{smuggled}");
    let answer = user.raw_unmeasured("POST /api/mentions", &[JSON, chunked], &body).await;
    check_problem(&answer, 400, "VALIDATION_ERROR", "chunks");
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_others_are_served() {
    let variables = [("ADVISOR_HEADER_TIMEOUT_MS", "700"), ("ADVISOR_BODY_TIMEOUT_MS", "700")];
    let user = Server::start_with(&variables).client_of("user_1");
    let address = user.url.trim_start_matches("http://").to_owned();
    let mut silent = TcpStream::connect(&address).await.unwrap();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: a").await.unwrap();
    let begun = Instant::now();

    // Others are served at once meanwhile.
    assert_eq!(user.raw("GET /livez", &[], b"").await.status, 200);
    assert!(begun.elapsed() < Duration::from_millis(500));
    // A head that never ends and none at all end alike, and a body that does not come is answered.
    let mut bytes = Vec::new();
    for stream in [&mut silent, &mut slow] {
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        assert!(closed.is_ok(), "the connection stays open");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&bytes));

    let answer = user.raw_unmeasured("POST /api/mentions", &[JSON, "content-length: 100"], "{").await;
    check_problem(&answer, 408, "REQUEST_TIMEOUT", "a slow body");
}

impl crate::server::Client {
    /// A request by hand whose headers say of its body what they say.
    async fn raw_unmeasured(&self, line: &str, head: &[&str], body: &str) -> crate::raw_http::RawAnswer {
        let bearer = self.bearer();
        let head = [&[bearer.as_str()], head].concat();
        // Nothing here asks the server to close: it has to see for itself that it must.
        let bytes = request(line, &head, body.as_bytes());
        let text = String::from_utf8(bytes).unwrap().replacen("connection: close\r\n", "", 1);
        exchange(&self.url, text.as_bytes()).await.unwrap()
    }
}
