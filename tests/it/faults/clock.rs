//! A clock that jumps under a running server: libfaketime stands between it and the time of day.

use super::{
    after::{account, check},
    load::Load,
    watchers::Watchers,
};
use crate::{build::Build, server::Server};
use std::path::{Path, PathBuf};

/// Where the clock goes, from each to the next: never before the tokens that were given out at the first.
const CLOCKS: [&str; 5] = ["+0", "+10m", "+1m", "+40m", "+5m"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_clock_that_jumps_changes_times_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let clock = directory.path().join("clock");
    set(&clock, CLOCKS[0]);
    let library = library();
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("ADVISOR_DEMO_DELAY_MS", "5"),
    ];
    let server = Server::start_build(&Build::usual(), &variables);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    for time in CLOCKS {
        load.answers(150).await;
        set(&clock, time);
    }
    load.answers(150).await;
    let (history, users) = load.end(&server).await;
    let checked = check(&server, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!("{}; {} events; clocks {CLOCKS:?}; {watched}", account(&history), checked.events.len());
    assert!(went_back(&checked.events), "the server has not seen its clock go back");
}

/// Whether an event bears an earlier time than the one before it.
fn went_back(events: &[serde_json::Value]) -> bool {
    let times: Vec<&str> = events.iter().map(|event| event["metadata"]["recordedAt"].as_str().unwrap()).collect();
    times.windows(2).any(|pair| pair[1] < pair[0])
}

/// At once for whoever reads it: a file that is half written would be no time.
fn set(clock: &Path, time: &str) {
    let next = clock.with_extension("next");
    std::fs::write(&next, time).unwrap();
    std::fs::rename(&next, clock).unwrap();
}

/// Debian's package `libfaketime`, which `ops/check` installs.
fn library() -> PathBuf {
    let library = PathBuf::from("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1");
    assert!(library.exists(), "{} is not there: install libfaketime, as ops/check does", library.display());
    library
}
