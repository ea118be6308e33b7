//! The log's file: its lock, its schema, and connections to it.

use super::SqliteLogOptions;
use advisor_proof::{Mutant, is_planted};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The oldest SQLite without the race that can damage a write-ahead log (3.7.0 to 3.51.2).
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// "ADVL", in the file's header.
const APPLICATION_ID: i64 = 0x4144_564C;
/// The schema below.
const SCHEMA_VERSION: i64 = 1;
/// Pages that the writer keeps in memory, so that the tails of many streams stay there.
pub const WRITER_CACHE_KIB: i64 = 16_384;

/// Streams and types have small keys, so that the one hot index is narrow and in order of time.
/// AUTOINCREMENT, so that no position is ever given out twice.
const SCHEMA: &str = "
    CREATE TABLE streams (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE types (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE events (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        id BLOB NOT NULL,
        type INTEGER NOT NULL,
        data BLOB NOT NULL,
        metadata BLOB NOT NULL,
        UNIQUE (stream, revision)
    ) STRICT;
";

/// Why a log could not be opened. The path stands in the text, because an operator reads it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("the event log {} is in use by another process: stop that one first", path.display())]
    LogInUse {
        /// The log's file.
        path: PathBuf,
    },
    /// The library that this program was built with can damage a write-ahead log.
    #[error("this program was built with SQLite {found}, and the event log needs 3.51.3 or newer")]
    SqliteTooOld {
        /// Its version.
        found: &'static str,
    },
    /// The file holds something else.
    #[error("{} is not an event log", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// A newer program has written it.
    #[error("the event log {} has schema {found}, and this program knows up to {known}", path.display())]
    SchemaTooNew {
        /// The log's file.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Its positions have left what JSON numbers can say.
    #[error("the event log {} has a position of 2^53 or more", path.display())]
    PositionsExhausted {
        /// The log's file.
        path: PathBuf,
    },
    /// The directory or a file can't be used.
    #[error("the event log {} can't be opened", path.display())]
    File {
        /// The log's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite can't use the file.
    #[error("the event log {} can't be opened", path.display())]
    Sqlite {
        /// The log's file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// The lock that keeps other processes out; it is let go with its file, also when this process is killed.
pub(super) struct Lock {
    _file: File,
}

/// Checks the library, locks the log and makes its file.
pub(super) fn claim(mut options: SqliteLogOptions) -> Result<(SqliteLogOptions, Lock), OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::SqliteTooOld { found: rusqlite::version() });
    }
    let file = |source| OpenError::File { path: options.path.clone(), source };
    // Absolute, because SQLite would take a name that begins with `file:` for a URI.
    let path = std::path::absolute(&options.path).map_err(file)?;
    let lock = open_private(&beside(&path, ".lock")).map_err(file)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::LogInUse { path }),
        Err(error) => return Err(file(error.into())),
    }
    if !path.try_exists().map_err(file)? {
        make(&path).map_err(file)?;
    }
    options.path = path;
    Ok((options, Lock { _file: lock }))
}

/// The writer's connection, to a file that has the schema.
pub(super) fn prepare(options: &SqliteLogOptions) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: options.path.clone(), source };
    let mut connection = open_writing(options).map_err(sqlite)?;
    match content(&connection).map_err(sqlite)? {
        Content::Log(SCHEMA_VERSION) => {}
        Content::Log(found) => {
            return Err(OpenError::SchemaTooNew { path: options.path.clone(), found, known: SCHEMA_VERSION });
        }
        Content::Nothing => make_schema(&mut connection).map_err(sqlite)?,
        Content::SomethingElse => return Err(OpenError::NotALog { path: options.path.clone() }),
    }
    Ok(connection)
}

/// A connection that writes or checkpoints.
pub(super) fn open_writing(options: &SqliteLogOptions) -> rusqlite::Result<Connection> {
    let connection = open(options, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Each commit is synced: an acknowledged append outlives a power cut.
    let synchronous = if is_planted(Mutant::LogNotSynced) { "NORMAL" } else { "FULL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    let wal_bytes_max = i64::try_from(options.wal_bytes_max).unwrap_or(i64::MAX);
    connection.pragma_update(None, "journal_size_limit", wal_bytes_max)?;
    Ok(connection)
}

/// A connection that can only read.
pub(super) fn open_reading(options: &SqliteLogOptions) -> rusqlite::Result<Connection> {
    open(options, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// What a checkpoint found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpointed {
    /// Whether somebody else's reading or writing kept it from going all the way.
    pub(super) held_up: bool,
    /// Bytes in the write-ahead log.
    pub(super) wal_bytes: u64,
}

/// Runs a checkpoint of this mode (`PASSIVE`, `RESTART` or `TRUNCATE`), waiting at most `wait` for readers.
pub(super) fn checkpoint(connection: &Connection, mode: &str, wait: Duration) -> rusqlite::Result<Checkpointed> {
    connection.busy_timeout(wait)?;
    let (busy, frames) = connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let page_bytes: i64 = connection.prepare_cached("PRAGMA page_size")?.query_row([], |row| row.get(0))?;
    Ok(Checkpointed { held_up: busy != 0, wal_bytes: u64::try_from(frames * page_bytes).unwrap_or(0) })
}

/// Bytes of the write-ahead log's file.
pub(super) fn wal_bytes(options: &SqliteLogOptions) -> u64 {
    std::fs::metadata(beside(&options.path, "-wal")).map_or(0, |file| file.len())
}

enum Content {
    Nothing,
    Log(i64),
    SomethingElse,
}

fn content(connection: &Connection) -> rusqlite::Result<Content> {
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match (application, tables) {
        (APPLICATION_ID, _) => Content::Log(number("PRAGMA user_version")?),
        (0, 0) => Content::Nothing,
        (_, _) => Content::SomethingElse,
    })
}

fn make_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn open(options: &SqliteLogOptions, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // One connection is used by one thread: SQLite need not lock it.
    let connection = Connection::open_with_flags(&options.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Makes the file before SQLite does, for its mode; SQLite gives its companions the same.
fn make(path: &Path) -> io::Result<()> {
    open_private(path)?.sync_all()?;
    let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
    File::open(directory)?.sync_all()
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
