//! Connections some of whose requests are refused before hyper reads them, on a clock that jumps when nothing moves.

use super::*;
use crate::{
    accept::{AcceptLimits, Doors, Front, connection},
    traffic::{GateLimits, Traffic, TrafficLimits},
};
use axum::{Router, body::Body, routing::get};
use futures::StreamExt;
use std::{convert::Infallible, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{Notify, OwnedSemaphorePermit},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const QUERY: &str = "GET /api/conversations HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_answered_its_body_is_thrown_away_and_the_connection_goes_on() {
    let mut line = Line::new();
    let busy = line.occupy();
    for body in ["", "{}", "GET / HTTP/1.1\r\nhost: x\r\n\r\n", &"x".repeat(65_536)] {
        line.say(&command(body)).await;
        assert_eq!(line.status().await, 503, "{}", body.len());
        // It comes in pieces, and late.
        for piece in command(body).as_bytes().chunks(body.len().div_ceil(9).max(20)) {
            line.client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(line.status().await, 503, "{}", body.len());
    }
    drop(busy);
    line.say(&command("{}")).await;
    assert_eq!(line.status().await, 200);
    line.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_longer_body_and_one_in_chunks_come_as_far_as_their_gate() {
    for request in [
        command(&"x".repeat(65_537)),
        "POST /api/commands/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut line = Line::new();
        let _busy = line.occupy();
        line.say(&request).await;
        assert_eq!(line.status().await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn no_refusal_comes_before_an_answer_that_is_due_nor_in_the_middle_of_one() {
    let mut line = Line::new();
    let _busy = line.occupy();
    line.say(&format!("GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n{}", command("{}"))).await;
    line.is_silent().await;
    line.go_on.notify_one();
    assert_eq!((line.status().await, line.status().await), (200, 200), "the second comes as far as its gate");

    line.say("GET /streaming HTTP/1.1\r\nhost: x\r\n\r\n").await;
    line.until("begun\r\n").await;
    line.say(QUERY).await;
    line.is_silent().await;
    line.go_on.notify_one();
    let answers = line.until("0\r\n\r\n").await;
    assert_eq!(answers, "5\r\nended\r\n0\r\n\r\n");
    assert_eq!(line.status().await, 200);

    line.say(QUERY).await;
    assert_eq!(line.status().await, 503, "nothing is due any more");
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_as_soon_as_he_is_refused_is_made_to_wait() {
    let mut line = Line::new();
    let _busy = line.occupy();
    let (at_once, later) = (Duration::ZERO, SHED_HASTE);
    for (pause, waits) in [(at_once, false), (at_once, true), (at_once, true), (SHED_HASTE / 2, true), (later, false)] {
        sleep(pause).await;
        let begun = Instant::now();
        line.say(QUERY).await;
        assert_eq!(line.status().await, 503);
        assert_eq!(begun.elapsed() >= SHED_DELAY, waits, "{pause:?}: {:?}", begun.elapsed());
        assert!(begun.elapsed() < SHED_DELAY * 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_given_up_because_hyper_hears_nothing_of_it() {
    let mut line = Line::new();
    let _busy = line.occupy();
    let mut through = 0;
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        line.say(QUERY).await;
        through += usize::from(line.status().await == 200);
    }
    assert!((5..=7).contains(&through), "one in five seconds comes through: {through} in 30");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_refusal_that_waits_is_given_at_once() {
    let mut line = Line::new();
    let _busy = line.occupy();
    line.say(QUERY).await;
    assert_eq!(line.status().await, 503);
    line.say(QUERY).await;
    tokio::task::yield_now().await;
    let begun = Instant::now();
    line.shutdown.cancel();
    assert_eq!(line.status().await, 503);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    line.serving.await.unwrap();
}

/// A connection to a router that answers everything with 200, behind a gate of one place.
struct Line {
    client: DuplexStream,
    traffic: Arc<Traffic>,
    go_on: Arc<Notify>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Line {
    fn new() -> Self {
        let one = GateLimits { running_max: 1, waiting_max: 0, wait: Duration::ZERO };
        let traffic = Arc::new(Traffic::new(TrafficLimits { commands: one, queries: one, ..TrafficLimits::default() }));
        let go_on = Arc::new(Notify::new());
        let (waiting, streaming) = (Arc::clone(&go_on), Arc::clone(&go_on));
        let router = Router::new()
            .route("/waiting", get(async move || waiting.notified().await))
            .route("/streaming", get(async move || begun_and_ended(streaming)))
            .fallback(async |body: String| drop(body));
        let doors = Doors::new(Front::shedding(router, Shed::new(&traffic, &[])));
        let (client, server) = duplex(1 << 20);
        let shutdown = CancellationToken::new();
        let ended = shutdown.clone();
        let serving = TaskTracker::new().spawn(async move {
            assert!(connection(server, doors, AcceptLimits::default(), ended).await.is_none());
        });
        Self { client, traffic, go_on, shutdown, serving }
    }

    /// Takes the only place of each gate.
    fn occupy(&self) -> [OwnedSemaphorePermit; 2] {
        self.traffic.occupy()
    }

    async fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// The status of the next answer.
    async fn status(&mut self) -> u16 {
        let head = self.until("\r\n\r\n").await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.client.read_exact(&mut body).await.unwrap();
        head["HTTP/1.1 ".len()..][..3].parse().unwrap()
    }

    /// What comes up to the end of this.
    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let byte = self.client.read_u8().await.unwrap_or_else(|error| panic!("{error} after {text}"));
            text.push(char::from(byte));
        }
        text
    }

    async fn is_silent(&mut self) {
        let more = tokio::time::timeout(Duration::from_secs(1), self.client.read_u8()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

/// A body that begins at once, and ends when it is told to.
fn begun_and_ended(go_on: Arc<Notify>) -> Body {
    let end = futures::stream::once(async move {
        go_on.notified().await;
        "ended"
    });
    Body::from_stream(futures::stream::iter(["begun"]).chain(end).map(Ok::<_, Infallible>))
}

fn command(body: &str) -> String {
    format!("POST /api/commands/x HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
