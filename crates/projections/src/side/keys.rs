//! Persons' keys: a file of their own, wrapped by the master key, durable before the first event under them.
//!
//! A destroyed key leaves a row without a key, so that none is ever made for that person again; the bytes of the
//! wrapped key are overwritten in the file.

use crate::{
    SqliteStore, Store, StoreError,
    sqlite::{Durability, SqliteOptions},
    store::{RowError, Statement, Value, Write},
};
use advisor_events::{KeyError, KeyStore, PersonKey, UserId};
use async_trait::async_trait;
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS keys (person TEXT NOT NULL PRIMARY KEY, wrapped BLOB)";
const INSERT: &str = "INSERT INTO keys (person, wrapped) VALUES ($1, $2) ON CONFLICT (person) DO NOTHING";
const DESTROY: &str = "INSERT INTO keys (person, wrapped) VALUES ($1, NULL)
    ON CONFLICT (person) DO UPDATE SET wrapped = NULL";
const FIND: &str = "SELECT wrapped FROM keys WHERE person = $1";

/// Keys kept in memory: 150 bytes each.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();

/// The keys' file.
pub struct SqliteKeys {
    store: SqliteStore,
    master: PersonKey,
    cache: Mutex<LruCache<UserId, Stored>>,
}

/// What the file holds of a person.
#[derive(Clone)]
enum Stored {
    Key(PersonKey),
    Destroyed,
    Nothing,
}

impl SqliteKeys {
    /// Opens the keys' file, and makes it if it is not there.
    pub async fn open(path: &Path, master_key: [u8; 32]) -> Result<Self, KeyError> {
        let options = SqliteOptions {
            durability: Durability::Commit,
            readers: 2,
            cache_kib: 2 * 1_024,
            ..SqliteOptions::at(path)
        };
        let store = SqliteStore::open(options, vec![CREATE.to_owned()]).await.map_err(unavailable)?;
        let cache = Mutex::new(LruCache::new(CACHED_MAX));
        Ok(Self { store, master: PersonKey::from_bytes(master_key), cache })
    }

    /// Closes the file; everything that is not in memory fails from now on.
    pub async fn close(&self) {
        self.store.close().await;
    }

    async fn stored(&self, person: &UserId) -> Result<Stored, KeyError> {
        if let Some(stored) = self.cached().get(person).cloned() {
            return Ok(stored);
        }
        self.load(person).await
    }

    async fn load(&self, person: &UserId) -> Result<Stored, KeyError> {
        let answers = self.store.read(vec![Statement::new(FIND, vec![person.into()])]).await.map_err(unavailable)?;
        let row = answers.into_iter().flatten().next();
        let stored = match row.map(|row| row.into_cells().value()) {
            None => return Ok(Stored::Nothing),
            Some(Ok(Value::Null)) => Stored::Destroyed,
            Some(Ok(Value::Blob(wrapped))) => Stored::Key(self.unwrap(person, &wrapped)?),
            Some(Ok(Value::Int(_) | Value::Real(_) | Value::Text(_)) | Err(RowError(_))) => {
                return Err(KeyError::Unavailable("the keys' file is damaged".to_owned()));
            }
        };
        self.remember(person, stored.clone());
        Ok(stored)
    }

    /// A key that the master key does not open is never taken for a destroyed one.
    fn unwrap(&self, person: &UserId, wrapped: &[u8]) -> Result<PersonKey, KeyError> {
        let bytes = self.master.open(wrapped, person.as_str().as_bytes()).map(zeroize::Zeroizing::new);
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        let bytes = bytes.ok_or_else(|| KeyError::Unavailable("the master key is not that of the keys".to_owned()))?;
        Ok(PersonKey::from_bytes(bytes))
    }

    /// What is known to be destroyed stays so, whatever a slower read says.
    fn remember(&self, person: &UserId, stored: Stored) {
        let mut cache = self.cached();
        if !matches!(cache.get(person), Some(Stored::Destroyed)) {
            cache.put(person.clone(), stored);
        }
    }

    fn cached(&self) -> MutexGuard<'_, LruCache<UserId, Stored>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyStore for SqliteKeys {
    async fn obtain(&self, person: &UserId) -> Result<PersonKey, KeyError> {
        if let Stored::Nothing = self.stored(person).await? {
            let key = PersonKey::generate()?;
            let wrapped = self.master.seal(key.expose(), person.as_str().as_bytes());
            let wrapped = wrapped.map_err(|error| KeyError::Unavailable(error.to_string()))?;
            let insert = Statement::new(INSERT, vec![person.into(), Value::Blob(wrapped)]);
            self.store.write(vec![Write::Run(insert)]).await.map_err(unavailable)?;
        }
        // Another request may have been faster: what is stored is the key.
        match self.stored(person).await? {
            Stored::Key(key) => Ok(key),
            Stored::Destroyed => Err(KeyError::Destroyed),
            Stored::Nothing => Err(KeyError::Unavailable("a key that was written is not there".to_owned())),
        }
    }

    async fn find(&self, person: &UserId) -> Result<Option<PersonKey>, KeyError> {
        match self.stored(person).await? {
            Stored::Key(key) => Ok(Some(key)),
            Stored::Destroyed | Stored::Nothing => Ok(None),
        }
    }

    async fn destroy(&self, person: &UserId) -> Result<(), KeyError> {
        let destroy = Statement::new(DESTROY, vec![person.into()]);
        self.store.write(vec![Write::Run(destroy)]).await.map_err(unavailable)?;
        self.cached().put(person.clone(), Stored::Destroyed);
        Ok(())
    }
}

/// Every text of SQL here.
pub(crate) fn statements() -> [Statement; 3] {
    [INSERT, DESTROY, FIND].map(|sql| Statement::new(sql, vec![]))
}

fn unavailable(error: StoreError) -> KeyError {
    KeyError::Unavailable(error.to_string())
}
