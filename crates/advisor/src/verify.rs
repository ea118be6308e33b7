//! `advisor verify`: whether the read models have consumed every event of the log, each once and in order, and are
//! what the log makes of them.

use crate::{admin_client::AdminClient, output};
use anyhow::{Result, bail};
use clap::Parser;
use reqwest::Method;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::fmt::{self, Display, Formatter};

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

/// What was found. What is only printed is passed on as it came.
#[derive(Deserialize, Serialize)]
struct Found {
    generation: u64,
    position: u64,
    consumed: Box<RawValue>,
    logged: Box<RawValue>,
    difference: Option<Difference>,
    /// Asked for by themselves, and not by `--quick`.
    rows: Option<Rows>,
}

#[derive(Deserialize, Serialize)]
struct Difference {
    kind: String,
    position: u64,
}

#[derive(Deserialize, Serialize)]
struct Rows {
    position: u64,
    count: u64,
    differences: Vec<Box<RawValue>>,
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, position } = self;
        write!(f, "the read models differ from the log at position {position} ({kind})")
    }
}

/// Prints what was found as one line of JSON; fails where there is a difference.
pub(crate) fn run(args: &Args) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verify(args))
}

async fn verify(args: &Args) -> Result<()> {
    let mut found: Found = ask(&args.server, &["admin", "verification"]).await?;
    if !args.quick {
        // Rows take much longer, and who looks for the place need not wait for them.
        if let Some(difference) = &found.difference {
            output::news(&format!("{difference}; every row is compared now"));
        }
        found.rows = Some(ask(&args.server, &["admin", "verification", "rows"]).await?);
    }
    output::line(&serde_json::to_string(&found)?)?;
    if let Some(difference) = found.difference {
        bail!("{difference}: {REMEDY}");
    }
    if let Some(row) = found.rows.iter().flat_map(|rows| &rows.differences).next() {
        bail!("the read models hold what the log does not make, first {row}: {REMEDY}");
    }
    Ok(())
}

async fn ask<T: DeserializeOwned>(server: &AdminClient, path: &[&str]) -> Result<T> {
    let text = server.request(Method::GET, path, &[]).await?.text().await?;
    Ok(serde_json::from_str(&text)?)
}
