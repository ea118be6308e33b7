//! Two processes that answer and two that work, each with a directory and ports of its own.

use super::{engines::Nats, writers};
use crate::{
    build::Build,
    server::{PATIENCE, Server},
};
use serde_json::Value;
use std::time::{Duration, Instant};

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
        let shared = [
            ("ADVISOR_EVENT_LOG_URL", database),
            ("ADVISOR_READ_MODEL_URL", database),
            ("ADVISOR_BUS_URL", &nats.url()),
            ("ADVISOR_MASTER_KEY", MASTER_KEY),
        ];
        let variables = [&shared, more].concat();
        let first = process(build, &[&variables[..], &[("ADVISOR_ROLE", "api")]].concat(), None);
        let next = |own: &[(&str, &str)]| process(build, &[&variables, own].concat(), Some(&first));
        let worker =
            |name| next(&[("ADVISOR_ROLE", "worker"), ("ADVISOR_READ_MODEL_URL", &writers::signed(database, name))]);
        let workers = [worker("one"), worker("two")];
        let second = next(&[("ADVISOR_ROLE", "api")]);
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

/// Whether this process says that it brings the read models forward. One that is frozen says nothing.
pub(super) async fn is_owner(worker: &Server) -> bool {
    let asked = reqwest::Client::new().get(format!("{}/readyz?verbose", worker.admin_url));
    let Ok(answer) = asked.timeout(Duration::from_secs(2)).send().await else { return false };
    let Ok(ready) = answer.json::<Value>().await else { return false };
    let checks = ready["checks"].as_array().unwrap();
    checks.iter().any(|check| check["name"] == "worker" && check["detail"] == "brings the read models forward")
}

/// A process with its own directory; tokens of the first one's issuer are accepted everywhere.
fn process(build: &Build, variables: &[(&str, &str)], first: Option<&Server>) -> Server {
    let directory = tempfile::tempdir().unwrap();
    if let Some(first) = first {
        std::fs::create_dir(directory.path().join("data")).unwrap();
        std::fs::copy(first.data_dir().join("issuer.pem"), directory.path().join("data/issuer.pem")).unwrap();
    }
    Server::start_in(directory, build, variables)
}
