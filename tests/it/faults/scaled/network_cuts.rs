//! Networks that are cut: what a process says to PostgreSQL or NATS vanishes, and so does what they say to it. Nothing is
//! refused and nothing ends: only time tells.

use super::{
    cluster::{Cluster, detail, is_owner, is_ready, until},
    engines::{Nats, Postgres},
    machines::{Machines, Network},
    writers,
};
use crate::{
    build::Build,
    faults::{
        after::{account, check},
        asks::{refused, until_done, until_seen},
        load::Load,
        rounds,
        watchers::Watchers,
    },
    live_client::LiveClient,
    server::Server,
};
use std::time::{Duration, Instant};

/// Two processes that answer and two that work, each on a machine of its own.
struct Site {
    cluster: Cluster,
    _nats: Nats,
    postgres: Postgres,
    machines: Machines,
}

impl Site {
    fn start() -> Self {
        let machines = Machines::make(4);
        let postgres = Postgres::start_at(machines.here(Network::Database));
        let nats = Nats::start_at(machines.here(Network::Bus));
        let places = [0, 1, 2, 3].map(|number| machines.place(number));
        let more = [("ADVISOR_DEMO_DELAY_MS", "20"), ("ADVISOR_DEV_TOKENS", "true")];
        let cluster = Cluster::start_at(places, &Build::usual(), &postgres.url(), &nats, &more);
        Self { cluster, _nats: nats, postgres, machines }
    }

    fn apis(&self) -> [&Server; 2] {
        self.cluster.apis.each_ref()
    }

    /// Clients at the processes that answer.
    async fn load(&self) -> Load {
        Load::begin_at(&self.apis()).await
    }

    /// The machine of a process that works.
    fn of_worker(number: usize) -> u32 {
        [2, 3][number]
    }
}

/// How long a cut lasts at least: longer than a read waits, and than others believe in the owner of a reply.
fn cut_lasts() -> Duration {
    Duration::from_secs(rounds("ADVISOR_TEST_CUT", 12) as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_is_cut_off_has_a_successor_and_stands_by_when_it_is_back() {
    let site = Site::start();
    let url = site.postgres.url();
    writers::watch(&url);
    let load = site.load().await;
    let watchers = Watchers::begin(&load).await;
    let (mut taken_over, mut given_up, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..2 {
        let owner = site.cluster.owner().await;
        let (cut, other) = (&site.cluster.workers[owner], &site.cluster.workers[1 - owner]);
        load.answers(50).await;
        let begun = Instant::now();
        site.machines.cut(Site::of_worker(owner), Network::Database);
        site.machines.cut(Site::of_worker(owner), Network::Bus);
        given_up.push(until("who is cut off gives up by its own clock", async || stands_by(cut).await).await);
        until("another one takes over", async || is_owner(other).await).await;
        taken_over.push(begun.elapsed());
        load.answers(100).await;
        tokio::time::sleep(cut_lasts().saturating_sub(begun.elapsed())).await;
        site.machines.heal(Site::of_worker(owner), Network::Database);
        site.machines.heal(Site::of_worker(owner), Network::Bus);
        back.push(until("who was cut off is ready", async || is_ready(cut).await).await);
        assert!(stands_by(cut).await, "who was cut off stands by");
        load.answers(50).await;
        assert!(is_owner(other).await && !is_owner(cut).await, "who has taken over goes on");
        writers::check(&url);
    }
    load.answers(50).await;
    let (history, users) = load.end(&site.cluster.apis[1]).await;
    let checked = check(&site.cluster.apis[1], &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    writers::check(&url);
    assert!(writers::count(&url) > 2, "one has followed another twice");
    println!(
        "{}; {} events; given up after {given_up:?}, taken over after {taken_over:?}, ready again after {back:?}; {watched}",
        account(&history),
        checked.events.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_is_cut_off_from_postgresql_refuses_commands_in_time_and_no_other_does() {
    let site = Site::start();
    let [cut, other] = site.apis();
    let load = site.load().await;
    let watchers = Watchers::begin(&load).await;
    let here = &load.people()[0].at(cut);
    let (mut waited, mut healed, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for round in ["once", "twice"] {
        load.answers(50).await;
        let begun = Instant::now();
        site.machines.cut(0, Network::Database);
        let titles = ["one", "two", "three"].map(|title| format!("{title} {round}"));
        let refusals = titles.iter().map(|title| refused(here, title));
        waited.extend(futures::future::join_all(refusals).await);
        assert!(!is_ready(cut).await && is_ready(other).await, "one alone is cut off");
        asked.push(until_done(&here.at(other), &titles[0]).await);
        load.answers(100).await;
        tokio::time::sleep(cut_lasts().saturating_sub(begun.elapsed())).await;

        site.machines.heal(0, Network::Database);
        let begun = Instant::now();
        for title in &titles[1..] {
            asked.push(until_done(here, title).await);
            healed.push(begun.elapsed());
        }
        until("who was cut off is ready", async || is_ready(cut).await).await;
    }
    load.answers(100).await;
    let (mut history, users) = load.end(cut).await;
    history.extend(asked);
    let checked = check(cut, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!(
        "{}; {} events; refused after {waited:?}, first successes after {healed:?}; {watched}",
        account(&history),
        checked.events.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_is_cut_off_from_the_bus_shows_what_others_do_by_the_clock() {
    let site = Site::start();
    let [cut, other] = site.apis();
    let load = site.load().await;
    let watchers = Watchers::begin(&load).await;
    let here = &load.people()[0].at(other);
    let query = "/api/conversations".to_owned();
    let mut device = LiveClient::connect(&here.at(cut), std::slice::from_ref(&query), None).await;

    let (with, first) = until_seen(here, &mut device, &query, "with").await;
    let begun = Instant::now();
    site.machines.cut(0, Network::Bus);
    // At first the connection still seems to stand.
    let (seeming, second) = until_seen(here, &mut device, &query, "at once").await;
    until("the bus is away", async || !is_on_the_bus(cut).await).await;
    let noticed = begun.elapsed();
    load.answers(50).await;
    let (without, third) = until_seen(here, &mut device, &query, "without").await;
    tokio::time::sleep(cut_lasts().saturating_sub(begun.elapsed())).await;
    site.machines.heal(0, Network::Bus);
    let healed = until("the bus is back", async || is_on_the_bus(cut).await).await;
    let (again, fourth) = until_seen(here, &mut device, &query, "again").await;

    load.answers(50).await;
    let (mut history, users) = load.end(cut).await;
    history.extend([first, second, third, fourth]);
    let checked = check(cut, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!(
        "{}; {} events; seen after {with:?}, cut off {seeming:?}, which was noticed after {noticed:?}, then {without:?}; \
         on the bus again after {healed:?}, then {again:?}; {watched}",
        account(&history),
        checked.events.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_of_a_machine_that_vanishes_do_not_stay_in_postgresql() {
    let mut site = Site::start();
    let sessions = |site: &Site| site.postgres.sessions_of(site.machines.there(1, Network::Database));
    until("it has sessions", async || sessions(&site) > 0).await;
    // What it would say at its end does not come through.
    site.machines.cut(1, Network::Database);
    site.cluster.apis[1].kill();
    let gone = until("its sessions end", async || sessions(&site) == 0).await;
    println!("gone after {gone:?}");
}

/// Whether this process says that it leaves the read models to another one.
async fn stands_by(worker: &Server) -> bool {
    detail(worker, "worker").await.starts_with("stands by")
}

/// Whether this process says that it is connected to the bus.
async fn is_on_the_bus(server: &Server) -> bool {
    let metrics = reqwest::get(format!("{}/metrics", server.admin_url)).await.unwrap().text().await.unwrap();
    metrics.lines().any(|line| line == "advisor_bus_connected 1")
}
