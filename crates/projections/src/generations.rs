//! Complete sets of read-model tables, and which of them is read.
//!
//! A generation is a file of its own, `generation-<number>.db`, or a schema of its own, `advisor_generation_<number>`.
//! The side store says which one lives: the one of the newest build that has begun.

mod files;
mod schemas;

pub(crate) use files::remove;

use crate::{
    PostgresOptions, PostgresStore, Query, SideStore, SqliteStore, Store, StoreError, changes, checkpoint, consumption,
    parked,
    postgres::Scrub,
    projection::{self, all},
    read_on::ReadOns,
    reader::{Progress, State},
    refolding,
    sqlite::{Durability, SqliteOptions},
    store::{Row, Statement, Value, Write},
};
use advisor_eventlog::Position;
use async_trait::async_trait;
use files::Files;
use schemas::Schemas;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// One complete set of read-model tables. Cloning is cheap.
#[derive(Clone)]
pub struct Generation(Arc<Inner>);

struct Inner {
    number: u64,
    store: Arc<dyn Store>,
    progress: watch::Sender<Progress>,
    stall: Mutex<Option<Stall>>,
    /// How many wait for a position.
    waiting: watch::Sender<usize>,
    read_ons: ReadOns,
    /// Where its file lies, or scratch files of it may.
    directory: Option<PathBuf>,
    /// Held by who keeps a scratch copy of it.
    scratch: AsyncMutex<()>,
}

/// The read side stood `here` for too long while the log had an event at `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) here: Position,
    pub(crate) target: Position,
}

/// Which generation lives.
pub enum Generations {}

/// Where generations lie, each by its number.
#[async_trait]
trait Places: Send + Sync {
    /// Those that are there, whole or not.
    async fn numbers(&self) -> Result<Vec<u64>, StoreError>;
    /// The store of one that is there, as it is, but for its checkpoint's table, which it may not have come to.
    async fn store(&self, number: u64) -> Result<Arc<dyn Store>, StoreError>;
    /// Opens one, and makes what is not there.
    async fn open(&self, number: u64) -> Result<Generation, StoreError>;
    /// Removes one, unless another process uses it.
    async fn remove(&self, number: u64) -> Result<(), StoreError>;
}

impl Generations {
    /// Opens the live generation of a data directory; makes the first one in an empty directory, and the next
    /// one, to be filled from the log, when this build's projections are not those that filled the live one.
    pub async fn open(directory: &Path, side: &SideStore) -> Result<Generation, StoreError> {
        Self::open_with(directory, side, SqliteOptions::at).await
    }

    /// The same with limits of one's own.
    pub async fn open_with(
        directory: &Path,
        side: &SideStore,
        options: impl Fn(PathBuf) -> SqliteOptions + Send + Sync,
    ) -> Result<Generation, StoreError> {
        refolding::remove_leftovers(directory).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        choose(&Files { directory, options }, side).await
    }

    /// The same in a PostgreSQL database, a schema for each generation. Several processes may do this at once, and
    /// processes of different builds each find those of their own build. Scratch files are made in `scratch`.
    pub async fn open_postgres(
        options: PostgresOptions,
        scratch: &Path,
        side: &SideStore,
    ) -> Result<Generation, StoreError> {
        refolding::remove_leftovers(scratch).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        // One process at a time chooses; what it holds for that is let go with its connection.
        choose(&Schemas::alone(options, scratch).await?, side).await
    }

    /// Makes in a PostgreSQL database what this build needs there, for a program whose own user may not make schemas.
    /// Gives the generation's number.
    pub async fn make_postgres(options: PostgresOptions, side: &SideStore) -> Result<u64, StoreError> {
        let generation = choose(&Schemas::alone(options, Path::new("")).await?, side).await?;
        generation.close().await;
        Ok(generation.number())
    }
}

/// The generation to use: the live one if it is of this build, else the newest that is, else a new one.
async fn choose(places: &dyn Places, side: &SideStore) -> Result<Generation, StoreError> {
    let live = side.live_generation().await?;
    // A process may have died while it filled another one, or before it removed the one before.
    remove_others(places, live.as_slice()).await?;
    let there = places.numbers().await?;
    let number = match ours(places, live, &there).await? {
        Some(number) => number,
        None => next(live, &there),
    };
    let generation = places.open(number).await?;
    // A process of an older build that starts again leaves the pointer where the newer one has set it.
    if live.is_none_or(|live| live < number) {
        side.set_live_generation(number).await?;
    }
    let live = live.map_or(number, |live| live.max(number));
    remove_others(places, &[live, number]).await?;
    Ok(generation)
}

/// The one that this build's projections fill.
async fn ours(places: &dyn Places, live: Option<u64>, there: &[u64]) -> Result<Option<u64>, StoreError> {
    let live = there.iter().copied().filter(|number| Some(*number) == live);
    let others = there.iter().rev().copied();
    for number in live.chain(others) {
        let store = places.store(number).await?;
        let layout = layout(store.as_ref()).await;
        store.close().await;
        if layout? == projection::layout() {
            return Ok(Some(number));
        }
        tracing::info!(generation.number = number, "these read models are of another build");
    }
    Ok(None)
}

fn next(live: Option<u64>, there: &[u64]) -> u64 {
    let after = there.iter().max().map_or(1, |last| last + 1);
    // One that lives and is not there is made again.
    live.filter(|live| !there.contains(live)).map_or(after, |live| live.max(after))
}

async fn remove_others(places: &dyn Places, kept: &[u64]) -> Result<(), StoreError> {
    for number in places.numbers().await? {
        if !kept.contains(&number) {
            places.remove(number).await?;
        }
    }
    Ok(())
}

/// Which projections have filled a store; none that are known, if nothing says so.
async fn layout(store: &dyn Store) -> Result<String, StoreError> {
    let answers = store.read(vec![Statement::new(checkpoint::LAYOUT, vec![])]).await?;
    let row = answers.into_iter().flatten().next();
    Ok(row.map_or_else(|| Ok(String::new()), |row| row.into_cells().text())?)
}

impl Generation {
    /// Opens a generation's file, and makes it if it is not there.
    pub async fn open(number: u64, options: SqliteOptions) -> Result<Self, StoreError> {
        let directory = options.path.parent().map(Path::to_owned);
        let store = SqliteStore::open(options, create()).await?;
        Self::at(directory, number, Arc::new(store), Vec::new()).await
    }

    /// Opens a generation's schema, and makes it if it is not there. Scratch files are made in `scratch`.
    pub async fn open_postgres(number: u64, options: PostgresOptions, scratch: &Path) -> Result<Self, StoreError> {
        // Durable: the processes outlive the database, and what they have told anybody must not be taken back.
        let options = PostgresOptions { durability: Durability::Commit, scrub: Scrub::Vacuum, ..options };
        let store = PostgresStore::open(options, create()).await?;
        Self::at(Some(scratch.to_owned()), number, Arc::new(store), Vec::new()).await
    }

    /// A generation in a store of another kind; its tables are made if they are not there.
    pub async fn over(number: u64, store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let tables = create().into_iter().map(|sql| Write::Run(Statement::new(sql, vec![]))).collect();
        Self::at(None, number, store, tables).await
    }

    async fn at(
        directory: Option<PathBuf>,
        number: u64,
        store: Arc<dyn Store>,
        mut steps: Vec<Write>,
    ) -> Result<Self, StoreError> {
        let begin = Statement::new(checkpoint::BEGIN, vec![number.into(), projection::layout().into()]);
        steps.push(Write::Run(begin));
        store.write(steps).await?;
        let position = checkpoint::load(store.as_ref()).await?.position;
        let progress =
            watch::Sender::new(Progress { generation: number, position, state: State::CatchingUp, parked_streams: 0 });
        Ok(Self(Arc::new(Inner {
            number,
            store,
            progress,
            stall: Mutex::new(None),
            waiting: watch::Sender::new(0),
            read_ons: ReadOns::default(),
            directory,
            scratch: AsyncMutex::new(()),
        })))
    }

    /// Its number: part of every position that a live client resumes from.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Closes its store; reads and writes fail from now on.
    pub async fn close(&self) {
        self.0.store.close().await;
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(crate) fn progress(&self) -> &watch::Sender<Progress> {
        &self.0.progress
    }

    /// How many wait for a position: somebody should look at the checkpoint often then.
    pub(crate) fn waiting(&self) -> &watch::Sender<usize> {
        &self.0.waiting
    }

    pub(crate) fn stall(&self) -> &Mutex<Option<Stall>> {
        &self.0.stall
    }

    /// The parked streams that somebody wants read on.
    pub(crate) fn read_ons(&self) -> &ReadOns {
        &self.0.read_ons
    }

    /// Where its file lies, or scratch files of it may; nowhere for one of another kind.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.0.directory.as_deref()
    }

    /// Held while there is a scratch copy, which nothing may be erased beside.
    pub(crate) fn scratch(&self) -> &AsyncMutex<()> {
        &self.0.scratch
    }
}

/// What makes the tables and indexes of a generation.
fn create() -> Vec<String> {
    let tables = all().into_iter().flat_map(|projection| projection.table().create());
    let others = changes::CREATE.into_iter().chain([checkpoint::CREATE]).chain(consumption::CREATE).map(str::to_owned);
    tables.chain(others).chain(parked::create()).collect()
}

/// All rows of all projections in one canonical form: equal bytes mean equal read models.
pub fn dump() -> Query<Vec<u8>> {
    let tables = all().into_iter().map(|projection| {
        let table = projection.table();
        Query::many(Statement::new(table.dump(), vec![]), |row| Ok(line(row))).map(move |lines| {
            let mut text = format!("{}\n", table.name);
            text.extend(lines);
            text.into_bytes()
        })
    });
    Query::all(tables.collect()).map(|tables| tables.concat())
}

/// The cells as one line of JSON.
pub(crate) fn line(row: Row) -> String {
    let cells = row.0.into_iter().map(|value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(int) => int.into(),
        Value::Real(real) => real.into(),
        Value::Text(text) => text.into(),
        Value::Blob(bytes) => bytes.into(),
    });
    format!("{}\n", serde_json::Value::Array(cells.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given;
    use std::fs;

    #[tokio::test]
    async fn a_directory_keeps_its_generation() {
        let directory = tempfile::tempdir().unwrap();
        let side = SideStore::open(&directory.path().join("side.db")).await.unwrap();

        let first = Generations::open(directory.path(), &side).await.unwrap();
        assert_eq!(first.number(), 1);
        first.close().await;

        assert_eq!(Generations::open(directory.path(), &side).await.unwrap().number(), 1);
        assert!(directory.path().join("generation-1.db").exists());
    }

    #[tokio::test]
    async fn read_models_of_other_projections_are_filled_anew_in_the_next_generation() {
        let directory = tempfile::tempdir().unwrap();
        let side = SideStore::open(&directory.path().join("side.db")).await.unwrap();
        let first = Generations::open(directory.path(), &side).await.unwrap();
        let older = Statement::new("UPDATE checkpoint SET layout = 'users.v0', position = 7", vec![]);
        first.store().write(vec![Write::Run(older)]).await.unwrap();
        first.close().await;

        let next = Generations::open(directory.path(), &side).await.unwrap();

        assert_eq!(next.number(), 2);
        assert_eq!(next.progress().borrow().position, Position::START);
        assert!(!directory.path().join("generation-1.db").exists());
        next.close().await;
        assert_eq!(Generations::open(directory.path(), &side).await.unwrap().number(), 2);
    }

    #[tokio::test]
    async fn what_a_switch_that_was_cut_off_has_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let side = SideStore::open(&directory.path().join("side.db")).await.unwrap();
        Generations::open(directory.path(), &side).await.unwrap().close().await;
        for left in ["generation-2.db", "generation-2.db-wal", "generation-17.db"] {
            fs::write(directory.path().join(left), "half").unwrap();
        }
        fs::write(directory.path().join("generation-mine.db"), "not ours").unwrap();

        assert_eq!(Generations::open(directory.path(), &side).await.unwrap().number(), 1);

        let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().ends_with(".db"));
        names.sort();
        assert_eq!(names, ["generation-1.db", "generation-mine.db", "side.db"]);
        assert!(!directory.path().join("generation-2.db-wal").exists());
    }

    #[tokio::test]
    async fn processes_that_begin_at_the_same_time_share_a_generation() {
        let place = Shared::new();
        let side = place.side().await;
        let opened = futures::future::join_all((0..6).map(|_| place.open(&side))).await;

        let numbers: Vec<_> = opened.iter().map(Generation::number).collect();
        assert_eq!(numbers, [1; 6]);
        assert_eq!(side.live_generation().await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn no_process_chooses_a_generation_while_another_one_does() {
        let place = Shared::new();
        let side = place.side().await;
        let other = Schemas::alone(place.options.clone(), place.scratch.path()).await.unwrap();
        let waiting = async { while !other.is_waited_for().await {} };
        let mut opening = std::pin::pin!(place.open(&side));

        tokio::select! {
            _ = &mut opening => panic!("it has not waited"),
            () = waiting => {}
        }

        drop(other);
        assert_eq!(opening.await.number(), 1);
    }

    #[tokio::test]
    async fn a_generation_of_an_older_build_stays_while_a_process_uses_it() {
        let place = Shared::new();
        let side = place.side().await;
        let older = place.of_another_build(&side, "users.v0").await;

        let newer = place.open(&side).await;

        assert_eq!((newer.number(), side.live_generation().await.unwrap()), (2, Some(2)));
        assert_eq!(newer.progress().borrow().position, Position::START);
        assert_eq!(layout(older.store().as_ref()).await.unwrap(), "users.v0");
        older.close().await;
        assert_eq!(place.open(&side).await.number(), 2);
        assert_eq!(place.schemas().await, [2]);
    }

    #[tokio::test]
    async fn a_process_of_an_older_build_that_begins_again_finds_its_generation_and_moves_no_pointer() {
        let place = Shared::new();
        let side = place.side().await;
        let ours = place.open(&side).await;
        // What a newer build has done meanwhile.
        let newer = Generation::open_postgres(2, place.options(2), place.scratch.path()).await.unwrap();
        name_layout(&newer, "users.v1000").await;
        side.set_live_generation(2).await.unwrap();

        let again = place.open(&side).await;

        assert_eq!((again.number(), side.live_generation().await.unwrap()), (1, Some(2)));
        ours.close().await;
        newer.close().await;
        assert_eq!(place.schemas().await, [1, 2]);
    }

    impl Schemas {
        async fn is_waited_for(&self) -> bool {
            self.maker.is_waited_for().await
        }
    }

    async fn name_layout(generation: &Generation, layout: &str) {
        let name = Statement::new("UPDATE checkpoint SET layout = $1, position = 7", vec![layout.into()]);
        generation.store().write(vec![Write::Run(name)]).await.unwrap();
    }

    /// A database that processes share.
    struct Shared {
        options: PostgresOptions,
        scratch: tempfile::TempDir,
    }

    impl Shared {
        fn new() -> Self {
            let options = PostgresOptions { connections_max: 3, ..given::postgres::options() };
            Self { options, scratch: tempfile::tempdir().unwrap() }
        }

        async fn side(&self) -> SideStore {
            let schema = format!("{}_side", self.options.schema);
            SideStore::open_postgres(PostgresOptions { schema, ..self.options.clone() }).await.unwrap()
        }

        async fn open(&self, side: &SideStore) -> Generation {
            Generations::open_postgres(self.options.clone(), self.scratch.path(), side).await.unwrap()
        }

        async fn of_another_build(&self, side: &SideStore, layout: &str) -> Generation {
            let generation = self.open(side).await;
            name_layout(&generation, layout).await;
            generation
        }

        fn options(&self, number: u64) -> PostgresOptions {
            let schema = format!("{}_{number}", self.options.schema);
            PostgresOptions { schema, ..self.options.clone() }.in_use()
        }

        async fn schemas(&self) -> Vec<u64> {
            Schemas::alone(self.options.clone(), self.scratch.path()).await.unwrap().numbers().await.unwrap()
        }
    }
}
