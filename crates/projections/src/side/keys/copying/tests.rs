use super::*;
use crate::given::{self, MemoryKeys, opened};
use advisor_eventlog::MemoryLog;
use advisor_events::UserId;
use std::num::NonZeroUsize;

#[tokio::test]
async fn keys_and_what_is_left_of_destroyed_ones_come_along_and_back() {
    let world = World::new().await;
    let (files, shared) = (world.files("keys.db").await, world.shared().await);
    let ana = files.obtain(&"ana".into()).await.unwrap();
    for person in (0..1_100).map(|n| UserId::from(format!("person-{n}"))) {
        files.obtain(&person).await.unwrap();
    }
    files.destroy(&"eve".into()).await.unwrap();

    let copied = shared.begin_copy(&files, &world.log).await.unwrap();

    assert_eq!(copied, KeysCopied { now: 1_102, there: 0, destroyed: 1 });
    shared.end_copy(&world.log).await.unwrap();
    shared.belong_to(&world.log).await.unwrap();
    assert_eq!(shared.find(&"ana".into()).await.unwrap().unwrap().expose(), ana.expose());
    assert!(shared.find(&"person-1099".into()).await.unwrap().is_some());
    assert!(matches!(shared.obtain(&"eve".into()).await, Err(KeyError::Destroyed)));

    let back = world.files("back.db").await;
    let copied = back.begin_copy(&shared, &world.log).await.unwrap();
    assert_eq!(copied, KeysCopied { now: 1_102, there: 0, destroyed: 1 });
    assert_eq!(back.find(&"ana".into()).await.unwrap().unwrap().expose(), ana.expose());
}

#[tokio::test]
async fn a_key_that_was_destroyed_on_either_side_never_comes_back() {
    let world = World::new().await;
    let (files, shared) = (world.files("keys.db").await, world.shared().await);
    for person in ["ana", "ben", "eve"] {
        files.obtain(&person.into()).await.unwrap();
    }
    shared.begin_copy(&files, &world.log).await.unwrap();
    shared.end_copy(&world.log).await.unwrap();
    shared.destroy(&"ana".into()).await.unwrap();
    files.destroy(&"ben".into()).await.unwrap();

    let again = world.shared().await.begin_copy(&files, &world.log).await.unwrap();

    assert_eq!(again, KeysCopied { now: 0, there: 3, destroyed: 2 });
    let shared = world.shared().await;
    shared.belong_to(&world.log).await.expect("what was whole stays so");
    for person in ["ana", "ben"] {
        assert!(matches!(shared.obtain(&person.into()).await, Err(KeyError::Destroyed)), "{person}");
    }
    assert!(shared.find(&"eve".into()).await.unwrap().is_some());
}

#[tokio::test]
async fn keys_whose_copy_has_not_ended_are_refused() {
    let world = World::new().await;
    let (files, shared) = (world.files("keys.db").await, world.shared().await);
    files.obtain(&"ana".into()).await.unwrap();

    shared.begin_copy(&files, &world.log).await.unwrap();

    assert!(matches!(shared.check_whole().await, Err(BelongingError::Unfinished)));
    assert!(matches!(shared.belong_to(&world.log).await, Err(BelongingError::Unfinished)));
    let again = shared.begin_copy(&files, &world.log).await.unwrap();
    assert_eq!(again, KeysCopied { now: 0, there: 1, destroyed: 0 });
    shared.end_copy(&world.log).await.unwrap();
    shared.check_whole().await.unwrap();
    shared.belong_to(&world.log).await.unwrap();
}

#[tokio::test]
async fn a_target_with_other_keys_or_those_of_another_log_is_left_as_it_is() {
    let world = World::new().await;
    let (files, shared) = (world.files("keys.db").await, world.shared().await);
    files.obtain(&"ana".into()).await.unwrap();
    files.obtain(&"ben".into()).await.unwrap();
    let theirs = shared.obtain(&"ben".into()).await.unwrap();

    let refused = shared.begin_copy(&files, &world.log).await.unwrap_err();

    assert!(matches!(&refused, KeysCopyError::Differs { person } if person == "ben"), "{refused}");
    assert_eq!(shared.find(&"ben".into()).await.unwrap().unwrap().expose(), theirs.expose());
    assert!(shared.find(&"ana".into()).await.unwrap().is_none());

    let other = World::new().await;
    let elsewhere = other.shared().await;
    elsewhere.belong_to(&log_of("another log").await).await.unwrap();
    let refused = elsewhere.begin_copy(&files, &world.log).await.unwrap_err();
    assert!(matches!(refused, KeysCopyError::Belonging { of: "of the target", error: BelongingError::OtherLog }));
}

#[tokio::test]
async fn keys_of_another_master_key_or_log_are_not_copied() {
    let world = World::new().await;
    let (files, shared) = (world.files("keys.db").await, world.shared().await);
    files.obtain(&"ana".into()).await.unwrap();
    files.belong_to(&world.log).await.unwrap();
    let of_source = |error| matches!(error, KeysCopyError::Belonging { of: "of the source", .. });

    let other = Keys::open(&world.directory.path().join("keys.db"), [4; 32]).await.unwrap();
    assert!(of_source(shared.begin_copy(&other, &world.log).await.unwrap_err()));
    assert!(of_source(shared.begin_copy(&files, &log_of("another log").await).await.unwrap_err()));
    assert!(shared.find(&"ana".into()).await.unwrap().is_none());
}

/// A log, a directory for files, and a schema for what is shared.
struct World {
    log: MemoryLog,
    directory: tempfile::TempDir,
    options: crate::PostgresOptions,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { log: log_of("this log").await, directory, options: given::postgres::options() }
    }

    async fn files(&self, name: &str) -> Keys {
        Keys::open(&self.directory.path().join(name), [3; 32]).await.unwrap()
    }

    async fn shared(&self) -> Keys {
        Keys::open_postgres(self.options.clone(), [3; 32], NonZeroUsize::MIN).await.unwrap()
    }
}

async fn log_of(identity: &str) -> MemoryLog {
    let log = MemoryLog::new();
    opened(identity).append_to(&log, &MemoryKeys::default()).await;
    log
}
