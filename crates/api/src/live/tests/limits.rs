//! How many streams, how long, and what becomes of those that can't go on.

use super::{
    caller::Caller,
    watcher::Watcher,
    world::{conversation, delete_user, message, public_advisor, revise},
};
use crate::{
    live::Hub,
    test_api::TestApi,
    traffic::{Traffic, TrafficLimits},
};
use advisor_bus::{Bus, BusError, BusMessage, Listener, Topic};
use advisor_projections::side::revocations::Subject;
use async_trait::async_trait;
use http::{StatusCode, header};
use serde_json::json;
use std::{future::pending, sync::Arc, time::Duration};
use tokio_util::task::TaskTracker;

#[tokio::test]
async fn the_twenty_first_stream_of_a_person_is_refused_until_one_of_them_ends() {
    let test = TestApi::start().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(Watcher::of(&test, "ana", &["/api/me"]).await);
    }
    let Err(answer) = Watcher::try_of(&test, "ana", &["/api/me"]).await else { panic!("a 21st stream") };
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("TOO_MANY_STREAMS")));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    // Others are not concerned, and a stream that was refused takes no place.
    Watcher::of(&test, "bo", &["/api/me"]).await;
    drop(streams.pop());
    Watcher::of(&test, "ana", &["/api/me"]).await;
    let Err(answer) = Watcher::try_of(&test, "ana", &["/api/nothing"]).await else { panic!("nothing is shown") };
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    Watcher::of(&test, "ana", &["/api/me"]).await;
}

#[tokio::test]
async fn beyond_the_streams_of_everybody_nobody_gets_one_until_one_ends() {
    let mut test = TestApi::start().await;
    Arc::make_mut(&mut test.api.settings).streams.all_max = 3;
    let signed_out = Watcher::at(&test, None, "/api/live?query=/api/advisors", None).await.unwrap_or_else(|answer| {
        panic!("{answer:?}");
    });
    let _streams = (Watcher::of(&test, "ana", &["/api/me"]).await, Caller::of(&test, Some("ana")).await);

    for user in [Some("bo"), None] {
        let refused = Watcher::at(&test, user, "/api/live?query=/api/advisors", None).await;
        let Err(answer) = refused else { panic!("a fourth stream") };
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("OVERLOADED")));
        assert!(answer.headers.contains_key(header::RETRY_AFTER));
    }
    let mut socket = Caller::connect(&test).await;
    socket.say(&json!({"type": "authenticate", "token": TestApi::token("bo")})).await;
    assert_eq!(socket.wait_for("error").await["code"], "OVERLOADED");
    assert_eq!(socket.end().await.1, Some(1013));

    drop(signed_out);
    Watcher::of(&test, "bo", &["/api/me"]).await;
}

#[tokio::test]
async fn a_stream_names_one_to_twenty_queries() {
    let test = TestApi::start().await;
    let many: Vec<String> = (1..=21).map(|limit| format!("/api/conversations/c/messages?limit={limit}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for queries in [&[][..], &many] {
        let Err(answer) = Watcher::try_of(&test, "ana", queries).await else { panic!("{queries:?}") };
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::BAD_REQUEST, &json!("VALIDATION_ERROR")));
    }
    let mut twice = Watcher::of(&test, "ana", &["/api/me", "/api/me"]).await;
    twice.next().await.unwrap();
    assert!(twice.id.is_some(), "the same query twice is one");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let mut slow = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    slow.next().await.unwrap();
    message(&test, "ana", &id, "hello").await;
    // The frame before was handed over long ago, and nobody asked for another one since.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(slow.end().await, "slow");
    let others = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    drop(others);
}

#[tokio::test]
async fn a_stream_that_there_is_no_room_for_is_cut_off_and_short_ones_go_on() {
    let mut test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    for _ in 0..4 {
        message(&test, "ana", &id, &"x".repeat(32_000)).await;
    }
    let query = format!("/api/conversations/{id}");
    let room =
        |events_bytes_max| Arc::new(Traffic::new(TrafficLimits { events_bytes_max, ..TrafficLimits::default() }));
    test.api.traffic = room(100_000);
    assert_eq!(Watcher::of(&test, "ana", &[&query]).await.end().await, "slow");
    let mut short = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    short.next().await.unwrap();

    // What was read takes no room any more.
    test.api.traffic = room(200_000);
    let (mut first, mut second) =
        (Watcher::of(&test, "ana", &[&query]).await, Watcher::of(&test, "ana", &[&query]).await);
    first.agree(&test, "ana").await;
    second.agree(&test, "ana").await;
}

#[tokio::test]
async fn a_client_that_reads_late_moves_to_where_the_others_are_in_one_step() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let mut late = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    late.next().await.unwrap();
    for _ in 0..30 {
        message(&test, "ana", &id, "hello").await;
    }
    late.next().await.unwrap();
    late.agree(&test, "ana").await;
    assert_eq!(late.told.len(), 2, "thirty changes are one step");
}

#[tokio::test]
async fn a_stream_ends_five_minutes_after_its_token() {
    let mut test = TestApi::start().await;
    Arc::make_mut(&mut test.api.settings).streams.heartbeat = Duration::from_millis(20);
    let mut watcher = Watcher::of(&test, "ana", &["/api/me"]).await;
    watcher.next().await.unwrap();
    // The token has ended a minute after the test began; nearly five minutes later the stream is there.
    test.clock.advance(60 + 299);
    assert_eq!(watcher.raw().await.unwrap(), ":\n\n");
    test.clock.advance(2);
    assert_eq!(watcher.end().await, "session");
}

#[tokio::test]
async fn the_streams_of_a_person_who_is_deleted_end() {
    let test = TestApi::start().await;
    conversation(&test, "ana").await;
    let mut own = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    let mut public = Watcher::of(&test, "ana", &["/api/advisors"]).await;
    own.next().await.unwrap();
    public.next().await.unwrap();
    delete_user(&test, "ana").await;
    assert_eq!(own.end().await, "session");
    assert_eq!(public.end().await, "session");
}

#[tokio::test]
async fn the_streams_of_a_revoked_session_or_person_end_and_no_others() {
    let test = TestApi::start().await;
    let mut streams = Vec::new();
    for user in ["ana", "bo", "cy"] {
        let mut stream = Watcher::of(&test, user, &["/api/advisors"]).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    let [ana, bo, cy] = &mut streams[..] else { panic!("three streams") };
    test.api.revoked.revoke(Subject::Session("sess_ana".to_owned())).await.unwrap();
    assert_eq!(ana.end().await, "session");
    test.api.revoked.revoke(Subject::Person("bo".into())).await.unwrap();
    assert_eq!(bo.end().await, "session");
    public_advisor(&test, "robin", "Coach").await;
    cy.agree(&test, "cy").await;
    let Err(answer) = Watcher::try_of(&test, "ana", &["/api/advisors"]).await else { panic!("ana is signed out") };
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn on_shutdown_a_stream_ends_and_says_when_to_come_back() {
    let test = TestApi::start().await;
    let mut watcher = Watcher::of(&test, "ana", &["/api/me"]).await;
    watcher.next().await.unwrap();
    test.api.shutdown.cancel();
    let retry = watcher.raw().await.unwrap();
    assert!(retry.starts_with("retry: "), "{retry}");
    assert_eq!(watcher.end().await, "shutdown");
    let Err(answer) = Watcher::try_of(&test, "ana", &["/api/me"]).await else { panic!("a stream on shutdown") };
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("SHUTTING_DOWN")));
}

#[tokio::test]
async fn without_a_single_message_of_the_bus_streams_still_move_on() {
    let mut test = TestApi::start().await;
    let deaf = Hub::new(test.api.reader.clone(), Arc::new(DeafBus));
    TaskTracker::new().spawn(Arc::clone(&deaf).run(test.runner.clone()));
    test.api.live = deaf;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    let mut watcher = Watcher::of(&test, "ana", &["/api/conversations", "/api/advisors"]).await;
    watcher.until(|watcher| watcher.kept.len() == 2).await;
    message(&test, "ana", &id, "hello").await;
    watcher.agree(&test, "ana").await;
    revise(&test, "robin", "Chef").await;
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn what_many_look_at_is_read_once() {
    let test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let before = test.api.reader.position();
    let hub = &test.api.live;
    assert!(hub.wait_until_told(before, Duration::from_secs(5)).await);
    let after = hub.last_public(before).unwrap();
    revise(&test, "robin", "Chef").await;
    let told = test.api.reader.position();
    let (first, second) = tokio::join!(hub.public().read(after, told), hub.public().read(after, told));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.advisors.len(), 1);
    assert_eq!(first.position, told);
}

/// A bus that loses everything.
struct DeafBus;

#[async_trait]
impl Bus for DeafBus {
    async fn publish(&self, _: &Topic, _: BusMessage) -> Result<(), BusError> {
        Ok(())
    }

    async fn listen(&self, _: &Topic) -> Result<Box<dyn Listener>, BusError> {
        Ok(Box::new(DeafBus))
    }
}

#[async_trait]
impl Listener for DeafBus {
    async fn next(&mut self) -> Option<BusMessage> {
        pending().await
    }
}
