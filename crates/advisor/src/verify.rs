//! `advisor verify`: whether the read models have consumed every event of the log, each once and in order.

use crate::{admin_client::AdminClient, output};
use anyhow::{Result, bail};
use clap::Parser;
use reqwest::Method;
use serde_json::Value;

/// Compare what the read models have consumed with the log.
#[derive(Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    server: AdminClient,
}

/// Prints what was found as one line of JSON; fails where there is a difference.
pub(crate) fn run(args: &Args) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verify(&args.server))
}

async fn verify(server: &AdminClient) -> Result<()> {
    let text = server.request(Method::GET, &["admin", "verification"], &[]).await?.text().await?;
    output::line(&text)?;
    let found: Value = serde_json::from_str(&text)?;
    if let Some(difference) = found.get("difference").filter(|difference| !difference.is_null()) {
        bail!(
            "the read models differ from the log at position {}: fill them anew (stop the server, remove the \
             generation's file, start it)",
            difference.get("position").unwrap_or(&Value::Null)
        );
    }
    Ok(())
}
