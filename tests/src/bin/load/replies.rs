//! Many replies at once (goal 17): how long a piece takes from the model to a second device, and how much text is
//! sent for that.

use crate::{
    Stage,
    client::{Client, Door, command, get, get_events},
    model::{self, Pace, first_stamp},
    people::{Person, people, text},
    report::Figures,
    samples::{Times, precise},
    server::{NO_RATES, Server},
    subscribers::micros,
};
use anyhow::{Context, Result, bail, ensure};
use eventsource_stream::Eventsource;
use futures::{StreamExt, future::try_join_all, stream};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::task::TaskTracker;

/// Each person's devices are few.
const CONVERSATIONS_EACH: usize = 10;
/// Beyond the time that the model takes.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many replies there are at the same time.
    #[arg(long, default_value_t = Self::default().replies)]
    replies: usize,
    /// In how many pieces the model says each.
    #[arg(long, default_value_t = Self::default().pieces)]
    pieces: u32,
    /// Between two of them, in milliseconds.
    #[arg(long, default_value_t = Self::default().pause_ms)]
    pause_ms: u64,
}

impl Default for Args {
    fn default() -> Self {
        Self { replies: 100, pieces: 150, pause_ms: 30 }
    }
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let pace = Pace { begun: Instant::now(), pieces: args.pieces, pause: Duration::from_millis(args.pause_ms) };
    let models = TaskTracker::new();
    let url = model::serve(pace, &models).await?;
    let variables = [NO_RATES, &[("ADVISOR_MODEL_URL", url.as_str())]].concat();
    let server = Server::start(&stage.target, &variables)?;
    let people = people(&server, args.replies.div_ceil(CONVERSATIONS_EACH), CONVERSATIONS_EACH).await?;
    let advisor = first_advisor(&server).await?;
    let places = people.iter().flat_map(|person| person.conversations.iter().map(move |id| (person, id)));
    let begun = Instant::now();
    let heard = places.take(args.replies).map(|(person, id)| reply(server.door(), person, id, &advisor, pace));
    let heard = timeout(pace.pause * pace.pieces + PATIENCE, try_join_all(heard)).await??;
    let seconds = begun.elapsed().as_secs_f64();

    let sent: u64 = heard.iter().map(|reply| reply.sent_bytes).sum();
    let whole = pace.reply_bytes() * heard.len() as u64;
    let times = Times::of(heard.iter().flat_map(|reply| reply.pieces.iter().copied()));
    let count: usize = heard.iter().map(|reply| reply.pieces.len()).sum();
    let figures = Figures::default()
        .with("pieces", precise(count as u64))
        .with("p50_ms", times.at(0.5))
        .with("p99_ms", times.at(0.99))
        .with("max_ms", times.max())
        .with("sent/reply", precise(sent) / precise(whole))
        .with("seconds", seconds);
    stage.report.row("replies", &format!("{} replies at once", args.replies), figures)
}

async fn first_advisor(server: &Server) -> Result<String> {
    let listed = Client::connect(server.door()).await?.json(get("/api/advisors", None)?).await?;
    text(listed.pointer("/0/id"))
}

/// What a second device heard of a reply.
struct Heard {
    /// How long each piece took, in microseconds.
    pieces: Vec<u64>,
    sent_bytes: u64,
}

/// Asks for a reply, and listens to it on another connection.
async fn reply(door: Door, person: &Person, conversation: &str, advisor: &str, pace: Pace) -> Result<Heard> {
    let (ready, is_ready) = oneshot::channel();
    let asking = async {
        is_ready.await.context("the second device does not listen")?;
        let body = json!({"conversationId": conversation, "content": "Well?", "advisorIds": [advisor]});
        Client::connect(door).await?.json(command("SendMessage", &person.token, &body)?).await
    };
    let listening = listen(door, person, conversation, pace, ready);
    let (_, heard) = tokio::try_join!(asking, listening)?;
    Ok(heard)
}

async fn listen(
    door: Door,
    person: &Person,
    conversation: &str,
    pace: Pace,
    ready: oneshot::Sender<()>,
) -> Result<Heard> {
    let look = get_events(&format!("/api/conversations/{conversation}"), Some(&person.token))?;
    let stream = Client::connect(door).await?.stream(look).await?;
    let bytes = stream::unfold(stream, |mut stream| async { Some((stream.next().await?, stream)) });
    let mut events = Box::pin(bytes.eventsource());
    let (mut heard, mut ready) = (Heard { pieces: Vec::new(), sent_bytes: 0 }, Some(ready));
    while let Some(event) = events.next().await {
        let event = event?;
        match event.event.as_str() {
            "snapshot" => drop(ready.take().map(|ready| ready.send(()))),
            "delta" => heard.piece(&serde_json::from_str(&event.data)?, pace)?,
            "change" if event.data.contains("\"sender\":\"advisor\"") => return Ok(heard),
            "change" => ensure!(!event.data.contains("\"status\":\"failed\""), "a reply has failed: {}", event.data),
            other => bail!("{other}: {}", event.data),
        }
    }
    bail!("the stream has ended")
}

impl Heard {
    fn piece(&mut self, delta: &Value, pace: Pace) -> Result<()> {
        let now = micros(pace.begun.elapsed());
        let text = delta["text"].as_str().context("a delta has no text")?;
        self.sent_bytes += text.len() as u64;
        let mut left = text;
        while let Some((said, rest)) = first_stamp(left) {
            self.pieces.push(now.saturating_sub(said));
            left = rest;
        }
        Ok(())
    }
}
