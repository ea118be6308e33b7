//! How soon subscribers hear of a change (goals 8 and 9), and what an idle one takes of the server (goal 10).
//!
//! A change counts from when its command is sent: from outside nobody sees the commit. Beside it stands when the
//! command was answered, which is after the read models' commit too.

use crate::{
    Stage,
    client::{Asked, Client, command, get_events},
    people::{Person, message, people},
    report::Figures,
    samples::{Times, precise},
    server::{NO_RATES, Server},
    subscribers::{Hearing, Subscribers, mark, micros, times},
};
use anyhow::Result;
use http::HeaderValue;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// What everybody looks at.
const PUBLIC: &str = "/api/advisors";
const ADVISOR: &str = "load-coach";
/// Deliveries of one measurement, if that makes neither too few changes nor too many.
const DELIVERIES: usize = 20_000;
const CHANGES: std::ops::RangeInclusive<usize> = 10..=500;
/// Between two changes, so that each meets an idle server.
const PAUSE: Duration = Duration::from_millis(10);
/// Until the memory of those who have connected is settled.
const SETTLING: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many subscribers look at the same, for each measurement.
    #[arg(long, value_delimiter = ',', default_values_t = Self::default().subscribers)]
    subscribers: Vec<usize>,
    /// Most changes of one measurement.
    #[arg(long, default_value_t = Self::default().changes)]
    changes: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { subscribers: vec![1, 1_000, 10_000], changes: *CHANGES.end() }
    }
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let server = Server::reach(&stage.target, NO_RATES)?;
    let people = people(&server, 1, 1).await?;
    if let [person] = people.as_slice() {
        own_messages(stage, &server, person, args.changes).await?;
    }
    for subscribers in &args.subscribers {
        // A server of its own, so that none has the memory of the one before.
        let server = Server::reach(&stage.target, NO_RATES)?;
        public_changes(stage, &server, *subscribers, args.changes).await?;
    }
    Ok(())
}

/// One device hears of the messages that another one sends.
async fn own_messages(stage: &mut Stage, server: &Server, person: &Person, changes: usize) -> Result<()> {
    let Some(conversation) = person.conversations.first() else { return Ok(()) };
    let look = get_events(&format!("/api/conversations/{conversation}"), Some(&person.token))?;
    let device = Subscribers::connect(server.door(), 1, &look).await?;
    let change = |number| message(&person.token, conversation, &mark(number));
    let hearings = hear(server, &device, changes, change).await?;
    device.dismiss().await;
    stage.report.row("live", "own messages, 1 subscriber", heard(&hearings))
}

/// Everybody hears of a change of an advisor.
async fn public_changes(stage: &mut Stage, server: &Server, subscribers: usize, most: usize) -> Result<()> {
    let publisher = Publisher::new(server).await?;
    let before = server.memory_kib();
    let crowd = Subscribers::connect(server.door(), subscribers, &get_events(PUBLIC, None)?).await?;
    sleep(SETTLING).await;
    let after = server.memory_kib();
    let changes = (DELIVERIES / subscribers.max(1)).clamp(*CHANGES.start(), *CHANGES.end()).min(most);
    let hearings = hear(server, &crowd, changes, |number| publisher.change(number)).await?;
    crowd.dismiss().await;
    let each =
        before.zip(after).map(|(before, after)| precise(after.saturating_sub(before)) / precise(subscribers as u64));
    let figures = heard(&hearings).with_some("kib_each", each.filter(|_| subscribers > 1));
    stage.report.row("live", &format!("public changes, {subscribers} subscribers"), figures)
}

/// Makes changes one after another.
async fn hear(
    server: &Server,
    subscribers: &Subscribers,
    changes: usize,
    change: impl Fn(u32) -> Result<Asked>,
) -> Result<Vec<Hearing>> {
    let mut client = Client::connect(server.door()).await?;
    let mut hearings = Vec::with_capacity(changes);
    for number in 1..=u32::try_from(changes)? {
        hearings.push(subscribers.hear(number, &mut client, change(number)?).await?);
        sleep(PAUSE).await;
    }
    Ok(hearings)
}

fn heard(hearings: &[Hearing]) -> Figures {
    let each = times(hearings);
    let all = Times::of(hearings.iter().map(|hearing| micros(hearing.all())));
    let answered = Times::of(hearings.iter().map(|hearing| micros(hearing.answered)));
    Figures::default()
        .with("changes", precise(hearings.len() as u64))
        .with("p50_ms", each.at(0.5))
        .with("p99_ms", each.at(0.99))
        .with("all_p50_ms", all.at(0.5))
        .with("all_max_ms", all.max())
        .with("answer_p50_ms", answered.at(0.5))
        .with("answer_p99_ms", answered.at(0.99))
}

/// An operator who changes an advisor that everybody sees.
pub(crate) struct Publisher {
    token: HeaderValue,
}

impl Publisher {
    /// Makes the advisor, too.
    pub(crate) async fn new(server: &Server) -> Result<Self> {
        let token = server.token("publisher", &["--role", "operator"])?;
        let mut client = Client::connect(server.door()).await?;
        client.json(command("CreateAdvisor", &token, &document(0))?).await?;
        Ok(Self { token })
    }

    /// A change that carries the mark of this number.
    pub(crate) fn change(&self, number: u32) -> Result<Asked> {
        let body = json!({"advisorId": ADVISOR, "document": document(number)});
        command("ReviseAdvisor", &self.token, &body)
    }
}

fn document(number: u32) -> Value {
    json!({"advisorId": ADVISOR, "persona": {"name": "Load Coach", "title": mark(number)}})
}
