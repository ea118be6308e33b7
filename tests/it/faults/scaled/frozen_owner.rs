//! A worker that brings the read models forward and is frozen for longer than its lease.

use super::{
    cluster::{Cluster, is_owner},
    engines::{Database, Nats},
    writers,
};
use crate::{
    build::Build,
    faults::{
        after::{account, check},
        load::Load,
        watchers::Watchers,
    },
    server::PATIENCE,
};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_was_frozen_beyond_its_lease_writes_nothing() {
    trial(&Build::usual()).await;
}

#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
pub(in crate::faults) async fn trial(build: &Build) {
    let (database, nats) = (Database::make(), Nats::start());
    let cluster = Cluster::start_build(build, &database.url(), &nats, &[("ADVISOR_DEMO_DELAY_MS", "20")]);
    writers::watch(&database.url());
    let load = Load::begin_at(&[&cluster.apis[0], &cluster.apis[1]]).await;
    let watchers = Watchers::begin(&load).await;
    let mut taken_over = Vec::new();
    for _ in 0..3 {
        let owner = cluster.owner().await;
        let (frozen, other) = (&cluster.workers[owner], &cluster.workers[1 - owner]);
        load.answers(50).await;
        frozen.signal("STOP");
        let begun = Instant::now();
        while !is_owner(other).await {
            assert!(begun.elapsed() < PATIENCE, "nobody takes over");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        taken_over.push(begun.elapsed());
        load.answers(100).await;
        frozen.signal("CONT");
        let begun = Instant::now();
        while is_owner(frozen).await {
            writers::check(&database.url());
            assert!(begun.elapsed() < PATIENCE, "two are owners");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(is_owner(other).await, "who has taken over goes on");
    }
    load.answers(100).await;
    let (history, users) = load.end(&cluster.apis[1]).await;
    let checked = check(&cluster.apis[1], &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    writers::check(&database.url());
    let (did, events, owners) = (account(&history), checked.events.len(), writers::count(&database.url()));
    assert!(owners > 3, "one has followed another three times: {owners}");
    println!("{did}; {events} events; {owners} owners; taken over after {taken_over:?}; {watched}");
}
