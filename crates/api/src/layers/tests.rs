//! What every answer has, through a small router.

use super::*;
use crate::{extract::CursorKey, problem::MEDIA_TYPE};
use axum::{body::Body, routing::post};
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const APP: &str = "https://app.example.com";

#[tokio::test]
async fn an_unknown_route_is_a_problem() {
    let (response, body) = ask(Request::get("/nothing/here")).await;
    assert_eq!((response.status(), &body["error"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")));
    for path in ["//", "/..%2f", "/%2e%2e/x", "/%00", "/%ff"] {
        assert_eq!(ask(Request::get(path)).await.0.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_method_is_a_problem_that_names_the_known_ones() {
    for method in ["GET", "HEAD", "TRACE", "BREW", "DELETE"] {
        let (response, body) = ask(Request::builder().method(method).uri("/post")).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[header::ALLOW], "POST");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert!(method == "HEAD" || body["code"] == json!("METHOD_NOT_ALLOWED"), "{method}");
    }
    let overridden = Request::post("/post").header("x-http-method-override", "DELETE");
    assert_eq!(ask(overridden).await.0.status(), StatusCode::OK);
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_is_neither_sniffed_nor_kept() {
    for path in ["/post", "/nothing", "/panic"] {
        let (response, _) = ask(Request::post(path).header("x-request-id", "req-1")).await;
        assert_eq!(response.headers()["x-request-id"], "req-1");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
    let long = "x".repeat(129);
    for wrong in ["", "a b", "a\"b", long.as_str()] {
        let (response, _) = ask(Request::post("/post").header("x-request-id", wrong)).await;
        assert_eq!(response.headers()["x-request-id"].len(), 36, "{wrong}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let (response, body) = ask(Request::post("/panic")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["code"], json!("INTERNAL_ERROR"));
    assert!(!body.to_string().contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_503_with_the_command_id() {
    let (response, body) = ask(Request::post("/slow").header("idempotency-key", "key-1")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((&body["code"], &body["commandId"]), (&json!("TIMED_OUT"), &json!("key-1")));
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn a_browser_of_an_allowed_origin_may_call_with_credentials() {
    let (response, _) = ask(Request::post("/post").header(header::ORIGIN, APP)).await;
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    assert_eq!(
        response.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS],
        "x-position,x-conversation-id,x-active-advisor,x-request-id"
    );
    let (preflight, _) = ask(preflight(APP)).await;
    assert_eq!(preflight.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    assert!(preflight.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("idempotency-key"));
}

#[tokio::test]
async fn a_browser_of_any_other_origin_gets_no_permission() {
    for origin in ["https://evil.example.com", "null", "https://app.example.com.evil.com", "http://app.example.com"] {
        for request in [preflight(origin), Request::post("/post").header(header::ORIGIN, origin)] {
            let (response, _) = ask(request).await;
            assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
        }
    }
}

#[tokio::test]
async fn durations_are_measured_by_route_and_not_by_path() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    ask(Request::post("/things/secret-id")).await;
    ask(Request::builder().method("BREW").uri("/wherever")).await;
    let text = handle.render();
    assert!(text.contains(r#"route="/things/{id}",method="POST",status="200""#), "{text}");
    assert!(text.contains(r#"route="none",method="other",status="404""#), "{text}");
    assert!(!text.contains("secret-id") && !text.contains("wherever"), "{text}");
}

fn preflight(origin: &str) -> http::request::Builder {
    Request::options("/post")
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "idempotency-key")
}

async fn ask(request: http::request::Builder) -> (Response, Value) {
    let slow = Router::new()
        .route("/slow", post(std::future::pending::<()>))
        .layer(from_fn_with_state(Duration::from_secs(30), limit_time));
    let router = Router::new()
        .route("/post", post(async || "done"))
        .route("/things/{id}", post(async || "done"))
        .route("/panic", post(panicking))
        .merge(slow);
    let settings = Settings::new(CursorKey::from_bytes([0; 32]), vec![APP.to_owned()]);
    let response = surround(router, &settings).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, Body::empty()), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn panicking() {
    panic!("a secret");
}
