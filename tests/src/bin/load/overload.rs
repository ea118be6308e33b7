//! Three times as much as the server can do: how much of it is done, how soon the rest is refused, that nothing is
//! lost that was acknowledged, and how soon all is well again.

use crate::{
    Stage,
    client::Door,
    people::{messages, messages_listed, people},
    report::{Figures, times_of},
    samples::{Outcome, Samples, Since, median, precise},
    server::{NO_RATES, Restart, Server},
    traffic::{Requests, Schedule, closed, in_turn, open},
};
use anyhow::{Result, ensure};
use std::time::Duration;

const PEOPLE: usize = 32;
/// All of them are in a list.
const CONVERSATIONS_EACH: usize = 8;
/// What is offered, as a multiple of the best rate.
const OFFERED: f64 = 3.0;
/// How busy the server is before and after it, as a share of the best rate.
const CALM: f64 = 0.2;
/// For how long that is looked at afterwards.
const AFTERWARDS: Duration = Duration::from_secs(12);
const WINDOW: Duration = Duration::from_millis(100);
/// The p99 of a window is as before again when it is at most so many times what it was.
const AS_BEFORE: f64 = 2.0;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many clients ask at the same time to find the best rate.
    #[arg(long, value_delimiter = ',', default_values_t = Self::default().clients)]
    clients: Vec<usize>,
}

impl Default for Args {
    fn default() -> Self {
        Self { clients: vec![64, 128, 256] }
    }
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let mut server = Server::reach(&stage.target, NO_RATES)?;
    let people = people(&server, PEOPLE, CONVERSATIONS_EACH).await?;
    let requests = in_turn(&messages(&people)?);
    let mut sent = Sent::default();
    let before = messages_listed(&server, &people).await?;

    let mut best = (0, 0.0);
    for clients in &args.clients {
        let rate = saturate(stage, server.door(), *clients, &requests, &mut sent).await?;
        if rate > best.1 {
            best = (*clients, rate);
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..stage.rounds {
        // The log has grown: what is best now is measured now.
        let rate = saturate(stage, server.door(), best.0, &requests, &mut sent).await?;
        rounds.push(overload(stage, server.door(), rate, &requests, &mut sent).await?);
    }
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let figures = Figures::default()
        .with("done/best", of(|round| round.kept))
        .with("refused_p99_ms", of(|round| round.refused_p99_ms))
        .with("accepted_p99_ms", of(|round| round.accepted_p99_ms))
        .with("normal_after_ms", of(|round| round.normal_after_ms));
    stage.report.row("overload", &format!("medians of {} rounds", stage.rounds), figures)?;

    nothing_is_lost(stage, "read back", &sent, messages_listed(&server, &people).await? - before)?;
    if server.crash(&stage.target)? == Restart::Done {
        let there = messages_listed(&server, &people).await? - before;
        nothing_is_lost(stage, "read back after a crash", &sent, there)?;
    }
    Ok(())
}

/// What became of all messages that were sent.
#[derive(Default)]
struct Sent {
    acknowledged: u64,
    /// Nobody knows what became of them.
    unclear: u64,
}

impl Sent {
    fn add(&mut self, samples: &Samples) {
        self.acknowledged += samples.count(|outcome| outcome == Outcome::Done);
        self.unclear += samples.count(Outcome::is_unclear);
    }
}

/// What came of one overload.
struct Round {
    kept: f64,
    refused_p99_ms: f64,
    accepted_p99_ms: f64,
    normal_after_ms: f64,
}

/// As much as these clients get done, each waiting for its answer.
async fn saturate(stage: &mut Stage, door: Door, clients: usize, requests: &Requests, sent: &mut Sent) -> Result<f64> {
    let samples = closed(door, clients, stage.duration, requests).await;
    sent.add(&samples);
    let rate = samples.rate(stage.duration);
    stage.report.requests("overload", &format!("{clients} at a time"), rate, &samples)?;
    Ok(rate)
}

async fn overload(stage: &mut Stage, door: Door, best: f64, requests: &Requests, sent: &mut Sent) -> Result<Round> {
    let calm = Schedule { per_second: best * CALM, duration: stage.duration };
    let before = open(door, calm, requests).await;
    let schedule = Schedule { per_second: best * OFFERED, duration: stage.duration };
    let during = open(door, schedule, requests).await;
    let after = open(door, Schedule { duration: AFTERWARDS.min(stage.duration * 3), ..calm }, requests).await;
    for samples in [&before, &during, &after] {
        sent.add(samples);
    }

    let (done, refused) = (|outcome| outcome == Outcome::Done, |outcome| matches!(outcome, Outcome::Refused(_)));
    stage.report.requests("overload", "a fifth of it", before.rate(calm.duration), &before)?;
    stage.report.requests("overload", "three times as much", during.rate(schedule.duration), &during)?;
    stage.report.requests("overload", "a fifth again", after.rate(AFTERWARDS.min(stage.duration * 3)), &after)?;
    let refusals = during.times(Since::Sent, refused);
    let figures = times_of(
        Figures::default().with("per_s", precise(during.count(refused)) / schedule.duration.as_secs_f64()),
        &refusals,
    );
    stage.report.row("overload", "refusals, from when they were sent", figures)?;
    let late = times_of(Figures::default().with("per_s", schedule.per_second), &during.lateness());
    stage.report.row("overload", "how late they were sent", late)?;
    let usual = before.times(Since::Due, done).at(0.99);
    Ok(Round {
        kept: during.rate(schedule.duration) / best,
        refused_p99_ms: refusals.at(0.99),
        accepted_p99_ms: during.times(Since::Due, done).at(0.99),
        normal_after_ms: normal_after(&after, usual),
    })
}

/// When latency was as before again; not a number if it never was.
fn normal_after(after: &Samples, usual: f64) -> f64 {
    let windows = after.windows(WINDOW);
    let normal = windows.iter().position(|times| times.at(0.99) <= usual * AS_BEFORE);
    normal.map_or(f64::NAN, |window| precise(window as u64) * WINDOW.as_secs_f64() * 1e3)
}

fn nothing_is_lost(stage: &mut Stage, case: &str, sent: &Sent, there: u64) -> Result<()> {
    let figures = Figures::default()
        .with("acknowledged", precise(sent.acknowledged))
        .with("unclear", precise(sent.unclear))
        .with("there", precise(there));
    stage.report.row("overload", case, figures)?;
    let possible = sent.acknowledged..=sent.acknowledged + sent.unclear;
    ensure!(possible.contains(&there), "{there} messages are there, not {possible:?}");
    Ok(())
}
