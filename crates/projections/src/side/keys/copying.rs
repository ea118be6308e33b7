//! Taking persons' keys along to another engine: as they are, wrapped by the same master key.
//!
//! A key that was destroyed on either side is destroyed on both afterwards, however often a copy is called. Until a copy
//! has ended, no server takes the keys: whoever's is not there yet would look erased, and be given another one.

use super::{
    Keys,
    belonging::{Belonging, BelongingError},
    unavailable,
};
use crate::{
    StoreError,
    log_identity::{self, IdentityError},
    store::{Row, Statement, Value, Write},
    table::{in_loads, select_in},
};
use advisor_eventlog::EventLog;
use advisor_events::{KeyError, KeyStore};
use std::{borrow::Cow, collections::HashMap};

const AFTER: &str = "SELECT person, wrapped FROM keys WHERE person > $1 ORDER BY person LIMIT $2";
const OF: &str = "SELECT person, wrapped FROM keys WHERE person";
/// What is destroyed stays so, and nothing but that is ever changed.
const TAKE: &str = "INSERT INTO keys (person, wrapped) VALUES ($1, $2)
    ON CONFLICT (person) DO UPDATE SET wrapped = NULL WHERE excluded.wrapped IS NULL AND keys.wrapped IS NOT NULL";
/// Keys that are copied in one transaction.
pub const KEYS_COPIED_AT_ONCE: u32 = 500;

/// What a copy of keys has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysCopied {
    /// Keys that the target did not have.
    pub now: u64,
    /// Those that it had.
    pub there: u64,
    /// Traces of destroyed keys, among both.
    pub destroyed: u64,
}

/// Why keys are not copied.
#[derive(Debug, thiserror::Error)]
pub enum KeysCopyError {
    /// They are not those of the log, on one side or the other.
    #[error("the persons' keys {of}")]
    Belonging {
        /// Which.
        of: &'static str,
        /// What is wrong.
        #[source]
        error: BelongingError,
    },
    /// The log does not say which one it is.
    #[error("the event log can't be asked which one it is")]
    Identity(#[from] IdentityError),
    /// The target has been in service: what it holds can't be replaced.
    #[error("the target holds another key of {person}: it has been written to by somebody else, and is left as it is")]
    Differs {
        /// Whose.
        person: String,
    },
    /// What was written is not all there.
    #[error("the key of {person} was copied, and is not there")]
    Missing {
        /// Whose.
        person: String,
    },
    /// They can't be read or written.
    #[error("the persons' keys can't be copied")]
    Keys(#[from] KeyError),
}

impl From<StoreError> for KeysCopyError {
    fn from(error: StoreError) -> Self {
        Self::Keys(unavailable(error))
    }
}

/// A key as it is stored; `None` where it was destroyed.
type Wrapped = Option<Vec<u8>>;

/// What both sides hold of a person.
struct Pair {
    person: String,
    ours: Option<Wrapped>,
    theirs: Wrapped,
}

impl Keys {
    /// Takes over all keys of the source, which are those of this log under this master key. From then on no server
    /// takes these here until [`Keys::end_copy`], unless they were whole before. Nothing is written where the two hold
    /// different keys of a person.
    pub async fn begin_copy(&self, source: &Self, log: &dyn EventLog) -> Result<KeysCopied, KeysCopyError> {
        source.belong_to(log).await.map_err(|error| KeysCopyError::Belonging { of: "of the source", error })?;
        let ours = |error| KeysCopyError::Belonging { of: "of the target", error };
        let log = log_identity::read(log).await?;
        let unfinished = Belonging::Unfinished(log.clone());
        let before = self.belonging().await.map_err(ours)?;
        let is_whole = before == Some(Belonging::Whole(log));
        if !is_whole && before.is_some_and(|before| before != unfinished) {
            return Err(ours(BelongingError::OtherLog));
        }
        self.walk(source, Step::Compare).await?;
        if !is_whole {
            self.belong(&unfinished).await.map_err(ours)?;
        }
        let copied = self.walk(source, Step::Take).await?;
        self.walk(source, Step::Check).await?;
        // A key that was here before it was destroyed there leaves nothing behind.
        self.scrub().await?;
        Ok(copied)
    }

    /// Says that everything has come along that the copy of this log consists of.
    pub async fn end_copy(&self, log: &dyn EventLog) -> Result<(), KeysCopyError> {
        let whole = Belonging::Whole(log_identity::read(log).await?);
        self.belong(&whole).await.map_err(|error| KeysCopyError::Belonging { of: "of the target", error })
    }

    async fn walk(&self, source: &Self, step: Step) -> Result<KeysCopied, KeysCopyError> {
        let (mut copied, mut after) = (KeysCopied::default(), String::new());
        loop {
            let pairs = self.pairs_after(source, &after).await?;
            let Some(last) = pairs.last() else { return Ok(copied) };
            after.clone_from(&last.person);
            for pair in &pairs {
                copied.now += u64::from(pair.ours.is_none());
                copied.there += u64::from(pair.ours.is_some());
                copied.destroyed += u64::from(pair.theirs.is_none() || pair.ours == Some(None));
            }
            match step {
                Step::Compare => pairs.iter().try_for_each(Pair::check_compatible)?,
                Step::Take => self.take(pairs).await?,
                Step::Check => pairs.iter().try_for_each(Pair::check_copied)?,
            }
        }
    }

    async fn pairs_after(&self, source: &Self, after: &str) -> Result<Vec<Pair>, KeysCopyError> {
        let theirs = Statement::new(AFTER, vec![after.into(), KEYS_COPIED_AT_ONCE.into()]);
        let theirs = entries(source.store.read(vec![theirs]).await?)?;
        let persons: Vec<String> = theirs.iter().map(|(person, _)| person.clone()).collect();
        let ours: Vec<_> = in_loads(&persons).into_iter().map(|persons| select_in(OF, persons)).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let mut ours: HashMap<String, Wrapped> = entries(self.store.read(ours).await?)?.into_iter().collect();
        let pair = |(person, theirs)| Pair { ours: ours.remove(&person), person, theirs };
        Ok(theirs.into_iter().map(pair).collect())
    }

    async fn take(&self, pairs: Vec<Pair>) -> Result<(), StoreError> {
        let params = pairs.into_iter().map(|pair| vec![pair.person.into(), pair.theirs.map(Value::Blob).into()]);
        self.store.write_durably(vec![Write::Each { sql: Cow::Borrowed(TAKE), params: params.collect() }]).await
    }
}

/// What is done in a walk over all keys of the source.
#[derive(Clone, Copy)]
enum Step {
    Compare,
    Take,
    Check,
}

impl Pair {
    /// That neither holds a key that the other does not know of.
    fn check_compatible(&self) -> Result<(), KeysCopyError> {
        match (&self.ours, &self.theirs) {
            (Some(Some(ours)), Some(theirs)) if ours != theirs => {
                Err(KeysCopyError::Differs { person: self.person.clone() })
            }
            (Some(Some(_) | None) | None, Some(_) | None) => Ok(()),
        }
    }

    /// That ours is theirs, or destroyed.
    fn check_copied(&self) -> Result<(), KeysCopyError> {
        match &self.ours {
            Some(ours) if ours.is_none() || *ours == self.theirs => Ok(()),
            Some(_) | None => Err(KeysCopyError::Missing { person: self.person.clone() }),
        }
    }
}

fn entries(answers: Vec<Vec<Row>>) -> Result<Vec<(String, Wrapped)>, StoreError> {
    let entry = |row: Row| {
        let mut cells = row.into_cells();
        let person = cells.text()?;
        match cells.value()? {
            Value::Blob(wrapped) => Ok((person, Some(wrapped))),
            Value::Null => Ok((person, None)),
            Value::Int(_) | Value::Real(_) | Value::Text(_) => Err(StoreError::Broken("a key is no bytes".to_owned())),
        }
    };
    answers.into_iter().flatten().map(entry).collect()
}

/// Every text of SQL here.
pub(crate) fn statements() -> [Statement; 3] {
    [Statement::new(AFTER, vec![]), Statement::new(TAKE, vec![]), select_in(OF, vec!["u".into()])]
}

#[cfg(test)]
mod tests;
