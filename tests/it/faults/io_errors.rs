//! A disk that refuses, or takes its time.

use super::{
    after::{account, check},
    load::Load,
    strace::Strace,
    watchers::Watchers,
};
use crate::{build::Build, server::Server};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_can_not_sync_now_and_then_costs_an_answer_and_no_event() {
    trial(&["fdatasync,fsync:error=EIO:when=7+11"], Expected::Failures).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_can_not_write_now_and_then_costs_an_answer_and_no_event() {
    trial(&["pwrite64:error=EIO:when=50+97", "ftruncate:error=EIO:when=2+3"], Expected::Failures).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_is_slow_now_and_then_costs_time_and_nothing_else() {
    trial(&["fdatasync,fsync:delay_enter=200000:when=5+20"], Expected::Delays).await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Failures,
    Delays,
}

/// Everything else goes on while the disk behaves like this.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
async fn trial(rules: &[&str], expected: Expected) {
    let server = Server::start_build(&Build::usual(), &[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    let fault = tokio::task::block_in_place(|| Strace::attach(server.pid(), rules));
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    tokio::time::sleep_until(until).await;
    tokio::task::block_in_place(|| drop(fault));
    load.answers(200).await;
    let (history, users) = load.end(&server).await;
    let checked = check(&server, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    let failed = server.log_text().matches("a group of appends was not committed").count();
    println!("{}; {} events; {failed} groups failed; {watched}", account(&history), checked.events.len());
    match expected {
        Expected::Failures => assert!(failed > 3, "{failed} groups of appends failed"),
        Expected::Delays => assert_eq!(failed, 0),
    }
}
