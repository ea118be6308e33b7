//! What stands in the server, and what of it surfaces.

use crate::fixture::{brisk_log, log};
use advisor_eventlog::{
    AppendError, Direction, EventLog, Expected, Filter, Position, ReadError,
    contract::scene::{Scene, at, event, events, ids, recorded_ids},
};
use advisor_events::StreamName;
use advisor_kurrentdb_double::{Double, Fault};
use std::sync::Arc;

/// Trap 14: JSON is JSON to the server's own tools, byte for byte; the rest is bytes.
#[tokio::test]
async fn json_goes_in_as_json_and_other_bytes_as_bytes() {
    let double = Double::start();
    let log = brisk_log(&double.url()).await;
    let cases: [(&[u8], &str); 5] = [
        (br#"{"b": 1.0e5,  "a":"\u00e4"}"#, "application/json"),
        (b"[1]", "application/json"),
        (b" {}", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b"\xff\x00", "application/octet-stream"),
    ];
    let stream = StreamName::from_text("a-1");
    let batch: Vec<_> = cases.iter().map(|(data, _)| event(data.to_vec())).collect();

    log.append(&stream, at(0), batch).await.expect("an append");

    let stored = double.stored("advisor.a-1");
    assert_eq!(stored.len(), cases.len());
    for (stored, (data, content_type)) in stored.iter().zip(cases) {
        assert_eq!((&*stored.data, &*stored.system_metadata["content-type"]), (data, content_type));
        assert_eq!(&*stored.metadata, b"{\"by\":\"contract\"}");
    }
}

/// Case 38 and trap 15: neither the system's events nor other people's surface, and the head passes them.
#[tokio::test]
async fn what_is_not_ours_never_surfaces() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(log(&double.url(), |_| {}).await));
    let mut follower = scene.subscribe_to(Position::START, Filter::all()).await;
    follower.until_caught_up().await;
    let mut all = scene.fill("a", 3).await;
    for (stream, type_name) in [
        ("$stats-0", "$statsCollected"),
        ("orders-1", "order-placed"),
        ("advisor.a-1", "$metadata"),
        ("$$advisor.a-1", "$metadata"),
    ] {
        double.append_foreign(stream, type_name);
    }
    all.extend(scene.fill("b", 2).await);
    double.append_foreign("$stats-0", "$statsCollected");
    let head = scene.head().await;

    for max in [1, 3, 100] {
        assert_eq!(recorded_ids(&scene.scan(Position::START, &Filter::all(), max).await), ids(&all), "pages of {max}");
    }
    let told = follower.events(5).await;
    assert_eq!(advisor_eventlog::contract::scene::told_ids(&told), ids(&all));
    while follower.reached < head {
        follower.next().await;
    }
    let page = scene.log.read_all(told[4].position, &Filter::all(), 100).await.expect("a page");
    assert_eq!((page.events.len(), page.scanned_to), (0, head));
}

/// Trap 9: where an append stands is found out when the server does not say.
#[tokio::test]
async fn a_position_that_the_server_does_not_tell_is_read() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(brisk_log(&double.url()).await));
    double.next_appends([Fault::WithoutPosition]);

    let appended = scene.append("a", Expected::NoStream, &events(3)).await.expect("an append");

    let last = scene.whole("a").await[2].position;
    assert_eq!((appended.revision, appended.position), (2, last));
}

/// Trap 12: a deleted stream is as if it had never been; one that is deleted for ever is damage.
#[tokio::test]
async fn a_stream_that_somebody_deleted_in_the_server_is_told_apart() {
    let double = Double::start();
    let log = brisk_log(&double.url()).await;
    let (soft, hard) = (StreamName::from_text("a-1"), StreamName::from_text("a-2"));
    for stream in [&soft, &hard] {
        log.append(stream, at(0), events(2)).await.expect("an append");
    }
    double.delete("advisor.a-1");
    double.tombstone("advisor.a-2");

    let read = log.read_stream(&soft, 0, Direction::Forward, 10).await;
    assert!(matches!(read, Err(ReadError::NoSuchStream)), "{read:?}");
    let read = log.read_stream(&hard, 0, Direction::Forward, 10).await;
    assert!(matches!(read, Err(ReadError::Damaged(_))), "{read:?}");
    let appended = log.append(&hard, at(2), events(1)).await;
    assert!(matches!(appended, Err(AppendError::Invalid(_))), "{appended:?}");
}

/// Traps 7, 8, 11 and 13: what the client does badly is never asked for.
#[tokio::test]
async fn neither_subscriptions_nor_sessions_of_appends_are_opened() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(log(&double.url(), |_| {}).await));
    let mut follower = scene.subscribe(Position::START).await;
    scene.fill("a", 20).await;
    follower.events(20).await;

    let seen = double.seen();

    assert_eq!((seen.subscriptions, seen.batches), (0, 0));
    assert_eq!(seen.appends, 20);
}

/// What another process has appended is heard, too.
#[tokio::test]
async fn appends_of_other_processes_reach_followers() {
    let double = Double::start();
    let here = Scene::on(Arc::new(brisk_log(&double.url()).await));
    let there = brisk_log(&double.url()).await;
    let mut follower = here.subscribe(here.head().await).await;

    there.append(&here.stream("a"), at(0), events(2)).await.expect("an append");

    assert_eq!(follower.events(2).await.len(), 2);
}
