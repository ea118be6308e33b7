//! Durable messages that nobody replies to: goals 1 to 3 without their floor.

use crate::{
    Stage,
    people::{messages, people},
    server::{NO_RATES, Server},
    traffic::{closed, in_turn},
};
use anyhow::Result;

const PEOPLE: usize = 16;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many clients ask at the same time, for each measurement.
    #[arg(long, value_delimiter = ',', default_values_t = Self::default().clients)]
    clients: Vec<usize>,
    /// Conversations that are written in, in turn.
    #[arg(long, default_value_t = Self::default().conversations)]
    conversations: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { clients: vec![1, 16, 64, 256], conversations: 128 }
    }
}

pub(crate) async fn run(stage: &mut Stage, args: &Args) -> Result<()> {
    let server = Server::reach(&stage.target, NO_RATES)?;
    let people = people(&server, PEOPLE, args.conversations.div_ceil(PEOPLE)).await?;
    let requests = in_turn(&messages(&people)?);
    for clients in &args.clients {
        let samples = closed(server.door(), *clients, stage.duration, &requests).await;
        let rate = samples.rate(stage.duration);
        stage.report.requests("commands", &format!("{clients} at a time"), rate, &samples)?;
    }
    Ok(())
}
