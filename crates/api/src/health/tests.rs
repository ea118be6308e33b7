//! Health on both listeners, and what a request sees of the whole.

use super::*;
use crate::test_api::{Answer, TestApi};
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

#[tokio::test]
async fn a_server_that_works_is_ready_and_healthy() {
    let api = TestApi::start().await;
    let ready = get(&api, "/readyz").await;
    assert_eq!((ready.status, &ready.body), (StatusCode::OK, &json!({"status": "ready"})));
    let verbose = get(&api, "/readyz?verbose").await;
    let names: Vec<_> = verbose.body["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["server"]);
    let health = get(&api, "/api/health").await;
    assert_eq!(
        (&health.body["status"], &health.body["timestamp"]),
        (&json!("healthy"), &json!("2025-09-16T08:15:30.000Z"))
    );
    assert!(health.body["checks"].is_null());
    assert!(get(&api, "/api/health?detailed=true").await.body["checks"].is_array());
    assert_eq!(get(&api, "/livez").await.status, StatusCode::OK);
    assert_eq!(get(&api, "/version").await.body["name"], "advisor");
}

#[tokio::test]
async fn a_server_that_stops_is_not_ready_and_lives() {
    let api = TestApi::start().await;
    api.api.shutdown.cancel();
    assert_eq!(get(&api, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&api, "/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_check_that_fails_is_enough_not_to_be_ready() {
    let api = TestApi::start_with(vec![Arc::new(Broken)]).await;
    let ready = get(&api, "/readyz?verbose=true").await;
    assert_eq!((ready.status, &ready.body["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("not ready")));
    assert_eq!(ready.body["checks"][1], json!({"name": "workers", "ok": false, "detail": "none runs"}));
    assert_eq!(get(&api, "/api/health").await.body["status"], "degraded");
}

#[tokio::test]
async fn metrics_and_events_are_on_the_operators_listener_alone() {
    let api = TestApi::start().await;
    for path in ["/metrics", "/admin/events", "/admin/streams/log"] {
        assert_eq!(get(&api, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let admin = crate::admin_router(&api.api, recorder.handle(), api.log_access());
    for (path, status) in [
        ("/metrics", StatusCode::OK),
        ("/readyz", StatusCode::OK),
        ("/admin/events", StatusCode::UNAUTHORIZED),
        ("/api/health", StatusCode::NOT_FOUND),
    ] {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = admin.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        response.into_body().collect().await.unwrap();
    }
}

struct Broken;

#[async_trait]
impl Check for Broken {
    fn name(&self) -> &'static str {
        "workers"
    }

    async fn look(&self) -> Result<String, CheckFailed> {
        Err(CheckFailed("none runs".to_owned()))
    }
}

async fn get(api: &TestApi, path: &str) -> Answer {
    api.ask_signed_out(Request::get(path), None).await
}
