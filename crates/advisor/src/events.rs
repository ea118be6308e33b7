//! `advisor events tail|show`: ndjson lines `{position, stream, revision, type, data, metadata}` of a
//! running server, through the socket in its data directory or its admin address.

use crate::{admin_client::AdminClient, output};
use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;

/// Look at the events of a running server.
#[derive(Subcommand)]
pub(crate) enum Events {
    /// Print events of the whole log, oldest first.
    Tail(Tail),
    /// Print the events of one stream.
    Show(Show),
}

/// What `tail` prints.
#[derive(Args)]
pub(crate) struct Tail {
    /// Begin after this position.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// Go on with what is appended from now on.
    #[arg(long)]
    follow: bool,
    /// Open sealed fields. The server logs who asked.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    server: AdminClient,
}

/// What `show` prints.
#[derive(Args)]
pub(crate) struct Show {
    /// The stream, such as `advisor-alex-reyes-v3`.
    stream: String,
    /// Open sealed fields. The server logs who asked.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    server: AdminClient,
}

/// Runs one of them.
pub(crate) fn run(command: &Events) -> Result<()> {
    let (server, path, query) = match command {
        Events::Tail(tail) => {
            let query = [
                ("after", tail.after.to_string()),
                ("follow", tail.follow.to_string()),
                ("open", tail.open.to_string()),
            ];
            (&tail.server, vec!["admin", "events"], query.to_vec())
        }
        Events::Show(show) => {
            (&show.server, vec!["admin", "streams", show.stream.as_str()], vec![("open", show.open.to_string())])
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(print(server, &path, &query))
}

async fn print(server: &AdminClient, path: &[&str], query: &[(&str, String)]) -> Result<()> {
    let mut response = server.request(Method::GET, path, query).await?;
    let mut pending = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            output::line(String::from_utf8_lossy(&line).trim_end())?;
        }
    }
    Ok(())
}
