//! Commands in turn with a plain server that does no more than write what it is sent: goals 1 to 3 as ratios.

use crate::{
    Stage,
    client::{Client, Door, post},
    people::{messages, people, words},
    report::Figures,
    samples::{Outcome, Since, median},
    server::{NO_RATES, Server, Target},
    traffic::{Requests, closed, in_turn},
    wire::written,
};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde_json::json;
use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::sleep;
use uuid::Uuid;

const PROGRAM: &str = "cmdfloor";
/// The event, a row that keeps its command from being done twice, and a row of a read model, in one transaction.
const PATH: &str = "/full";
const PEOPLE: usize = 16;
const CONVERSATIONS: usize = 128;
/// A conversation takes so many messages, and then another one takes its place.
const CONVERSATION_LENGTH: usize = 20;
const CLIENTS: [usize; 2] = [1, 64];
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the plain server, or the target directory that it was built in.
    #[arg(long, value_name = "DIR")]
    pub(crate) floor: PathBuf,
}

/// Commands in a second, and how long they took in milliseconds.
#[derive(Clone, Copy)]
struct Measured {
    rate: f64,
    p50: f64,
    p99: f64,
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let server = Server::reach(&stage.target, NO_RATES)?;
    let people = people(&server, PEOPLE, CONVERSATIONS.div_ceil(PEOPLE)).await?;
    let ours = in_turn(&messages(&people)?);
    let plain = Plain::start(&stage.target, &args.floor).await?;
    for clients in CLIENTS {
        let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
        for _ in 0..stage.rounds {
            // It takes no command twice, and each measurement counts from the first.
            of_theirs.push(measure(stage, (plain.door, "floor"), clients, &plain_requests()?).await?);
            of_ours.push(measure(stage, (server.door(), "ours"), clients, &ours).await?);
        }
        let ratio = |figure: fn(&Measured) -> f64| {
            let of = |all: &[Measured]| median(all.iter().map(figure).collect());
            of(&of_ours) / of(&of_theirs)
        };
        let figures = Figures::default()
            .with("per_s", ratio(|measured| measured.rate))
            .with("p50", ratio(|measured| measured.p50))
            .with("p99", ratio(|measured| measured.p99));
        stage.report.row("floor", &format!("{clients} at a time: ours / floor, medians"), figures)?;
    }
    Ok(())
}

async fn measure(
    stage: &mut Stage,
    (door, whose): (Door, &str),
    clients: usize,
    requests: &Requests,
) -> Result<Measured> {
    let samples = closed(door, clients, stage.duration, requests).await;
    let rate = samples.rate(stage.duration);
    stage.report.requests("floor", &format!("{clients} at a time: {whose}"), rate, &samples)?;
    let times = samples.times(Since::Due, |outcome| outcome == Outcome::Done);
    Ok(Measured { rate, p50: times.at(0.5), p99: times.at(0.99) })
}

/// Messages of the same size to as many conversations.
fn plain_requests() -> Result<Requests> {
    let (run, words) = (Uuid::new_v4().simple().to_string(), words());
    let template = post(PATH, None, Bytes::new())?;
    Ok(Arc::new(move |number| {
        let (place, turn) = (number % CONVERSATIONS, number / (CONVERSATIONS * CONVERSATION_LENGTH));
        let body = json!({
            "command_id": format!("{run}-{number}"),
            "conversation_id": format!("conversation-{run}-{place}-{turn}"),
            "role": "user",
            "text": words,
        });
        written(&template.clone().map(|_| Bytes::from(body.to_string())))
    }))
}

/// The plain server; it ends with this.
struct Plain {
    child: Child,
    door: Door,
    _directory: TempDir,
}

impl Plain {
    async fn start(target: &Target, folder: &Path) -> Result<Self> {
        let places = [folder.join(PROGRAM), folder.join("release").join(PROGRAM)];
        let program = places.iter().find(|place| place.is_file());
        let program = program.with_context(|| format!("there is no {PROGRAM} in {}", folder.display()))?;
        let address = free_address()?;
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(program);
        command.arg("--listen").arg(address.to_string()).arg("--db").arg(directory.path().join("floor.db"));
        let child = target.spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        let plain = Self { child, door: Door { address, from: None }, _directory: directory };
        for _ in 0..ATTEMPTS {
            if Client::connect(plain.door).await.is_ok() {
                return Ok(plain);
            }
            sleep(PAUSE).await;
        }
        bail!("{PROGRAM} does not listen on {address}")
    }
}

/// An address that nobody listens on at this moment.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Drop for Plain {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
