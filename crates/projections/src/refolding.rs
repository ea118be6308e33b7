//! Whether the rows of a generation are what the log makes of them: everything is folded once more, and compared.
//!
//! The live generation is copied at one moment, and a scratch one beside it is filled by a runner of its own up to the
//! same position; then both are read side by side. Nothing is told to anybody, and the files are removed at the end.
//! They hold people's words meanwhile: an erasure waits for that end.

use crate::{
    Generation, Reader, Runner, RunnerError, RunnerLimits, RunnerParts, State, StoreError, checkpoint, deletions,
    projection::{Projection, all},
    sqlite::SqliteOptions,
    store::{Row, Statement, Store, Value},
    table::Table,
};
use advisor_bus::InProcessBus;
use advisor_eventlog::{
    AppendError, Appended, Direction, EventLog, Expected, Filter, NewEvent, Page, Position, ReadError, Recorded,
    Subscription, SubscriptionEvent,
};
use advisor_events::{Clock, KeyStore, StreamName};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use std::{fs, io, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Rows that are compared at once.
const PAGE_ROWS: i64 = 1_000;
/// The number of the scratch generation: no live one is called so.
const SCRATCH: u64 = 0;

/// What rows are folded from.
pub struct RefoldingParts {
    /// Where events come from.
    pub log: Arc<dyn EventLog>,
    /// What opens persons' words.
    pub keys: Arc<dyn KeyStore>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refolding {
    /// The checkpoint of the copy.
    pub position: Position,
    /// How many rows the log makes.
    pub rows: u64,
    /// The first row of each table that differs, in the order of the keys.
    pub differences: Vec<RowDifference>,
}

/// A row that is not what the log makes of it, or is there in one of both only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDifference {
    /// Its table.
    pub table: &'static str,
    /// Its key.
    pub key: String,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum RefoldingError {
    /// The read models, or their copy, can't be used.
    #[error("the read models can't be compared")]
    Store(#[from] StoreError),
    /// The log can't be folded.
    #[error("the event log can't be folded")]
    Runner(#[from] RunnerError),
    /// The scratch files can't be made or removed.
    #[error("the scratch files can't be used")]
    Files(#[from] io::Error),
    /// Somebody was erased meanwhile, so that their words are in one of both only. The next time tells.
    #[error("a person was erased meanwhile")]
    ErasedMeanwhile,
}

/// Folds everything once more, and compares.
pub async fn refold(parts: RefoldingParts, reader: &Reader) -> Result<Refolding, RefoldingError> {
    let _alone = reader.generation_handle().scratch().lock().await;
    let files = ScratchFiles::clean(reader.generation_handle())?;
    reader.generation_handle().store().copy_to(&files.copy).await?;
    let copy = Generation::open(reader.generation(), SqliteOptions::at(&files.copy)).await?;
    let folded = Generation::open(SCRATCH, SqliteOptions::at(&files.folded)).await?;
    let compared = compare(parts, &copy, &folded).await;
    copy.close().await;
    folded.close().await;
    files.remove()?;
    let found = compared?;
    let erased = reader.run(deletions::after(found.position, 1)).await?.value;
    if !found.differences.is_empty() && !erased.is_empty() {
        return Err(RefoldingError::ErasedMeanwhile);
    }
    Ok(found)
}

async fn compare(parts: RefoldingParts, copy: &Generation, folded: &Generation) -> Result<Refolding, RefoldingError> {
    let position = checkpoint::load(copy.store().as_ref()).await?.position;
    fold(parts, folded, position).await?;
    let mut found = Refolding { position, rows: 0, differences: Vec::new() };
    for table in all().map(Projection::table) {
        let difference = difference(&table, copy.store().as_ref(), folded.store().as_ref(), &mut found.rows).await?;
        found.differences.extend(difference);
    }
    Ok(found)
}

/// Fills a generation with the events up to a position.
async fn fold(parts: RefoldingParts, generation: &Generation, until: Position) -> Result<(), RunnerError> {
    if until == Position::START {
        return Ok(());
    }
    let parts = RunnerParts {
        log: Arc::new(UpTo { log: parts.log, until }),
        keys: parts.keys,
        generation: generation.clone(),
        bus: Arc::new(InProcessBus::new()),
        clock: parts.clock,
        limits: RunnerLimits::default(),
    };
    let shutdown = CancellationToken::new();
    let mut progress = generation.progress().subscribe();
    let there = async {
        let has_ended = |state: &State| matches!(state, State::Stopped(_));
        // The other end is the generation's, which outlives this.
        drop(progress.wait_for(|progress| progress.position >= until || has_ended(&progress.state)).await);
        shutdown.cancel();
    };
    let (ran, ()) = futures::join!(Runner::open(parts).await?.run(shutdown.clone()), there);
    ran
}

/// The first row that differs.
async fn difference(
    table: &Table,
    copy: &dyn Store,
    folded: &dyn Store,
    rows: &mut u64,
) -> Result<Option<RowDifference>, StoreError> {
    let mut after = String::new();
    loop {
        let page = || Statement::new(table.page(), vec![after.as_str().into(), PAGE_ROWS.into()]);
        let (there, made) = futures::try_join!(copy.read(vec![page()]), folded.read(vec![page()]))?;
        let (there, made): (Vec<Row>, Vec<Row>) = (there.concat(), made.concat());
        *rows += made.len() as u64;
        let same = there.iter().zip(&made).take_while(|(there, made)| there == made).count();
        if let Some(key) =
            [there.get(same), made.get(same)].into_iter().flatten().filter_map(|row| key(table, row)).min()
        {
            return Ok(Some(RowDifference { table: table.name, key }));
        }
        match made.last().and_then(|row| key(table, row)) {
            Some(last) => after = last,
            None => return Ok(None),
        }
    }
}

fn key(table: &Table, row: &Row) -> Option<String> {
    match row.0.get(table.key_column()?)? {
        Value::Text(key) => Some(key.clone()),
        Value::Null | Value::Int(_) | Value::Real(_) | Value::Blob(_) => None,
    }
}

/// Where the copy and the scratch generation lie.
struct ScratchFiles {
    copy: PathBuf,
    folded: PathBuf,
}

impl ScratchFiles {
    /// Their places, with nothing there: a process may have died before it removed what was.
    fn clean(generation: &Generation) -> Result<Self, RefoldingError> {
        let directory =
            generation.directory().ok_or_else(|| StoreError::Broken("no place for a scratch file".into()))?;
        let files = Self { copy: directory.join("scratch-copy.db"), folded: directory.join("scratch-folded.db") };
        files.remove()?;
        Ok(files)
    }

    fn remove(&self) -> io::Result<()> {
        [&self.copy, &self.folded].into_iter().try_for_each(|path| crate::generations::remove(path))
    }
}

/// Removes what a process that died while it refolded has left.
pub(crate) fn remove_leftovers(directory: &std::path::Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("scratch-") && name.contains(".db") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A log that ends at a position.
struct UpTo {
    log: Arc<dyn EventLog>,
    until: Position,
}

#[async_trait]
impl EventLog for UpTo {
    async fn append(&self, _: &StreamName, _: Expected, _: Vec<NewEvent>) -> Result<Appended, AppendError> {
        Err(AppendError::Denied)
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
        self.log.read_all(after, filter, max).await
    }

    async fn event_at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        self.log.event_at(position).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.until)
    }

    async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        let until = self.until;
        let is_before = move |item: &Result<SubscriptionEvent, ReadError>| match item {
            Ok(SubscriptionEvent::Event(event)) => event.position <= until,
            Ok(SubscriptionEvent::Checkpoint(position)) => *position <= until,
            Ok(SubscriptionEvent::CaughtUp) | Err(_) => true,
        };
        let events = self.log.subscribe_all(after, filter).await?;
        let events = events.take_while(move |item| std::future::ready(is_before(item)));
        // Whoever fills a batch waits for more until it is full, or hears that there is no more: what comes later would
        // keep them waiting for ever. A subscription has no end.
        let end = stream::once(std::future::ready(Ok(SubscriptionEvent::CaughtUp)));
        Ok(events.chain(end).chain(stream::pending()).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        given::{
            opened,
            read_side::{PATIENCE, told},
        },
        store::Write,
    };
    use advisor_events::Timestamp;

    #[tokio::test]
    async fn rows_that_the_log_has_made_are_the_same_whatever_has_come_since() {
        let (side, reader) = told(&story()).await;
        // The log goes on, and the read models have not seen it yet.
        story().sent(("c", "ana"), "o", &[]).append_to(side.log.as_ref(), side.keys.as_ref()).await;
        assert!(side.log.head().await.unwrap() > reader.position());

        let found = tokio::time::timeout(PATIENCE, refold(parts(&side), &reader)).await.expect("an end").unwrap();

        assert_eq!((found.differences, found.position), (vec![], reader.position()));
        assert!(found.rows >= 5, "{}", found.rows);
        let names = files(&side);
        assert!(!names.iter().any(|name| name.contains("scratch")), "{names:?}");
    }

    #[tokio::test]
    async fn a_row_that_was_changed_lost_or_added_is_found_by_its_key() {
        for (change, table, key) in [
            ("UPDATE messages SET content = 'other' WHERE id = 'n'", "messages", "n"),
            ("DELETE FROM users WHERE id = 'ana'", "users", "user-ana"),
            ("UPDATE conversations SET message_count = message_count + 1", "conversations", "conversation-c"),
            (
                "INSERT INTO deletions (stream, user_id, position, deleted_at) VALUES ('user-z', 'z', 0, 1)",
                "deletions",
                "user-z",
            ),
        ] {
            let (side, reader) = told(&story()).await;
            side.generation.store().write(vec![Write::Run(Statement::new(change, vec![]))]).await.unwrap();

            let found = refold(parts(&side), &reader).await.unwrap();

            assert_eq!(found.differences, [RowDifference { table, key: key.to_owned() }], "{change}");
        }
    }

    #[tokio::test]
    async fn what_a_process_that_died_has_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["scratch-copy.db", "scratch-folded.db-wal", "mine.db"] {
            fs::write(directory.path().join(name), "words").unwrap();
        }

        remove_leftovers(directory.path()).unwrap();

        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["mine.db"]);
    }

    fn story() -> crate::given::Story {
        opened("this log")
            .registered("ana")
            .started("c", "ana")
            .sent(("c", "ana"), "m", &["r"])
            .completed(("c", "ana"), "r", "an answer")
            .sent(("c", "ana"), "n", &[])
    }

    fn parts(side: &crate::given::read_side::ReadSide) -> RefoldingParts {
        RefoldingParts { log: Arc::clone(&side.log) as _, keys: Arc::clone(&side.keys) as _, clock: Arc::new(Standing) }
    }

    fn files(side: &crate::given::read_side::ReadSide) -> Vec<String> {
        let entries = fs::read_dir(side.place.directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    struct Standing;

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
    }
}
