//! Checkpoints of several connections while the log is written: what SQLite before 3.51.3 could lose or mangle pages
//! by (its "WAL-reset" fault), and what a foreign program that looks into the file does to it.

use super::rounds;
use advisor_eventlog::{Direction, EventLog, Expected, NewEvent, SqliteLog, SqliteLogOptions};
use advisor_events::StreamName;
use rusqlite::Connection;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// Others who checkpoint, each in its way; the log's own thread does so, too.
const WAYS: [&str; 3] = ["PASSIVE", "RESTART", "TRUNCATE"];
/// Streams that are written at the same time.
const WRITERS: usize = 4;
/// Between two checkpoints of one of them, so that there is something to move.
const PAUSE: Duration = Duration::from_millis(1);
/// A small write-ahead log begins anew all the time.
const WAL_BYTES_MAX: u64 = 256 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_is_checkpointed_by_others_while_it_is_written_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log =
        SqliteLog::open(SqliteLogOptions { wal_bytes_max: WAL_BYTES_MAX, ..SqliteLogOptions::at(&path) }).unwrap();
    let (ending, others) = (CancellationToken::new(), TaskTracker::new());
    // Also where something is found.
    let ended = ending.clone().drop_guard();
    let racing = WAYS.map(|way| {
        let (path, ending) = (path.clone(), ending.clone());
        others.spawn_blocking(move || checkpoint_until(&ending, &path, way))
    });
    let until = Instant::now() + Duration::from_secs(rounds("ADVISOR_TEST_RACE_SECONDS", 8) as u64);
    let writing = (0..WRITERS).map(|number| append_until(until, &log, number));
    let written = futures::future::join_all(writing).await;
    drop(ended);
    let made = futures::future::join_all(racing).await.into_iter().map(Result::unwrap);
    let made: Vec<(&str, u64)> = WAYS.into_iter().zip(made).collect();

    for (number, acknowledged) in written.iter().enumerate() {
        check(&log, number, *acknowledged).await;
    }
    log.close().await;
    let connection = Connection::open(&path).unwrap();
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    let events: i64 = connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(events.unsigned_abs(), written.iter().sum::<u64>());
    println!("{events} events; whole checkpoints of others: {made:?}");
    assert!(made.iter().all(|(_, made)| *made > 0), "the others have never come through: {made:?}");
}

/// Checkpoints, and looks into the file, again and again; gives how often nobody was in the way.
fn checkpoint_until(ending: &CancellationToken, path: &Path, way: &str) -> u64 {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_millis(20)).unwrap();
    let mut made = 0;
    while !ending.is_cancelled() {
        let busy = connection.query_row(&format!("PRAGMA wal_checkpoint({way})"), [], |row| row.get::<_, i64>(0));
        made += u64::from(busy.is_ok_and(|busy| busy == 0));
        let last: Result<i64, _> = connection.query_row("SELECT max(position) FROM events", [], |row| row.get(0));
        drop(last);
        std::thread::sleep(PAUSE);
    }
    made
}

/// One event after the other; gives how many were acknowledged, and ends where one is not.
async fn append_until(until: Instant, log: &SqliteLog, number: usize) -> u64 {
    let mut revision = 0;
    while Instant::now() < until {
        let expected = u64::checked_sub(revision, 1).map_or(Expected::NoStream, Expected::Exact);
        let event = NewEvent {
            id: Uuid::new_v4(),
            type_name: "race.appended.v1".to_owned(),
            data: data(number, revision),
            metadata: b"{}".to_vec(),
        };
        log.append(&stream(number), expected, vec![event]).await.unwrap();
        revision += 1;
    }
    revision
}

/// What was acknowledged is there, each event in its own words.
async fn check(log: &SqliteLog, number: usize, acknowledged: u64) {
    let mut next = 0;
    loop {
        let page = log.read_stream(&stream(number), next, Direction::Forward, 500).await.unwrap();
        if page.is_empty() {
            break;
        }
        for event in page {
            assert_eq!((event.revision, event.data), (next, data(number, next)));
            next += 1;
        }
    }
    assert_eq!(next, acknowledged, "acknowledged events are gone");
}

fn stream(number: usize) -> StreamName {
    StreamName::from_text(format!("racer-{number}"))
}

/// Between nothing and some pages, as its place says.
fn data(number: usize, revision: u64) -> Vec<u8> {
    let word = format!("{number}:{revision} ");
    word.repeat(usize::try_from(revision * 7 % 300).unwrap()).into_bytes()
}
