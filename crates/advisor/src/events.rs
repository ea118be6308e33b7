//! `advisor events tail|show`: ndjson lines `{position, stream, revision, type, data, metadata}` of a
//! running server, through the socket in its data directory or its admin address.

use crate::{config::environment, config::settings::Settings, output};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use reqwest::Url;
use std::path::{Path, PathBuf};

/// Name of the operators' socket in the data directory.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

/// Look at the events of a running server.
#[derive(Subcommand)]
pub(crate) enum Events {
    /// Print events of the whole log, oldest first.
    Tail(Tail),
    /// Print the events of one stream.
    Show(Show),
}

/// Where the server is.
#[derive(Args)]
pub(crate) struct Server {
    /// The data directory of the running server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The admin address of a server elsewhere, instead of the socket in the data directory.
    #[arg(long, value_name = "URL", requires = "token_file")]
    admin_url: Option<Url>,
    /// A file that holds the token of an operator or analyst, for `--admin-url`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Open sealed fields. The server logs who asked.
    #[arg(long)]
    open: bool,
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
    #[command(flatten)]
    server: Server,
}

/// What `show` prints.
#[derive(Args)]
pub(crate) struct Show {
    /// The stream, such as `advisor-alex-reyes-v3`.
    stream: String,
    #[command(flatten)]
    server: Server,
}

/// Runs one of them.
pub(crate) fn run(command: &Events) -> Result<()> {
    let (server, path, query) = match command {
        Events::Tail(tail) => {
            let query = vec![("after", tail.after.to_string()), ("follow", tail.follow.to_string())];
            (&tail.server, vec!["admin", "events"], query)
        }
        Events::Show(show) => (&show.server, vec!["admin", "streams", show.stream.as_str()], Vec::new()),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(print(server, &path, &query))
}

async fn print(server: &Server, path: &[&str], query: &[(&str, String)]) -> Result<()> {
    let (client, base) = connect(server)?;
    let mut url = base;
    url.path_segments_mut().ok().context("the admin URL can't have a path")?.pop_if_empty().extend(path);
    url.query_pairs_mut().extend_pairs(query).append_pair("open", &server.open.to_string());
    let mut request = client.get(url);
    if let Some(file) = &server.token_file {
        let token = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
        request = request.bearer_auth(token.trim());
    }
    let mut response = request.send().await.context("no server answers; `advisor serve` starts one")?;
    if !response.status().is_success() {
        bail!("the server answers {}: {}", response.status(), response.text().await?);
    }
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

fn connect(server: &Server) -> Result<(reqwest::Client, Url)> {
    if let Some(url) = &server.admin_url {
        return Ok((reqwest::Client::builder().build()?, url.clone()));
    }
    let socket = data_dir(server.data_dir.as_deref())?.join(ADMIN_SOCKET);
    if !socket.exists() {
        bail!("no server runs on this data directory: {} is not there; `advisor serve` starts one", socket.display());
    }
    Ok((reqwest::Client::builder().unix_socket(socket).build()?, Url::parse("http://localhost/")?))
}

/// The data directory as flag, environment or default give it.
pub(crate) fn data_dir(flag: Option<&Path>) -> Result<PathBuf> {
    if let Some(directory) = flag {
        return Ok(directory.to_owned());
    }
    let settings = Settings::resolve(None, &environment(), &[])?;
    Ok(PathBuf::from(settings.text("data_dir").context("`data_dir` must not be empty")?))
}
