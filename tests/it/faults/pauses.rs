//! A process that stands still, as a virtual machine that is frozen does.

use super::{
    after::{account, check},
    load::Load,
    watchers::Watchers,
};
use crate::{build::Build, server::Server};
use std::time::Duration;

/// Longer than a reply's owner may go without a beat, and shorter than anybody waits for an answer.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(7)];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_was_frozen_goes_on_where_it_stood() {
    let server = Server::start_build(&Build::usual(), &[("ADVISOR_DEMO_DELAY_MS", "20")]);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    for pause in PAUSES {
        load.answers(100).await;
        server.signal("STOP");
        tokio::time::sleep(pause).await;
        server.signal("CONT");
    }
    load.answers(200).await;
    let (history, users) = load.end(&server).await;
    let checked = check(&server, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!("{}; {} events; pauses {PAUSES:?}; {watched}", account(&history), checked.events.len());
}
