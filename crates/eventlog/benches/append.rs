//! What an append to the log in SQLite costs: group commit with full sync, one caller waiting and 64.

#![expect(clippy::unwrap_used, reason = "A benchmark that can't go on ends.")]

use advisor_eventlog::{EventLog, Expected, NewEvent, SqliteLog, SqliteLogOptions};
use advisor_events::StreamName;
use criterion::{Bencher, Criterion, Throughput};
use futures::future::try_join_all;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Callers who wait at the same time, each with a stream of its own.
const CALLERS: [u64; 2] = [1, 64];
/// Data and metadata of an event.
const DATA_BYTES: usize = 600;
const METADATA_BYTES: usize = 300;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("append");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(format!("{callers} waiting"), |bencher| append(bencher, callers));
    }
    group.finish();
    criterion.final_summary();
}

/// Each caller appends one event; all have to be answered.
fn append(bencher: &mut Bencher<'_>, callers: u64) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(SqliteLogOptions::at(directory.path().join("log.db"))).unwrap();
    let streams: Vec<StreamName> = (0..callers).map(|caller| StreamName::from_text(format!("of-{caller}"))).collect();
    let mut revisions = 0..;
    bencher.iter(|| {
        let expected = revisions.next().and_then(|next: u64| next.checked_sub(1));
        let expected = expected.map_or(Expected::NoStream, Expected::Exact);
        let appends = streams.iter().map(|stream| log.append(stream, expected, vec![event()]));
        runtime.block_on(try_join_all(appends)).unwrap()
    });
    runtime.block_on(log.close());
}

fn event() -> NewEvent {
    NewEvent {
        id: Uuid::new_v4(),
        type_name: "bench.appended.v1".to_owned(),
        data: vec![b'x'; DATA_BYTES],
        metadata: vec![b'y'; METADATA_BYTES],
    }
}
