//! What stands in the server, and what of it surfaces.

use crate::fixture::{brisk_log, log};
use advisor_eventlog::{
    AppendError, Direction, EventLog, Expected, Filter, KurrentDbOptions, Position, ReadError,
    contract::scene::{Scene, at, event, events, ids, recorded_ids},
};
use advisor_events::StreamName;
use advisor_kurrentdb_double::{Double, Ends, Fault};
use std::{sync::Arc, time::Duration};

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

/// Case 38 and trap 15: neither the system's events nor other people's surface, and scans pass them.
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
    let end = Position(double.stored("$stats-0").last().expect("an event").position);

    for max in [1, 3, 100] {
        assert_eq!(recorded_ids(&scene.scan(Position::START, &Filter::all(), max).await), ids(&all), "pages of {max}");
    }
    let told = follower.events(5).await;
    assert_eq!(advisor_eventlog::contract::scene::told_ids(&told), ids(&all));
    while follower.reached < end {
        follower.next().await;
    }
    let page = scene.log.read_all(told[4].position, &Filter::all(), 100).await.expect("a page");
    assert_eq!((page.events.len(), page.scanned_to), (0, end));
}

/// Nobody is shown what others write, so that nobody may be told to wait for it.
#[tokio::test]
async fn the_head_is_our_last_event_however_much_others_write() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(log(&double.url(), |options| options.page_scan_max = 8).await));
    assert_eq!(scene.head().await, Position::START, "none of what is there is ours");

    for (ours, theirs) in [("a", 50), ("b", 0), ("c", 3)] {
        scene.fill(ours, 2).await;
        let last = scene.whole(ours).await[1].position;
        for _ in 0..theirs {
            double.append_foreign("orders-1", "order-placed");
        }
        assert_eq!(scene.head().await, last);
        let before = double.seen().for_leader;
        assert_eq!(scene.head().await, last);
        assert_eq!(double.seen().for_leader, before + 1, "what was looked at is not looked at again");
    }
}

/// What others wrote before us is nobody's to read: a log begins with its first event, and ends with it.
#[tokio::test]
async fn what_others_wrote_before_our_first_event_is_never_read() {
    let double = Double::start();
    let url = double.url();
    for _ in 0..2_000 {
        double.append_foreign("orders-1", "order-placed");
    }
    let opened = || log(&url, |options| options.first_stream = Some(StreamName::log()));
    let scene = Scene::on(Arc::new(opened().await));
    assert_eq!(scene.head().await, Position::START, "there is nothing of ours");
    scene.log.append(&StreamName::log(), at(0), events(1)).await.expect("the first event");
    let ours = scene.fill("a", 3).await;
    for _ in 0..100 {
        double.append_foreign("orders-1", "order-placed");
    }

    for log in [Arc::clone(&scene.log), Arc::new(opened().await)] {
        let scene = Scene { log, prefix: scene.prefix.clone() };
        assert_eq!(recorded_ids(&scene.scan(Position::START, &scene.filter(), 10).await), ids(&ours));
        scene.subscribe(Position::START).await.events(3).await;
    }
    let told = double.seen().told_of_all;
    assert!(told < 2_000, "{told} events were sent");
}

/// Where nothing of ours stands yet, or somebody has cut off its beginning in the server, all is read.
#[tokio::test]
async fn a_log_whose_beginning_is_not_known_is_read_from_the_servers() {
    let double = Double::start();
    let with_first = |options: &mut KurrentDbOptions| options.first_stream = Some(StreamName::log());
    let scene = Scene::on(Arc::new(log(&double.url(), with_first).await));
    let page = scene.log.read_all(Position::START, &Filter::all(), 100).await.expect("a page");
    assert!(page.events.is_empty() && page.scanned_to > Position::START, "{page:?}");

    let ours = scene.fill("a", 2).await;
    scene.log.append(&StreamName::log(), at(0), events(1)).await.expect("an append");
    double.delete("advisor.log");
    scene.log.append(&StreamName::log(), at(1), events(1)).await.expect("an append");

    assert_eq!(recorded_ids(&scene.scan(Position::START, &scene.filter(), 100).await), ids(&ours));
}

/// A server gives up a connection over many reads whose ends nobody waits for.
#[tokio::test]
async fn every_read_of_the_whole_log_is_read_to_its_end() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(log(&double.url(), |options| options.page_scan_max = 8).await));
    scene.fill("a", 3).await;
    double.append_foreign("orders-1", "order-placed");
    let first = scene.whole("a").await[0].position;
    double.let_reads_end(Ends::Late);

    scene.head().await;
    scene.log.event_at(first).await.expect("an answer");
    for after in [Position::START, first] {
        scene.log.read_all(after, &Filter::all(), 1).await.expect("a page");
    }
    scene.subscribe(first).await.events(2).await;

    assert_eq!(double.seen().left_early, 0);
}

/// Positions are places in files, as it were: between them nothing can be read.
#[tokio::test]
async fn where_no_event_begins_none_is_found_and_no_read_begins() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(brisk_log(&double.url()).await));
    scene.fill("a", 2).await;
    let first = scene.whole("a").await[0].position;
    let within = Position(first.0 + 1);

    assert_eq!(scene.log.event_at(within).await.expect("an answer"), None);
    let read = scene.log.read_all(within, &Filter::all(), 10).await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    assert_eq!(scene.log.event_at(Position(1 << 40)).await.expect("an answer"), None, "behind the end");
    // Nor is what is not ours an event of ours.
    double.append_foreign("orders-1", "order-placed");
    let theirs = Position(double.stored("orders-1").last().expect("an event").position);
    assert_eq!(scene.log.event_at(theirs).await.expect("an answer"), None);
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

/// No look comes by itself here: what another process says that it has appended is looked for at once.
#[tokio::test]
async fn appends_that_are_told_of_are_looked_for() {
    let double = Double::start();
    let never = Duration::from_hours(1);
    let without_looks = |options: &mut KurrentDbOptions| {
        (options.look_interval_min, options.look_interval_max) = (never, never);
    };
    let log = Arc::new(log(&double.url(), without_looks).await);
    let here = Scene::on(Arc::clone(&log) as _);
    let there = brisk_log(&double.url()).await;
    let mut told = there.appended();
    let mut follower = here.subscribe(here.head().await).await;

    let appended = there.append(&here.stream("a"), at(0), events(2)).await.expect("an append");

    assert_eq!(*told.borrow_and_update(), appended.position);
    log.look_for(appended.position);
    assert_eq!(follower.events(2).await.len(), 2);
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
