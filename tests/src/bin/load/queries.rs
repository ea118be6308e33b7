//! What reading costs: the list of conversations, and the newest page of a long conversation (goal 13).

use crate::{
    Stage,
    client::get,
    people::{Person, message, people, words},
    samples::Outcome,
    server::{NO_RATES, Server},
    traffic::{closed, counted, in_turn},
};
use anyhow::{Result, ensure};

/// They write to one conversation, which takes one message after another.
const WRITERS: usize = 4;
/// Of the person whose list is read.
const CONVERSATIONS: usize = 50;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many clients ask at the same time, for each measurement.
    #[arg(long, value_delimiter = ',', default_values_t = Self::default().clients)]
    clients: Vec<usize>,
    /// Messages of the long conversation.
    #[arg(long, default_value_t = Self::default().messages)]
    messages: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { clients: vec![1, 64], messages: 10_000 }
    }
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let server = Server::reach(&stage.target, NO_RATES)?;
    let people = people(&server, 1, CONVERSATIONS).await?;
    let [person] = people.as_slice() else { return Ok(()) };
    let [conversation, ..] = person.conversations.as_slice() else { return Ok(()) };
    fill(&server, person, conversation, args.messages).await?;
    let list = "/api/conversations".to_owned();
    let page = format!("/api/conversations/{conversation}/messages?limit=50");
    for (what, path) in [("list of 50 conversations", list), ("newest 50 messages", page)] {
        let requests = in_turn(&[get(&path, Some(&person.token))?]);
        for clients in &args.clients {
            let samples = closed(server.door(), *clients, stage.duration, &requests).await;
            let rate = samples.rate(stage.duration);
            stage.report.requests("queries", &format!("{what}, {clients} at a time"), rate, &samples)?;
        }
    }
    Ok(())
}

async fn fill(server: &Server, person: &Person, conversation: &str, messages: usize) -> Result<()> {
    let requests = in_turn(&[message(&person.token, conversation, &words())?]);
    let sent = counted(server.door(), WRITERS, messages, &requests).await;
    let done = sent.count(|outcome| outcome == Outcome::Done);
    ensure!(done == messages as u64, "of {messages} messages only {done} were sent: {:?}", sent.statuses());
    Ok(())
}
