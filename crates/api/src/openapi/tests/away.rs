//! Every route of both routers while the log, or the read models, are away.
//!
//! Whatever needs them is 503 and says when to come back and nothing of what is inside; the lists name what goes on.

use super::walk::{Route, admin_router, answered, every_route};
use crate::{
    test_api::{OPERATOR, TestApi},
    test_log::REASON,
};
use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tower::ServiceExt;

/// What nobody outside may hear: of [`REASON`], and of what the read models' own store says.
const INSIDE: &[&str] = &["disk", "/var", ".db", "postgres", "secret", "10.0", "closed", "sqlite", "SELECT", ".rs"];

/// What answers without any engine. A webhook is refused before, since nobody has signed it.
const WITHOUT_ENGINES: &[&str] = &[
    "GET /api/health",
    "GET /docs",
    "GET /docs/",
    "GET /docs/errors",
    "GET /docs/{file}",
    "GET /livez",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "GET /version",
    "POST /api/commands/{name}",
    "POST /api/webhooks/clerk",
];

/// What answers from the read models alone; what is not there may be in the log, which can't be asked.
const WITHOUT_LOG: &[&str] = &[
    "GET /admin/parked-streams",
    "GET /api/advisors",
    "GET /api/advisors/{id}",
    "GET /api/conversations",
    "GET /api/conversations/{id}",
    "GET /api/conversations/{id}/messages",
    "GET /api/live",
    "GET /api/me",
    "POST /admin/parked-streams/{stream}/retry",
    "POST /api/mentions",
];

/// What answers from the log alone: it is read, and operators need not see an advisor to change it.
const WITHOUT_READ_MODELS: &[&str] = &[
    "DELETE /api/advisors/{id}",
    "GET /admin/events",
    "GET /admin/streams/{stream}",
    "PATCH /api/advisors/{id}",
    "POST /admin/parked-streams/{stream}/retry",
    "POST /api/commands/ReviseAdvisor",
    "POST /api/commands/SetAdvisorStatus",
];

#[tokio::test]
async fn with_the_log_away_every_route_that_needs_it_is_503_and_tells_nothing() {
    let test = known_people().await;
    test.log.go_away();
    check(&test, WITHOUT_LOG).await;
}

#[tokio::test]
async fn with_the_read_models_away_every_route_that_needs_them_is_503_and_tells_nothing() {
    let test = known_people().await;
    test.generation.close().await;
    check(&test, WITHOUT_READ_MODELS).await;
}

/// Who asks is known: else nothing but their registration would be tried.
async fn known_people() -> TestApi {
    let test = every_route().await;
    let answer = test.ask(OPERATOR, Request::get("/api/me"), None).await;
    assert_eq!(answer.status, StatusCode::OK);
    test
}

async fn check(test: &TestApi, beside: &[&str]) {
    let (mut wrong, mut went_on, mut failed) = (Vec::new(), BTreeSet::new(), 0);
    for router in [test.router(), admin_router(test)] {
        let document = document_of(&router).await;
        for (method, path) in answered(&router) {
            let name = format!("{method} {path}");
            for accept in ["*/*", "text/event-stream"] {
                let response =
                    router.clone().oneshot(request(&document, &(method.clone(), path.clone()), accept)).await;
                let (parts, body) = response.unwrap().into_parts();
                if parts.status == StatusCode::NOT_ACCEPTABLE {
                    continue;
                }
                if !parts.status.is_server_error() {
                    went_on.insert(name.clone());
                    continue;
                }
                failed += 1;
                let told = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
                let is_problem =
                    parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
                let says_when = parts.headers.contains_key(header::RETRY_AFTER);
                let tells: Vec<_> = INSIDE.iter().filter(|word| told.contains(**word)).collect();
                if parts.status != StatusCode::SERVICE_UNAVAILABLE || !is_problem || !says_when || !tells.is_empty() {
                    wrong.push(format!("{name} ({accept}): {} {:?} {told} {tells:?}", parts.status, parts.headers));
                }
            }
        }
    }
    assert!(INSIDE.iter().any(|word| REASON.contains(word)));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let expected: BTreeSet<String> = WITHOUT_ENGINES.iter().chain(beside).map(|name| (*name).to_owned()).collect();
    assert_eq!(went_on, expected);
    assert!(failed > 20, "{failed}");
}

/// A request of an operator that is right but for its ids.
fn request(document: &Value, (method, path): &Route, accept: &str) -> Request<Body> {
    let operation = &document["paths"][path][method.to_lowercase()];
    let uri = path.replace(['{', '}'], "");
    let uri = if uri == "/api/live" { format!("{uri}?query=/api/conversations") } else { uri };
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(uri)
        .header(header::ACCEPT, accept)
        .header(header::AUTHORIZATION, format!("Bearer {}", TestApi::token(OPERATOR)));
    if operation["requestBody"].is_null() {
        return request.body(Body::empty()).unwrap();
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let body = match schema["properties"].as_object() {
        Some(fields) => Value::Object(fields.keys().filter_map(|name| Some((name.clone(), value(name)?))).collect()),
        // A whole document.
        None => json!({"persona": {"name": "Kim Novak", "title": "Coach"}}),
    };
    request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())).unwrap()
}

/// A value that fits a field of this name.
fn value(name: &str) -> Option<Value> {
    Some(match name {
        "messages" => json!([{"role": "user", "content": "x"}]),
        "jsonConfiguration" => json!("{}"),
        "document" => json!({"persona": {"name": "Kim Novak", "title": "Coach"}}),
        "status" => json!("inactive"),
        "visibility" => json!("private"),
        "advisorIds" | "contentJson" | "imageUrl" => return None,
        _ => json!("x"),
    })
}

async fn document_of(router: &Router) -> Value {
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body();
    serde_json::from_slice(&axum::body::to_bytes(body, 1 << 24).await.unwrap()).unwrap()
}
