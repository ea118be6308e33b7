//! Refusals before anything else is done: a server that is asked several times what it can do would spend itself on
//! the long way to its gates. So they are answered before HTTP reads them, with bytes that are made ready once.

use super::{GateOf, Traffic, gate};
use crate::layers;
use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Request, Response, header};
use std::{convert::Infallible, fmt::Write, sync::Arc};
use tower::{Layer, ServiceExt, service_fn};

/// Refuses what its gate would refuse, without a route, a layer, or a meter.
#[derive(Clone, Debug)]
pub(crate) struct Shed(Arc<Ready>);

#[derive(Debug)]
struct Ready {
    traffic: Arc<Traffic>,
    /// Heads for pages of each allowed origin, and last the one for everybody else.
    heads: Vec<(Option<String>, String)>,
    /// The body up to its last brace.
    body: String,
}

/// What a request's headers say that matters to its refusal.
#[derive(Default)]
struct Said<'a> {
    origin: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    command_id: Option<&'a [u8]>,
}

impl Shed {
    pub(crate) fn new(traffic: &Arc<Traffic>, allowed_origins: &[String]) -> Self {
        let origins = allowed_origins.iter().map(Some).chain([None]);
        let heads = origins.filter_map(|origin| Some((origin.cloned(), head(allowed_origins, origin)?))).collect();
        let mut body = gate::refusal().body().to_string();
        body.pop();
        Self(Arc::new(Ready { traffic: Arc::clone(traffic), heads, body }))
    }

    /// The answer to a request whose gate has no place at all; `None` for all others, which take the long way.
    pub(crate) fn refuse(&self, request: &httparse::Request<'_, '_>) -> Option<Bytes> {
        let gate = self.0.traffic.gate(gate_of(request)?);
        if !gate.is_full() {
            return None;
        }
        let said = Said::by(request)?;
        let answer = self.answer(&said)?;
        gate.count_overloaded();
        Some(answer)
    }

    fn answer(&self, said: &Said<'_>) -> Option<Bytes> {
        let Ready { heads, body, .. } = &*self.0;
        let page = |(origin, _): &&(Option<String>, _)| {
            origin.as_ref().is_some_and(|origin| said.origin == Some(origin.as_bytes()))
        };
        let (_, head) = heads.iter().find(page).or(heads.last())?;
        let request_id = layers::request_id(said.request_id);
        // The command can be asked again by its key, if it has one.
        let key = said.command_id.and_then(|key| HeaderValue::from_bytes(key).ok());
        let end = match key.as_ref().and_then(|key| key.to_str().ok()) {
            Some(key) => format!(",\"commandId\":{}}}", serde_json::Value::from(key)),
            None => "}".to_owned(),
        };
        let length = body.len() + end.len();
        Some(format!("{head}x-request-id: {request_id}\r\ncontent-length: {length}\r\n\r\n{body}{end}").into())
    }
}

impl<'a> Said<'a> {
    /// `None` where more than a plain answer on a connection that goes on is needed.
    fn by(request: &httparse::Request<'_, 'a>) -> Option<Self> {
        let mut said = Self::default();
        for httparse::Header { name, value } in request.headers.iter() {
            let first = match name.len() {
                6 if name.eq_ignore_ascii_case("origin") => &mut said.origin,
                12 if name.eq_ignore_ascii_case("x-request-id") => &mut said.request_id,
                15 if name.eq_ignore_ascii_case("idempotency-key") => &mut said.command_id,
                6 if name.eq_ignore_ascii_case("expect") => return None,
                10 if name.eq_ignore_ascii_case("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => {
                    return None;
                }
                _ => continue,
            };
            first.get_or_insert(value);
        }
        (request.version == Some(1)).then_some(said)
    }
}

/// The gate of what comes in great numbers. All else is few, or has to be told apart by its route.
fn gate_of(request: &httparse::Request<'_, '_>) -> Option<GateOf> {
    let (method, path) = (request.method?, request.path?);
    if method == "POST" && path.starts_with("/api/commands/") {
        Some(GateOf::Commands)
    } else if method == "GET" && path.starts_with("/api/conversations") {
        Some(GateOf::Queries)
    } else {
        None
    }
}

/// The head of a refusal for pages of this origin, but for what differs from one refusal to the next.
fn head(allowed_origins: &[String], origin: Option<&String>) -> Option<String> {
    let response = surrounded(allowed_origins, origin)?;
    let mut head = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers().iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
        write!(head, "{name}: {}\r\n", value.to_str().ok()?).ok()?;
    }
    Some(head)
}

/// A refusal as it comes through the layers.
fn surrounded(allowed_origins: &[String], origin: Option<&String>) -> Option<Response<Body>> {
    let refuse = service_fn(async |_: Request<()>| Ok::<_, Infallible>(gate::refusal().into_response()));
    let mut request = Request::new(());
    if let Some(origin) = origin {
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_str(origin).ok()?);
    }
    let mut response = layers::cors(allowed_origins).layer(refuse).oneshot(request).now_or_never()?.ok()?;
    layers::complete(response.headers_mut());
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        test_api::TestApi,
        test_talk::ANA,
        traffic::{GateLimits, TrafficLimits},
    };
    use http::HeaderMap;
    use serde_json::{Value, json};
    use std::time::Duration;

    const ONE: GateLimits = GateLimits { running_max: 1, waiting_max: 0, wait: Duration::ZERO };
    const COMMAND: &str = "POST /api/commands/StartConversation HTTP/1.1";
    const APP: &str = "https://app.example.com";

    #[tokio::test]
    async fn what_is_refused_at_once_is_answered_as_on_the_long_way() {
        let mut api = TestApi::start().await;
        api.api.traffic = traffic(ONE);
        let shed = Shed::new(&api.api.traffic, &api.api.settings.allowed_origins);
        let _busy = (api.api.traffic.commands.enter().await.unwrap(), api.api.traffic.queries.enter().await.unwrap());

        for origin in [None, Some(APP), Some("https://app.example.com.evil.com"), Some("null")] {
            let mut request = Request::post("/api/commands/StartConversation");
            let mut headers = vec![("Idempotency-Key", "key \"1\""), ("X-Request-Id", "req-1")];
            headers.extend(origin.map(|origin| ("Origin", origin)));
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let long = api.ask(ANA, request, Some(json!({}))).await;
            let (status, at_once, body) = read(&refused(&shed, COMMAND, &headers).unwrap());
            assert_eq!(status, long.status.to_string());
            let mut expected = long.headers.clone();
            // It is not metered, and how long its body is has been looked at.
            for name in ["ratelimit", "ratelimit-policy", "content-length"] {
                expected.remove(name);
            }
            assert_eq!(at_once, expected, "{origin:?}");
            assert_eq!(at_once["x-request-id"], "req-1");
            assert_eq!(body, long.body);
        }
        let query = "GET /api/conversations/x/messages?limit=1 HTTP/1.1";
        let (status, headers, body) = read(&refused(&shed, query, &[]).unwrap());
        let long = api.get(ANA, "/api/conversations/x/messages").await;
        assert_eq!((status, body), (long.status.to_string(), long.body));
        assert_eq!(headers["x-request-id"].len(), 36);
    }

    #[tokio::test]
    async fn what_may_still_be_let_in_takes_the_long_way_and_so_does_what_is_unusual() {
        let traffic = traffic(ONE);
        let shed = Shed::new(&traffic, &[]);
        assert!(refused(&shed, COMMAND, &[]).is_none(), "there is a place");
        let busy = (traffic.commands.enter().await.unwrap(), traffic.queries.enter().await.unwrap());
        assert!(refused(&shed, COMMAND, &[("connection", "Keep-Alive")]).is_some());
        for other in
            ["GET /readyz", "GET /api/health", "POST /api/chat", "GET /api/commands/x", "OPTIONS /api/commands/x"]
        {
            assert!(refused(&shed, &format!("{other} HTTP/1.1"), &[]).is_none(), "{other}");
        }
        for header in [("connection", "close"), ("Connection", "keep-alive, x"), ("Expect", "100-continue")] {
            assert!(refused(&shed, COMMAND, &[header]).is_none(), "{header:?}");
        }
        assert!(refused(&shed, "POST /api/commands/StartConversation HTTP/1.0", &[]).is_none());
        drop(busy);
        assert!(refused(&shed, COMMAND, &[]).is_none(), "there is a place again");
    }

    #[tokio::test]
    async fn a_line_that_has_room_is_a_place() {
        let traffic = traffic(GateLimits { waiting_max: 1, wait: Duration::from_secs(9), ..ONE });
        let shed = Shed::new(&traffic, &[]);
        let _running = traffic.commands.enter().await.unwrap();
        assert!(refused(&shed, COMMAND, &[]).is_none());
        let mut waiting = Box::pin(traffic.commands.enter());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert!(refused(&shed, COMMAND, &[]).is_some());
    }

    fn traffic(gate: GateLimits) -> Arc<Traffic> {
        Arc::new(Traffic::new(TrafficLimits { commands: gate, queries: gate, ..TrafficLimits::default() }))
    }

    fn refused(shed: &Shed, line: &str, headers: &[(&str, &str)]) -> Option<Bytes> {
        let mut text = format!("{line}\r\nhost: x\r\n");
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text.push_str("\r\n");
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut headers);
        assert!(request.parse(text.as_bytes()).unwrap().is_complete());
        shed.refuse(&request)
    }

    /// The status, the headers but for the body's length, and the body.
    fn read(answer: &[u8]) -> (String, HeaderMap, Value) {
        let mut lines = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut lines);
        let end = response.parse(answer).unwrap().unwrap();
        let mut headers = HeaderMap::new();
        for line in response.headers.iter() {
            let value = HeaderValue::from_bytes(line.value).unwrap();
            headers.append(http::HeaderName::from_bytes(line.name.as_bytes()).unwrap(), value);
        }
        let body = &answer[end..];
        assert_eq!(headers.remove("content-length").unwrap(), body.len().to_string().as_str());
        let status = format!("{} {}", response.code.unwrap(), response.reason.unwrap());
        (status, headers, serde_json::from_slice(body).unwrap())
    }
}
