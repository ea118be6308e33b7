//! Appends to a log in PostgreSQL from several tasks at once, each to a stream of its own: one of the processes that
//! share a log in the tests of `PostgresLog`.
//!
//! `writers URL SCHEMA NAME WRITERS`: they append, two events at a time, until the standard input ends. An append that
//! is not answered with success is repeated until it is; at the end, the number of such answers is printed.
#![expect(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "this is part of a test")]

use advisor_eventlog::{AppendError, EventLog, Expected, NewEvent, PostgresLog, PostgresLogOptions};
use advisor_events::StreamName;
use std::{
    env,
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = env::args().skip(1);
    let mut argument = |what: &str| arguments.next().unwrap_or_else(|| format!("no {what}"));
    let mut options = PostgresLogOptions::at(argument("URL"));
    options.schema = argument("SCHEMA");
    let name = argument("NAME");
    let writers: u64 = argument("WRITERS").parse().expect("a number of writers");

    let log = Arc::new(PostgresLog::open(options).expect("a log"));
    let repeats = Arc::new(AtomicU64::new(0));
    let enough = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let stream = StreamName::from_text(format!("{name}.{writer}"));
        let (log, repeats, enough) = (Arc::clone(&log), Arc::clone(&repeats), enough.clone());
        tasks.spawn(async move {
            let mut revision = 0;
            while !enough.is_cancelled() {
                write(&log, &stream, revision, &repeats).await;
                revision += 2;
            }
        });
    }
    let input_ends = spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
    input_ends.await.expect("a thread").expect("the end of the input");
    enough.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a writer");
    }
    println!("{}", repeats.load(Ordering::Relaxed));
}

/// Appends two events whose first gets this revision.
async fn write(log: &PostgresLog, stream: &StreamName, revision: u64, repeats: &AtomicU64) {
    let expected = revision.checked_sub(1).map_or(Expected::NoStream, Expected::Exact);
    let events = [event(), event()];
    loop {
        match log.append(stream, expected, events.to_vec()).await {
            Ok(appended) => {
                assert_eq!(appended.revision, revision + 1);
                return;
            }
            Err(AppendError::Unavailable(_) | AppendError::OutcomeUnknown(_)) => {
                repeats.fetch_add(1, Ordering::Relaxed);
            }
            Err(
                error @ (AppendError::WrongRevision { .. }
                | AppendError::TooLarge
                | AppendError::Invalid(_)
                | AppendError::Denied),
            ) => panic!("{stream} at {revision}: {error}"),
        }
    }
}

fn event() -> NewEvent {
    NewEvent { id: Uuid::new_v4(), type_name: "process.wrote.v1".to_owned(), data: vec![b'x'; 16], metadata: vec![] }
}
