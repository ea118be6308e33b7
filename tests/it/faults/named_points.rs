//! A process that dies at a named point: before and after every step that could come apart.

use super::{
    after::{account, check},
    chance,
    load::Load,
    watchers::Watchers,
};
use crate::{build::Build, server::Server};
use advisor_proof::Point;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_dies_at_any_named_point_loses_nothing_and_doubles_nothing() {
    let points: Vec<Point> = Point::ALL.into_iter().filter(|point| *point != Point::WithinCheckpoint).collect();
    trial(Build::proof(), &points, super::rounds("ADVISOR_TEST_POINTS", 1)).await;
}

/// Dies at each point so often.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
pub(super) async fn trial(build: Build, points: &[Point], times: usize) {
    let mut server = Server::start_build(&build, &[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    let mut deaths = 0;
    for point in (0..times).flat_map(|_| points) {
        tokio::task::block_in_place(|| server.kill());
        load.gone();
        server.set("PROOF_KILL", Some(&format!("{}:{}", point.name(), passing(*point))));
        // What was left to do may lead it there before it listens.
        if tokio::task::block_in_place(|| server.start_again_or_die()) {
            load.serve(&server.url);
        }
        if *point == Point::KeyWritten {
            let newcomer = server.client(&format!("newcomer_{deaths}"), &[]);
            // The server dies of it.
            drop(
                newcomer
                    .request(reqwest::Method::POST, "/api/commands/StartConversation")
                    .json(&json!({}))
                    .send()
                    .await,
            );
        }
        tokio::task::block_in_place(|| server.wait_for_end());
        load.gone();
        deaths += 1;
        server.set("PROOF_KILL", None);
        tokio::task::block_in_place(|| server.start_again());
        load.serve(&server.url);
        load.answers(20).await;
    }
    let (history, users) = load.end(&server).await;
    let checked = check(&server, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!("{}; {} events; {deaths} deaths; {watched}", account(&history), checked.events.len());
}

/// Not at the first passing: the start itself comes by at some of them.
fn passing(point: Point) -> usize {
    match point {
        // These are rare: a person's first word, a command of two events, a reply.
        Point::KeyWritten => 1,
        Point::BetweenEvents | Point::BeforeModelCall | Point::AfterModelCall | Point::DraftWritten => 2 + chance(3),
        Point::BeforeAppend
        | Point::AfterAppend
        | Point::BeforeCommit
        | Point::AfterCommit
        | Point::BeforeCheckpoint
        | Point::WithinCheckpoint
        | Point::AfterCheckpoint
        | Point::BeforePublish
        | Point::AfterPublish
        | Point::BeforeAnswer => 10 + chance(40),
    }
}
