//! `advisor streams parked|retry`: streams whose events are not applied, since one of them can't be.

use crate::{admin_client::AdminClient, output};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

/// Look after the parked streams of a running server.
#[derive(Subcommand)]
pub(crate) enum Streams {
    /// Print every parked stream as a line of JSON.
    Parked(Parked),
    /// Read a parked stream on from the event that it is parked at, after what was wrong with it is mended.
    Retry(Retry),
}

/// Where to ask.
#[derive(Args)]
pub(crate) struct Parked {
    #[command(flatten)]
    server: AdminClient,
}

/// Which to read on.
#[derive(Args)]
pub(crate) struct Retry {
    /// The stream, as `streams parked` names it.
    stream: String,
    #[command(flatten)]
    server: AdminClient,
}

/// Runs one of them.
pub(crate) fn run(command: &Streams) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Streams::Parked(parked) => runtime.block_on(list(&parked.server)),
        Streams::Retry(retry) => runtime.block_on(read_on(&retry.server, &retry.stream)),
    }
}

async fn list(server: &AdminClient) -> Result<()> {
    let text = server.request(Method::GET, &["admin", "parked-streams"], &[]).await?.text().await?;
    let parked: Vec<Value> = serde_json::from_str(&text)?;
    parked.iter().try_for_each(|stream| output::line(&stream.to_string()))
}

/// Prints what came of it as one line of JSON; fails where the stream is parked still.
async fn read_on(server: &AdminClient, stream: &str) -> Result<()> {
    let text = server.request(Method::POST, &["admin", "parked-streams", stream, "retry"], &[]).await?.text().await?;
    output::line(&text)?;
    let done: Value = serde_json::from_str(&text)?;
    if let Some(position) = done.pointer("/parked/position") {
        bail!("the event at position {position} can't be applied: the stream is parked there");
    }
    Ok(())
}
