//! PostgreSQL that crashes under load, and NATS that is away for a while.

use super::{
    cluster::{Cluster, detail, is_ready, until},
    engines::{Database, Nats, Postgres},
};
use crate::{
    faults::{
        after::{account, check},
        asks::{refused, until_done, until_seen},
        load::Load,
        watchers::Watchers,
    },
    live_client::LiveClient,
};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_postgresql_that_crashes_costs_only_the_time_that_it_is_away() {
    let (postgres, nats) = (Postgres::start(), Nats::start());
    let cluster = Cluster::start(&postgres.url(), &nats, &[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin_at(&[&cluster.apis[0], &cluster.apis[1]]).await;
    let watchers = Watchers::begin(&load).await;
    let asks = &load.people()[0];
    let (mut healed, mut asked) = (Vec::new(), Vec::new());
    for title in ["once", "twice", "three times"] {
        load.answers(100).await;
        tokio::task::block_in_place(|| postgres.crash());
        refused(asks, title).await;
        tokio::task::block_in_place(|| postgres.run());
        let begun = Instant::now();
        asked.push(until_done(asks, title).await);
        healed.push(begun.elapsed());
    }
    load.answers(100).await;
    let (mut history, users) = load.end(&cluster.apis[0]).await;
    history.extend(asked);
    let checked = check(&cluster.apis[0], &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!("{}; {} events; first success after {healed:?}; {watched}", account(&history), checked.events.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bus_that_is_away_costs_time_and_nothing_else() {
    let (database, mut nats) = (Database::make(), Nats::start());
    let cluster = Cluster::start(&database.url(), &nats, &[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin_at(&[&cluster.apis[0], &cluster.apis[1]]).await;
    let watchers = Watchers::begin(&load).await;
    let here = &load.people()[0].at(&cluster.apis[0]);
    let query = "/api/conversations".to_owned();
    let mut device = LiveClient::connect(&here.at(&cluster.apis[1]), std::slice::from_ref(&query), None).await;

    let (with, first) = until_seen(here, &mut device, &query, "with").await;
    assert_eq!(detail(&cluster.apis[0], "bus").await, "carries news");
    nats.kill();
    until("readiness says so", async || detail(&cluster.apis[0], "bus").await.starts_with("is away")).await;
    assert!(is_ready(&cluster.apis[0]).await, "nothing depends on it but time");
    load.answers(100).await;
    let (without, second) = until_seen(here, &mut device, &query, "without").await;
    load.answers(100).await;
    tokio::task::block_in_place(|| nats.run());
    load.answers(50).await;
    let (again, third) = until_seen(here, &mut device, &query, "again").await;

    let (mut history, users) = load.end(&cluster.apis[0]).await;
    history.extend([first, second, third]);
    let checked = check(&cluster.apis[0], &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!(
        "{}; {} events; seen after {with:?}, without the bus {without:?}, again {again:?}; {watched}",
        account(&history),
        checked.events.len()
    );
}
