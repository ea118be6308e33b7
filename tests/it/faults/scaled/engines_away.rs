//! PostgreSQL that crashes under load, and NATS that is away for a while.

use super::{
    cluster::Cluster,
    engines::{Database, Nats, Postgres},
};
use crate::{
    faults::{
        after::{account, check},
        load::{Entry, Load, Outcome},
        watchers::Watchers,
    },
    live_client::LiveClient,
    server::{Answer, Client, PATIENCE},
};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

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
        let refused = start(asks, title).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(!refused.header("retry-after").is_empty(), "{:?}", refused.headers);
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

/// Starts a conversation of this title, which is the command's key, too.
async fn start(client: &Client, title: &str) -> Answer {
    let headers = [("idempotency-key", title)];
    client.ask(Method::POST, "/api/commands/StartConversation", &headers, Some(&json!({"title": title}))).await
}

/// Repeats that until it is known to be done.
async fn until_done(client: &Client, title: &str) -> Entry {
    let begun = Instant::now();
    let mut tries = 1;
    loop {
        tries += 1;
        let answer = start(client, title).await;
        match answer.status {
            200 => return entry(title, answer, tries),
            503 => assert!(begun.elapsed() < PATIENCE, "it does not heal: {}", answer.text),
            _ => panic!("{}: {}", answer.status, answer.text),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the first person asked for beside the load.
fn entry(title: &str, answer: Answer, tries: u32) -> Entry {
    Entry {
        user: "user_0".to_owned(),
        name: "StartConversation",
        key: title.to_owned(),
        body: json!({"title": title}),
        outcome: Outcome::Done(answer.body),
        tries,
    }
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
    nats.kill();
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

/// How long it takes until a device at another process shows what was begun here.
async fn until_seen(here: &Client, device: &mut LiveClient, query: &str, title: &str) -> (Duration, Entry) {
    let begun = Instant::now();
    let answer = start(here, title).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shows = |device: &LiveClient| {
        let list = device.data.get(query).and_then(|list| list.as_array());
        list.is_some_and(|list| list.iter().any(|item| item["title"] == title))
    };
    device.until("what was begun elsewhere", shows).await;
    (begun.elapsed(), entry(title, answer, 1))
}
