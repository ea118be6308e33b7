//! Whose keys a file holds: it names its log, sealed under the master key.
//!
//! A file that was lost would be made anew, empty, and everybody's words would look erased; another master key would
//! be noticed at the first person who needs theirs, after it had wrapped others'. Both are refused at the start.
//! So are keys that are being copied: whoever's is not there yet would look erased.

use super::{Keys, unavailable};
use crate::{
    StoreError,
    log_identity::{self, IdentityError},
    store::{Statement, Value, Write},
};
use advisor_eventlog::{EventLog, Filter, Position, ReadError, port::PAGE_EVENTS_MAX};
use advisor_events::KeyError;

pub(crate) const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS belonging (id BIGINT NOT NULL PRIMARY KEY, sealed_log BLOB NOT NULL)";
const FIND: &str = "SELECT sealed_log FROM belonging WHERE id = 1";
const PUT: &str = "INSERT INTO belonging (id, sealed_log) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
const REPLACE: &str = "INSERT INTO belonging (id, sealed_log) VALUES (1, $1)
    ON CONFLICT (id) DO UPDATE SET sealed_log = excluded.sealed_log";
/// Any key that was not destroyed, with whose it is.
const ANY_KEY: &str = "SELECT person, wrapped FROM keys WHERE wrapped IS NOT NULL LIMIT 1";
const COUNT: &str = "SELECT count(*) FROM keys";
/// What the seal of the log's identity is bound to.
const ASSOCIATED: &[u8] = b"log";
/// Streams of people.
const PEOPLE: &str = "user-";
/// Stands before the name of the log while not all of its keys are there.
const UNFINISHED: &str = "unfinished copy of ";

/// Whose keys a store holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Belonging {
    /// All those of this log.
    Whole(String),
    /// Those of this log, which a copy has not brought to its end.
    Unfinished(String),
}

/// Why keys are not used with a log.
#[derive(Debug, thiserror::Error)]
pub enum BelongingError {
    /// The master key is not the one that wrapped them.
    #[error("the master key is not that of the persons' keys")]
    OtherMasterKey,
    /// They are another log's.
    #[error("the persons' keys are those of another event log")]
    OtherLog,
    /// The log knows people, and there is no key and no trace of one.
    #[error(
        "the event log holds people's words and the file of their keys is new: put the file back, or nobody's words \
         can be read any more"
    )]
    Lost,
    /// They are being copied, or the copy was cut off.
    #[error("the copy of the log and of the persons' keys is not finished: call `advisor log copy` again")]
    Unfinished,
    /// The keys can't be read or written.
    #[error("the persons' keys can't be used")]
    Keys(#[from] KeyError),
    /// The log does not say which one it is.
    #[error("the event log can't be asked which one it is")]
    Identity(#[from] IdentityError),
    /// The log can't be read.
    #[error("the event log can't be read")]
    Log(#[from] ReadError),
}

impl From<StoreError> for BelongingError {
    fn from(error: StoreError) -> Self {
        Self::Keys(unavailable(error))
    }
}

impl Keys {
    /// Makes sure that these keys are those of this log, under this master key. A file that says nothing of it yet is
    /// taken for the log's unless something is lost, and says so from then on.
    pub async fn belong_to(&self, log: &dyn EventLog) -> Result<(), BelongingError> {
        let identity = log_identity::read(log).await?;
        if self.belonging().await?.is_none() {
            self.check_unnamed(log).await?;
            self.name_log(PUT, &identity).await?;
        }
        // Another process may have been faster: what is stored is the name.
        match self.belonging().await? {
            Some(Belonging::Whole(named)) if named == identity => Ok(()),
            Some(Belonging::Unfinished(_)) => Err(BelongingError::Unfinished),
            Some(Belonging::Whole(_)) | None => Err(BelongingError::OtherLog),
        }
    }

    /// Refuses keys that a copy has not brought to its end. Asked before anything is written into the log beside them.
    pub async fn check_whole(&self) -> Result<(), BelongingError> {
        match self.belonging().await? {
            Some(Belonging::Unfinished(_)) => Err(BelongingError::Unfinished),
            Some(Belonging::Whole(_)) | None => Ok(()),
        }
    }

    pub(super) async fn belonging(&self) -> Result<Option<Belonging>, BelongingError> {
        let Some(Value::Blob(sealed)) = self.cell(FIND).await? else { return Ok(None) };
        let opened = self.master.open(&sealed, ASSOCIATED).and_then(|bytes| String::from_utf8(bytes).ok());
        let named = opened.ok_or(BelongingError::OtherMasterKey)?;
        Ok(Some(match named.strip_prefix(UNFINISHED) {
            Some(log) => Belonging::Unfinished(log.to_owned()),
            None => Belonging::Whole(named),
        }))
    }

    /// Names the log, whatever was named before.
    pub(super) async fn belong(&self, belonging: &Belonging) -> Result<(), BelongingError> {
        match belonging {
            Belonging::Whole(log) => self.name_log(REPLACE, log).await,
            Belonging::Unfinished(log) => self.name_log(REPLACE, &format!("{UNFINISHED}{log}")).await,
        }
    }

    /// A file of an older build, or a new one.
    async fn check_unnamed(&self, log: &dyn EventLog) -> Result<(), BelongingError> {
        let answers = self.store.read(vec![Statement::new(ANY_KEY, vec![])]).await?;
        if let Some(row) = answers.into_iter().flatten().next() {
            let mut cells = row.into_cells();
            let (Ok(person), Ok(Value::Blob(wrapped))) = (cells.text(), cells.value()) else {
                return Err(KeyError::Unavailable("the persons' keys are damaged".to_owned()).into());
            };
            return self.unwrap(&person.into(), &wrapped).map(drop).map_err(|_| BelongingError::OtherMasterKey);
        }
        let is_empty = self.cell(COUNT).await? == Some(Value::Int(0));
        if is_empty && knows_people(log).await? { Err(BelongingError::Lost) } else { Ok(()) }
    }

    async fn name_log(&self, sql: &'static str, name: &str) -> Result<(), BelongingError> {
        let sealed = self.master.seal(name.as_bytes(), ASSOCIATED);
        let sealed = sealed.map_err(|error| KeyError::Unavailable(error.to_string()))?;
        self.store.write_durably(vec![Write::Run(Statement::new(sql, vec![Value::Blob(sealed)]))]).await?;
        Ok(())
    }

    /// The first cell of the first row.
    async fn cell(&self, sql: &'static str) -> Result<Option<Value>, BelongingError> {
        let answers = self.store.read(vec![Statement::new(sql, vec![])]).await?;
        let row = answers.into_iter().flatten().next();
        Ok(row.map(|row| row.into_cells().value()).transpose().map_err(StoreError::from)?)
    }
}

/// Whether the log holds anything of a person.
async fn knows_people(log: &dyn EventLog) -> Result<bool, ReadError> {
    let (people, mut after) = (Filter::stream_prefix(PEOPLE), Position::START);
    loop {
        let page = log.read_all(after, &people, PAGE_EVENTS_MAX).await?;
        // A page may end before anything in it matches.
        if !page.events.is_empty() || page.scanned_to == after {
            return Ok(!page.events.is_empty());
        }
        after = page.scanned_to;
    }
}

/// Every text of SQL here.
pub(crate) fn statements() -> [Statement; 5] {
    [FIND, PUT, REPLACE, ANY_KEY, COUNT].map(|sql| Statement::new(sql, vec![]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{MemoryKeys, opened};
    use advisor_eventlog::MemoryLog;
    use advisor_events::KeyStore;
    use std::{fs, num::NonZeroUsize};

    #[tokio::test]
    async fn keys_stay_with_their_log() {
        let directory = tempfile::tempdir().unwrap();
        let (log, other) = (log_of(&["ana"], "this log").await, log_of(&[], "another log").await);
        let keys = open(&directory, 3).await;
        keys.obtain(&"ana".into()).await.unwrap();

        keys.belong_to(&log).await.unwrap();
        keys.belong_to(&log).await.unwrap();

        assert!(matches!(keys.belong_to(&other).await, Err(BelongingError::OtherLog)));
    }

    #[tokio::test]
    async fn keys_that_several_processes_share_stay_with_their_log_too() {
        let options = crate::given::postgres::options();
        let shared = || Keys::open_postgres(options.clone(), [3; 32], NonZeroUsize::MIN);
        let (log, other) = (log_of(&["ana"], "this log").await, log_of(&[], "another log").await);
        let (one, two) = (shared().await.unwrap(), shared().await.unwrap());
        one.obtain(&"ana".into()).await.unwrap();

        let (first, second) = tokio::join!(one.belong_to(&log), two.belong_to(&log));

        first.unwrap();
        second.unwrap();
        assert!(matches!(two.belong_to(&other).await, Err(BelongingError::OtherLog)));
    }

    #[tokio::test]
    async fn another_master_key_is_noticed_before_it_wraps_anything() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_of(&[], "this log").await;
        let keys = open(&directory, 3).await;
        keys.belong_to(&log).await.unwrap();
        keys.close().await;

        assert!(matches!(open(&directory, 4).await.belong_to(&log).await, Err(BelongingError::OtherMasterKey)));
    }

    #[tokio::test]
    async fn another_master_key_is_noticed_in_a_file_of_an_older_build_too() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_of(&["ana"], "this log").await;
        let keys = open(&directory, 3).await;
        keys.obtain(&"ana".into()).await.unwrap();
        keys.close().await;

        assert!(matches!(open(&directory, 4).await.belong_to(&log).await, Err(BelongingError::OtherMasterKey)));
        open(&directory, 3).await.belong_to(&log).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_was_lost_is_not_taken_for_everybodys_erasure() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_of(&["ana"], "this log").await;
        let keys = open(&directory, 3).await;
        keys.obtain(&"ana".into()).await.unwrap();
        keys.belong_to(&log).await.unwrap();
        keys.close().await;
        fs::remove_file(directory.path().join("keys.db")).unwrap();

        assert!(matches!(open(&directory, 3).await.belong_to(&log).await, Err(BelongingError::Lost)));
    }

    #[tokio::test]
    async fn who_was_erased_alone_leaves_no_lost_file() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_of(&["ana"], "this log").await;
        let keys = open(&directory, 3).await;
        keys.destroy(&"ana".into()).await.unwrap();

        keys.belong_to(&log).await.unwrap();
    }

    async fn open(directory: &tempfile::TempDir, master: u8) -> Keys {
        Keys::open(&directory.path().join("keys.db"), [master; 32]).await.unwrap()
    }

    async fn log_of(people: &[&str], identity: &str) -> MemoryLog {
        let log = MemoryLog::new();
        let story = people.iter().fold(opened(identity), |story, person| story.registered(person));
        story.append_to(&log, &MemoryKeys::default()).await;
        log
    }
}
