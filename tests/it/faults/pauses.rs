//! A process that stands still, as a virtual machine that is frozen does.

use super::{
    after::{account, check},
    load::Load,
    rounds,
    watchers::Watchers,
};
use crate::{build::Build, server::Server};
use std::time::Duration;

/// Longer than a reply's owner may go without a beat, and shorter than anybody waits for an answer.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(7)];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_was_frozen_goes_on_where_it_stood() {
    freeze(&PAUSES).await;
}

/// Longer than it takes others to believe that the owner of a reply is dead: 12 s, or as `ADVISOR_TEST_PAUSE` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_was_frozen_for_long_goes_on_where_it_stood() {
    freeze(&[Duration::from_secs(rounds("ADVISOR_TEST_PAUSE", 12) as u64)]).await;
}

/// Stops the server's process so often, each time under load.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
async fn freeze(pauses: &[Duration]) {
    let server = Server::start_build(&Build::usual(), &[("ADVISOR_DEMO_DELAY_MS", "20")]);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    for pause in pauses {
        load.answers(100).await;
        server.signal("STOP");
        tokio::time::sleep(*pause).await;
        server.signal("CONT");
    }
    load.answers(200).await;
    let (history, users) = load.end(&server).await;
    let checked = check(&server, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!("{}; {} events; pauses {pauses:?}; {watched}", account(&history), checked.events.len());
}
