//! Loads a server through its public HTTP API, and prints what it stood.
//!
//! Starts a server of its own for each scenario, in a temporary directory and on loopback, unless it is shown one
//! that runs. It is told not to count how often one person or one address asks, unless the scenario is about that.
//!
//! ```sh
//! load commands --advisor target/release/advisor --seconds 4
//! load overload --advisor target/release/advisor --seconds 20 --rounds 3
//! ops/engines sh -c 'load between --postgres $ADVISOR_TEST_POSTGRES --nats $ADVISOR_TEST_NATS'
//! load all --advisor target/release/advisor --floor DIR --json figures.jsonl
//! ```

mod between;
mod client;
mod commands;
mod floor;
mod live;
mod log;
mod mixed;
mod model;
mod neighbours;
mod overload;
mod people;
mod queries;
mod replies;
mod report;
mod samples;
mod server;
mod subscribers;
mod traffic;
mod wire;

use anyhow::Result;
use clap::{Parser, Subcommand};
use report::Report;
use rustix::process::{Resource, getrlimit, setrlimit};
use server::Target;
use std::{path::PathBuf, time::Duration};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
    #[command(flatten)]
    target: Target,
    /// How long each measurement takes.
    #[arg(long, global = true, default_value_t = 4.0)]
    seconds: f64,
    /// How often what is compared is measured, in turn: the median is told.
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// Add each row to this file, as a line of JSON.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Scenario {
    /// Durable messages that nobody replies to, by clients that each wait for their answer.
    Commands(commands::Args),
    /// The list of conversations, and the last 50 of a conversation's many messages.
    Queries(queries::Args),
    /// How soon subscribers hear of a change, and what an idle one takes of the server's memory.
    Live(live::Args),
    /// Many replies of a model at once, each heard by a second device.
    Replies(replies::Args),
    /// Commands, queries and subscribers at once.
    Mixed(mixed::Args),
    /// Three times as much as the server can do.
    Overload(overload::Args),
    /// Whether others notice who guesses tokens, and who commands without end.
    Neighbours(neighbours::Args),
    /// Commands, in turn with a plain server that does no more than write them.
    Floor(floor::Args),
    /// Appends to an event log, with no server; in PostgreSQL in turn with plain inserts.
    Log(log::Args),
    /// What is added between processes: NATS, and the read of what changed, in turn with NATS alone.
    Between(between::Args),
    /// All of these but the last two, one after another.
    All(AllArgs),
}

#[derive(clap::Args)]
struct AllArgs {
    /// The folder of the plain server; `floor` is left out without.
    #[arg(long, value_name = "DIR")]
    floor: Option<PathBuf>,
}

/// What every scenario is given.
struct Stage {
    target: Target,
    duration: Duration,
    rounds: usize,
    report: Report,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // A connection is a file; what the server inherits is as much.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    let mut stage = Stage {
        duration: Duration::try_from_secs_f64(cli.seconds)?,
        rounds: cli.rounds.max(1),
        report: Report::new(cli.json.as_deref())?,
        target: cli.target,
    };
    if stage.target.is_apart() {
        keep_apart(&mut stage)?;
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(cli.scenario, &mut stage))
}

async fn run(scenario: Scenario, stage: &mut Stage) -> Result<()> {
    match scenario {
        Scenario::Commands(args) => commands::run(stage, &args).await,
        Scenario::Queries(args) => queries::run(stage, &args).await,
        Scenario::Live(args) => live::run(stage, &args).await,
        Scenario::Replies(args) => replies::run(stage, &args).await,
        Scenario::Mixed(args) => mixed::run(stage, &args).await,
        Scenario::Overload(args) => overload::run(stage, &args).await,
        Scenario::Neighbours(args) => neighbours::run(stage, &args).await,
        Scenario::Floor(args) => floor::run(stage, &args).await,
        Scenario::Log(args) => log::run(stage, &args).await,
        Scenario::Between(args) => between::run(stage, &args).await,
        Scenario::All(args) => all(stage, args).await,
    }
}

async fn all(stage: &mut Stage, args: AllArgs) -> Result<()> {
    commands::run(stage, &commands::Args::default()).await?;
    queries::run(stage, &queries::Args::default()).await?;
    live::run(stage, &live::Args::default()).await?;
    replies::run(stage, &replies::Args::default()).await?;
    mixed::run(stage, &mixed::Args::default()).await?;
    overload::run(stage, &overload::Args::default()).await?;
    neighbours::run(stage, &neighbours::Args::default()).await?;
    if let Some(programs) = args.floor {
        floor::run(stage, &floor::Args { floor: programs }).await?;
    }
    // Asking three times as often must not take from the server what it is measured by.
    keep_apart(stage)?;
    overload::run(stage, &overload::Args::default()).await
}

fn keep_apart(stage: &mut Stage) -> Result<()> {
    stage.report.cores_apart();
    stage.target.keep_apart()
}
