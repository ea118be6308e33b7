//! What bodies are taken, through a small router.

use super::*;
use crate::problem::MEDIA_TYPE;
use axum::{Router, response::IntoResponse, routing::post};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::{convert::Infallible, time::Duration};
use tower::ServiceExt;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Command {
    title: String,
    #[serde(default)]
    advisor_ids: Vec<String>,
    #[serde(default)]
    count: Option<u64>,
    #[serde(default)]
    document: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Lenient {
    title: String,
}

#[tokio::test]
async fn a_command_in_its_shape_is_taken_as_it_came() {
    let (status, body) =
        send("/command", "application/json", r#"{"title": " é\u0301 ", "count": 9007199254740993}"#).await;
    assert_eq!((status, body["title"].as_str()), (StatusCode::OK, Some(" é\u{301} ")));
    for media_type in
        ["application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/problem+json"]
    {
        assert_eq!(send("/command", media_type, r#"{"title": ""}"#).await.0, StatusCode::OK, "{media_type}");
    }
}

#[tokio::test]
async fn a_broken_shape_is_422_in_a_command_and_points_at_its_place() {
    for (body, pointer, message) in [
        (r"{}", "/title", "is required"),
        (r#"{"title": 7}"#, "/title", "must be a string"),
        (r#"{"title": "a", "advisorIds": ["x", {"secret": 1}]}"#, "/advisorIds/1", "must be a string"),
        (r#"{"title": "a", "user/id": "x"}"#, "/user~1id", "is not a field of this request"),
        (r#"{"title": "a", "count": -1}"#, "/count", "must be a whole number in its range"),
        (r#"{"title": "a", "count": 1.0}"#, "/count", "must be a whole number in its range"),
        (r#"{"title": "a", "count": "1"}"#, "/count", "must be a whole number in its range"),
        (r#"{"title": "a", "count": 18446744073709551616}"#, "/count", "is a number that can't be kept exactly"),
        (r#"{"title": "a", "document": {"a": [1e400]}}"#, "/document/a/0", "is a number that can't be kept exactly"),
        (r#"{"title": "a\u0000"}"#, "/title", "must not hold the character NUL"),
        (
            r#"{"title": "a", "document": {"deep": [{"x": "\u0000"}]}}"#,
            "/document/deep/0/x",
            "must not hold the character NUL",
        ),
        (r"[]", "", "must be a JSON object"),
        (r#""text""#, "", "must be a JSON object"),
    ] {
        let (status, answer) = send("/command", "application/json", body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("VALIDATION_ERROR")), "{body}");
        assert_eq!(answer["details"][0], json!({"pointer": pointer, "message": message}), "{body}");
    }
}

#[tokio::test]
async fn the_same_is_400_on_routes_of_the_first_application_which_ignore_unknown_fields() {
    let (status, answer) = send("/request", "application/json", r#"{"title": 7}"#).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("VALIDATION_ERROR")));
    assert_eq!(send("/request", "application/json", r#"{"title": "a\u0000"}"#).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send("/request", "application/json", r#"{"title": "a", "userId": "x"}"#).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_json_is_400_and_tells_only_where() {
    let many = format!("[{}]", "[],".repeat(10) + "}");
    for body in
        ["", "{", "{} {}", "{\"title\": \"\\ud800\"}", "{\"title\": NaN}", "\u{feff}{}", &many, &"[".repeat(100_000)]
    {
        let (status, answer) = send("/command", "application/json", body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_JSON")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("line 1"), "{answer}");
    }
    let invalid_utf8 = request("/command", "application/json").body(Body::from(&b"{\"title\": \"\xff\"}"[..])).unwrap();
    assert_eq!(ask(invalid_utf8).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn another_media_type_or_a_compressed_body_is_415() {
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=latin1",
        "json",
    ] {
        assert_eq!(send("/command", media_type, "{}").await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
    }
    let missing = Request::post("/command").body(Body::from("{}")).unwrap();
    assert_eq!(ask(missing).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for (encoding, status) in [("gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE), ("identity", StatusCode::OK)] {
        let request = request("/command", "application/json").header(header::CONTENT_ENCODING, encoding);
        assert_eq!(ask(request.body(Body::from(r#"{"title": "a"}"#)).unwrap()).await.0, status);
    }
}

#[tokio::test]
async fn a_body_one_byte_over_the_limit_is_413_whether_its_length_is_told_or_not() {
    let fitting = format!(r#"{{"title": "{}"}}"#, "x".repeat(limits().bytes_max - 13));
    assert_eq!(fitting.len(), limits().bytes_max);
    assert_eq!(send("/command", "application/json", &fitting).await.0, StatusCode::OK);
    let larger = fitting + " ";
    assert_eq!(send("/command", "application/json", &larger).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let chunks = futures::stream::iter([Ok::<_, Infallible>(larger.clone()), Ok(larger)]);
    let chunked = request("/command", "application/json").body(Body::from_stream(chunks)).unwrap();
    assert_eq!(ask(chunked).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let told = request("/command", "application/json").header(header::CONTENT_LENGTH, "10000000000");
    let never_sent = Body::from_stream(futures::stream::pending::<Result<String, Infallible>>());
    assert_eq!(ask(told.body(never_sent).unwrap()).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let silent = Body::from_stream(futures::stream::pending::<Result<String, Infallible>>());
    let (status, answer) = ask(request("/command", "application/json").body(silent).unwrap()).await;
    assert_eq!((status, &answer["code"]), (StatusCode::REQUEST_TIMEOUT, &json!("REQUEST_TIMEOUT")));
}

fn limits() -> BodyLimits {
    BodyLimits { bytes_max: 200_000, timeout: Duration::from_secs(30) }
}

fn request(path: &str, media_type: &str) -> http::request::Builder {
    Request::post(path).header(header::CONTENT_TYPE, media_type)
}

async fn send(path: &str, media_type: &str, body: &str) -> (StatusCode, Value) {
    ask(request(path, media_type).body(Body::from(body.to_owned())).unwrap()).await
}

async fn ask(request: Request<Body>) -> (StatusCode, Value) {
    let router = Router::new()
        .route(
            "/command",
            post(async |CommandBody { value, json }: CommandBody<Command>| {
                assert!(value.advisor_ids.is_empty() && value.document.is_none() && value.count != Some(1));
                assert_eq!(json["title"], json!(value.title));
                axum::Json(json)
            }),
        )
        .route("/request", post(async |body: RequestBody<Lenient>| body.value.title.into_response()))
        .with_state(limits());
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    if !status.is_success() {
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}
