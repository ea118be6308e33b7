//! What clients should not send: every row of the table of errors, over real connections. Nothing of it
//! makes a 5xx, every refusal is a problem with a request id, and none tells what the server is made of.

mod away;
mod canaries;
mod collections;
mod connections;
mod description;
mod foreign;
mod headers;
mod identities;
mod issuer_keys;
mod models;
mod rules;
mod strangers;
mod texts;
mod tokens;
mod walk;

use crate::{
    raw_http::{RawAnswer, exchange, request},
    server::{Client, Server},
};
use serde_json::{Value, json};

/// Bodies that are no JSON for anybody.
const NO_JSON: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("white space", b" \n"),
    ("cut off", b"{\"title\":"),
    ("an open text", b"{\"title\":\"a"),
    ("a lone high surrogate", br#"{"title":"\ud800"}"#),
    ("a lone low surrogate", br#"{"title":"a\udc00b"}"#),
    ("swapped surrogates", br#"{"title":"\udc00\ud800"}"#),
    ("no UTF-8", b"{\"title\":\"\xff\"}"),
    ("overlong UTF-8", b"{\"title\":\"\xc0\xaf\"}"),
    ("a surrogate in UTF-8", b"{\"title\":\"\xed\xa0\x80\"}"),
    ("UTF-16", b"\xff\xfe{\x00}\x00"),
    ("a byte order mark", b"\xef\xbb\xbf{}"),
    ("two values", b"{}{}"),
    ("a word behind", b"{} x"),
    ("a NUL behind", b"{}\0"),
    ("a key twice", br#"{"title":"a","title":"b"}"#),
    ("a key twice, written differently", br#"{"title":"a","\u0074itle":"b"}"#),
    ("a key twice, deep down", br#"{"title":"a","x":[{"y":{"z":1,"z":1}}]}"#),
    ("NaN", br#"{"title":NaN}"#),
    ("a comment", b"{/**/}"),
    ("a comma too many", br#"{"title":"a",}"#),
    ("single quotes", b"{'title':'a'}"),
    ("a raw control character", b"{\"title\":\"a\x01\"}"),
    ("a leading zero", br#"{"title":01}"#),
    ("a number with nothing behind the point", br#"{"title":1.}"#),
    ("an escape that is none", br#"{"title":"\x41"}"#),
];

/// Routes that read a body, one of each kind.
const WITH_BODY: &[&str] = &[
    "POST /api/commands/StartConversation",
    "POST /api/commands/CreateAdvisor",
    "POST /api/conversations",
    "PATCH /api/conversations/none",
    "PATCH /api/messages/none",
    "POST /api/mentions",
    "POST /api/advisors",
    "POST /api/chat",
];

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_by_every_route() {
    let user = Server::start().client_of("user_1");
    for route in WITH_BODY {
        for (what, body) in NO_JSON {
            let answer = user.raw(route, &[JSON], body).await;
            check_problem(&answer, 400, "INVALID_JSON", &format!("{route}: {what}"));
        }
    }
}

#[tokio::test]
async fn deep_nesting_is_refused_without_a_crash() {
    let user = Server::start().client_of("user_1");
    for depth in [200, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let whole = format!("{{\"title\":{}1{}}}", open.repeat(depth), close.repeat(depth));
            for body in [whole.as_bytes(), open.repeat(depth).as_bytes()] {
                let answer = user.raw(WITH_BODY[0], &[JSON], body).await;
                check_problem(&answer, 400, "INVALID_JSON", &format!("{depth} {open}"));
            }
        }
    }
}

#[tokio::test]
async fn a_body_of_very_many_elements_or_names_is_judged_in_no_time() {
    let user = Server::start().client_of("user_1");
    let numbers = format!("{{\"title\":[{}1]}}", "1,".repeat(520_000));
    let names: Vec<String> = (0..90_000).map(|name| format!("\"{name}\":1")).collect();
    let names = format!("{{{}}}", names.join(","));
    for (body, what, status, code) in
        [(numbers, "half a million numbers", 400, "INVALID_JSON"), (names, "90,000 names", 422, "VALIDATION_ERROR")]
    {
        assert!(body.len() < 1_048_576, "{what} fit into a body");
        let begun = std::time::Instant::now();
        check_problem(&user.raw(WITH_BODY[0], &[JSON], body.as_bytes()).await, status, code, what);
        // A build without optimisation, on a machine with others on it.
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{what} take {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_character_nul_and_an_inexact_number_break_a_rule() {
    let user = Server::start().client_of("user_1");
    for (route, status) in [("POST /api/commands/StartConversation", 422), ("POST /api/conversations", 400)] {
        for (body, pointer) in [
            (br#"{"title":"a\u0000b"}"#.as_slice(), "/title"),
            (br#"{"title":"a","x":[0,"\u0000"]}"#, "/x/1"),
            (br#"{"title":1e400}"#, "/title"),
            (br#"{"title":123456789012345678901234567890}"#, "/title"),
        ] {
            let answer = user.raw(route, &[JSON], body).await;
            check_problem(&answer, status, "VALIDATION_ERROR", route);
            assert_eq!(answer.json()["details"][0]["pointer"], pointer, "{}", answer.json());
        }
        for body in [b"[]".as_slice(), b"null", b"1", b"\"a\"", b"[[\"title\",\"a\"]]"] {
            check_problem(&user.raw(route, &[JSON], body).await, status, "VALIDATION_ERROR", route);
        }
    }
}

#[tokio::test]
async fn bodies_of_another_type_or_encoding_are_refused() {
    let user = Server::start().client_of("user_1");
    for route in WITH_BODY {
        for head in [
            &[][..],
            &["content-type: text/plain"],
            &["content-type: application/x-www-form-urlencoded"],
            &["content-type: multipart/form-data; boundary=x"],
            &["content-type: application/json; charset=iso-8859-1"],
            &["content-type: application/jsonx"],
            &[JSON, "content-encoding: gzip"],
            &[JSON, "content-encoding: identity, br"],
        ] {
            let answer = user.raw(route, head, b"{}").await;
            check_problem(&answer, 415, "UNSUPPORTED_MEDIA_TYPE", &format!("{route} {head:?}"));
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_early() {
    let user = Server::start().client_of("user_1");
    for route in WITH_BODY {
        // Only the head is sent: the answer does not wait for the rest.
        let head = [user.bearer().as_str(), JSON, "content-length: 1048577"].map(str::to_owned);
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let answer = exchange(&user.url, &request(route, &head, b"")).await.unwrap();
        check_problem(&answer, 413, "PAYLOAD_TOO_LARGE", route);

        let chunk = format!("{:x}\r\n{}\r\n", 65_536, " ".repeat(65_536));
        let head = [user.bearer(), JSON.to_owned(), "transfer-encoding: chunked".to_owned()];
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let answer = exchange(&user.url, &request(route, &head, chunk.repeat(17).as_bytes())).await.unwrap();
        check_problem(&answer, 413, "PAYLOAD_TOO_LARGE", route);
    }
    // The largest body that is taken is judged by its content.
    let filler = "x".repeat(1_048_576 - r#"{"title":""}"#.len());
    let answer = user.raw(WITH_BODY[0], &[JSON], format!(r#"{{"title":"{filler}"}}"#).as_bytes()).await;
    check_problem(&answer, 422, "VALIDATION_ERROR", "1 MiB");
}

#[tokio::test]
async fn unknown_fields_are_refused_by_commands_ignored_by_the_contract_and_kept_in_documents() {
    let server = Server::start();
    let user = server.client("user_1", &[]);
    for (name, body) in [
        ("StartConversation", json!({"title": "t", "userId": "somebody"})),
        ("StartConversation", json!({"Title": "t"})),
        ("RenameConversation", json!({"conversationId": "c", "title": "t", "role": "operator"})),
        ("SendMessage", json!({"conversationId": "c", "content": "x", "position": 1})),
        ("DeleteConversation", json!({"conversationId": "c", "createdAt": "2020-01-01T00:00:00.000Z"})),
    ] {
        let answer = user.raw(&format!("POST /api/commands/{name}"), &[JSON], body.to_string().as_bytes()).await;
        check_problem(&answer, 422, "VALIDATION_ERROR", name);
    }
    let body = json!({"title": "Mine", "userId": "user_2", "id": "chosen", "createdAt": "2020-01-01T00:00:00.000Z"});
    let (status, started) = user.send(reqwest::Method::POST, "/api/conversations", Some(&body)).await;
    assert_eq!(status, 200, "{started}");
    assert_ne!(started["id"], "chosen");
    assert!(!started["createdAt"].as_str().unwrap().starts_with("2020"));
    assert_eq!(server.client("user_2", &[]).get("/api/conversations").await, json!([]));

    let document = json!({"persona": {"name": "Kim Doe", "title": "Tester", "shoe": {"size": 42}}, "extra": [1]});
    let answer = user.command("CreateAdvisor", &document).await;
    let stream = answer["stream"].as_str().unwrap();
    let output = server.advisor(&["events", "show", stream, "--open"]);
    let event: Value = serde_json::from_slice(output.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(event["data"]["document"]["private"]["persona"]["shoe"]["size"], 42, "{event}");
    assert_eq!(event["data"]["document"]["private"]["extra"], json!([1]));
}

const JSON: &str = "content-type: application/json";

/// A client that keeps its server running.
struct Guest {
    _server: Server,
    client: Client,
}

impl std::ops::Deref for Guest {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Server {
    fn client_of(self, user: &str) -> Guest {
        let client = self.client(user, &[]);
        Guest { _server: self, client }
    }
}

impl Client {
    fn bearer(&self) -> String {
        format!("authorization: Bearer {}", self.token)
    }

    /// A request by hand, with the token and the length of its body.
    async fn raw(&self, line: &str, head: &[&str], body: &[u8]) -> RawAnswer {
        let (bearer, length) = (self.bearer(), format!("content-length: {}", body.len()));
        let head = [&[bearer.as_str(), length.as_str()], head].concat();
        let answer = exchange(&self.url, &request(line, &head, body)).await;
        answer.unwrap_or_else(|| panic!("no answer to {line} {head:?}"))
    }
}

/// What every refusal is, whatever it refuses.
fn check_problem(answer: &RawAnswer, status: u16, code: &str, what: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (status, &json!(code)), "{what}: {answer:?}");
    assert_eq!(body["status"], status, "{what}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{what}");
    for member in ["type", "title", "error", "message"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {member} of {body}");
    }
    check_discreet(&answer.body, what);
    assert!(answer.rest.is_empty(), "{what}: a second answer");
}

/// Nothing of the server's inside stands in what it says.
fn check_discreet(body: &[u8], what: &str) {
    let text = String::from_utf8_lossy(body);
    for word in
        ["SELECT", "INSERT", "sqlite", "SQLITE", ".rs:", "src/", "/tmp/", "panicked", "rusqlite", "serde", ".db"]
    {
        assert!(!text.contains(word), "{what} tells of {word}: {text}");
    }
}
