//! What is added between processes (goal 11): from when one process begins to say that it has committed a change of the
//! read models until another one has the event for who looks on there, by way of NATS, the other's hub and its read of
//! what changed.
//! In turn with what a message takes from a plain publisher to a plain subscriber of the same NATS server.
//!
//! There is no HTTP in it: what that takes is goal 8's.

mod processes;

use crate::{Stage, report::Figures, samples::Times, subscribers::mark};
use anyhow::{Context, Result};
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use processes::{Database, Processes};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Between two measurements, so that each meets idle processes.
const PAUSE: Duration = Duration::from_millis(5);
/// Changes before those that are measured.
const FIRST: u32 = 50;
/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
const SUBJECT: &str = "load.plain";
/// About what a message of one change takes with its proof.
const PLAIN_BYTES: usize = 250;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A PostgreSQL, in which a database is made for the time of this.
    #[arg(long)]
    postgres: String,
    /// A NATS server.
    #[arg(long)]
    nats: String,
    /// Changes of each round.
    #[arg(long, default_value_t = 500)]
    changes: u32,
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let database = Database::make(&args.postgres).await?;
    let measured = measure(stage, args, &database).await;
    database.drop().await?;
    measured
}

async fn measure(stage: &mut Stage, args: &Args, database: &Database) -> Result<()> {
    // They wait for a NATS server that is coming up; the plain ones do not.
    let mut processes = Processes::start(database, &args.nats).await?;
    let mut plain = Plain::connect(&args.nats).await?;
    for number in 0..FIRST {
        processes.hear_of_change(&mark(number)).await?;
        plain.hear().await?;
    }
    let mut next = FIRST;
    for _ in 0..stage.rounds {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for number in next..next + args.changes {
            sleep(PAUSE).await;
            theirs.push(micros(plain.hear().await?));
            sleep(PAUSE).await;
            ours.push(micros(processes.hear_of_change(&mark(number)).await?));
        }
        next += args.changes;
        told(stage, &Times::of(ours), &Times::of(theirs))?;
    }
    processes.end().await;
    Ok(())
}

fn told(stage: &mut Stage, ours: &Times, plain: &Times) -> Result<()> {
    let row = |times: &Times| Figures::default().with("p50_ms", times.at(0.5)).with("p99_ms", times.at(0.99));
    stage.report.row("between", "commit to another process's event", row(ours))?;
    stage.report.row("between", "plain publisher to plain subscriber", row(plain))?;
    let ratio = |share: f64| ours.at(share) / plain.at(share);
    let ratios = Figures::default().with("p50", ratio(0.5)).with("p99", ratio(0.99));
    stage.report.row("between", "ours / plain", ratios)
}

/// A publisher and a subscriber of a NATS server, with a connection each.
struct Plain {
    publisher: Client,
    subscriber: Subscriber,
    _hearer: Client,
}

impl Plain {
    async fn connect(url: &str) -> Result<Self> {
        let (publisher, hearer) = (async_nats::connect(url).await?, async_nats::connect(url).await?);
        let subscriber = hearer.subscribe(SUBJECT).await?;
        hearer.flush().await?;
        Ok(Self { publisher, subscriber, _hearer: hearer })
    }

    /// How long a message takes.
    async fn hear(&mut self) -> Result<Duration> {
        let sent = Instant::now();
        self.publisher.publish(SUBJECT, vec![b'x'; PLAIN_BYTES].into()).await?;
        timeout(PATIENCE, self.subscriber.next()).await?.context("NATS has ended the subscription")?;
        Ok(sent.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
