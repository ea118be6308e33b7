//! An issuer's keys, when they are fetched and how long they are kept: that each of these settings has its effect.

use super::tokens::{Issuer, PARTY, claims, client};
use crate::server::{PATIENCE, Server};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// How the issuer's server answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    AtOnce,
    /// Longer than the server under test is told to wait, and shorter than it waits by itself.
    Late,
    /// With an error.
    Never,
}

const LATE: Duration = Duration::from_secs(2);
/// Long enough for what is fetched to be used at all, whatever else the machine does.
const STALE_MS: &str = "2000";

#[tokio::test]
async fn keys_that_come_later_than_the_time_out_are_not_waited_for() {
    let place = Place::begin(Manner::Late, &[("ADVISOR_JWKS_TIMEOUT_MS", "200")]);
    assert_eq!(place.status(&place.token("a")).await, StatusCode::SERVICE_UNAVAILABLE);
    let patient = Place::begin(Manner::Late, &[]);
    assert_eq!(patient.status(&patient.token("a")).await, StatusCode::OK);
}

#[tokio::test]
async fn keys_that_are_not_fresh_any_more_are_fetched_again() {
    let place = Place::begin(Manner::AtOnce, &[("ADVISOR_JWKS_FRESH_MS", "1")]);
    place.until(|fetches, _| fetches >= 3).await;
    let keeping = Place::begin(Manner::AtOnce, &[]);
    for number in 0..10 {
        assert_eq!(keeping.status(&keeping.token(&number.to_string())).await, StatusCode::OK);
    }
    assert_eq!(keeping.jwks.fetches(), 1);
}

#[tokio::test]
async fn old_keys_go_on_while_the_issuer_is_down_and_no_longer_than_they_may() {
    let variables = |stale| [("ADVISOR_JWKS_FRESH_MS", "1"), ("ADVISOR_JWKS_STALE_MS", stale)];
    let place = Place::begin(Manner::AtOnce, &variables("60000"));
    assert_eq!(place.status(&place.token("first")).await, StatusCode::OK);
    place.jwks.answer(Manner::Never);
    let before = place.jwks.fetches();
    // Now they are known to be old, and the issuer to be down.
    place.until(|fetches, _| fetches > before).await;
    assert_eq!(place.status(&place.token("last")).await, StatusCode::OK);

    let place = Place::begin(Manner::AtOnce, &variables(STALE_MS));
    place.until(|_, status| status == 401).await;
    place.jwks.answer(Manner::Never);
    place.until(|_, status| status == 503).await;
}

#[tokio::test]
async fn as_many_verified_tokens_as_are_remembered_need_no_key() {
    for (remembered, first) in [("1", StatusCode::SERVICE_UNAVAILABLE), ("2", StatusCode::OK)] {
        let place = Place::begin(
            Manner::AtOnce,
            &[
                ("ADVISOR_JWKS_FRESH_MS", "1"),
                ("ADVISOR_JWKS_STALE_MS", STALE_MS),
                ("ADVISOR_TOKENS_REMEMBERED_MAX", remembered),
            ],
        );
        let tokens = [place.token("first"), place.token("second")];
        for token in &tokens {
            assert_eq!(place.status(token).await, StatusCode::OK);
        }
        place.jwks.answer(Manner::Never);
        assert_eq!(place.status(&tokens[1]).await, StatusCode::OK, "{remembered} remembered");
        place.until(|_, status| status == 503).await;
        assert_eq!(place.status(&tokens[0]).await, first, "{remembered} remembered");
    }
}

/// A server under test, and the issuer that it trusts.
struct Place {
    jwks: JwksServer,
    issuer: Issuer,
    /// Somebody who names the issuer's key and has another one.
    forger: Issuer,
    server: Server,
}

impl Place {
    fn begin(manner: Manner, variables: &[(&str, &str)]) -> Self {
        let jwks = JwksServer::start();
        jwks.answer(manner);
        let issuer = Issuer::new(&jwks.url);
        jwks.serve(&issuer);
        let url = format!("{}/keys", jwks.url);
        let clerk = [
            ("CLERK_ISSUER", issuer.name.as_str()),
            ("CLERK_JWKS_URL", url.as_str()),
            ("CLERK_AUTHORIZED_PARTIES", PARTY),
        ];
        let server = Server::start_with(&[&clerk, variables].concat());
        let forger = Issuer::new(&issuer.name);
        Self { jwks, issuer, forger, server }
    }

    /// A token of this session, which nobody has seen before.
    fn token(&self, session: &str) -> String {
        self.issuer.token(&claims(&self.issuer, &json!({"sid": format!("sess_{session}")})))
    }

    async fn status(&self, token: &str) -> StatusCode {
        client(&self.server, token).send(Method::GET, "/api/me", None).await.0
    }

    /// Sends forged tokens until so many fetches have been made, or one is answered so: 401 where there is a key to tell
    /// by, 503 where there is none. None of them is remembered.
    async fn until(&self, wanted: impl Fn(usize, u16) -> bool) {
        let begun = Instant::now();
        for number in 0_u64.. {
            let token = self.forger.token(&claims(&self.issuer, &json!({"sid": format!("sess_{number}")})));
            let status = self.status(&token).await;
            if wanted(self.jwks.fetches(), status.as_u16()) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} fetches, and {status}", self.jwks.fetches());
        }
    }
}

/// Serves one issuer's keys and counts how often they are asked for.
pub(super) struct JwksServer {
    pub(super) url: String,
    listener: TcpListener,
    state: Arc<Mutex<(usize, Manner)>>,
}

impl JwksServer {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { url, listener, state: Arc::new(Mutex::new((0, Manner::AtOnce))) }
    }

    pub(super) fn fetches(&self) -> usize {
        self.state.lock().unwrap().0
    }

    fn answer(&self, manner: Manner) {
        self.state.lock().unwrap().1 = manner;
    }

    pub(super) fn serve(&self, issuer: &Issuer) {
        let body = json!({"keys": [{"kty": "EC"}, issuer.jwk()]}).to_string();
        let head = |status: &str, length| {
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
        };
        let (good, bad) = (head("200 OK", body.len()) + &body, head("500 Oh", 0));
        let (listener, state) = (self.listener.try_clone().unwrap(), Arc::clone(&self.state));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let manner = {
                    let mut state = state.lock().unwrap();
                    state.0 += 1;
                    state.1
                };
                if manner == Manner::Late {
                    std::thread::sleep(LATE);
                }
                let answer = if manner == Manner::Never { &bad } else { &good };
                // Who asked may not have waited.
                drop(stream.write_all(answer.as_bytes()));
            }
        });
    }
}
