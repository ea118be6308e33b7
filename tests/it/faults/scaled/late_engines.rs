//! Servers that start before their PostgreSQL, and one that it does not let in.

use super::{
    cluster::{detail, is_ready, until},
    engines::{Database, Postgres},
};
use crate::{
    faults::asks::{refused, until_done},
    {contract::nobody, server::Server},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_postgresql_comes_later_waits_for_it_and_says_so() {
    // Each its own: a log's keys are in one place.
    let engines = [Postgres::start(), Postgres::start()];
    tokio::task::block_in_place(|| engines.iter().for_each(Postgres::crash));
    let [both, log] = engines.each_ref().map(Postgres::url);
    let start = |log, read_models| {
        Server::start_with(&[("ADVISOR_EVENT_LOG_URL", log), ("ADVISOR_READ_MODEL_URL", read_models)])
    };
    let servers = [("read models", start(&both, &both)), ("event log", start(&log, "sqlite:read-models"))];
    for (missing, server) in &servers {
        assert!(detail(server, missing).await.contains("refused"), "it says what it waits for: {missing}");
        assert!(!is_ready(server).await);
        for url in [&server.url, &server.admin_url] {
            assert_eq!(reqwest::get(format!("{url}/livez")).await.unwrap().status(), 200);
            assert_eq!(reqwest::get(format!("{url}/readyz")).await.unwrap().status(), 503);
        }
        assert_eq!(reqwest::get(format!("{}/metrics", server.admin_url)).await.unwrap().status(), 200);
        refused(&nobody(server), "too early").await;
    }
    tokio::task::block_in_place(|| engines.iter().for_each(Postgres::run));
    for (_, server) in &servers {
        let ready = until("the server is ready", async || is_ready(server).await).await;
        let done = until_done(&server.client("user_0", &[]), "in time").await;
        assert!(server.log_text().contains("an engine is not there yet"), "it logs what it waits for");
        println!("ready {ready:?} after PostgreSQL, a command done at try {}", done.tries);
    }
}

#[tokio::test]
async fn a_server_that_waiting_does_not_help_ends_at_once() {
    let database = Database::make();
    let mut server = Server::start_with(&[("ADVISOR_READ_MODEL_URL", &database.url())]);
    server.kill();
    let there = database.url();
    let (place, _) = there.rsplit_once('/').unwrap();
    for (url, code) in [(format!("{place}/nowhere"), "3D000"), (there.replace("advisor@", "stranger@"), "28000")] {
        server.set("ADVISOR_READ_MODEL_URL", Some(&url));
        assert!(!server.start_again_or_die(), "it waits for what does not come: {url}");
        assert_eq!(server.wait_for_end().code(), Some(1));
        assert!(server.log_text().contains(code), "{code} is not named: {}", server.log_text());
    }
}
