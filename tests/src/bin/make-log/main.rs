//! Makes event logs of any size and long conversations, and measures appends to them: for load tests.
//!
//! Works on the data directory of a server that has been started once and stopped again. What it writes is what
//! the server would have written: sealed under its persons' keys, batch by batch through the log's own port.
//!
//! ```sh
//! make-log fill --data-dir DIR --events 1000000      # many conversations of 20 messages
//! make-log long --data-dir DIR --person ana --messages 10000   # one conversation; prints its id
//! make-log append --data-dir DIR --clients 64 --seconds 5      # what an append costs at this size
//! make-log read --data-dir DIR --rounds 3                      # how fast the whole log is read and decoded
//! ```

mod append;
mod read;
mod write;

use advisor_eventlog::{EventLog, SqliteLog, SqliteLogOptions};
use advisor_events::KeyStore;
use advisor_projections::Keys;
use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Parser, Subcommand};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The data directory of a server that does not run.
    #[arg(long, global = true, default_value = "./advisor-data")]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Append events of many conversations of 20 messages each, of 100 people.
    Fill {
        /// How many events, about.
        #[arg(long)]
        events: u64,
    },
    /// Append one long conversation, and print its id.
    Long {
        /// Whose it is.
        #[arg(long)]
        person: String,
        /// How many messages, every second one an advisor's.
        #[arg(long)]
        messages: u64,
    },
    /// Append single events from many clients at once, to 128 streams, and print what that costs.
    Append {
        /// How many clients wait at the same time.
        #[arg(long, default_value_t = 64)]
        clients: usize,
        /// For how long.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Read the whole log and decode every event, sealed fields left sealed, and print what that costs.
    Read {
        /// How often.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
}

/// The log and the keys of a data directory.
struct Stores {
    log: Arc<dyn EventLog>,
    keys: Arc<dyn KeyStore>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&cli))
}

async fn run(cli: &Cli) -> Result<()> {
    let log = Arc::new(SqliteLog::open(SqliteLogOptions::at(cli.data_dir.join("log.db")))?);
    let keys = Arc::new(Keys::open(&cli.data_dir.join("keys.db"), master_key(&cli.data_dir)?).await?);
    let stores = Stores { log: Arc::clone(&log) as _, keys: Arc::clone(&keys) as _ };
    let done = match &cli.command {
        Command::Fill { events } => write::fill(&stores, *events).await,
        Command::Long { person, messages } => write::long(&stores, person, *messages).await,
        Command::Read { rounds } => read::measure(&stores, *rounds).await,
        Command::Append { clients, seconds } => append::measure(&stores, *clients, Duration::from_secs(*seconds)).await,
    };
    keys.close().await;
    log.close().await;
    done
}

fn master_key(data_dir: &Path) -> Result<[u8; 32]> {
    let path = data_dir.join("master.key");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} can't be read: start a server there once", path.display()))?;
    let bytes = STANDARD.decode(text.trim())?;
    bytes.try_into().ok().context("the master key is not 32 bytes")
}
