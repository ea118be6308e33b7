//! Appends to an event log with no server before it; in PostgreSQL in turn with plain inserts, which keep no order and
//! check nothing: goal 7 as a ratio.

use crate::{
    Stage,
    report::Figures,
    samples::{Outcome, Samples, median},
};
use advisor_eventlog::{EventLog, Expected, NewEvent, PostgresLog, PostgresLogOptions, SqliteLog, SqliteLogOptions};
use advisor_events::StreamName;
use anyhow::{Result, bail};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{sync::Arc, time::Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// A stream takes so many events, and then another one takes its place.
const STREAM_LENGTH: u64 = 20;
/// About what a message takes.
const DATA_BYTES: usize = 600;
const METADATA_BYTES: usize = 75;
const TYPE: &str = "load.written.v1";

const INSERT: &str = "INSERT INTO plain (stream, revision, id, type, data, metadata) VALUES ($1, $2, $3, $4, $5, $6)";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// `sqlite:PATH` or `postgres://…`; in PostgreSQL, a schema is made for the time of this.
    #[arg(long)]
    url: String,
    /// How many append at the same time, for each measurement.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    clients: Vec<usize>,
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    match args.url.split_once(':') {
        Some(("sqlite", path)) => {
            let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(SqliteLogOptions::at(path))?);
            for clients in &args.clients {
                ours(stage, &log, *clients).await?;
            }
            Ok(())
        }
        Some(("postgres" | "postgresql", _)) => in_turn(stage, args).await,
        Some(_) | None => bail!("`--url` is `sqlite:PATH` or `postgres://…`"),
    }
}

/// Ours and plain inserts, each in a schema that is dropped afterwards.
async fn in_turn(stage: &mut Stage, args: &Args) -> Result<()> {
    let schema = format!("load_{}", Uuid::new_v4().simple());
    let log = PostgresLog::open(PostgresLogOptions { schema: schema.clone(), ..PostgresLogOptions::at(&*args.url) })?;
    log.head().await?;
    let log: Arc<dyn EventLog> = Arc::new(log);
    let mut owner = connect(&args.url, &schema).await?;
    let table = "CREATE TABLE plain (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream integer NOT NULL, revision integer NOT NULL,
        id uuid NOT NULL, type text NOT NULL, data bytea NOT NULL, metadata bytea NOT NULL, UNIQUE (stream, revision))";
    sqlx::raw_sql(table).execute(&mut owner).await?;
    for clients in &args.clients {
        let (mut of_ours, mut of_plain) = (Vec::new(), Vec::new());
        for _ in 0..stage.rounds {
            of_plain.push(plain(stage, (&args.url, &schema), *clients).await?);
            of_ours.push(ours(stage, &log, *clients).await?);
        }
        let ratio = median(of_ours) / median(of_plain);
        let case = format!("{clients} at a time: ours / plain, medians");
        stage.report.row("log", &case, Figures::default().with("per_s", ratio))?;
    }
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut owner).await?;
    Ok(())
}

/// Each client appends to a stream of its own, one event after another.
async fn ours(stage: &mut Stage, log: &Arc<dyn EventLog>, clients: usize) -> Result<f64> {
    let samples = Arc::new(Samples::new(Instant::now()));
    let end = samples.begun() + stage.duration;
    let mut appending = JoinSet::new();
    for _ in 0..clients {
        let (log, samples) = (Arc::clone(log), Arc::clone(&samples));
        appending.spawn(async move {
            while Instant::now() < end {
                let stream = StreamName::from_text(format!("load-{}", Uuid::new_v4().simple()));
                for revision in 0..STREAM_LENGTH {
                    let expected = revision.checked_sub(1).map_or(Expected::NoStream, Expected::Exact);
                    let sent = Instant::now();
                    let done = log.append(&stream, expected, vec![event()]).await.is_ok();
                    samples.take(sent, sent, if done { Outcome::Done } else { Outcome::Unanswered });
                    if !done || sent >= end {
                        break;
                    }
                }
            }
        });
    }
    appending.join_all().await;
    told(stage, &format!("{clients} at a time: ours"), &samples)
}

/// Each client has a connection, and inserts one row after another.
async fn plain(stage: &mut Stage, (url, schema): (&str, &str), clients: usize) -> Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(connect(url, schema).await?);
    }
    let samples = Arc::new(Samples::new(Instant::now()));
    let end = samples.begun() + stage.duration;
    let mut inserting = JoinSet::new();
    for mut connection in connections {
        let samples = Arc::clone(&samples);
        inserting.spawn(async move {
            while Instant::now() < end {
                let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
                let stream = i32::from_be_bytes([a, b, c, d]);
                for revision in 0_i32..i32::try_from(STREAM_LENGTH).unwrap_or(i32::MAX) {
                    let NewEvent { id, type_name, data, metadata } = event();
                    let row = sqlx::query(INSERT).bind(stream).bind(revision);
                    let row = row.bind(id).bind(type_name).bind(data).bind(metadata);
                    let sent = Instant::now();
                    let done = row.execute(&mut connection).await.is_ok();
                    samples.take(sent, sent, if done { Outcome::Done } else { Outcome::Unanswered });
                    if !done || sent >= end {
                        break;
                    }
                }
            }
        });
    }
    inserting.join_all().await;
    told(stage, &format!("{clients} at a time: plain inserts"), &samples)
}

fn told(stage: &mut Stage, case: &str, samples: &Samples) -> Result<f64> {
    let rate = samples.rate(stage.duration);
    stage.report.requests("log", case, rate, samples)?;
    Ok(rate)
}

async fn connect(url: &str, schema: &str) -> Result<PgConnection> {
    let mut connection = PgConnection::connect(url).await?;
    let path = sqlx::query("SELECT set_config('search_path', $1, false)").bind(schema.to_owned());
    path.execute(&mut connection).await?;
    Ok(connection)
}

fn event() -> NewEvent {
    NewEvent {
        id: Uuid::new_v4(),
        type_name: TYPE.to_owned(),
        data: vec![b'x'; DATA_BYTES],
        metadata: vec![b'x'; METADATA_BYTES],
    }
}
