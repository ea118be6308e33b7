//! Who brings the read models forward, and how this process knows how far they are.

use super::Running;
use crate::config::{
    Config,
    engines::{EventLogEngine, ReadModelEngine},
};
use advisor_projections::{Duty, Follower, Lease, Ownership, Reader, RunnerParts, SharedLease};
use std::{error::Error, sync::Arc, time::Duration};
use tokio::sync::watch;
use uuid::Uuid;

/// How long a server that comes up waits for read models that are being filled before it listens and says so.
pub(crate) const FILLING_WAIT: Duration = Duration::from_secs(2);

/// Returns when the read models have once come to the end of the log, or will not do so soon: what is asked for is
/// refused then until they have.
pub(super) async fn until_filled(reader: &Reader) {
    if let Err(error) = reader.filled(FILLING_WAIT).await {
        tracing::warn!(error = &error as &dyn Error, "queries are refused until the read models are filled");
    }
}

/// Takes part in bringing the read models forward, or only follows; gives what this process is to them from now on,
/// if it takes part.
///
/// What makes it stop by itself leaves a server that says so in `/readyz`, and goes on reading.
pub(super) fn start(config: &Config, parts: RunnerParts, running: &Running) -> Option<watch::Receiver<Duty>> {
    let lease = lease(config, &parts, running);
    let ending = running.ending.clone();
    if config.role.works() {
        let ownership = Ownership::new(parts, lease);
        let duty = ownership.duty();
        running.runner.spawn(ownership.run(ending));
        return Some(duty);
    }
    let mut follower = Follower::new(parts.generation, Arc::clone(&parts.bus), lease);
    running.runner.spawn(async move { ending.run_until_cancelled(follower.follow()).await.map(drop) });
    None
}

/// One of its own for each generation: builds that differ feed theirs side by side.
fn lease(config: &Config, parts: &RunnerParts, running: &Running) -> Lease {
    match (&config.engines.event_log, &config.engines.read_models) {
        // The lock of the log's file, or that of the read models' directory, says that this is the only process.
        (EventLogEngine::Sqlite(_), ReadModelEngine::Sqlite(_) | ReadModelEngine::Postgres(_))
        | (EventLogEngine::Postgres(_) | EventLogEngine::KurrentDb(_), ReadModelEngine::Sqlite(_)) => Lease::Alone,
        (EventLogEngine::Postgres(_) | EventLogEngine::KurrentDb(_), ReadModelEngine::Postgres(_)) => {
            let name = format!("generation {}", parts.generation.number());
            Lease::Shared(SharedLease::new(running.stores.side.leases().clone(), name, Uuid::new_v4().to_string()))
        }
    }
}
