//! Headers that would say who somebody is, where they are, or where they stood.

use super::check_problem;
use crate::{
    live_client::LiveClient,
    raw_http::{exchange, request},
    server::{PATIENCE, Server},
};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_header_from_outside_does_not_say_who_somebody_is_or_what_they_ask_for() {
    let server = Server::start();
    let user = server.client("ana", &[]);
    server.client("bo", &[]).command("StartConversation", &json!({"title": "Bo's"})).await;
    for head in [
        "x-user-id: bo",
        "x-clerk-user-id: bo",
        "x-forwarded-user: bo",
        "x-remote-user: bo",
        "x-tenant: bo",
        "x-role: operator",
        "x-forwarded-for: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "forwarded: for=127.0.0.1;host=evil.example",
        "x-original-url: /api/advisors",
        "x-rewrite-url: /api/advisors",
        "x-forwarded-prefix: /admin",
        "x-http-method: DELETE",
        "x-forwarded-host: evil.example",
        "x-forwarded-proto: https",
        "x-method-override: POST",
    ] {
        let answer = user.raw("GET /api/me", &[head], b"").await;
        assert_eq!(
            (answer.status, &answer.json()["id"], &answer.json()["roles"]),
            (200, &json!("ana"), &json!(["user"])),
            "{head}"
        );
        let answer = user.raw("GET /api/conversations", &[head], b"").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"[]".as_slice()), "{head}");
        let nobody = exchange(&server.url, &request("GET /api/me", &[head], b"")).await.unwrap();
        assert_eq!(nobody.status, 401, "{head} signs somebody in");
    }
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_reflected_nowhere() {
    let user = Server::start().client_of("ana");
    for path in ["/api/me", "/docs", "/docs/", "/openapi.json", "/nothing", "/api/conversations/none"] {
        for line in [format!("GET {path}"), format!("GET http://evil.example{path}")] {
            let bytes = request(&line, &[&user.bearer(), "x-forwarded-host: evil.example"], b"");
            let bytes = String::from_utf8(bytes).unwrap().replacen("host: localhost", "host: evil.example", 1);
            let answer = exchange(&user.url, bytes.as_bytes()).await.unwrap();
            assert!([200, 308, 404].contains(&answer.status), "{line}: {answer:?}");
            assert!(!format!("{answer:?}{}", String::from_utf8_lossy(&answer.body)).contains("evil.example"), "{line}");
        }
    }
}

#[tokio::test]
async fn an_event_id_that_leads_nowhere_is_begun_anew_and_never_waited_for() {
    let server = Server::start();
    let (user, other) = (server.client("ana", &[]), server.client("bo", &[]));
    user.command("StartConversation", &json!({})).await;
    let queries = ["/api/conversations".to_owned()];
    let ids = async |client| {
        let mut device = LiveClient::connect(client, &queries, None).await;
        device.until("an id", |device| device.last_id.is_some()).await;
        device.last_id.unwrap()
    };
    let (own, foreign) = (ids(&user).await, ids(&other).await);
    let parts: Vec<&str> = own.split(':').collect();
    let with_position = |position: &str| format!("{}:{position}:{}", parts[0], parts[2]);
    for id in [
        foreign,
        with_position("9223372036854775807"),
        with_position("18446744073709551616"),
        with_position("-1"),
        with_position("abc"),
        with_position(""),
        format!("999:{}:{}", parts[1], parts[2]),
        "abc".into(),
        "1".into(),
        "::".into(),
        "' OR 1=1".into(),
        format!("{own}:"),
        own.to_uppercase().replace(':', ";"),
        "9".repeat(15_000),
    ] {
        let begun = Instant::now();
        let mut device = LiveClient::connect(&user, &queries, Some(&id)).await;
        device.until("a beginning", |device| !device.data.is_empty()).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{id} was waited for: {:?}", begun.elapsed());
        assert_eq!(device.resets.len(), 1, "{id}");
        assert_eq!(device.data[&queries[0]].as_array().unwrap().len(), 1, "{id}");
    }
    let large = format!("last-event-id: {}", "9".repeat(1_000_000));
    let line = "GET /api/live?query=/api/conversations";
    let answer = tokio::time::timeout(PATIENCE, user.raw(line, &[&large], b"")).await.unwrap();
    check_problem(&answer, 431, "HEADERS_TOO_LARGE", "an id of a megabyte");
}
