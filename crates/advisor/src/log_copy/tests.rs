use super::*;
use advisor_eventlog::{
    AppendError, Appended, Direction, MemoryLog, Page, ReadError, SqliteLog, SqliteLogOptions, Subscription,
};
use async_trait::async_trait;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

#[tokio::test]
async fn a_copy_has_the_same_events_in_the_same_order_at_positions_of_its_own() {
    let (from, to) = (written(7).await, MemoryLog::new());

    let copied = copy(&from, &to).await.unwrap();

    let (originals, found) = (all(&from).await, all(&to).await);
    assert_eq!((copied.now, copied.there), (originals.len() as u64, 0));
    assert!(originals.iter().zip(&found).all(|(original, copy)| is_copy(original, copy)));
    assert_eq!(found.iter().map(|copy| copy.position.0).collect::<Vec<_>>(), (1..=copied.now).collect::<Vec<_>>());
    let again = copy(&from, &to).await.unwrap();
    assert_eq!(again, Copied { now: 0, there: copied.now, digest: copied.digest });
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_gone_on_with() {
    let from = written(1).await;
    let whole = copy(&from, &MemoryLog::new()).await.unwrap();
    let to = Failing { log: MemoryLog::new(), appends_left: AtomicU64::new(0) };
    let mut cut_off = 0;
    loop {
        // Each call comes a little further.
        to.appends_left.store(3, Ordering::Relaxed);
        match copy(&from, &to).await {
            Err(error) => assert!(error.to_string().contains("goes on"), "{error}"),
            Ok(copied) => {
                assert_eq!((copied.now + copied.there, copied.digest), (whole.now, whole.digest));
                break;
            }
        }
        cut_off += 1;
    }
    assert!(cut_off > 2, "{cut_off}");
}

#[tokio::test]
async fn a_target_that_holds_something_else_is_refused_and_left_alone() {
    let (from, other) = (written(1).await, written(1).await);
    let held = all(&other).await;

    let refused = copy(&from, &other).await.unwrap_err();

    assert!(refused.to_string().contains("something else"), "{refused}");
    assert_eq!(all(&other).await, held);

    let longer = MemoryLog::new();
    copy(&from, &longer).await.unwrap();
    append(&longer, "z-1", 0, vec![event()]).await;
    let refused = copy(&from, &longer).await.unwrap_err();
    assert!(refused.to_string().contains("something else"), "{refused}");
}

#[tokio::test]
async fn the_log_of_a_running_server_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let _server = SqliteLog::open(SqliteLogOptions::at(&path)).unwrap();

    let config = Config::load(None, &[]).unwrap();
    let refused = open(&format!("sqlite:{}", path.display()), Side::From, &config).await.err().unwrap();

    assert!(refused.to_string().contains("in use"), "{refused}");
    let missing = open(&format!("sqlite:{}-not", path.display()), Side::From, &config).await.err().unwrap();
    assert!(missing.to_string().contains("there is no"), "{missing}");
    assert!(open("mysql://x", Side::To, &config).await.is_err());
}

/// A log of three streams in turn, appends of one to three events, and an id that comes again.
async fn written(stride: u64) -> MemoryLog {
    let log = MemoryLog::with_stride(stride);
    let mut revisions = [0; 3];
    for round in 0..12 {
        let stream = round % 3;
        let events: Vec<_> = (0..=round % 4).map(|_| event()).collect();
        let count = events.len() as u64;
        append(&log, &format!("s-{stream}"), revisions[stream], events).await;
        revisions[stream] += count;
    }
    let twice = event();
    append(&log, "twice-1", 0, vec![twice.clone()]).await;
    append(&log, "twice-1", 1, vec![twice]).await;
    log
}

async fn append(log: &MemoryLog, stream: &str, revision: u64, events: Vec<NewEvent>) {
    let expected = revision.checked_sub(1).map_or(Expected::NoStream, Expected::Exact);
    log.append(&StreamName::from_text(stream), expected, events).await.unwrap();
}

fn event() -> NewEvent {
    let id = Uuid::new_v4();
    NewEvent { id, type_name: "copy.told.v1".to_owned(), data: id.as_bytes().to_vec(), metadata: vec![0, 255] }
}

async fn all(log: &MemoryLog) -> Vec<Recorded> {
    log.read_all(Position::START, &Filter::all(), PAGE_EVENTS_MAX).await.unwrap().events
}

/// A log that is away after some appends.
struct Failing {
    log: MemoryLog,
    appends_left: AtomicU64,
}

#[async_trait]
impl EventLog for Failing {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        let left = self.appends_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| AppendError::Unavailable("it is away".to_owned()))?;
        self.log.append(stream, expected, events).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.log.read_stream(stream, from, direction, max).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
        // Short pages, so that both logs are walked in steps that differ.
        self.log.read_all(after, filter, max.min(5)).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.log.head().await
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        self.log.subscribe_all(after, filter).await
    }
}
