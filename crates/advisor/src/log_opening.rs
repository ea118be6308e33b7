//! The log's own opening: its identity, and the sample advisors of an empty log.
//!
//! A crash between any two steps is healed by the next start: the opening and the seeding are
//! repeats of the same commands until `log.seeded` stands in the log.

use advisor_commands::{Advisor, AdvisorCommand, CommandContext, Handler};
use advisor_eventlog::{AppendError, Direction, EventLog, Expected, NewEvent, ReadError};
use advisor_events::{
    Actor, AdvisorId, Clock, Event, Metadata, SealContext, StreamName, Timestamp,
    advisor::{Status, Visibility},
    log::{LogEvent, Opened, Seeded},
};
use anyhow::{Context, Result};
use serde_json::Value;
use uuid::Uuid;

/// The sample advisors, written for this project.
const SEEDS: [&str; 4] = [
    include_str!("../seeds/nadia-okafor-v1.json"),
    include_str!("../seeds/tomas-lindqvist-v1.json"),
    include_str!("../seeds/priya-raman-v1.json"),
    include_str!("../seeds/henrik-vale-v1.json"),
];

/// What an empty log is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seeding {
    /// Four sample advisors.
    SampleAdvisors,
    /// Nothing.
    Nothing,
}

/// Gives a new log its identity, and leaves an old one alone.
pub(crate) async fn open(log: &dyn EventLog, clock: &dyn Clock) -> Result<()> {
    match log.read_stream(&StreamName::log(), 0, Direction::Forward, 1).await {
        Ok(_) => return Ok(()),
        Err(ReadError::NoSuchStream) => {}
        Err(error) => return Err(error.into()),
    }
    let opened = LogEvent::Opened(Opened { identity: Uuid::new_v4().to_string() });
    append(log, Expected::NoStream, opened, clock.now()).await
}

/// Writes the sample advisors unless this has been decided for this log before.
pub(crate) async fn seed(
    log: &dyn EventLog,
    advisors: &Handler<Advisor>,
    clock: &dyn Clock,
    seeding: Seeding,
) -> Result<()> {
    let events = log.read_stream(&StreamName::log(), 0, Direction::Forward, 2).await?;
    if events.len() > 1 {
        return Ok(());
    }
    let seeds: &[&str] = match seeding {
        Seeding::SampleAdvisors => &SEEDS,
        Seeding::Nothing => &[],
    };
    for seed in seeds {
        create(advisors, clock.now(), serde_json::from_str(seed)?).await?;
    }
    let seeded = LogEvent::Seeded(Seeded { advisors: u32::try_from(seeds.len())? });
    append(log, Expected::Exact(0), seeded, clock.now()).await
}

async fn create(advisors: &Handler<Advisor>, now: Timestamp, document: Value) -> Result<()> {
    let id = document.get("advisorId").and_then(Value::as_str).context("a sample advisor without an id")?;
    let advisor_id = AdvisorId::from(id);
    let stream = StreamName::advisor(&advisor_id);
    let context = CommandContext {
        body: serde_json::to_vec(&document)?,
        ..CommandContext::new(Actor::Import("seed".to_owned()), format!("seed-{id}"), now)
    };
    let command = AdvisorCommand::Create {
        advisor_id,
        owner_id: None,
        visibility: Visibility::Public,
        status: Status::Active,
        document,
    };
    advisors.execute(&stream, command, context).await.context("a sample advisor could not be written")?;
    Ok(())
}

async fn append(log: &dyn EventLog, expected: Expected, event: LogEvent, now: Timestamp) -> Result<()> {
    let stream = StreamName::log();
    let id = Uuid::new_v4();
    let metadata = Metadata::new(Actor::Worker("log".to_owned()), id.to_string(), now);
    let encoded = Event::from(event).encode(None, SealContext { stream: &stream, event_id: id }, &metadata)?;
    let event = NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata };
    match log.append(&stream, expected, vec![event]).await {
        // Another process was faster: what it wrote says the same.
        Ok(_) | Err(AppendError::WrongRevision { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
