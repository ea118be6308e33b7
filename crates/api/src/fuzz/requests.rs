//! Requests by chance through all layers: none makes a server error, and every refusal is a problem.

use super::{TIME, text_of};
use crate::{openapi, problem, test_api::TestApi};
use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use tokio::runtime::Builder;
use tower::ServiceExt;

const BODY: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"conversationId\"",
    "\"messageId\"",
    "\"replyId\"",
    "\"advisorId\"",
    "\"advisorIds\"",
    "\"content\"",
    "\"contentJson\"",
    "\"title\"",
    "\"status\"",
    "\"visibility\"",
    "\"persona\"",
    "\"name\"",
    "\"public\"",
    "\"active\"",
    "\"firstName\"",
    "\"lastName\"",
    "\"jsonConfiguration\"",
    "\"document\"",
    "\"{}\"",
    "\"CONVERSATION\"",
    "\"MESSAGE\"",
    "\"x\"",
    "\"\"",
    "\"@Alex 😀\"",
    "null",
    "1",
    "{\"content\":\"x\"}",
    "{\"title\":\"x\"}",
    "{\"conversationId\":\"CONVERSATION\",\"content\":\"x\"}",
    "{\"messageId\":\"MESSAGE\"}",
    "{\"persona\":{\"name\":\"Kim\",\"title\":\"x\"}}",
    "true",
    "-1",
    "1e400",
];
const QUERY: &[&str] = &[
    "limit=",
    "before=",
    "min_position=",
    "query=",
    "/api/me",
    "/api/conversations/CONVERSATION",
    "&",
    "1",
    "-",
    "%00",
    "%",
    "verbose",
    "detailed=true",
    "AAAA",
    "é",
    "+",
];
const VALUE: &[&str] = &[
    "application/json",
    "text/event-stream",
    "text/plain",
    "*/*",
    "\"1\"",
    "\"999\"",
    "*",
    "respond-async",
    "1:1:",
    "k",
    ",",
    ";q=0",
    "gzip",
    "https://app.example.com",
    "é",
];
const NAMES: &[&str] = &[
    "accept",
    "content-type",
    "content-encoding",
    "if-match",
    "idempotency-key",
    "prefer",
    "last-event-id",
    "origin",
    "x-request-id",
    "traceparent",
    "x-http-method-override",
    "cookie",
    "range",
    "if-none-match",
];

/// A request by chance: its route, an id, a query, headers, and a body.
type Rolled = (u8, u8, Vec<u8>, Vec<(u8, Vec<u8>)>, Option<Vec<u8>>);

#[test]
fn no_request_by_chance_makes_a_server_error() {
    let runtime = AssertUnwindSafe(Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    let world = AssertUnwindSafe(runtime.block_on(World::start()));
    bolero::check!().with_type::<Rolled>().with_test_time(TIME).for_each(|rolled| {
        let Some(request) = world.request(rolled) else { return };
        let what = format!("{} {} {:?} {:?}", request.method(), request.uri(), request.headers(), rolled.4);
        let response: Response<Body> = runtime.block_on(world.api.router().oneshot(request)).unwrap();
        let (status, headers) = (response.status(), response.headers());
        assert!(!status.is_server_error(), "{status}: {what}");
        assert!(headers.contains_key("x-request-id"), "{what}");
        if status.is_client_error() {
            assert_eq!(headers[header::CONTENT_TYPE], problem::MEDIA_TYPE, "{status}: {what}");
        }
    });
}

struct World {
    api: TestApi,
    routes: Vec<(http::Method, String)>,
    conversation: String,
    message: String,
}

impl World {
    async fn start() -> Self {
        let api = TestApi::start().await;
        let post = |name: &str| Request::post(format!("/api/commands/{name}"));
        let started = api.ask("user_ana", post("StartConversation"), Some(json!({"title": "x"}))).await.body;
        let conversation = started["result"]["conversationId"].as_str().unwrap().to_owned();
        let body = json!({"conversationId": conversation, "content": "x", "advisorIds": []});
        let sent = api.ask("user_ana", post("SendMessage"), Some(body)).await.body;
        let message = sent["result"]["messageId"].as_str().unwrap().to_owned();
        let document: Value = serde_json::from_str(&openapi::openapi_json().unwrap()).unwrap();
        let mut routes = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            // It waits for a reply, and here nobody replies.
            for method in operations.as_object().unwrap().keys().filter(|_| path != "/api/chat") {
                routes.extend(method.to_uppercase().parse().map(|method| (method, path.clone())));
            }
        }
        Self { api, routes, conversation, message }
    }

    /// `None` for what is no request at all.
    fn request(&self, (route, id, query, head, body): &Rolled) -> Option<Request<Body>> {
        let (method, path) = &self.routes[usize::from(*route) % self.routes.len()];
        let own = |text: String| text.replace("CONVERSATION", &self.conversation).replace("MESSAGE", &self.message);
        let ids = [&*self.conversation, &self.message, "none", "%00", "%F0%9F%98%80", "a%2Fb"];
        let (before, rest) = path.split_once('{').unwrap_or((path, ""));
        let after = rest.split_once('}').map_or("", |(_, after)| after);
        let id = if rest.is_empty() { "" } else { ids[usize::from(*id) % ids.len()] };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{before}{id}{after}?{}", own(text_of(query, QUERY))))
            .header(header::AUTHORIZATION, format!("Bearer {}", TestApi::token("user_ana")));
        if body.is_some() && head.len() % 4 != 1 {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in head {
            let value = HeaderValue::from_bytes(text_of(value, VALUE).as_bytes()).ok()?;
            request = request.header(NAMES[usize::from(*name) % NAMES.len()], value);
        }
        let body = body.as_ref().map_or_else(Body::empty, |body| Body::from(own(text_of(body, BODY))));
        request.body(body).ok()
    }
}
