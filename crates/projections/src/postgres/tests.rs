//! What PostgreSQL does beside the contract of all stores.

mod silence;

use super::*;
use crate::{
    Value,
    given::postgres::{OwnServer, options, url},
    store::contract::{self, add, numbers, store_contract, tables},
};
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Instant;

store_contract!(opened);

#[tokio::test]
async fn a_write_that_has_to_be_durable_is_synchronised_and_no_other_one() {
    let note = || {
        let note = "INSERT INTO numbers SELECT CASE current_setting('synchronous_commit') WHEN 'on' THEN 2 ELSE 1 END";
        vec![Write::Run(Statement::new(note, vec![]))]
    };
    for (durability, usual) in [(Durability::Sometime, 1), (Durability::Commit, 2)] {
        let store = PostgresStore::open(PostgresOptions { durability, ..options() }, tables()).await.unwrap();

        for _ in 0..2 {
            store.write(note()).await.unwrap();
            store.write_durably(note()).await.unwrap();
        }

        assert_eq!(numbers(&store).await, [usual, usual, 2, 2], "{durability:?}");
    }
}

#[tokio::test]
async fn many_processes_may_make_the_same_tables_at_the_same_time() {
    let options = options();

    let opened = (0..12).map(|_| PostgresStore::open(options.clone(), tables()));

    for opened in futures::future::join_all(opened).await {
        opened.unwrap();
    }
}

#[tokio::test]
async fn after_all_connections_were_ended_the_next_call_connects_anew() {
    let ((), store) = opened(tables()).await;
    futures::future::try_join_all((0..8).map(|_| store.write(vec![add(1)]))).await.unwrap();

    assert!(end_connections(&store, "COMMIT").await > 1);

    assert_eq!(numbers(&store).await.len(), 8);
    end_connections(&store, "COMMIT").await;
    store.write(vec![add(2)]).await.unwrap();
    assert_eq!(numbers(&store).await.len(), 9);
}

#[tokio::test]
async fn after_postgresql_was_killed_and_started_the_next_call_connects_anew() {
    let server = OwnServer::start();
    let store = PostgresStore::open(server.options(), tables()).await.unwrap();
    store.write(vec![add(1)]).await.unwrap();

    server.kill();
    let written = store.write(vec![add(2)]).await;
    assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    let read = store.read(vec![]).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");

    server.start_again();
    store.write(vec![add(3)]).await.unwrap();
    assert_eq!(numbers(&store).await, [1, 3]);
}

#[tokio::test]
async fn text_is_ordered_by_its_bytes_in_a_database_that_speaks_a_language_too() {
    let name = options().schema;
    let mut other = PgConnection::connect(url().expose_secret()).await.unwrap();
    let make = format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'");
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut other).await.unwrap();
    let place = url().expose_secret().rsplit_once('/').unwrap().0.to_owned();
    let options = PostgresOptions { url: format!("{place}/{name}").into(), ..options() };
    let store = PostgresStore::open(options, tables()).await.unwrap();

    contract::text_is_ordered_by_its_bytes(&store).await;

    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut other).await.unwrap();
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused_at_once() {
    let options = PostgresOptions { connections_max: 1, ..options() };
    let store = PostgresStore::open(options, tables()).await.unwrap();
    let held = store.0.connections.begin(READ).await.unwrap();
    let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(store.read(vec![]))).collect();
    for call in &mut waiting {
        assert!(futures::poll!(call).is_pending());
    }

    let refused = store.read(vec![]).await;

    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("too many")), "{refused:?}");
    held.commit().await.unwrap();
    waiting.swap_remove(0).await.unwrap();
}

#[tokio::test]
async fn a_write_whose_connection_ends_in_the_middle_is_done_once_all_the_same() {
    let ((), store) = opened(tables()).await;
    // The first try sees no row and waits for long, until it is ended; the next one sees the row and does not wait.
    let sleep = "INSERT INTO numbers SELECT 1 FROM pg_sleep(60 * (1 - (SELECT count(*) FROM numbers)))";
    let writing = store.write(vec![Write::Run(Statement::new(sleep, vec![]))]);
    let ending = async {
        store.write(vec![add(0)]).await.unwrap();
        while end_connections(&store, "%pg_sleep(60%").await == 0 {}
    };

    let (written, ()) = tokio::join!(writing, ending);

    written.unwrap();
    assert_eq!(numbers(&store).await, [0, 1]);
}

#[tokio::test]
async fn a_write_whose_connections_all_end_is_not_available() {
    let ((), store) = opened(tables()).await;
    let sleep = Write::Run(Statement::new("INSERT INTO numbers SELECT 1 FROM pg_sleep(60)", vec![]));
    let mut writing = store.write(vec![sleep]);
    let mut ended = 0;

    let written = loop {
        tokio::select! {
            written = &mut writing => break written,
            more = end_connections(&store, "%pg_sleep(60)%") => ended += more,
        }
    };

    assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    assert!(ended <= i64::from(TRANSACTION_TRIES_MAX), "{ended}");
    assert!(numbers(&store).await.is_empty());
}

#[tokio::test]
async fn a_statement_to_which_nothing_comes_back_is_given_up_long_before_the_write_is() {
    let options = PostgresOptions { statement_timeout: Duration::from_millis(200), ..options() };
    let store = PostgresStore::open(options, tables()).await.unwrap();
    let begun = Instant::now();
    let sleep = Write::Run(Statement::new("INSERT INTO numbers SELECT 1 FROM pg_sleep(20)", vec![]));

    let written = store.write(vec![add(0), sleep]).await;

    assert!(matches!(&written, Err(StoreError::Unavailable(why)) if why.contains("not answered")), "{written:?}");
    // It was not tried again, and its end was not waited for.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    store.write(vec![add(2)]).await.unwrap();
    assert_eq!(numbers(&store).await, [2]);
}

#[tokio::test]
async fn who_is_paused_in_the_middle_of_a_write_holds_nobody_up() {
    let options = PostgresOptions { idle_transaction_timeout: Duration::from_millis(200), ..options() };
    let store = PostgresStore::open(options, tables()).await.unwrap();
    store.write(vec![add(1)]).await.unwrap();
    let raise = || Write::Guard(Statement::new("UPDATE numbers SET n = 2 WHERE n = 1", vec![]));
    let mut paused = store.0.connections.begin(WRITE).await.unwrap();
    statements::write(paused.connection(), &raise(), Many::AtOnce).await.unwrap();

    store.write(vec![raise()]).await.unwrap();

    assert!(StoreError::from(paused.commit().await.unwrap_err()).to_string().contains("not available"));
    assert_eq!(numbers(&store).await, [2]);
}

#[tokio::test]
async fn transactions_that_wait_for_each_other_are_done_one_after_the_other() {
    let ((), store) = opened(tables()).await;
    store.write(vec![add(1), add(2)]).await.unwrap();
    let raise = |n: i64| {
        // Long enough for both to have their first row.
        let sql = "UPDATE numbers SET n = n + 10 * (SELECT count(*) FROM pg_sleep(0.2)) WHERE n % 10 = $1";
        Write::Guard(Statement::new(sql, vec![n.into()]))
    };

    let (one, other) = tokio::join!(store.write(vec![raise(1), raise(2)]), store.write(vec![raise(2), raise(1)]));

    one.unwrap();
    other.unwrap();
    assert_eq!(numbers(&store).await, [21, 22]);
}

#[tokio::test]
async fn a_value_that_does_not_belong_there_is_an_error_that_does_not_quote_it() {
    let ((), store) = opened(tables()).await;
    let put = |id: Value, count: Value| {
        let sql = "INSERT INTO things (id, count) VALUES ($1, $2)";
        store.write(vec![Write::Run(Statement::new(sql, vec![id, count]))])
    };

    let cast = Statement::new("SELECT CAST($1 AS BIGINT)", vec!["secret".into()]);

    for error in [
        store.read(vec![cast]).await.unwrap_err(),
        put("secret".into(), "secret".into()).await.unwrap_err(),
        put("secret\0".into(), 1_i64.into()).await.unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Broken(_)) && !error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_removed_value_is_in_no_file_of_a_table_any_more_that_was_written_anew() {
    let ((), store) = opened(tables()).await;
    let id = |n: i64| format!("canary-{}-{n}-{}", n % 2, "x".repeat(200));
    let params = (0..200).map(|n| vec![id(n).into()]).collect();
    let sql = "INSERT INTO things (id) VALUES ($1)".into();
    store.write(vec![Write::Each { sql, params }]).await.unwrap();
    let left = || async {
        let files = "SELECT pg_read_binary_file(pg_relation_filepath(c.oid::regclass)) FROM pg_class c
            WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'i', 't')";
        store.write(vec![]).await.unwrap();
        let mut connection = store.0.connections.connect().await.unwrap();
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await.unwrap();
        let files: Vec<Vec<u8>> = sqlx::query_scalar(files).fetch_all(&mut connection).await.unwrap();
        ["canary-1-", "canary-0-"]
            .map(|word| files.iter().flat_map(|file| file.windows(9)).filter(|bytes| *bytes == word.as_bytes()).count())
    };
    let remove = (0..200).filter(|n| n % 2 == 1).map(|n| vec![id(n).into()]).collect();
    store.write(vec![Write::Each { sql: "DELETE FROM things WHERE id = $1".into(), params: remove }]).await.unwrap();
    assert!(left().await[0] > 0, "removing a row does not overwrite it");

    store.scrub().await.unwrap();

    let [gone, kept] = left().await;
    assert_eq!((gone, kept > 0), (0, true));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_from_one_that_is_down() {
    let nowhere = "postgres://advisor@127.0.0.1:1/advisor".to_owned();
    let down = PostgresStore::open(PostgresOptions::at(nowhere.into(), "anything"), tables()).await;
    assert!(matches!(down, Err(StoreError::Unavailable(_))), "{:?}", down.err());

    for (url, schema) in [("postgres://advisor@[", "anything"), ("postgres://advisor@127.0.0.1/x", "Any; thing")] {
        let wrong = PostgresStore::open(PostgresOptions::at(url.to_owned().into(), schema), tables()).await;
        assert!(matches!(wrong, Err(StoreError::Broken(_))), "{:?}", wrong.err());
    }
}

impl PostgresStore {
    /// What kinds of parameters and cells a statement has, as PostgreSQL sees them.
    pub(crate) async fn kinds(&self, statement: &Statement) -> Result<Vec<String>, StoreError> {
        let mut connection = self.0.connections.connect().await?;
        Ok(statements::kinds(&mut connection, statement).await?)
    }

    /// How PostgreSQL goes about this statement.
    pub(crate) async fn plan(&self, statement: &Statement) -> Result<String, StoreError> {
        let mut connection = self.0.connections.connect().await?;
        Ok(statements::plan(&mut connection, statement).await?)
    }
}

async fn opened(setup: Vec<String>) -> ((), PostgresStore) {
    ((), PostgresStore::open(options(), setup).await.unwrap())
}

/// Ends all connections of a store whose last text is like this one; tells how many.
async fn end_connections(store: &PostgresStore, text: &str) -> i64 {
    let mut other = PgConnection::connect(url().expose_secret()).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
        WHERE application_name = 'advisor ' || $1 AND query LIKE $2";
    sqlx::query_scalar(end).bind(&store.0.options.schema).bind(text).fetch_one(&mut other).await.unwrap()
}
