//! Commands, queries and subscribers at once, as a busy day has them.

use crate::{
    Stage,
    client::{Client, get, get_events},
    live::Publisher,
    people::{messages, people},
    report::Figures,
    samples::{Times, precise},
    server::{NO_RATES, Server},
    subscribers::{Hearing, Subscribers, micros, times},
    traffic::{closed, in_turn},
};
use anyhow::Result;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PEOPLE: usize = 16;
const CONVERSATIONS_EACH: usize = 8;
/// Between two changes that everybody hears of.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Clients that send messages.
    #[arg(long, default_value_t = Self::default().writers)]
    writers: usize,
    /// Clients that read lists and pages.
    #[arg(long, default_value_t = Self::default().readers)]
    readers: usize,
    /// Subscribers of what everybody sees.
    #[arg(long, default_value_t = Self::default().subscribers)]
    subscribers: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { writers: 16, readers: 16, subscribers: 200 }
    }
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let server = Server::reach(&stage.target, NO_RATES)?;
    let people = people(&server, PEOPLE, CONVERSATIONS_EACH).await?;
    let mut queries = Vec::new();
    for person in &people {
        queries.push(get("/api/conversations", Some(&person.token))?);
        for conversation in &person.conversations {
            queries.push(get(&format!("/api/conversations/{conversation}/messages?limit=50"), Some(&person.token))?);
        }
    }
    let (writing, reading) = (in_turn(&messages(&people)?), in_turn(&queries));
    let crowd = Subscribers::connect(server.door(), args.subscribers, &get_events("/api/advisors", None)?).await?;
    let publisher = Publisher::new(&server).await?;
    let (written, read, heard) = tokio::join!(
        closed(server.door(), args.writers, stage.duration, &writing),
        closed(server.door(), args.readers, stage.duration, &reading),
        publish(&server, &publisher, &crowd, stage.duration)
    );
    crowd.dismiss().await;
    let duration = stage.duration;
    stage.report.requests("mixed", &format!("{} writers", args.writers), written.rate(duration), &written)?;
    stage.report.requests("mixed", &format!("{} readers", args.readers), read.rate(duration), &read)?;
    let heard = heard?;
    let all = Times::of(heard.iter().map(|hearing| micros(hearing.all())));
    let figures = Figures::default()
        .with("changes", precise(heard.len() as u64))
        .with("p50_ms", times(&heard).at(0.5))
        .with("p99_ms", times(&heard).at(0.99))
        .with("all_p50_ms", all.at(0.5));
    stage.report.row("mixed", &format!("{} subscribers", args.subscribers), figures)
}

async fn publish(
    server: &Server,
    publisher: &Publisher,
    crowd: &Subscribers,
    duration: Duration,
) -> Result<Vec<Hearing>> {
    let mut client = Client::connect(server.door()).await?;
    let (begun, mut hearings) = (Instant::now(), Vec::new());
    for number in 1.. {
        if begun.elapsed() >= duration {
            break;
        }
        hearings.push(crowd.hear(number, &mut client, publisher.change(number)?).await?);
        sleep(PAUSE).await;
    }
    Ok(hearings)
}
