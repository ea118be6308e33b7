//! SIGKILL at any moment, of any process.

use super::{
    cluster::Cluster,
    engines::{Database, Nats},
};
use crate::faults::{
    after::{account, check},
    chance,
    load::Load,
    rounds,
    watchers::Watchers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_are_killed_one_after_the_other_lose_nothing_and_double_nothing() {
    let kills = rounds("ADVISOR_TEST_PROCESS_KILLS", 6);
    let (database, nats) = (Database::make(), Nats::start());
    let mut cluster = Cluster::start(&database.url(), &nats, &[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let load = Load::begin_at(&[&cluster.apis[0], &cluster.apis[1]]).await;
    let watchers = Watchers::begin(&load).await;
    for _ in 0..kills {
        load.answers(50 + chance(150)).await;
        let number = chance(2);
        if chance(2) == 0 {
            // Its clients go to the other one.
            tokio::task::block_in_place(|| cluster.apis[number].kill());
            load.serve_at(number, &cluster.apis[1 - number].url);
            load.answers(50).await;
            tokio::task::block_in_place(|| cluster.apis[number].start_again());
            load.serve_at(number, &cluster.apis[number].url);
        } else {
            tokio::task::block_in_place(|| cluster.workers[number].kill());
            load.answers(50).await;
            tokio::task::block_in_place(|| cluster.workers[number].start_again());
        }
    }
    load.answers(100).await;
    let (history, users) = load.end(&cluster.apis[0]).await;
    let checked = check(&cluster.apis[0], &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!(
        "{}; {} events; {kills} kills; {} replays; {watched}",
        account(&history),
        checked.events.len(),
        checked.replayed
    );
}
