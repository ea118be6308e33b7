//! Waiting for engines that are not there yet: the server listens meanwhile, and says what it waits for.

use super::{engines::OpenLog, listeners::Doors};
use crate::config::{Config, engines::ReadModelEngine};
use advisor_api::{
    Settings,
    measure::Measurements,
    starting::{self, Awaited},
};
use advisor_eventlog::ReadError;
use advisor_projections::{PostgresOptions, PostgresStore, StoreError, postgres::SIDE_SCHEMA};
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::sync::watch;

/// The first pause before an engine is looked for again; each one is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause: an engine that has come is found within it.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Returns when the engines that are not files of this process are there, with the doors that were opened to say so
/// meanwhile. What waiting does not heal is an error: a login that is refused, a database that does not exist.
pub(super) async fn for_engines(
    config: &Config,
    log: &OpenLog,
    settings: &Settings,
    measurements: &Measurements,
) -> Result<Option<Doors>> {
    let Some(first) = missing(config, log).await? else { return Ok(None) };
    let (told, awaited) = watch::channel(first);
    let public = starting::router(settings, awaited.clone());
    let mut doors = Doors::open(config)?;
    doors.serve_meanwhile(config, public, starting::admin_router(measurements.clone(), awaited))?;
    let mut pause = PAUSE_FIRST;
    while let Some(missing) = missing(config, log).await? {
        tracing::warn!(awaited = %missing, "an engine is not there yet; it is waited for");
        told.send_replace(missing);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    tracing::info!("all engines are there");
    told.send_replace(Awaited { name: "server", why: "is starting".to_owned() });
    Ok(Some(doors))
}

/// The first engine that is not there.
async fn missing(config: &Config, log: &OpenLog) -> Result<Option<Awaited>> {
    if let ReadModelEngine::Postgres(url) = &config.engines.read_models {
        match PostgresStore::reach(&PostgresOptions::at(url.clone(), SIDE_SCHEMA)).await {
            Err(StoreError::Unavailable(why)) => return Ok(Some(Awaited { name: "read models", why })),
            reached => reached.context("`read_model_url`")?,
        }
    }
    match log.reach().await {
        Err(ReadError::Unavailable(why)) => Ok(Some(Awaited { name: "event log", why })),
        reached => reached.map(|()| None).context("`event_log_url`"),
    }
}
