//! Persons' keys: a file or a schema of their own, wrapped by the master key, durable before the first event under them.
//!
//! A destroyed key leaves a row without a key, so that none is ever made for that person again; the bytes of the
//! wrapped key are overwritten in the file.
//!
//! Keys are kept in memory. Where several processes share them, each trusts its memory for seconds only: another one
//! may have destroyed a key.

mod belonging;
pub(crate) mod copying;

pub use belonging::BelongingError;
pub use copying::{KeysCopied, KeysCopyError};

use crate::{
    PostgresOptions, PostgresStore, SqliteStore, Store, StoreError,
    sqlite::{Durability, SqliteOptions},
    store::{RowError, Statement, Value, Write},
};
use advisor_events::{KeyError, KeyStore, PersonKey, UserId};
use advisor_proof::{Point, reached};
use async_trait::async_trait;
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

pub(crate) const CREATE: [&str; 2] =
    ["CREATE TABLE IF NOT EXISTS keys (person TEXT NOT NULL PRIMARY KEY, wrapped BLOB)", belonging::CREATE];
const INSERT: &str = "INSERT INTO keys (person, wrapped) VALUES ($1, $2) ON CONFLICT (person) DO NOTHING";
const DESTROY: &str = "INSERT INTO keys (person, wrapped) VALUES ($1, NULL)
    ON CONFLICT (person) DO UPDATE SET wrapped = NULL";
const FIND: &str = "SELECT wrapped FROM keys WHERE person = $1";

/// Keys kept in memory unless it is said otherwise: 150 bytes each.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();

/// How long a key is trusted that another process may have destroyed.
pub const SHARED_KEYS_TRUSTED_FOR: Duration = Duration::from_secs(5);

/// Persons' keys.
pub struct Keys {
    store: Arc<dyn Store>,
    master: PersonKey,
    cache: Mutex<LruCache<UserId, Cached>>,
    sharing: Sharing,
}

/// Who else may destroy keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// Nobody.
    Alone,
    /// Others, so that what is in memory is trusted for so long.
    TrustedFor(Duration),
}

/// What is in memory of a person.
struct Cached {
    stored: Stored,
    /// When it was true for sure.
    asked_at: Instant,
}

/// What the store holds of a person.
#[derive(Clone)]
enum Stored {
    Key(PersonKey),
    Destroyed,
    Nothing,
}

impl Keys {
    /// Opens the keys' file, and makes it if it is not there.
    pub async fn open(path: &Path, master_key: [u8; 32]) -> Result<Self, KeyError> {
        Self::open_caching(path, master_key, CACHED_MAX).await
    }

    /// The same with so many keys in memory.
    pub async fn open_caching(path: &Path, master_key: [u8; 32], cached_max: NonZeroUsize) -> Result<Self, KeyError> {
        let options = SqliteOptions {
            durability: Durability::Commit,
            readers: 2,
            cache_kib: 16 * 1_024,
            ..SqliteOptions::at(path)
        };
        let store = SqliteStore::open(options, CREATE.map(str::to_owned).to_vec()).await.map_err(unavailable)?;
        Ok(Self::over(Arc::new(store), master_key, cached_max, Sharing::Alone))
    }

    /// Makes the keys' schema, where it is not there, for a program whose own user may not.
    pub async fn make_postgres(options: PostgresOptions) -> Result<(), StoreError> {
        PostgresStore::open(options, CREATE.map(str::to_owned).to_vec()).await?.close().await;
        Ok(())
    }

    /// Opens the keys' schema ([`KEYS_SCHEMA`](crate::postgres::KEYS_SCHEMA)), which other processes use too, and makes
    /// it if it is not there. A key that one of them destroyed is not given out for longer than
    /// [`SHARED_KEYS_TRUSTED_FOR`].
    pub async fn open_postgres(
        options: PostgresOptions,
        master_key: [u8; 32],
        cached_max: NonZeroUsize,
    ) -> Result<Self, KeyError> {
        let store = PostgresStore::open(options, CREATE.map(str::to_owned).to_vec()).await.map_err(unavailable)?;
        let sharing = Sharing::TrustedFor(SHARED_KEYS_TRUSTED_FOR);
        Ok(Self::over(Arc::new(store), master_key, cached_max, sharing))
    }

    fn over(store: Arc<dyn Store>, master_key: [u8; 32], cached_max: NonZeroUsize, sharing: Sharing) -> Self {
        let cache = Mutex::new(LruCache::new(cached_max));
        Self { store, master: PersonKey::from_bytes(master_key), cache, sharing }
    }

    /// Closes the store; everything that is not in memory fails from now on.
    pub async fn close(&self) {
        self.store.close().await;
    }

    async fn stored(&self, person: &UserId) -> Result<Stored, KeyError> {
        let now = Instant::now();
        if let Some(cached) = self.cached().get(person)
            && self.sharing.trusts(cached, now)
        {
            return Ok(cached.stored.clone());
        }
        self.load(person).await
    }

    async fn load(&self, person: &UserId) -> Result<Stored, KeyError> {
        let asked_at = Instant::now();
        let answers = self.store.read(vec![Statement::new(FIND, vec![person.into()])]).await.map_err(unavailable)?;
        let row = answers.into_iter().flatten().next();
        let stored = match row.map(|row| row.into_cells().value()) {
            None => return Ok(Stored::Nothing),
            Some(Ok(Value::Null)) => Stored::Destroyed,
            Some(Ok(Value::Blob(wrapped))) => Stored::Key(self.unwrap(person, &wrapped)?),
            Some(Ok(Value::Int(_) | Value::Real(_) | Value::Text(_)) | Err(RowError(_))) => {
                return Err(KeyError::Unavailable("the persons' keys are damaged".to_owned()));
            }
        };
        self.remember(person, Cached { stored: stored.clone(), asked_at });
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
    fn remember(&self, person: &UserId, read: Cached) {
        let mut cache = self.cached();
        if !matches!(cache.get(person), Some(Cached { stored: Stored::Destroyed, .. })) {
            cache.put(person.clone(), read);
        }
    }

    fn cached(&self) -> MutexGuard<'_, LruCache<UserId, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sharing {
    fn trusts(self, cached: &Cached, now: Instant) -> bool {
        match (self, &cached.stored) {
            (Self::Alone, _) | (_, Stored::Destroyed) => true,
            (Self::TrustedFor(time), Stored::Key(_) | Stored::Nothing) => now < cached.asked_at + time,
        }
    }
}

#[async_trait]
impl KeyStore for Keys {
    async fn obtain(&self, person: &UserId) -> Result<PersonKey, KeyError> {
        if let Stored::Nothing = self.stored(person).await? {
            let key = PersonKey::generate()?;
            let wrapped = self.master.seal(key.expose(), person.as_str().as_bytes());
            let wrapped = wrapped.map_err(|error| KeyError::Unavailable(error.to_string()))?;
            let insert = Statement::new(INSERT, vec![person.into(), Value::Blob(wrapped)]);
            self.store.write(vec![Write::Run(insert)]).await.map_err(unavailable)?;
            reached(Point::KeyWritten);
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
        self.cached().put(person.clone(), Cached { stored: Stored::Destroyed, asked_at: Instant::now() });
        Ok(())
    }

    async fn scrub(&self) -> Result<(), KeyError> {
        self.store.scrub().await.map_err(unavailable)
    }
}

/// Every text of SQL here.
pub(crate) fn statements() -> Vec<Statement> {
    let own = [INSERT, DESTROY, FIND].map(|sql| Statement::new(sql, vec![]));
    own.into_iter().chain(belonging::statements()).chain(copying::statements()).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes errors by value.")]
fn unavailable(error: StoreError) -> KeyError {
    KeyError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[tokio::test]
    async fn a_key_is_made_once_and_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let keys = open(&directory).await;
        let ana = UserId::from("ana");
        assert!(keys.find(&ana).await.unwrap().is_none());

        let made = keys.obtain(&ana).await.unwrap();
        assert_eq!(keys.obtain(&ana).await.unwrap().expose(), made.expose());
        assert_ne!(keys.obtain(&"ben".into()).await.unwrap().expose(), made.expose());
        keys.close().await;

        let found = open(&directory).await.find(&ana).await.unwrap().unwrap();
        assert_eq!(found.expose(), made.expose());
    }

    #[tokio::test]
    async fn requests_at_the_same_time_are_given_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let keys = open(&directory).await;
        let ana = UserId::from("ana");

        let (one, two, three) = tokio::join!(keys.obtain(&ana), keys.obtain(&ana), keys.obtain(&ana));

        let one = one.unwrap();
        assert_eq!(one.expose(), two.unwrap().expose());
        assert_eq!(one.expose(), three.unwrap().expose());
    }

    #[tokio::test]
    async fn a_destroyed_key_is_gone_for_ever_and_from_the_file_too() {
        let directory = tempfile::tempdir().unwrap();
        let (ana, ben) = (UserId::from("ana"), UserId::from("ben"));
        let keys = open(&directory).await;
        keys.obtain(&ana).await.unwrap();
        keys.obtain(&ben).await.unwrap();
        let wrapped = wrapped(&keys, &ana).await;

        keys.destroy(&ana).await.unwrap();
        keys.destroy(&"never-seen".into()).await.unwrap();
        keys.scrub().await.unwrap();

        assert!(keys.find(&ana).await.unwrap().is_none());
        assert!(matches!(keys.obtain(&ana).await, Err(KeyError::Destroyed)));
        for name in ["keys.db", "keys.db-wal"] {
            let bytes = fs::read(directory.path().join(name)).unwrap();
            assert!(!bytes.windows(wrapped.len()).any(|window| window == wrapped), "{name}");
        }
        keys.close().await;
        let keys = open(&directory).await;
        assert!(matches!(keys.obtain(&ana).await, Err(KeyError::Destroyed)));
        assert!(matches!(keys.obtain(&"never-seen".into()).await, Err(KeyError::Destroyed)));
        assert!(keys.find(&ben).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn another_master_key_opens_nothing_and_nothing_is_taken_for_erased() {
        let directory = tempfile::tempdir().unwrap();
        let keys = open(&directory).await;
        keys.obtain(&"ana".into()).await.unwrap();
        keys.close().await;

        let keys = Keys::open(&directory.path().join("keys.db"), [9; 32]).await.unwrap();

        assert!(matches!(keys.find(&"ana".into()).await, Err(KeyError::Unavailable(_))));
        assert!(matches!(keys.obtain(&"ana".into()).await, Err(KeyError::Unavailable(_))));
    }

    #[tokio::test]
    async fn no_key_lies_in_the_file_as_it_is_and_the_file_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let keys = open(&directory).await;
        let key = keys.obtain(&"ana".into()).await.unwrap();
        for name in ["keys.db", "keys.db-wal"] {
            let path = directory.path().join(name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(32).any(|window| window == key.expose()), "{name}");
        }
    }

    #[tokio::test]
    async fn processes_that_begin_a_persons_words_at_the_same_time_are_given_the_same_key() {
        let options = given::postgres::options();
        let (one, other) = (shared(&options).await, shared(&options).await);

        for n in 0..20 {
            let person = UserId::from(format!("person-{n}"));
            let (made, found) = tokio::join!(one.obtain(&person), other.obtain(&person));
            assert_eq!(made.unwrap().expose(), found.unwrap().expose());
        }
        one.close().await;
        let found = shared(&options).await.find(&"person-7".into()).await.unwrap().unwrap();
        assert_eq!(found.expose(), other.find(&"person-7".into()).await.unwrap().unwrap().expose());
    }

    #[tokio::test]
    async fn a_key_that_another_process_destroyed_is_not_given_out_for_long() {
        let options = given::postgres::options();
        let (one, other) = (shared(&options).await, shared(&options).await);
        let ana = UserId::from("ana");
        other.obtain(&ana).await.unwrap();

        one.destroy(&ana).await.unwrap();
        one.scrub().await.unwrap();
        // As if it had been asked long ago.
        let long_ago = Instant::now().checked_sub(SHARED_KEYS_TRUSTED_FOR).unwrap();
        other.cached().get_mut(&ana).unwrap().asked_at = long_ago;

        assert!(other.find(&ana).await.unwrap().is_none());
        assert!(matches!(other.obtain(&ana).await, Err(KeyError::Destroyed)));
    }

    #[tokio::test]
    async fn a_key_is_asked_for_again_where_others_may_destroy_it_and_only_there() {
        let key = Stored::Key(PersonKey::from_bytes([1; 32]));
        let cached = |stored| Cached { stored, asked_at: Instant::now() };
        let (key, destroyed) = (cached(key), cached(Stored::Destroyed));
        let shared = Sharing::TrustedFor(SHARED_KEYS_TRUSTED_FOR);
        let (soon, late) = (SHARED_KEYS_TRUSTED_FOR / 2, SHARED_KEYS_TRUSTED_FOR);

        assert!(shared.trusts(&key, key.asked_at + soon) && !shared.trusts(&key, key.asked_at + late));
        assert!(shared.trusts(&destroyed, destroyed.asked_at + late));
        assert!(Sharing::Alone.trusts(&key, key.asked_at + 1_000 * late));
    }

    async fn shared(options: &PostgresOptions) -> Keys {
        Keys::open_postgres(options.clone(), [3; 32], CACHED_MAX).await.unwrap()
    }

    async fn open(directory: &tempfile::TempDir) -> Keys {
        Keys::open(&directory.path().join("keys.db"), [3; 32]).await.unwrap()
    }

    async fn wrapped(keys: &Keys, person: &UserId) -> Vec<u8> {
        let answers = keys.store.read(vec![Statement::new(FIND, vec![person.into()])]).await.unwrap();
        let row = answers.into_iter().flatten().next().unwrap();
        let Value::Blob(wrapped) = row.into_cells().value().unwrap() else { panic!("a wrapped key") };
        wrapped
    }
}
