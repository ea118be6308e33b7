//! `advisor log copy`: the events of one log into another, in their order and with their ids; positions are numbered
//! anew. With them, what lies beside a log and is nowhere else. Whatever ends it, a second call goes on where it ended.

mod beside;

use crate::{
    config::{Config, engines::EventLogEngine},
    output,
    serve::OpenLog,
};
use advisor_eventlog::{
    EventLog, Expected, Filter, NewEvent, Position, Recorded,
    port::{APPEND_BYTES_MAX, APPEND_EVENTS_MAX, PAGE_EVENTS_MAX, append_bytes},
};
use advisor_events::StreamName;
use anyhow::{Context, Result, bail, ensure};
use beside::Beside;
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::{path::PathBuf, sync::Arc, vec};

/// Look after an event log.
#[derive(Subcommand)]
pub(crate) enum Log {
    /// Copy a log into an empty one, or go on with a copy that was cut off. No server runs on either.
    Copy(Copy),
}

/// From where to where.
#[derive(Args)]
pub(crate) struct Copy {
    /// The log that is copied: `sqlite:PATH`, `postgres://…` or `esdb://…`.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The log that it is copied into.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Where the persons' keys and the side store lie, if they move too: `sqlite:DIRECTORY` or `postgres://…`.
    #[arg(long, value_name = "URL", requires = "read_models_to")]
    read_models_from: Option<String>,
    /// Where they are copied to. Read models are made anew from the log.
    #[arg(long, value_name = "URL", requires = "read_models_from")]
    read_models_to: Option<String>,
    /// The configuration file, for `master_key` and `event_log_namespace`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints what was copied, and the digest that both logs have.
pub(crate) fn run(Log::Copy(args): &Log) -> Result<()> {
    let config = Config::load(args.config.as_deref(), &[])?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let from = open(&args.from, Side::From, &config).await.context("`--from`")?;
        let to = open(&args.to, Side::To, &config).await.context("`--to`")?;
        let beside = match (&args.read_models_from, &args.read_models_to) {
            (Some(from), Some(to)) => Some(Beside::open(from, to, &config).await?),
            (Some(_) | None, _) => None,
        };
        // First what the log is worth nothing without; and nobody takes it before all is there.
        if let Some(beside) = &beside {
            output::line(&beside.begin(&*from, &*to).await?)?;
        }
        let Copied { now, there, digest } = copy(&*from, &*to).await?;
        output::line(&format!("{now} events were copied, {there} had been before; both logs: sha256 {digest}"))?;
        match beside {
            Some(beside) => beside.end(&*from).await,
            None => output::line(
                "persons' keys and revocations stay where they are: move them by `--read-models-from` and \
                 `--read-models-to`, or remove generation-*.db, the read models of other positions, and let them stay",
            ),
        }
    })
}

#[derive(Clone, Copy)]
enum Side {
    From,
    To,
}

async fn open(url: &str, side: Side, config: &Config) -> Result<Arc<dyn EventLog>> {
    let engine = EventLogEngine::parse(url).with_context(|| format!("a log is {}", EventLogEngine::URLS))?;
    if let (Side::From, EventLogEngine::Sqlite(path)) = (side, &engine) {
        ensure!(path.is_file(), "there is no {}", path.display());
    }
    Ok(OpenLog::open(&engine, config).await?.port())
}

/// What a copy has come to.
#[derive(Debug, PartialEq, Eq)]
struct Copied {
    now: u64,
    /// Events that the target had before.
    there: u64,
    digest: String,
}

/// Copies what the target does not have yet, and then compares all of both.
async fn copy(from: &dyn EventLog, to: &dyn EventLog) -> Result<Copied> {
    let before = compare(from, to).await?;
    let mut rest = Walk::after(from, before.reached);
    let mut run = Run::default();
    while let Some(event) = rest.next().await? {
        if !run.takes(&event) {
            run.append_to(to).await?;
        }
        run.push(event);
    }
    run.append_to(to).await?;

    let after = compare(from, to).await?;
    let more = Walk::after(from, after.reached).next().await?;
    ensure!(more.is_none(), "the log that was copied has been appended to meanwhile: copy the rest with a second call");
    let digest = HEXLOWER.encode(&after.digest.finalize());
    Ok(Copied { now: after.events - before.events, there: before.events, digest })
}

/// What two logs have in common.
struct Compared {
    events: u64,
    /// The position of the last of them in the log that is copied.
    reached: Position,
    digest: Sha256,
}

/// That the target holds what the other log begins with, and nothing else.
async fn compare(from: &dyn EventLog, to: &dyn EventLog) -> Result<Compared> {
    let mut compared = Compared { events: 0, reached: Position::START, digest: Sha256::new() };
    let (mut ours, mut theirs) = (Walk::after(from, Position::START), Walk::after(to, Position::START));
    while let Some(copy) = theirs.next().await? {
        let original = ours.next().await?;
        let Some(original) = original.filter(|original| is_copy(original, &copy)) else {
            bail!("the target holds something else than the log that is copied, first at position {}", copy.position);
        };
        compared.events += 1;
        compared.reached = original.position;
        digest(&original, &mut compared.digest);
    }
    Ok(compared)
}

fn is_copy(original: &Recorded, copy: &Recorded) -> bool {
    *copy == Recorded { position: copy.position, ..original.clone() }
}

/// All but the position, each part after its length.
fn digest(event: &Recorded, digest: &mut Sha256) {
    let (revision, id) = (event.revision.to_be_bytes(), event.id.as_bytes());
    let parts =
        [event.stream.as_str().as_bytes(), &revision, id, event.type_name.as_bytes(), &event.data, &event.metadata];
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
}

/// A log, event by event.
struct Walk<'l> {
    log: &'l dyn EventLog,
    page: vec::IntoIter<Recorded>,
    scanned_to: Position,
}

impl<'l> Walk<'l> {
    fn after(log: &'l dyn EventLog, position: Position) -> Self {
        Self { log, page: Vec::new().into_iter(), scanned_to: position }
    }

    async fn next(&mut self) -> Result<Option<Recorded>> {
        loop {
            if let Some(event) = self.page.next() {
                return Ok(Some(event));
            }
            let page = self.log.read_all(self.scanned_to, &Filter::all(), PAGE_EVENTS_MAX).await?;
            if page.scanned_to == self.scanned_to {
                return Ok(None);
            }
            self.scanned_to = page.scanned_to;
            self.page = page.events.into_iter();
        }
    }
}

/// Events of one stream that follow each other: one append. One goes after the other, or their order would be lost.
#[derive(Default)]
struct Run {
    stream: Option<StreamName>,
    first: u64,
    events: Vec<NewEvent>,
    bytes: usize,
}

impl Run {
    fn takes(&self, event: &Recorded) -> bool {
        self.stream.as_ref() == Some(&event.stream)
            && self.events.len() < APPEND_EVENTS_MAX
            && self.bytes + bytes_of(event) <= APPEND_BYTES_MAX
            // Within an append an id stands once; at the end of a stream it may come again.
            && self.events.iter().all(|earlier| earlier.id != event.id)
    }

    fn push(&mut self, event: Recorded) {
        if self.events.is_empty() {
            self.first = event.revision;
        }
        self.bytes += bytes_of(&event);
        let Recorded { stream, id, type_name, data, metadata, .. } = event;
        self.stream = Some(stream);
        self.events.push(NewEvent { id, type_name: type_name.to_string(), data, metadata });
    }

    async fn append_to(&mut self, log: &dyn EventLog) -> Result<()> {
        let Self { stream, first, events, .. } = std::mem::take(self);
        let Some(stream) = stream else { return Ok(()) };
        let expected = first.checked_sub(1).map_or(Expected::NoStream, Expected::Exact);
        log.append(&stream, expected, events)
            .await
            .context("the copy is not complete: a second call goes on with it")?;
        Ok(())
    }
}

fn bytes_of(event: &Recorded) -> usize {
    append_bytes(&event.type_name, &event.data, &event.metadata)
}

#[cfg(test)]
mod tests;
