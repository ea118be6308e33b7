//! Refusals before anything else is done: a server that is asked several times what it can do would spend itself on
//! the long way to its gates.

use super::{GateOf, Traffic, gate::with_command_id};
use crate::layers;
use axum::response::{IntoResponse, Response};
use http::{Method, Request, header};
use std::sync::Arc;

/// Refuses what its gate would refuse, without a route, a layer, or a meter.
#[derive(Clone, Debug)]
pub(crate) struct Shed(Arc<Traffic>);

impl Shed {
    pub(crate) fn new(traffic: &Arc<Traffic>) -> Self {
        Self(Arc::clone(traffic))
    }

    /// The refusal of a request whose gate has no place at all; `None` for all others, which take the long way.
    pub(crate) fn refuse<B>(&self, request: &Request<B>) -> Option<Response> {
        let gate = self.0.gate(gate_of(request)?);
        // A browser's page would not be let to read an answer that says nothing of its origin.
        if !gate.is_full() || request.headers().contains_key(header::ORIGIN) {
            return None;
        }
        let mut refusal = with_command_id(gate.overloaded(), request.headers()).into_response();
        layers::complete(refusal.headers_mut(), &layers::request_id(request.headers()));
        Some(refusal)
    }
}

/// The gate of what comes in great numbers. All else is few, or has to be told apart by its route.
fn gate_of<B>(request: &Request<B>) -> Option<GateOf> {
    let (method, path) = (request.method(), request.uri().path());
    if method == Method::POST && path.starts_with("/api/commands/") {
        Some(GateOf::Commands)
    } else if method == Method::GET && path.starts_with("/api/conversations") {
        Some(GateOf::Queries)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        accept::{self, AcceptLimits},
        test_api::TestApi,
        test_talk::ANA,
        traffic::{GateLimits, TrafficLimits},
    };
    use http::request::Builder;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    const ONE: GateLimits = GateLimits { running_max: 1, waiting_max: 0, wait: Duration::ZERO };

    #[tokio::test]
    async fn what_is_refused_at_once_is_answered_as_on_the_long_way() {
        let api = with_one_place().await;
        let shed = Shed::new(&api.api.traffic);
        let _busy = (api.api.traffic.commands.enter().await.unwrap(), api.api.traffic.queries.enter().await.unwrap());

        let long = api.command_as(ANA, "key-1", "StartConversation", json!({})).await;
        let at_once = shed.refuse(&start_conversation().header("idempotency-key", "key-1").body(()).unwrap()).unwrap();
        assert_eq!(at_once.status(), long.status);
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER, header::CACHE_CONTROL, header::X_CONTENT_TYPE_OPTIONS] {
            assert_eq!(at_once.headers().get(&name), long.headers.get(&name), "{name}");
        }
        assert!(at_once.headers().contains_key("x-request-id"));
        let body: Value = serde_json::from_slice(&at_once.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body, long.body);

        let query = Request::get("/api/conversations/x/messages").body(()).unwrap();
        assert_eq!(shed.refuse(&query).unwrap().status(), api.get(ANA, "/api/conversations/x/messages").await.status);
    }

    #[tokio::test]
    async fn what_may_still_be_let_in_takes_the_long_way() {
        let api = with_one_place().await;
        let shed = Shed::new(&api.api.traffic);
        let command = || start_conversation().body(()).unwrap();
        assert!(shed.refuse(&command()).is_none(), "there is a place");
        let busy = (api.api.traffic.commands.enter().await.unwrap(), api.api.traffic.queries.enter().await.unwrap());
        assert!(shed.refuse(&command()).is_some());
        let page = start_conversation().header(header::ORIGIN, "http://localhost:3000").body(()).unwrap();
        assert!(shed.refuse(&page).is_none(), "a page has to be told who may read the answer");
        for (method, path) in [(Method::GET, "/readyz"), (Method::GET, "/api/health"), (Method::POST, "/api/chat")] {
            let other = Request::builder().method(method).uri(path).body(()).unwrap();
            assert!(shed.refuse(&other).is_none(), "{path}");
        }
        drop(busy);
        assert!(shed.refuse(&command()).is_none(), "there is a place again");
    }

    #[tokio::test]
    async fn a_line_that_has_room_is_a_place() {
        let traffic = traffic(GateLimits { waiting_max: 1, wait: Duration::from_secs(9), ..ONE });
        let shed = Shed::new(&traffic);
        let _running = traffic.commands.enter().await.unwrap();
        assert!(shed.refuse(&start_conversation().body(()).unwrap()).is_none());
        let mut waiting = Box::pin(traffic.commands.enter());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert!(shed.refuse(&start_conversation().body(()).unwrap()).is_some());
    }

    #[tokio::test]
    async fn a_connection_is_refused_before_its_request_is_metered_and_goes_on() {
        let api = with_one_place().await;
        let listener = accept::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let end = CancellationToken::new();
        let serving = accept::serve_tcp(listener, crate::front(&api.api), AcceptLimits::default(), end.clone());
        let serving = TaskTracker::new().spawn(serving);
        let mut answer = async || {
            let head = "POST /api/commands/StartConversation HTTP/1.1\r\nhost: x\r\n";
            client.write_all(format!("{head}content-length: 2\r\n\r\n{{}}").as_bytes()).await.unwrap();
            let mut bytes = vec![0; 4_096];
            let length = client.read(&mut bytes).await.unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        let busy = api.api.traffic.commands.enter().await.unwrap();
        for _ in 0..2 {
            let refused = answer().await;
            assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("OVERLOADED"), "{refused}");
            assert!(!refused.contains("ratelimit"), "{refused}");
        }
        drop(busy);
        assert!(answer().await.starts_with("HTTP/1.1 401"), "it comes as far as the question who asks");
        end.cancel();
        serving.await.unwrap();
    }

    async fn with_one_place() -> TestApi {
        let mut api = TestApi::start().await;
        api.api.traffic = traffic(ONE);
        api
    }

    fn traffic(gate: GateLimits) -> Arc<Traffic> {
        Arc::new(Traffic::new(TrafficLimits { commands: gate, queries: gate, ..TrafficLimits::default() }))
    }

    fn start_conversation() -> Builder {
        Request::post("/api/commands/StartConversation")
    }
}
