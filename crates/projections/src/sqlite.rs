//! A store in one SQLite file: one thread that writes, some that read, one that moves the write-ahead log into
//! the file, each with a connection of its own.

pub(crate) mod checkpoints;
#[cfg(test)]
pub(crate) mod in_memory;
mod queue;
mod statements;
pub(crate) mod writer;

use crate::store::{Row, Statement, Store, StoreError, Write};
use async_trait::async_trait;
use checkpoints::Wal;
use queue::Queue;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::oneshot;

/// Statements that a connection keeps prepared.
pub const STATEMENTS_CACHED_MAX: usize = 256;
/// The oldest SQLite in which two connections of one program can't damage a write-ahead log.
const VERSION_MIN: i32 = 3_051_003;

/// Where the file lies, and its limits. [`SqliteOptions::at`] gives the defaults.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; it is made, with mode 0600, if it is not there. Its directory must be.
    pub path: PathBuf,
    /// When a commit is on the disk, unless a write asks for more.
    pub durability: Durability,
    /// What happens to the bytes of removed rows.
    pub removal: Removal,
    /// Threads that read. Default: 4.
    pub readers: usize,
    /// Most reads that wait for a reader. Default: 1,024.
    pub read_queue_max: usize,
    /// Most writes that wait for the writer. Default: 1,024.
    pub write_queue_max: usize,
    /// Longest wait for an answer, the queue included. Default: 10 s.
    pub timeout: Duration,
    /// Longest wait for another connection's lock. Default: 5 s.
    pub busy_timeout: Duration,
    /// Most memory for pages of each connection, in KiB. Default: 64 MiB for the writer, a sixteenth of it for a reader.
    pub cache_kib: u32,
    /// What the write-ahead log is kept below, about, while no reader holds it. Default: 64 MiB.
    pub wal_bytes_max: u64,
}

/// When a commit is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it is answered.
    Commit,
    /// Sometime: a power cut may lose the last commits, never their order. For what can be made again.
    Sometime,
}

impl Durability {
    /// As SQLite calls it.
    fn synchronous(self) -> &'static str {
        match self {
            Self::Commit => "FULL",
            Self::Sometime => "NORMAL",
        }
    }
}

/// What happens to the bytes of removed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// They are overwritten, as far as the rows were not moved before; [`Store::scrub`] leaves nothing at all.
    Overwrite,
    /// They stay until their place is used again.
    Leave,
}

impl SqliteOptions {
    /// The defaults of a file of read models.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Sometime,
            removal: Removal::Overwrite,
            readers: 4,
            read_queue_max: 1_024,
            write_queue_max: 1_024,
            timeout: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
            cache_kib: 64 * 1_024,
            wal_bytes_max: 64 * 1_024 * 1_024,
        }
    }
}

/// A store in one SQLite file. Cloning is cheap; the threads end when the last one is dropped, or closed.
#[derive(Clone)]
pub struct SqliteStore(Arc<Threads>);

struct Threads {
    reads: Arc<Queue<ReadJob>>,
    writes: Arc<Queue<WriteJob>>,
    options: SqliteOptions,
    readers: Mutex<Vec<JoinHandle<()>>>,
    writers: Mutex<Vec<JoinHandle<()>>>,
}

struct ReadJob {
    statements: Vec<Statement>,
    answer: oneshot::Sender<Result<Vec<Vec<Row>>, StoreError>>,
}

struct WriteJob {
    steps: Vec<Write>,
    durability: Durability,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl SqliteStore {
    /// Opens the file, and makes in it what is not there yet (`setup`: texts that do nothing the second time).
    pub async fn open(options: SqliteOptions, setup: Vec<String>) -> Result<Self, StoreError> {
        tokio::task::spawn_blocking(move || Self::open_blocking(&options, &setup))
            .await
            .map_err(|_| StoreError::Unavailable("the file was not opened".to_owned()))?
    }

    /// Ends the threads once they have done what was asked of them.
    pub async fn close(&self) {
        // A reader that closes last would leave the write-ahead log behind: it may not move it into the file.
        self.0.reads.close();
        join(&self.0.readers).await;
        self.0.writes.close();
        join(&self.0.writers).await;
        let options = self.0.options.clone();
        // Of two connections that close at the same moment each leaves the write-ahead log to the other.
        let tidied = tokio::task::spawn_blocking(move || checkpoints::empty(&options)).await;
        if !matches!(tidied, Ok(Ok(()))) {
            tracing::warn!(?tidied, "a write-ahead log was left as it is");
        }
    }

    fn open_blocking(options: &SqliteOptions, setup: &[String]) -> Result<Self, StoreError> {
        check_version()?;
        make_private(&options.path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let owner = writing_connection(options)?;
        for text in setup {
            owner.execute_batch(text).map_err(|error| statements::failure(&error))?;
        }
        let reads = Arc::new(Queue::new(options.read_queue_max));
        let writes = Arc::new(Queue::new(options.write_queue_max));
        let checkpoints = Arc::new(checkpoints::Checkpoints::new());
        let (mut reading, mut writing) = (Vec::with_capacity(options.readers), Vec::with_capacity(2));
        for _ in 0..options.readers.max(1) {
            let (connection, reads) = (reading_connection(options)?, Arc::clone(&reads));
            reading.push(spawn("sqlite-read", move || read_until_closed(&connection, &reads))?);
        }
        let (connection, shared) = (writing_connection(options)?, Arc::clone(&checkpoints));
        writing.push(spawn("sqlite-checkpoint", move || shared.run(&connection))?);
        let (queue, limits) = (Arc::clone(&writes), options.clone());
        let write = move || {
            let wal = Wal::new(&checkpoints, &owner, &limits);
            writer::write_until_closed(&owner, &queue, limits.durability, wal);
            checkpoints.close();
        };
        writing.push(spawn("sqlite-write", write)?);
        Ok(Self(Arc::new(Threads {
            reads,
            writes,
            options: options.clone(),
            readers: Mutex::new(reading),
            writers: Mutex::new(writing),
        })))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.ask(&self.0.reads, ReadJob { statements, answer }, answered).await
    }

    async fn write(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.0.write(steps, self.0.options.durability).await
    }

    async fn write_durably(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.0.write(steps, Durability::Commit).await
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        let options = self.0.options.clone();
        let scrubbed = tokio::task::spawn_blocking(move || checkpoints::scrub(&options)).await;
        scrubbed.map_err(|_| StoreError::Unavailable("the file was not scrubbed".to_owned()))?
    }

    async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let (options, path) = (self.0.options.clone(), path.to_owned());
        let copied = tokio::task::spawn_blocking(move || copy(&options, &path)).await;
        copied.map_err(|_| StoreError::Unavailable("the file was not copied".to_owned()))?
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

/// One read transaction, while others write.
fn copy(options: &SqliteOptions, path: &Path) -> Result<(), StoreError> {
    make_private(path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let connection = reading_connection(options)?;
    let copied = connection.execute("VACUUM INTO ?1", [path.to_string_lossy()]);
    copied.map(drop).map_err(|error| statements::failure(&error))
}

impl Threads {
    async fn write(&self, steps: Vec<Write>, durability: Durability) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.ask(&self.writes, WriteJob { steps, durability, answer }, answered).await
    }

    async fn ask<J, T>(
        &self,
        queue: &Queue<J>,
        job: J,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let asked = async {
            if !queue.push(job).await {
                return Err(StoreError::Unavailable("the file is closed".to_owned()));
            }
            answered.await.map_err(|_| StoreError::Unavailable("the file is closed".to_owned()))?
        };
        tokio::time::timeout(self.options.timeout, asked)
            .await
            .map_err(|_| StoreError::Unavailable("no answer in time".to_owned()))?
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
    }
}

async fn join(handles: &Mutex<Vec<JoinHandle<()>>>) {
    let handles = std::mem::take(&mut *handles.lock().unwrap_or_else(PoisonError::into_inner));
    let ended = tokio::task::spawn_blocking(move || handles.into_iter().try_for_each(JoinHandle::join)).await;
    if !matches!(ended, Ok(Ok(()))) {
        tracing::error!("a thread of a SQLite file has panicked");
    }
}

fn read_until_closed(connection: &Connection, reads: &Queue<ReadJob>) {
    while let Some(job) = reads.pop() {
        if job.answer.is_closed() {
            continue;
        }
        let answer = statements::read(connection, &job.statements);
        // Whoever asked may have given up waiting.
        drop(job.answer.send(answer));
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn check_version() -> Result<(), StoreError> {
    if rusqlite::version_number() < VERSION_MIN {
        return Err(StoreError::Broken(format!("SQLite {} is too old", rusqlite::version())));
    }
    Ok(())
}

/// SQLite gives its side files the mode of the file itself.
fn make_private(path: &Path) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

fn writing_connection(options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let secure_delete = match options.removal {
        Removal::Overwrite => "ON",
        Removal::Leave => "OFF",
    };
    let connection = connection(options, flags, options.cache_kib)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA secure_delete = {secure_delete};
             PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = OFF;",
            options.durability.synchronous()
        ))
        .map_err(|error| statements::failure(&error))?;
    Ok(connection)
}

fn reading_connection(options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    connection(options, flags, options.cache_kib / 16)
}

fn connection(options: &SqliteOptions, flags: OpenFlags, cache_kib: u32) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(&options.path, flags).map_err(|error| statements::failure(&error))?;
    connection.busy_timeout(options.busy_timeout).map_err(|error| statements::failure(&error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection
        .execute_batch(&format!("PRAGMA cache_size = -{cache_kib};"))
        .map_err(|error| statements::failure(&error))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Value,
        contract::{add, numbers, store_contract},
    };
    use std::borrow::Cow;

    store_contract!(opened);

    #[tokio::test]
    async fn a_write_that_has_to_be_durable_is_synchronised_and_no_other_one() {
        let (_directory, store) = store().await;
        // What SQLite holds to while it writes: 1 is NORMAL, 2 is FULL.
        let note = || {
            vec![Write::Run(Statement::new("INSERT INTO numbers SELECT synchronous FROM pragma_synchronous", vec![]))]
        };

        for _ in 0..2 {
            store.write(note()).await.unwrap();
            store.write_durably(note()).await.unwrap();
        }

        assert_eq!(numbers(&store).await, [1, 1, 2, 2]);
    }

    #[tokio::test]
    async fn a_store_that_was_closed_is_one_file() {
        let (directory, store) = store().await;
        store.write(vec![add(1)]).await.unwrap();

        store.close().await;

        assert!(!directory.path().join("file.db-wal").exists(), "a clean close leaves one file");
    }

    #[tokio::test]
    async fn a_removed_row_is_in_no_file_any_more_once_they_are_scrubbed() {
        let (directory, store) = store().await;
        let setup = Statement::new("CREATE TABLE words (n BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL)", vec![]);
        store.write(vec![Write::Run(setup)]).await.unwrap();
        for n in 0..200_i64 {
            // Each of some pages, so that rows move from page to page when others come between them.
            let word = format!("canary-{}-{}", n % 2, "x".repeat(usize::try_from(n).unwrap() * 37 % 3_000));
            let add = Statement::new(
                "INSERT INTO words (n, word) VALUES ($1, $2)",
                vec![(n * 7_919 % 200).into(), word.into()],
            );
            store.write(vec![Write::Run(add)]).await.unwrap();
        }
        store
            .write(vec![Write::Run(Statement::new("DELETE FROM words WHERE word LIKE 'canary-1-%'", vec![]))])
            .await
            .unwrap();
        let left = || {
            let files = ["file.db", "file.db-wal"].map(|name| fs::read(directory.path().join(name)).unwrap());
            [b"canary-1-", b"canary-0-"]
                .map(|word| files.iter().flat_map(|file| file.windows(9)).filter(|bytes| bytes == word).count())
        };
        assert!(left()[0] > 0, "the write-ahead log holds them still");

        store.scrub().await.unwrap();

        assert_eq!(left(), [0, 100]);
        store.write(vec![add(1)]).await.unwrap();
        assert_eq!(numbers(&store).await, [1]);
    }

    #[tokio::test]
    async fn the_write_ahead_log_is_moved_into_the_file_and_kept_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.db");
        let options = SqliteOptions { wal_bytes_max: 256 * 1_024, ..SqliteOptions::at(&path) };
        let store = SqliteStore::open(options, vec![CREATE.to_owned()]).await.unwrap();

        for round in 0..100 {
            let params = (0..2_000).map(|n| vec![Value::Int(round * 2_000 + n)]).collect();
            store.write(vec![Write::Each { sql: Cow::Borrowed(ADD), params }]).await.unwrap();
        }

        // How soon depends on the disk; the writes that go on meanwhile are what cuts it.
        let wal = path.with_extension("db-wal");
        let short = async {
            while fs::metadata(&wal).unwrap().len() > 256 * 1_024 {
                store.write(vec![add(0)]).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_mins(1), short).await.expect("the log is cut");
    }

    const CREATE: &str = "CREATE TABLE IF NOT EXISTS numbers (n BIGINT NOT NULL)";
    const ADD: &str = "INSERT INTO numbers (n) VALUES ($1)";

    async fn store() -> (tempfile::TempDir, SqliteStore) {
        opened(vec![CREATE.to_owned()]).await
    }

    async fn opened(setup: Vec<String>) -> (tempfile::TempDir, SqliteStore) {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::at(directory.path().join("file.db"));
        let store = SqliteStore::open(options, setup).await.unwrap();
        (directory, store)
    }
}
