//! Complete sets of read-model tables, and which of them is read.
//!
//! A generation is a file of its own, `generation-<number>.db`. The side store says which one lives.

use crate::{
    Query, SideStore, SqliteStore, Store, StoreError, changes, checkpoint, consumption,
    projection::{self, all},
    reader::{Progress, State},
    refolding,
    sqlite::SqliteOptions,
    store::{Row, Statement, Value, Write},
};
use advisor_eventlog::Position;
use std::{
    fs, io,
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
    /// Where its file lies.
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
        options: impl Fn(PathBuf) -> SqliteOptions,
    ) -> Result<Generation, StoreError> {
        let live = side.live_generation().await?;
        let number = live.unwrap_or(1);
        let path = file(directory, number);
        // A process may have died while it filled another one, or before it removed the one before.
        remove_others(directory, &path)
            .and_then(|()| refolding::remove_leftovers(directory))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let generation = Generation::open(number, options(path.clone())).await?;
        if generation.layout().await? == projection::layout() {
            if live.is_none() {
                side.set_live_generation(number).await?;
            }
            return Ok(generation);
        }
        tracing::info!(generation.number = number, "these read models are of another build: filling new ones");
        generation.close().await;
        let next = Generation::open(number + 1, options(file(directory, number + 1))).await?;
        side.set_live_generation(number + 1).await?;
        remove(&path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(next)
    }
}

impl Generation {
    /// Opens a generation's file, and makes it if it is not there.
    pub async fn open(number: u64, options: SqliteOptions) -> Result<Self, StoreError> {
        let directory = options.path.parent().map(Path::to_owned);
        let store = SqliteStore::open(options, create()).await?;
        Self::at(directory, number, Arc::new(store), Vec::new()).await
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
        let progress = watch::Sender::new(Progress { generation: number, position, state: State::CatchingUp });
        Ok(Self(Arc::new(Inner {
            number,
            store,
            progress,
            stall: Mutex::new(None),
            directory,
            scratch: AsyncMutex::new(()),
        })))
    }

    /// Its number: part of every position that a live client resumes from.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Closes its file; reads and writes fail from now on.
    pub async fn close(&self) {
        self.0.store.close().await;
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(crate) fn progress(&self) -> &watch::Sender<Progress> {
        &self.0.progress
    }

    pub(crate) fn stall(&self) -> &Mutex<Option<Stall>> {
        &self.0.stall
    }

    /// Where its file lies; nowhere for one of another kind.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.0.directory.as_deref()
    }

    /// Held while there is a scratch copy, which nothing may be erased beside.
    pub(crate) fn scratch(&self) -> &AsyncMutex<()> {
        &self.0.scratch
    }

    async fn layout(&self) -> Result<String, StoreError> {
        let answers = self.0.store.read(vec![Statement::new(checkpoint::LAYOUT, vec![])]).await?;
        let row = answers.into_iter().flatten().next();
        Ok(row.map_or_else(|| Ok(String::new()), |row| row.into_cells().text())?)
    }
}

/// What makes the tables and indexes of a generation.
fn create() -> Vec<String> {
    let tables = all().into_iter().flat_map(|projection| projection.table().create());
    let others = changes::CREATE.into_iter().chain([checkpoint::CREATE]).chain(consumption::CREATE).map(str::to_owned);
    tables.chain(others).collect()
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

fn file(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("generation-{number}.db"))
}

/// Removes the files of every generation but the one at `path`.
fn remove_others(directory: &Path, path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let other = entry?.path();
        let name = other.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_generation = name.strip_prefix("generation-").and_then(|rest| rest.strip_suffix(".db"));
        if is_generation.is_some_and(|number| number.parse::<u64>().is_ok()) && other != path {
            tracing::warn!(file = name, "a generation that nobody reads is removed");
            remove(&other)?;
        }
    }
    Ok(())
}

/// Removes a file of SQLite's with its companions, as far as they are there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for ending in ["db", "db-wal", "db-shm"] {
        match fs::remove_file(path.with_extension(ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
