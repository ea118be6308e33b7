//! Whether others notice somebody who guesses tokens, and somebody who commands without end (rates are counted here).

use crate::{
    Stage,
    client::{Door, get},
    people::{Person, messages, people},
    report::Figures,
    samples::{Outcome, Samples, Since, median, precise},
    server::Server,
    traffic::{Requests, Schedule, in_turn, open},
    wire::written,
};
use anyhow::{Context, Result};
use http::HeaderValue;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;

const GOOD_PEOPLE: usize = 16;
const CONVERSATIONS_EACH: usize = 8;
/// Where the bad ones come from.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const DIGITS: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Messages of sixteen good people in a second.
    #[arg(long, default_value_t = Self::default().good)]
    good: f64,
    /// How many seconds the bad ones begin before the good ones: what may come at once is then used up.
    #[arg(long, default_value_t = Self::default().head_start)]
    head_start: f64,
    /// Guessed tokens in a second, from one address.
    #[arg(long, default_value_t = Self::default().guesses)]
    guesses: f64,
    /// Commands of one person in a second.
    #[arg(long, default_value_t = Self::default().commands)]
    commands: f64,
}

impl Default for Args {
    fn default() -> Self {
        Self { good: 300.0, head_start: 5.0, guesses: 5_000.0, commands: 1_000.0 }
    }
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let server = Server::start(&stage.target, &[])?;
    let people = people(&server, GOOD_PEOPLE + 1, CONVERSATIONS_EACH).await?;
    let (bad, good) = people.split_first().context("there are people")?;
    let elsewhere = Door { from: Some(ELSEWHERE), ..server.door() };
    let good = Source { door: server.door(), requests: in_turn(&messages(good)?), per_second: args.good };
    let guesses = Source { door: elsewhere, requests: guesses(bad)?, per_second: args.guesses };
    let commands = messages(std::slice::from_ref(bad))?;
    let commands = Source { door: elsewhere, requests: in_turn(&commands), per_second: args.commands };
    let head_start = Duration::try_from_secs_f64(args.head_start)?;
    compare(stage, &good, ("guessed tokens", &guesses), head_start).await?;
    compare(stage, &good, ("one person's commands", &commands), head_start).await
}

/// What somebody sends.
struct Source {
    door: Door,
    requests: Requests,
    per_second: f64,
}

impl Source {
    async fn send(&self, duration: Duration) -> Samples {
        open(self.door, Schedule { per_second: self.per_second, duration }, &self.requests).await
    }
}

/// Tokens of the right form, each with another signature that is none.
fn guesses(person: &Person) -> Result<Requests> {
    let token = person.token.to_str()?.to_owned();
    let request = get("/api/me", None)?;
    let stem = token.get(..token.len() - DIGITS).context("a token is longer")?.to_owned();
    Ok(Arc::new(move |number| {
        let mut request = request.clone();
        if let Ok(guess) = HeaderValue::from_str(&format!("{stem}{number:0DIGITS$}")) {
            request.headers_mut().insert(http::header::AUTHORIZATION, guess);
        }
        written(&request)
    }))
}

/// The good ones without the bad ones and beside them, in turn.
async fn compare(
    stage: &mut Stage,
    good: &Source,
    (what, bad): (&'static str, &Source),
    head_start: Duration,
) -> Result<()> {
    let duration = stage.duration;
    let p99 = |samples: &Samples| samples.times(Since::Due, |outcome| outcome == Outcome::Done).at(0.99);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..stage.rounds {
        let alone = good.send(duration).await;
        stage.report.requests("neighbours", &format!("good people without {what}"), alone.rate(duration), &alone)?;
        let later = async {
            sleep(head_start).await;
            good.send(duration).await
        };
        let (beside, flood) = tokio::join!(later, bad.send(head_start + duration));
        stage.report.requests("neighbours", &format!("good people beside {what}"), beside.rate(duration), &beside)?;
        stage.report.requests("neighbours", what, flood.rate(head_start + duration), &flood)?;
        without.push(p99(&alone));
        with.push(p99(&beside));
    }
    let (without, with) = (median(without), median(with));
    let figures = Figures::default()
        .with("rounds", precise(stage.rounds as u64))
        .with("p99_without_ms", without)
        .with("p99_beside_ms", with)
        .with("ratio", with / without);
    stage.report.row("neighbours", what, figures)
}
