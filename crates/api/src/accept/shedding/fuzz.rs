//! Requests by chance on a connection that refuses some of them before hyper reads them: whatever pieces the bytes come
//! in, each request has its one answer in its turn, and nobody reads what belongs to one that was refused.

use super::*;
use crate::{
    accept::{AcceptLimits, Doors, Front, connection, fuzz::write_in_pieces},
    fuzz::{TIME, text_of},
    traffic::{GateLimits, Traffic, TrafficLimits},
};
use axum::Router;
use http::{StatusCode, Uri};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Builder,
};
use tokio_util::sync::CancellationToken;

/// What bodies are made of: who takes a part of one for something else finds what it looks for.
const PIECES: &[&str] = &[
    "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /api/commands/smuggled HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n",
    "GET /api/conversations/smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
    "\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "{\"content\":\"x\"}",
    "hello",
];
const REQUESTS_MAX: usize = 24;

/// A request by chance: its kind, whether everything before it is answered first, and its body.
type Rolled = (u8, bool, Vec<u8>);

/// What a request is to the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Command,
    Query,
    QueryWithBody,
    Other,
    /// A command whose body is longer than what is thrown away.
    LongCommand,
    ChunkedCommand,
    ClosingCommand,
}

/// Each as often as it stands here: behind the last two nothing is answered any more.
const KINDS: [Kind; 12] = [
    Kind::Command,
    Kind::Command,
    Kind::Command,
    Kind::Query,
    Kind::Query,
    Kind::QueryWithBody,
    Kind::QueryWithBody,
    Kind::Other,
    Kind::Other,
    Kind::LongCommand,
    Kind::ChunkedCommand,
    Kind::ClosingCommand,
];

/// What is sent.
struct Sent {
    path: String,
    body: String,
    text: String,
    kind: Kind,
    waits: bool,
}

#[test]
fn whatever_is_refused_each_request_has_its_answer_and_no_body_is_read_that_was_refused() {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (runtime, house) = (AssertUnwindSafe(runtime), AssertUnwindSafe(House::full()));
    bolero::check!().with_type::<(Vec<Rolled>, Vec<u8>)>().with_test_time(TIME).for_each(|(rolled, cuts)| {
        let numbered = rolled.iter().take(REQUESTS_MAX).enumerate();
        let requests: Vec<_> = numbered.map(|(number, rolled)| Sent::by(number, rolled)).collect();
        runtime.block_on(house.check(&requests, cuts));
    });
}

impl Sent {
    fn by(number: usize, (kind, waits, body): &Rolled) -> Self {
        let kind = KINDS[usize::from(*kind) % KINDS.len()];
        let mut body = text_of(body, PIECES);
        let (method, path) = match kind {
            Kind::Query | Kind::QueryWithBody => ("GET", format!("/api/conversations/{number}")),
            Kind::Other => ("PUT", format!("/{number}")),
            Kind::Command | Kind::LongCommand | Kind::ChunkedCommand | Kind::ClosingCommand => {
                ("POST", format!("/api/commands/{number}"))
            }
        };
        match kind {
            Kind::Query => body.clear(),
            Kind::LongCommand => body += &"x".repeat(usize::try_from(SHED_BODY_BYTES_MAX).unwrap() + 1),
            Kind::Command | Kind::QueryWithBody | Kind::Other | Kind::ChunkedCommand | Kind::ClosingCommand => {}
        }
        let measured = format!("content-length: {}\r\n\r\n{body}", body.len());
        let rest = match kind {
            Kind::Query => "\r\n".to_owned(),
            Kind::ChunkedCommand => format!("transfer-encoding: chunked\r\n\r\n{}", chunked(&body)),
            Kind::ClosingCommand => format!("connection: close\r\n{measured}"),
            Kind::Command | Kind::QueryWithBody | Kind::Other | Kind::LongCommand => measured,
        };
        let text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{rest}");
        // Whatever stands on a fresh connection has nothing to wait for.
        Self { path, body, text, kind, waits: *waits || number == 0 }
    }

    fn is_sheddable(&self) -> bool {
        matches!(self.kind, Kind::Command | Kind::Query | Kind::QueryWithBody)
    }

    /// Nothing behind it is answered.
    fn closes(&self) -> bool {
        matches!(self.kind, Kind::ChunkedCommand | Kind::ClosingCommand)
    }
}

fn chunked(body: &str) -> String {
    let chunk = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
    chunk + "0\r\n\r\n"
}

/// A front whose gates have no place, before a router that names what it is asked for, and remembers it.
struct House {
    doors: Doors,
    read: Arc<Mutex<Vec<(String, String)>>>,
    /// What fills the gates.
    _busy: [tokio::sync::OwnedSemaphorePermit; 2],
}

impl House {
    fn full() -> Self {
        let one = GateLimits { running_max: 1, waiting_max: 0, wait: Duration::ZERO };
        let traffic = Arc::new(Traffic::new(TrafficLimits { commands: one, queries: one, ..TrafficLimits::default() }));
        let read = Arc::<Mutex<Vec<_>>>::default();
        let reading = Arc::clone(&read);
        let router = Router::new().fallback(async move |uri: Uri, body: Bytes| {
            let (path, body) = (uri.path().to_owned(), String::from_utf8(body.to_vec()).unwrap());
            reading.lock().unwrap().push((path.clone(), body));
            path
        });
        let doors = Doors::new(Front::shedding(router, Shed::new(&traffic, &[])));
        Self { doors, read, _busy: traffic.occupy() }
    }

    async fn check(&self, requests: &[Sent], cuts: &[u8]) {
        self.read.lock().unwrap().clear();
        let (client, server) = duplex(1 << 22);
        let serving = connection(server, self.doors.clone(), AcceptLimits::default(), CancellationToken::new());
        let (ended, answers) = futures::join!(serving, talk(client, requests, cuts));
        assert!(ended.is_none());
        let mut expected = Vec::new();
        for (sent, (status, body)) in requests.iter().zip(&answers) {
            match *status {
                StatusCode::OK => {
                    assert_eq!(*body, sent.path, "an answer to another request");
                    expected.push((sent.path.clone(), sent.body.clone()));
                }
                StatusCode::SERVICE_UNAVAILABLE => assert!(sent.is_sheddable(), "{} is refused", sent.path),
                _ => panic!("{} is answered {status}: {body}", sent.path),
            }
        }
        assert_eq!(*self.read.lock().unwrap(), expected, "what was not refused is read, and nothing else");
    }
}

/// Sends everything; gives the answers, of which there is one for each request up to one that closes.
async fn talk(mut client: DuplexStream, requests: &[Sent], mut cuts: &[u8]) -> Vec<(StatusCode, String)> {
    let due = requests.iter().position(Sent::closes).map_or(requests.len(), |last| last + 1);
    let mut answers = Vec::new();
    for (number, sent) in requests.iter().enumerate() {
        let waits = sent.waits && number < due;
        if waits {
            hear(&mut client, &mut answers, number).await;
        }
        let pieces;
        (pieces, cuts) = cuts.split_at(cuts.len().min(3));
        write_in_pieces(&mut client, sent.text.as_bytes(), pieces).await;
        if waits && sent.is_sheddable() {
            hear(&mut client, &mut answers, number + 1).await;
            assert_eq!(answers[number].0, StatusCode::SERVICE_UNAVAILABLE, "{} comes on an idle line", sent.path);
        }
    }
    hear(&mut client, &mut answers, due).await;
    drop(client.shutdown().await);
    let mut more = Vec::new();
    drop(client.read_to_end(&mut more).await);
    assert!(more.is_empty(), "nobody asked for {}", more.escape_ascii());
    answers
}

/// Reads until there are so many answers.
async fn hear(client: &mut DuplexStream, answers: &mut Vec<(StatusCode, String)>, wanted: usize) {
    while answers.len() < wanted {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let byte = client.read_u8().await.unwrap_or_else(|error| panic!("no answer: {error} after {head:?}"));
            head.push(char::from(byte));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        client.read_exact(&mut body).await.unwrap();
        answers.push((head["HTTP/1.1 ".len()..][..3].parse().unwrap(), String::from_utf8(body).unwrap()));
    }
}
