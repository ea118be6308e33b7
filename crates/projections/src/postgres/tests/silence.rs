//! Connections on which nothing is said any more, from the statements on that a store sends beside its reads.

use super::*;
use crate::{
    Generation, RunnerLimits,
    given::{
        dump,
        engine::Place,
        opened as story,
        read_side::{PATIENCE, ReadSide},
        silence::{Silent, SilentProxy, Words},
    },
};
use advisor_eventlog::MemoryLog;
use futures::future::{BoxFuture, join_all};

/// What a statement is waited for: longer than one takes that is answered, on the busiest machine.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

type Call = fn(PostgresStore, PostgresOptions) -> BoxFuture<'static, Result<(), StoreError>>;

#[tokio::test]
async fn a_statement_that_is_not_answered_is_given_up_by_itself_whatever_it_is() {
    let cases: [(Words, Call); 12] = [
        (&["BEGIN"], write),
        (&["INSERT INTO numbers"], write),
        (&["COMMIT"], write),
        (&["pg_advisory_xact_lock"], |_, options| Box::pin(async move { open(options).await })),
        (&["pg_advisory_lock_shared"], |_, options| Box::pin(async move { open(options.in_use()).await })),
        (&["pg_advisory_lock("], |_, options| Box::pin(async move { Maker::alone(&options).await.map(drop) })),
        (&["nspname"], |_, options| Box::pin(async move { Maker::alone(&options).await?.schemas().await.map(drop) })),
        (&["pg_try_advisory_lock"], remove),
        (&["DROP SCHEMA"], remove),
        (&["information_schema"], |store, _| Box::pin(async move { store.scrub().await })),
        (&["VACUUM"], |store, _| Box::pin(async move { store.scrub().await })),
        (&["FROM things"], |store, _| {
            Box::pin(async move {
                let place = tempfile::tempdir().unwrap();
                store.copy_to(&place.path().join("copy.db")).await
            })
        }),
    ];

    let ends = join_all(cases.map(|(words, call)| async move { (words, end_of(words, call).await) })).await;

    let others: Vec<_> = ends
        .iter()
        .filter(|(_, end)| !matches!(end, Some(Err(StoreError::Unavailable(why))) if why.contains("not answered")))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test]
async fn a_rollback_that_is_not_answered_leaves_the_reason_for_it() {
    let proxy = SilentProxy::start().await;
    let store = PostgresStore::open(brisk(&proxy), tables()).await.unwrap();
    let guard = Write::Guard(Statement::new("UPDATE numbers SET n = 3 WHERE n = 2", vec![]));
    proxy.fall(Silent::Before(&["ROLLBACK"]));

    let written = tokio::time::timeout(PATIENCE, store.write(vec![add(1), guard])).await.expect("an end");

    assert!(matches!(written, Err(StoreError::Superseded)), "{written:?}");
    proxy.mend();
    assert!(numbers(&store).await.is_empty());
}

/// Whether it has happened can't be known; the checkpoint that is there says it.
#[tokio::test]
async fn after_a_commit_that_is_not_answered_the_next_batch_begins_at_the_checkpoint_that_is_there() {
    // Reads commit, too.
    const COMMIT: Words = &["READ WRITE", "COMMIT"];
    for silent in [Silent::Before(COMMIT), Silent::After(COMMIT)] {
        let (proxy, place) = (SilentProxy::start().await, Place::new());
        let generation = Generation::open_postgres(1, brisk(&proxy), place.directory.path()).await.unwrap();
        let log = Arc::new(MemoryLog::with_stride(3));
        let limits = RunnerLimits::default();
        let side = ReadSide { log, keys: Arc::default(), bus: Arc::default(), limits, generation, place };
        let begun = story("this log").registered("ana").started("c", "ana");
        begun.append_to(side.log.as_ref(), side.keys.as_ref()).await;
        let running = side.run().await;
        side.reach_head().await;

        proxy.fall(silent);
        let more = begun.sent(("c", "ana"), "m", &["r"]).sent(("c", "ana"), "n", &[]);
        more.append_to(side.log.as_ref(), side.keys.as_ref()).await;
        proxy.has_fallen().await;
        proxy.mend();

        side.reach_head().await;
        assert_eq!(side.dump().await, dump(&more.fold_with_stride(3)), "{silent:?}");
        running.stop().await;
    }
}

/// How a call ends on whose connections nothing is said from a statement on, if it ends.
async fn end_of(words: Words, call: Call) -> Option<Result<(), StoreError>> {
    let proxy = SilentProxy::start().await;
    let options = brisk(&proxy);
    let store = PostgresStore::open(options.clone(), tables()).await.unwrap();
    proxy.fall(Silent::Before(words));
    // Sooner than a whole write is given up.
    tokio::time::timeout(PATIENCE, call(store, options)).await.ok()
}

fn brisk(proxy: &SilentProxy) -> PostgresOptions {
    PostgresOptions {
        statement_timeout: STATEMENT_TIMEOUT,
        scrub_timeout: STATEMENT_TIMEOUT,
        idle_transaction_timeout: STATEMENT_TIMEOUT / 2,
        ..proxy.options()
    }
}

fn write(store: PostgresStore, _: PostgresOptions) -> BoxFuture<'static, Result<(), StoreError>> {
    Box::pin(async move { store.write(vec![add(1)]).await })
}

async fn open(options: PostgresOptions) -> Result<(), StoreError> {
    PostgresStore::open(options, tables()).await.map(drop)
}

fn remove(_: PostgresStore, options: PostgresOptions) -> BoxFuture<'static, Result<(), StoreError>> {
    Box::pin(async move { Maker::alone(&options).await?.remove_unused(&options.schema).await.map(drop) })
}
