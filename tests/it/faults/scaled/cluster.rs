//! Two processes that answer and two that work, each with a directory and ports of its own.

use super::{engines::Nats, writers};
use crate::{
    build::Build,
    server::{PATIENCE, Place, Server},
};
use serde_json::Value;
use std::{
    array,
    time::{Duration, Instant},
};

/// Given to every process: each would make one of its own.
const MASTER_KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// The processes of one system.
pub(super) struct Cluster {
    pub(super) apis: [Server; 2],
    pub(super) workers: [Server; 2],
}

impl Cluster {
    /// Starts all of them over one database and one bus.
    pub(super) fn start(database: &str, nats: &Nats, more: &[(&str, &str)]) -> Self {
        Self::start_build(&Build::usual(), database, nats, more)
    }

    /// The same of another build.
    pub(super) fn start_build(build: &Build, database: &str, nats: &Nats, more: &[(&str, &str)]) -> Self {
        Self::start_at(array::from_fn(|_| Place::here()), build, database, nats, more)
    }

    /// The same, each in a place of its own: first those that answer.
    pub(super) fn start_at(
        places: [Place; 4],
        build: &Build,
        database: &str,
        nats: &Nats,
        more: &[(&str, &str)],
    ) -> Self {
        let shared = [
            ("ADVISOR_EVENT_LOG_URL", database),
            ("ADVISOR_READ_MODEL_URL", database),
            ("ADVISOR_BUS_URL", &nats.url()),
            ("ADVISOR_MASTER_KEY", MASTER_KEY),
        ];
        let variables = [&shared, more].concat();
        let [first, second, third, fourth] = places;
        let first = process(first, build, &[&variables[..], &[("ADVISOR_ROLE", "api")]].concat(), None);
        let next = |place, own: &[(&str, &str)]| process(place, build, &[&variables, own].concat(), Some(&first));
        let worker = |place, name| {
            next(place, &[("ADVISOR_ROLE", "worker"), ("ADVISOR_READ_MODEL_URL", &writers::signed(database, name))])
        };
        let workers = [worker(third, "one"), worker(fourth, "two")];
        let second = next(second, &[("ADVISOR_ROLE", "api")]);
        Self { apis: [first, second], workers }
    }

    /// Which of the workers brings the read models forward: waits until one does.
    pub(super) async fn owner(&self) -> usize {
        let begun = Instant::now();
        loop {
            for (number, worker) in self.workers.iter().enumerate() {
                if is_owner(worker).await {
                    return number;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nobody brings the read models forward");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until this holds; tells how long that took.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

/// Whether this process says that it brings the read models forward. One that is frozen says nothing.
pub(super) async fn is_owner(worker: &Server) -> bool {
    detail(worker, "worker").await == "brings the read models forward"
}

/// How something is that this process looks at for its readiness; empty where it does not say.
pub(super) async fn detail(server: &Server, name: &str) -> String {
    let checks = checks(server).await.unwrap_or_default();
    let check = checks.iter().find(|check| check["name"] == name);
    check.map_or_else(String::new, |check| check["detail"].as_str().unwrap().to_owned())
}

/// Whether all that this process looks at for its readiness is well.
pub(super) async fn is_ready(server: &Server) -> bool {
    checks(server).await.is_some_and(|checks| checks.iter().all(|check| check["ok"] == true))
}

async fn checks(server: &Server) -> Option<Vec<Value>> {
    let asked = reqwest::Client::new().get(format!("{}/readyz?verbose", server.admin_url));
    let answer = asked.timeout(Duration::from_secs(10)).send().await.ok()?;
    Some(answer.json::<Value>().await.ok()?["checks"].as_array()?.clone())
}

/// A process with its own directory; tokens of the first one's issuer are accepted everywhere.
fn process(place: Place, build: &Build, variables: &[(&str, &str)], first: Option<&Server>) -> Server {
    let directory = tempfile::tempdir().unwrap();
    if let Some(first) = first {
        std::fs::create_dir(directory.path().join("data")).unwrap();
        std::fs::copy(first.data_dir().join("issuer.pem"), directory.path().join("data/issuer.pem")).unwrap();
    }
    Server::start_at(place, directory, build, variables)
}
