//! What is let in, through the routes themselves.

use super::*;
use crate::{
    auth::test_issuer::NOW,
    test_api::{Answer, TestApi},
    test_talk::{ANA, BEN, KIM, LEO},
};
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, StatusCode, header, request::Builder};
use serde_json::{Value, json};
use std::convert::Infallible;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

const SLOWLY: Rate = Rate { per_minute: 1, burst: 2 };

#[tokio::test]
async fn a_person_who_commands_too_often_is_refused_and_others_are_not() {
    let api = limited(|limits| limits.rates.commands = SLOWLY).await;
    for left in [1, 0] {
        let answer = start_conversation(&api, ANA).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["ratelimit-policy"], "\"commands\";q=2;w=120");
        assert!(rate_limit(&answer).starts_with(&format!("\"commands\";r={left};t=")), "{answer:?}");
    }
    let refused = start_conversation(&api, ANA).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("RATE_LIMITED")));
    assert!(rate_limit(&refused).starts_with("\"commands\";r=0;t="), "{refused:?}");
    let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");

    assert_eq!(start_conversation(&api, BEN).await.status, StatusCode::OK);
    let read = api.ask(ANA, Request::get("/api/conversations"), None).await;
    assert_eq!(read.status, StatusCode::OK, "queries are counted for themselves");
    assert!(rate_limit(&read).starts_with("\"queries\";r="), "{read:?}");
}

#[tokio::test]
async fn refusals_of_other_kinds_carry_what_is_left_too() {
    let api = limited(|_| {}).await;
    let missing = api.ask(ANA, Request::get("/api/conversations/none"), None).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(rate_limit(&missing).starts_with("\"queries\";r="), "{missing:?}");
    let broken = api.ask(ANA, Request::post("/api/commands/StartConversation"), Some(json!({"x": 1}))).await;
    assert_eq!(broken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(rate_limit(&broken).starts_with("\"commands\";r="), "{broken:?}");
    let no_json = from(HERE, Request::post("/api/commands/StartConversation").header(header::ACCEPT, "text/plain"));
    let refused = api.ask(ANA, no_json, Some(json!({}))).await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
    assert!(rate_limit(&refused).starts_with("\"anonymous\";r="), "{refused:?}");
}

#[tokio::test]
async fn who_is_signed_out_is_counted_by_address() {
    let api = limited(|limits| limits.rates.anonymous = SLOWLY).await;
    for path in ["/api/advisors", "/readyz"] {
        assert_eq!(api.ask_signed_out(from(HERE, Request::get(path)), None).await.status, StatusCode::OK);
    }
    for path in ["/api/advisors", "/api/me", "/readyz", "/api/health", "/openapi.json"] {
        let answer = api.ask_signed_out(from(HERE, Request::get(path)), None).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    let answer = api.ask_signed_out(from(ELSEWHERE, Request::get("/api/advisors")), None).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = api.ask(ANA, from(HERE, Request::get("/api/advisors")), None).await;
    assert_eq!(answer.status, StatusCode::OK, "who is signed in is not counted by address");
}

#[tokio::test]
async fn an_address_that_guesses_tokens_is_refused_unread_and_who_was_let_in_before_goes_on() {
    let api = limited(|limits| limits.rates.refused_sign_ins = SLOWLY).await;
    let me = |place, token: &str| {
        from(place, Request::get("/api/me")).header(header::AUTHORIZATION, format!("Bearer {token}"))
    };
    assert_eq!(api.ask_signed_out(me(HERE, &TestApi::token(ANA)), None).await.status, StatusCode::OK);
    for _ in 0..2 {
        let refused = api.ask_signed_out(me(HERE, &TestApi::forged_token(ANA)), None).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(rate_limit(&refused).starts_with("\"sign-ins\";r="), "{refused:?}");
    }
    let refused = api.ask_signed_out(me(HERE, &TestApi::forged_token(ANA)), None).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("RATE_LIMITED")));
    let unseen = api.ask_signed_out(me(HERE, &TestApi::token(BEN)), None).await;
    assert_eq!(unseen.status, StatusCode::TOO_MANY_REQUESTS, "it may be a guess like the others");

    assert_eq!(api.ask_signed_out(me(HERE, &TestApi::token(ANA)), None).await.status, StatusCode::OK);
    assert_eq!(api.ask_signed_out(me(ELSEWHERE, &TestApi::token(BEN)), None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn forged_webhooks_keep_nobody_from_signing_in_nor_guessed_tokens_a_webhook_from_coming() {
    let mut api = limited(|limits| limits.rates.refused_sign_ins = SLOWLY).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    Arc::make_mut(&mut api.api.settings).clerk_webhook_secret = Some(secret);
    let forged = async |place| {
        let request = from(place, Request::post("/api/webhooks/clerk"))
            .header("svix-id", "m1")
            .header("svix-timestamp", NOW)
            .header("svix-signature", format!("v1,{}", "A".repeat(43) + "="));
        api.send(request.body("{}".into()).unwrap()).await.status
    };
    let me = async |place, token: &str| {
        let request = from(place, Request::get("/api/me")).header(header::AUTHORIZATION, format!("Bearer {token}"));
        api.ask_signed_out(request, None).await.status
    };
    for expected in [StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(forged(HERE).await, expected);
    }
    assert_eq!(me(HERE, &TestApi::token(ANA)).await, StatusCode::OK, "somebody whom nobody has seen before");
    for expected in [StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(me(ELSEWHERE, &TestApi::forged_token(ANA)).await, expected);
    }
    assert_eq!(forged(ELSEWHERE).await, StatusCode::UNAUTHORIZED, "it was looked at");
}

#[tokio::test]
async fn an_address_is_that_of_the_connection_unless_a_trusted_proxy_says_another() {
    let told = |place| from(place, Request::get("/api/advisors")).header("x-forwarded-for", "198.51.100.7");
    let api = limited(|limits| {
        limits.rates.anonymous = SLOWLY;
        limits.trusted_proxies = vec!["192.0.2.1".parse().unwrap()].into();
    })
    .await;
    for place in [HERE, HERE] {
        assert_eq!(api.ask_signed_out(told(place), None).await.status, StatusCode::OK);
    }
    assert_eq!(api.ask_signed_out(told(HERE), None).await.status, StatusCode::TOO_MANY_REQUESTS);
    let direct = from("198.51.100.7", Request::get("/api/advisors"));
    assert_eq!(api.ask_signed_out(direct, None).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(api.ask_signed_out(told(ELSEWHERE), None).await.status, StatusCode::OK, "nobody believes this one");
}

#[tokio::test]
async fn replies_are_counted_one_by_one_whatever_asks_for_them() {
    let mut api = TestApi::with_advisors().await;
    let mut limits = TrafficLimits::default();
    limits.rates.replies = Rate { per_minute: 1, burst: 3 };
    api.api.traffic = Arc::new(Traffic::new(limits));
    let conversation = api.conversation(ANA).await;
    let send = |advisors: Value| json!({"conversationId": conversation, "content": "Well?", "advisorIds": advisors});

    let two = api.command(ANA, "SendMessage", send(json!([KIM, LEO]))).await;
    assert!(rate_limit(&two).contains("\"replies\";r=1;t="), "{two:?}");
    let refused = api.command(ANA, "SendMessage", send(json!([KIM, LEO]))).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("RATE_LIMITED")));
    let nobody = api.command(ANA, "SendMessage", send(json!([]))).await;
    assert_eq!(nobody.status, StatusCode::OK, "it costs nothing");
    assert_eq!(api.command(ANA, "SendMessage", send(json!([KIM]))).await.status, StatusCode::OK);
    let chat = json!({"conversationId": conversation, "messages": [{"role": "user", "content": "And now?"}]});
    assert_eq!(api.post(ANA, "/api/chat", chat).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn beyond_what_can_run_requests_are_refused_at_once_and_a_command_can_be_asked_again_by_its_key() {
    let only = GateLimits { running_max: 1, waiting_max: 0, wait: Duration::ZERO };
    let api = limited(|limits| limits.commands = only).await;
    let busy = api.api.traffic.commands.enter().await.unwrap();

    let refused = api.command_as(ANA, "key-1", "StartConversation", json!({})).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("OVERLOADED")));
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    assert_eq!(refused.body["commandId"], json!("key-1"));
    let read = api.get(ANA, "/api/conversations").await;
    assert_eq!(read.status, StatusCode::OK, "queries have a gate of their own");

    drop(busy);
    assert_eq!(api.command_as(ANA, "key-1", "StartConversation", json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn whose_body_is_slow_lets_others_pass() {
    let api = limited(|limits| {
        limits.commands = GateLimits { running_max: 1, waiting_max: 10, wait: Duration::from_secs(20) };
    })
    .await;
    let (begun, rest, body) = slow_body();
    let request = Request::post("/api/commands/StartConversation")
        .header(header::AUTHORIZATION, format!("Bearer {}", TestApi::token(ANA)))
        .header(header::CONTENT_TYPE, "application/json");
    let slow = TaskTracker::new().spawn(api.router().oneshot(request.body(body).unwrap()));
    begun.await.unwrap();
    api.conversation(BEN).await;
    assert!(!slow.is_finished());
    rest.send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_take_no_more_than_their_room() {
    let api = limited(|limits| limits.bodies_bytes_max = 300).await;
    // Beyond what takes no room.
    let title = |length: usize| json!({"title": "x".repeat(BODY_FREE_BYTES + length)});
    let refused = api.command_as(ANA, "key-1", "StartConversation", title(350)).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("OVERLOADED")));
    assert_eq!(refused.headers[header::CONNECTION], "close");
    assert_eq!(refused.body["commandId"], json!("key-1"));
    for _ in 0..3 {
        let taken = api.command(ANA, "StartConversation", title(60)).await;
        assert_eq!(taken.problem(), (422, "VALIDATION_ERROR"), "it is given back");
    }
    // Values take more than their text: here 100 bytes each.
    let values = |count: usize| json!({"title": "A title", "more": vec![0; count]});
    let refused = api.post(ANA, "/api/conversations", values(45)).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("OVERLOADED")));
    assert_eq!(api.post(ANA, "/api/conversations", values(38)).await.status, StatusCode::OK);
}

/// Whoever is at the first address of the documentation's network, and whoever is at the second.
const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "192.0.2.2";

async fn limited(change: impl FnOnce(&mut TrafficLimits)) -> TestApi {
    let mut api = TestApi::start().await;
    let mut limits = TrafficLimits::default();
    change(&mut limits);
    api.api.traffic = Arc::new(Traffic::new(limits));
    api
}

fn from(place: &str, request: Builder) -> Builder {
    request.extension(Peer(place.parse().unwrap()))
}

async fn start_conversation(api: &TestApi, user: &str) -> Answer {
    api.command(user, "StartConversation", json!({})).await
}

fn rate_limit(answer: &Answer) -> &str {
    answer.headers.get("ratelimit").map_or("", |value| value.to_str().unwrap())
}

/// A body that says when it is asked for, and whose end comes when it is told to.
fn slow_body() -> (oneshot::Receiver<()>, oneshot::Sender<()>, Body) {
    let ((asking, begun), (rest, told)) = (oneshot::channel(), oneshot::channel::<()>());
    let beginning = stream::once(async {
        asking.send(()).unwrap();
        Bytes::from_static(b"{")
    });
    let end = stream::once(async {
        told.await.unwrap();
        Bytes::from_static(b"}")
    });
    (begun, rest, Body::from_stream(beginning.chain(end).map(Ok::<_, Infallible>)))
}
