//! A NATS server that is frozen under load: nobody waits for it, and clients are told by the clock meanwhile.

use super::{
    cluster::{Cluster, detail, is_ready, until},
    engines::{Database, Nats},
};
use crate::{
    faults::{
        after::{account, check},
        asks::until_seen,
        load::Load,
        rounds,
        watchers::Watchers,
    },
    live_client::LiveClient,
    server::{PATIENCE, Server},
};
use std::time::{Duration, Instant};

/// What another process has done is told no sooner by the clock.
const BY_THE_CLOCK: Duration = Duration::from_millis(500);
/// So many changes in a row are told by the bus: the first one after its return, whoever was told that it is back looks
/// for.
const BY_THE_BUS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bus_that_is_frozen_costs_time_and_nothing_else() {
    let (database, nats) = (Database::make(), Nats::start());
    let cluster = Cluster::start(&database.url(), &nats, &[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin_at(&[&cluster.apis[0], &cluster.apis[1]]).await;
    let watchers = Watchers::begin(&load).await;
    let here = &load.people()[0].at(&cluster.apis[0]);
    let query = "/api/conversations".to_owned();
    let mut device = LiveClient::connect(&here.at(&cluster.apis[1]), std::slice::from_ref(&query), None).await;
    let (mut asked, mut seen, mut again) = (Vec::new(), Vec::new(), Vec::new());

    // For a moment that nobody notices, and then for so long that everybody does.
    for (turn, frozen) in [0, rounds("ADVISOR_TEST_NATS_STOP", 3)].into_iter().enumerate() {
        nats.signal("STOP");
        let begun = Instant::now();
        let (took, entry) = until_seen(here, &mut device, &query, &format!("frozen {turn}")).await;
        seen.push(took);
        asked.push(entry);
        if frozen > 0 {
            for process in &cluster.apis {
                until("a process notices", async || detail(process, "bus").await.starts_with("is away")).await;
                assert!(is_ready(process).await, "nothing depends on it but time");
            }
            while begun.elapsed() < Duration::from_secs(frozen as u64) {
                load.answers(50).await;
            }
            let (took, entry) = until_seen(here, &mut device, &query, "still frozen").await;
            seen.push(took);
            asked.push(entry);
        }
        nats.signal("CONT");
        let begun = Instant::now();
        let mut quick = 0;
        for number in 0.. {
            let title = format!("awake {turn} {number}");
            let (took, entry) = until_seen(here, &mut device, &query, &title).await;
            asked.push(entry);
            quick = if took < BY_THE_CLOCK { quick + 1 } else { 0 };
            if quick == BY_THE_BUS {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "the bus carries nothing");
        }
        again.push(begun.elapsed());
    }

    load.answers(50).await;
    let (mut history, users) = load.end(&cluster.apis[0]).await;
    history.extend(asked);
    let checked = check(&cluster.apis[0], &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    let peaks: Vec<usize> = cluster.apis.iter().chain(&cluster.workers).map(Server::peak_kib).collect();
    let (did, events) = (account(&history), checked.events.len());
    println!("{did}; {events} events; at most {peaks:?} KiB; {watched}");
    println!("seen after {seen:?} while it was frozen, by the bus {again:?} after it was awake");
}
