//! What `/readyz` looks at.

use advisor_api::{Check, CheckFailed};
use advisor_bus::Bus;
use advisor_eventlog::EventLog;
use advisor_projections::{Duty, Query, Reader, State, parked};
use advisor_workers::{model::breaker::Standing, tiers::Models};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// Every check; those of workers where this process works.
pub(super) fn all(
    log: &Arc<dyn EventLog>,
    reader: &Reader,
    bus: &Arc<dyn Bus>,
    works: Option<(&watch::Receiver<Duty>, &Arc<Models>)>,
) -> Arc<[Arc<dyn Check>]> {
    let mut checks: Vec<Arc<dyn Check>> = vec![
        Arc::new(EventLogAnswers(Arc::clone(log))),
        Arc::new(ReadSideFollows(reader.clone())),
        Arc::new(NothingIsParked(reader.clone())),
    ];
    if bus.server_is_there().is_some() {
        checks.push(Arc::new(BusCarries(Arc::clone(bus))));
    }
    if let Some((duty, models)) = works {
        checks.push(Arc::new(TakesItsTurn(duty.clone())));
        checks.push(Arc::new(ModelProviderStands(Arc::clone(models))));
    }
    checks.into()
}

struct EventLogAnswers(Arc<dyn EventLog>);

#[async_trait]
impl Check for EventLogAnswers {
    fn name(&self) -> &'static str {
        "event log"
    }

    async fn look(&self) -> Result<String, CheckFailed> {
        let head = self.0.head().await.map_err(|error| CheckFailed(error.to_string()))?;
        Ok(format!("head at {head}"))
    }
}

struct ReadSideFollows(Reader);

#[async_trait]
impl Check for ReadSideFollows {
    fn name(&self) -> &'static str {
        "read models"
    }

    async fn look(&self) -> Result<String, CheckFailed> {
        let progress = self.0.progress().borrow().clone();
        let (generation, position) = (progress.generation, progress.position);
        match progress.state {
            // Who has just begun to follow has it from an owner before, perhaps of read models that were lost since.
            State::Live => match self.0.run_whole(Query::of(())).await {
                Ok(_) => Ok(format!("generation {generation} at {position}")),
                Err(error) => Err(CheckFailed(error.to_string())),
            },
            State::CatchingUp => Err(CheckFailed(format!("generation {generation} catches up, at {position}"))),
            State::Stopped(reason) => Err(CheckFailed(format!("stopped at {position}: {reason}"))),
        }
    }
}

struct TakesItsTurn(watch::Receiver<Duty>);

#[async_trait]
impl Check for TakesItsTurn {
    fn name(&self) -> &'static str {
        "worker"
    }

    async fn look(&self) -> Result<String, CheckFailed> {
        let duty = self.0.borrow().clone();
        match duty {
            Duty::Owner => Ok("brings the read models forward".to_owned()),
            Duty::StandingBy => Ok("stands by: another process brings the read models forward".to_owned()),
            Duty::Stopped(reason) => Err(CheckFailed(format!("leaves the read models to others: {reason}"))),
        }
    }
}

/// Only told: all other streams go on.
struct NothingIsParked(Reader);

#[async_trait]
impl Check for NothingIsParked {
    fn name(&self) -> &'static str {
        "parked streams"
    }

    async fn look(&self) -> Result<String, CheckFailed> {
        let parked = self.0.run(parked::all()).await.map_err(|error| CheckFailed(error.to_string()))?.value;
        Ok(match parked.first() {
            None => "none".to_owned(),
            Some(first) => format!(
                "{}: an event of theirs can't be applied, the first at {}; `advisor streams parked` lists them",
                parked.len(),
                first.position
            ),
        })
    }
}

/// Only told: without a bus everybody looks by themselves.
struct BusCarries(Arc<dyn Bus>);

#[async_trait]
impl Check for BusCarries {
    fn name(&self) -> &'static str {
        "bus"
    }

    async fn look(&self) -> Result<String, CheckFailed> {
        Ok(match self.0.server_is_there() {
            Some(false) => "is away: what changes is seen later".to_owned(),
            Some(true) | None => "carries news".to_owned(),
        })
    }
}

/// Only told: a server whose model is away still takes messages, and answers queries.
struct ModelProviderStands(Arc<Models>);

#[async_trait]
impl Check for ModelProviderStands {
    fn name(&self) -> &'static str {
        "model provider"
    }

    async fn look(&self) -> Result<String, CheckFailed> {
        let (provider, standing) = self.0.provider();
        Ok(match standing {
            Standing::Asked { failures: 0 } => format!("{provider} is asked"),
            Standing::Asked { failures } => format!("{provider} is asked, and has failed {failures} times in a row"),
            Standing::LeftAlone { left } => {
                format!("{provider} has failed too often and is left alone for {} ms more", left.as_millis())
            }
            Standing::Tried => format!("{provider} is tried again after it was left alone"),
        })
    }
}
