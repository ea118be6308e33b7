//! The write-ahead log: bounded, emptied by closing, and enough to come back from.

use crate::place::{Place, all, append, at, event, stream};
use advisor_eventlog::{EventLog, Filter, NewEvent, Position};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

#[tokio::test]
async fn closing_leaves_an_empty_write_ahead_log() {
    let place = Place::new();
    let log = place.open();
    append(&log, "a", 0, 100).await.expect("an append");
    assert!(log.wal_bytes() > 0);

    log.close().await;

    assert_eq!(log.wal_bytes(), 0);
    drop(log);
    assert_eq!(all(&place.open()).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_within_bounds_while_it_is_written_and_read() {
    const LIMIT: u64 = 1 << 20;
    let place = Place::new();
    let log = Arc::new(place.open_with(|options| options.wal_bytes_max = LIMIT));
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            let mut largest = 0;
            for n in 0..120 {
                let event = NewEvent { data: vec![7; 30_000], ..event() };
                log.append(&stream(&format!("{writer}")), at(n), vec![event]).await.expect("an append");
                log.read_all(Position::START, &Filter::all(), 20).await.expect("a page");
                largest = largest.max(log.wal_bytes());
            }
            largest
        });
    }

    let largest = writers.join_all().await.into_iter().max().unwrap_or(0);

    // Nearly twice that went through it. The bound is wide, because what is written while a checkpoint runs comes on
    // top, and on a busy machine this limit, far below the default, is written in less than one checkpoint.
    assert!(largest < 15 * LIMIT, "{largest} bytes");
    assert_eq!(all(&log).await.len(), 960);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_cut_off_in_mid_append_keeps_whole_appends_and_every_acknowledged_one() {
    const BATCH: u64 = 5;
    let place = Place::new();
    let log = Arc::new(place.open_with(|options| {
        options.wal_bytes_max = 1 << 30;
        options.wal_idle = Duration::from_hours(1);
    }));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut writing = JoinSet::new();
    for writer in 0..4 {
        let (log, acknowledged) = (Arc::clone(&log), Arc::clone(&acknowledged));
        writing.spawn(async move {
            for n in 0..100 {
                append(&log, &format!("{writer}"), n * BATCH, BATCH).await.expect("an append");
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    // What the files hold at some moment is what a process killed then would leave. Without checkpoints only
    // the write-ahead log changes, and only at its end, so that a copy of both is of one moment.
    let mut copies = Vec::new();
    while acknowledged.load(Ordering::SeqCst) < 350 {
        let before = acknowledged.load(Ordering::SeqCst);
        let copy = Place::new();
        for name in ["log.db", "log.db-wal"] {
            std::fs::copy(place.file(name), copy.file(name)).expect("a copy");
        }
        copies.push((before, copy));
        tokio::task::yield_now().await;
    }
    writing.join_all().await;

    for (acknowledged, copy) in copies.iter().rev().step_by(7).take(10) {
        let log = copy.open();
        let events = all(&log).await;
        assert!(events.len() as u64 >= acknowledged * BATCH, "{} of {acknowledged} appends", events.len());
        for writer in 0..4 {
            let of_stream = events.iter().filter(|event| event.stream == stream(&format!("{writer}"))).count();
            assert_eq!(of_stream as u64 % BATCH, 0, "an append came apart");
        }
    }
}
