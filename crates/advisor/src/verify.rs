//! `advisor verify`: whether the read models have consumed every event of the log, each once and in order, and are
//! what the log makes of them.

use crate::{admin_client::AdminClient, output};
use anyhow::{Result, bail};
use clap::Parser;
use reqwest::Method;
use serde_json::Value;

/// What to do about a difference.
const REMEDY: &str = "fill them anew (stop the server, remove the generation's file, start it)";

/// Compare the read models with the log: what they have consumed, and every row.
#[derive(Parser)]
pub(crate) struct Args {
    /// Compare what was consumed alone, and not every row.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    server: AdminClient,
}

/// Prints what was found as one line of JSON; fails where there is a difference.
pub(crate) fn run(args: &Args) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verify(args))
}

async fn verify(args: &Args) -> Result<()> {
    let rows = [("rows", (!args.quick).to_string())];
    let text = args.server.request(Method::GET, &["admin", "verification"], &rows).await?.text().await?;
    output::line(&text)?;
    let found: Value = serde_json::from_str(&text)?;
    if let Some(position) = found.pointer("/difference/position") {
        bail!("the read models differ from the log at position {position}: {REMEDY}");
    }
    if let Some(row) = found.pointer("/rows/differences/0") {
        bail!("the read models hold what the log does not make, first {row}: {REMEDY}");
    }
    Ok(())
}
