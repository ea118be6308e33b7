//! The rows 71 to 77 of the table of attacks, and what deliveries leave in the log, in whatever order they come.

use crate::{
    auth::test_issuer::NOW,
    live::EVENT_STREAM,
    test_api::{Answer, TestApi},
};
use advisor_commands::{CommandContext, UserCommand, UserRefusal};
use advisor_eventlog::Direction;
use advisor_events::{Actor, Clock, Event, KeyError, StreamName, UserId};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;

const SECRET: &[u8] = b"the webhooks' secret, for tests";
const PATH: &str = "/api/webhooks/clerk";

#[tokio::test]
async fn without_a_secret_the_route_does_not_exist() {
    let test = TestApi::start().await;
    let absent = test.ask_signed_out(Request::post("/api/webhooks/nobody"), Some(json!({}))).await;
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let answer = test.ask_signed_out(Request::builder().method(method).uri(PATH), Some(json!({}))).await;
        assert_eq!((answer.status, &answer.body), (absent.status, &absent.body));
    }
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_delivery_that_is_not_signed_as_one_must_be_is_400_and_one_that_others_signed_401() {
    let test = start().await;
    let body = created("ana", 10).to_string();
    let good = signature(SECRET, "m1", NOW, &body);
    let (soon, late) = ((NOW + 301).to_string(), (NOW - 301).to_string());
    let now = NOW.to_string();
    for (id, timestamp, signatures, status) in [
        (None, Some(now.as_str()), Some(good.clone()), 400),
        (Some("m1"), None, Some(good.clone()), 400),
        (Some("m1"), Some(&now), None, 400),
        (Some("m1"), Some(&now), Some("v1,not base64".to_owned()), 400),
        (Some("m1"), Some(&late), Some(signature(SECRET, "m1", NOW - 301, &body)), 400),
        (Some("m1"), Some(&soon), Some(signature(SECRET, "m1", NOW + 301, &body)), 400),
        (Some("m1"), Some("text"), Some(good.clone()), 400),
        (Some("m1"), Some("-5"), Some(good.clone()), 400),
        (Some("m1"), Some(&now), Some(vec![good.as_str(); 10_000].join(" ")), 400),
        (Some("m1"), Some(&now), Some(signature(b"another secret", "m1", NOW, &body)), 401),
        (Some("m2"), Some(&now), Some(good.clone()), 401),
        (Some("m1"), Some(&now), Some(signature(SECRET, "m1", NOW, &(body.clone() + " "))), 401),
        (Some("m1"), Some(&now), Some(good.replace("v1,", "v0,")), 401),
        (Some("m1"), Some(&now), Some(good.replace("v1,", "v1a,")), 401),
    ] {
        let answer = send(&test, id, timestamp, signatures.as_deref(), &body).await;
        assert_eq!(answer.status, status, "{id:?} {timestamp:?} {signatures:?}");
    }
    assert!(events(&test, "ana").await.is_empty());
    let several = format!("v1,{} v1a,x {good}", STANDARD.encode([0; 32]));
    assert_eq!(send(&test, Some("m1"), Some(&now), Some(&several), &body).await.status, 200);
    assert_eq!(events(&test, "ana").await, ["user.registered.v1"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_before_it_is_looked_at_and_without_a_signature_400() {
    let test = start().await;
    let body = "x".repeat(5 * 1024 * 1024);
    let signatures = signature(SECRET, "m1", NOW, &body);
    let answer = send(&test, Some("m1"), Some(&NOW.to_string()), Some(&signatures), &body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(&test, None, None, None, &body).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_same_delivery_a_hundred_times_has_one_effect() {
    let test = start().await;
    let body = created("ana", 10);
    for answer in futures::future::join_all((0..50).map(|_| tell(&test, "m1", &body))).await {
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &json!({"received": true})));
    }
    for _ in 0..50 {
        assert_eq!(tell(&test, "m1", &body).await.status, StatusCode::OK);
    }
    assert_eq!(events(&test, "ana").await, ["user.registered.v1"]);
    assert_eq!(tell(&test, "m1", &created("ana", 11)).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_is_told_of_a_person_is_what_they_see() {
    let test = start().await;
    tell(&test, "m1", &created("ana", 10)).await;
    tell(&test, "m2", &updated("ana", 30, "Ana Maria", "premium")).await;
    tell(&test, "m3", &updated("ana", 20, "Anna", "base")).await;

    let me = test.ask("ana", Request::get("/api/me"), None).await.body;

    let email = json!("ana@example.org");
    assert_eq!((&me["name"], &me["email"], &me["plan"]), (&json!("Ana Maria"), &email, &json!("premium")));
    let recorded = test.api.log.read_stream(&stream("ana"), 0, Direction::Forward, 9).await.unwrap();
    for event in recorded {
        let (_, metadata) = Event::decode(&event.type_name, &event.data, &event.metadata).unwrap();
        assert_eq!(metadata.actor, Actor::Webhook("clerk".to_owned()));
    }
}

#[tokio::test]
async fn a_person_whom_their_token_registered_gets_their_profile_from_older_news() {
    let test = start().await;
    test.ask("ana", Request::get("/api/me"), None).await;
    tell(&test, "m1", &created("ana", 10)).await;

    let me = test.ask("ana", Request::get("/api/me"), None).await.body;

    assert_eq!(me["name"], json!("Ana"));
}

#[tokio::test]
async fn a_deletion_holds_whatever_comes_before_and_after_it() {
    let test = start().await;
    // Ben's news come in their order, Ana's deletion before everything else.
    tell(&test, "b1", &created("ben", 10)).await;
    assert_eq!(test.ask("ben", Request::get("/api/me"), None).await.status, StatusCode::OK);
    for (user, id) in [("ana", "a"), ("ben", "b")] {
        let deleted = json!({"type": "user.deleted", "data": {"id": user, "deleted": true}});
        for _ in 0..3 {
            assert_eq!(tell(&test, &format!("{id}9"), &deleted).await.status, StatusCode::OK);
        }
        for (number, news) in [created(user, 10), updated(user, 99, "Late", "base")].into_iter().enumerate() {
            assert_eq!(tell(&test, &format!("{id}1{number}"), &news).await.status, StatusCode::OK);
        }
        assert_eq!(test.ask(user, Request::get("/api/me"), None).await.status, StatusCode::UNAUTHORIZED);
        assert!(matches!(test.keys.obtain(&user.into()).await, Err(KeyError::Destroyed)), "the key is gone");
    }
    assert_eq!(events(&test, "ana").await, ["user.deleted.v1"]);
    assert_eq!(events(&test, "ben").await, ["user.registered.v1", "user.deleted.v1"]);
}

#[tokio::test]
async fn an_operator_still_erases_nobody_who_was_never_seen() {
    let test = start().await;
    let user_id = UserId::from("anna");
    let context = CommandContext::new(Actor::Operator("olga".into()), "d".to_owned(), test.clock.now());
    let refused = test.api.commands.erase(&user_id, UserCommand::Delete { user_id: user_id.clone() }, context).await;
    assert!(matches!(refused, Err(advisor_commands::CommandError::Refused(UserRefusal::NotFound))), "{refused:?}");
}

#[tokio::test]
async fn an_ended_session_is_signed_out_and_the_person_s_other_ones_are_not() {
    for kind in ["session.ended", "session.removed", "session.revoked"] {
        let test = start().await;
        let watching = Request::get("/api/me").header("accept", EVENT_STREAM);
        assert_eq!(test.ask("ana", Request::get("/api/me"), None).await.status, StatusCode::OK);
        tell(&test, "m1", &json!({"type": kind, "data": {"id": "sess_ana", "user_id": "ana"}})).await;
        assert_eq!(test.ask("ana", Request::get("/api/me"), None).await.status, StatusCode::UNAUTHORIZED, "{kind}");
        assert_eq!(test.ask("ana", watching, None).await.status, StatusCode::UNAUTHORIZED, "{kind}");
        assert_eq!(test.ask("ben", Request::get("/api/me"), None).await.status, StatusCode::OK);
        assert_eq!(events(&test, "ana").await, ["user.registered.v1"], "the account is what it was");
    }
}

#[tokio::test]
async fn events_of_other_types_are_answered_and_change_nothing() {
    let test = start().await;
    let head = test.api.log.head().await.unwrap();
    let answer = tell(&test, "m1", &json!({"type": "organization.created", "data": {"id": "org_1"}})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(test.api.log.head().await.unwrap(), head);
}

#[tokio::test]
async fn what_can_not_be_kept_is_503_and_kept_when_it_is_told_again() {
    let test = start().await;
    let ended = json!({"type": "session.ended", "data": {"id": "sess_ana"}});
    test.api.side.close().await;
    let answer = tell(&test, "m1", &ended).await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("UNAVAILABLE")));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(test.ask("ana", Request::get("/api/me"), None).await.status, StatusCode::OK);
}

async fn start() -> TestApi {
    let mut test = TestApi::start().await;
    let secret = format!("whsec_{}", STANDARD.encode(SECRET)).parse().unwrap();
    Arc::make_mut(&mut test.api.settings).clerk_webhook_secret = Some(secret);
    test
}

fn created(user: &str, at: i64) -> Value {
    let mut event = updated(user, at, "Ana", "free");
    event["type"] = json!("user.created");
    event
}

fn updated(user: &str, at: i64, name: &str, plan: &str) -> Value {
    json!({"type": "user.updated", "object": "event", "data": {
        "id": user, "first_name": name, "updated_at": at, "public_metadata": {"plan": plan},
        "email_addresses": [{"id": "idn_1", "email_address": format!("{user}@example.org")}]
    }})
}

/// A delivery as Svix makes it.
async fn tell(test: &TestApi, id: &str, event: &Value) -> Answer {
    let body = event.to_string();
    let signatures = signature(SECRET, id, NOW, &body);
    send(test, Some(id), Some(&NOW.to_string()), Some(&signatures), &body).await
}

async fn send(
    test: &TestApi,
    id: Option<&str>,
    timestamp: Option<&str>,
    signatures: Option<&str>,
    body: &str,
) -> Answer {
    let headers = [("svix-id", id), ("svix-timestamp", timestamp), ("svix-signature", signatures)];
    let request = headers.into_iter().fold(Request::post(PATH), |request, (name, value)| match value {
        Some(value) => request.header(name, value),
        None => request,
    });
    test.send(request.body(body.to_owned().into()).unwrap()).await
}

fn signature(secret: &[u8], id: &str, sent_at: i64, body: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).unwrap();
    mac.update(format!("{id}.{sent_at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn stream(user: &str) -> StreamName {
    StreamName::user(&user.into())
}

/// The types of a person's events.
async fn events(test: &TestApi, user: &str) -> Vec<String> {
    let events = test.api.log.read_stream(&stream(user), 0, Direction::Forward, 100).await.unwrap_or_default();
    events.iter().map(|event| event.type_name.to_string()).collect()
}
