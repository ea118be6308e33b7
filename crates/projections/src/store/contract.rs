//! What every adapter of the store must do, as tests: each case once, for all of them.
//!
//! An adapter's test module calls [`store_contract`] with a function that gives a fresh store, made with the texts it is
//! handed, and what keeps its place alive.

use super::{Row, Statement, Store, StoreError, Value, Write};
use crate::{SqliteStore, sqlite::SqliteOptions};
use std::borrow::Cow;

/// Makes a test of each case of the contract.
macro_rules! store_contract {
    ($open:path) => {
        store_contract!(@cases $open;
            placeholders_are_bound_by_their_numbers_wherever_they_stand,
            a_placeholder_without_a_value_is_an_error,
            every_kind_of_value_comes_back_as_it_went,
            nothing_is_a_value_of_every_column,
            text_is_ordered_by_its_bytes,
            an_id_with_a_nul_in_it_is_nobodys,
            an_answer_ends_soon_after_so_many_bytes,
            a_guard_that_finds_no_row_undoes_the_whole_write,
            of_two_guards_at_the_same_row_one_finds_it,
            writes_at_the_same_time_fail_alone,
            many_rows_are_written_by_one_text,
            what_many_rows_do_to_the_same_row_happens_in_their_order,
            a_wrong_row_among_many_undoes_them_all,
            a_wrong_statement_is_an_error_and_the_store_lives_on,
            all_statements_of_a_read_see_the_same_moment,
            a_closed_store_answers_that_it_is_not_available,
            a_copy_has_the_rows_of_one_moment,
            a_store_that_was_scrubbed_has_what_was_not_removed,
        );
    };
    (@cases $open:path; $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (_place, store) = $open(crate::store::contract::tables()).await;
                crate::store::contract::$case(&store).await;
            }
        )+
    };
}
pub(crate) use store_contract;

/// What the cases write into.
pub(crate) fn tables() -> Vec<String> {
    vec![
        "CREATE TABLE IF NOT EXISTS numbers (n BIGINT NOT NULL)".to_owned(),
        "CREATE TABLE IF NOT EXISTS things (id TEXT NOT NULL PRIMARY KEY, count BIGINT, part TEXT, bytes BLOB)"
            .to_owned(),
    ]
}

pub(crate) async fn placeholders_are_bound_by_their_numbers_wherever_they_stand(store: &impl Store) {
    let read = Statement::new("SELECT $2, $1, $2", vec!["one".into(), 2_i64.into()]);

    let answers = store.read(vec![read]).await.unwrap();

    assert_eq!(answers, [[Row(vec![Value::Int(2), "one".into(), Value::Int(2)])]]);
}

pub(crate) async fn a_placeholder_without_a_value_is_an_error(store: &impl Store) {
    let error = store.read(vec![Statement::new("SELECT $1, $2", vec![1_i64.into()])]).await.unwrap_err();

    assert!(matches!(error, StoreError::Broken(_)), "{error:?}");
}

pub(crate) async fn every_kind_of_value_comes_back_as_it_went(store: &impl Store) {
    let whole = vec!["äöü 🦀".into(), i64::MIN.into(), "".into(), Value::Blob(vec![0, 255, 7])];

    put(store, whole.clone()).await;

    assert_eq!(things(store).await, [Row(whole)]);
}

pub(crate) async fn nothing_is_a_value_of_every_column(store: &impl Store) {
    let empty = vec!["a".into(), Value::Null, Value::Null, Value::Null];
    let whole = vec!["a".into(), 7_i64.into(), "part".into(), Value::Blob(vec![1])];

    // Whether nothing comes first or last: what is kept prepared serves both.
    put(store, empty.clone()).await;
    assert_eq!(things(store).await, [Row(empty.clone())]);
    put(store, whole.clone()).await;
    assert_eq!(things(store).await, [Row(whole)]);
    put(store, empty.clone()).await;
    assert_eq!(things(store).await, [Row(empty)]);
}

pub(crate) async fn text_is_ordered_by_its_bytes(store: &impl Store) {
    let ids = ["b", "A", "a", "B", "ä", "a b", "a-b", "_", "Z", "z", "10", "9", "🦀"];
    for id in ids {
        put(store, thing(id, 1)).await;
    }

    let after = Statement::new("SELECT id FROM things WHERE id > $1 ORDER BY id", vec!["A".into()]);
    let answers = store.read(vec![after]).await.unwrap();

    let told: Vec<String> = answers.concat().into_iter().map(|row| row.into_cells().text().unwrap()).collect();
    let mut sorted: Vec<_> = ids.into_iter().filter(|id| *id > "A").collect();
    sorted.sort_unstable();
    assert_eq!(told, sorted);
}

pub(crate) async fn an_id_with_a_nul_in_it_is_nobodys(store: &impl Store) {
    put(store, thing("a", 1)).await;
    put(store, thing("", 1)).await;
    let find = |ids: [&str; 2]| {
        let ids = ids.map(Value::from).to_vec();
        store.read(vec![Statement::new("SELECT id FROM things WHERE id IN ($1, $2)", ids)])
    };

    assert_eq!(find(["\0", "a\0"]).await.unwrap().concat(), []);
    assert_eq!(find(["a", "\0"]).await.unwrap().concat(), [Row(vec!["a".into()])]);
}

pub(crate) async fn an_answer_ends_soon_after_so_many_bytes(store: &impl Store) {
    for id in ["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd"] {
        put(store, thing(id, 1)).await;
    }
    let read = |bytes_max| Statement::new("SELECT id FROM things ORDER BY id", vec![]).within(bytes_max);

    let answers = store.read(vec![read(1), read(15), read(20), read(usize::MAX)]).await.unwrap();

    assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 3, 4]);
    assert_eq!(store.read(vec![read(20)]).await.unwrap().concat().len(), 3);
}

pub(crate) async fn a_guard_that_finds_no_row_undoes_the_whole_write(store: &impl Store) {
    let guard = Write::Guard(Statement::new("UPDATE numbers SET n = 2 WHERE n = $1", vec![7_i64.into()]));

    let error = store.write(vec![add(1), guard, add(3)]).await.unwrap_err();

    assert!(matches!(error, StoreError::Superseded), "{error:?}");
    assert!(numbers(store).await.is_empty());
}

pub(crate) async fn of_two_guards_at_the_same_row_one_finds_it(store: &impl Store) {
    store.write(vec![add(0)]).await.unwrap();
    for n in 0..50_i64 {
        let raise = || {
            let raise = Statement::new("UPDATE numbers SET n = n + 1 WHERE n = $1", vec![n.into()]);
            vec![Write::Guard(raise)]
        };

        let (one, other) = tokio::join!(store.write(raise()), store.write_durably(raise()));

        let lost = [one, other].into_iter().filter(|done| matches!(done, Err(StoreError::Superseded))).count();
        assert_eq!((lost, numbers(store).await), (1, vec![n + 1]));
    }
}

pub(crate) async fn writes_at_the_same_time_fail_alone(store: &impl Store) {
    let guard = || Write::Guard(Statement::new("UPDATE numbers SET n = 2 WHERE n = 7", vec![]));
    let (one, two, three, four) = (vec![add(1)], vec![add(2), guard()], vec![add(3)], vec![add(4)]);

    let results = tokio::join!(store.write(one), store.write(two), store.write(three), store.write(four));

    assert!(results.0.is_ok() && results.1.is_err() && results.2.is_ok() && results.3.is_ok());
    assert_eq!(numbers(store).await, [1, 3, 4]);
}

pub(crate) async fn many_rows_are_written_by_one_text(store: &impl Store) {
    let all: Vec<_> = (0..2_500_i64)
        .map(|n| {
            // Columns that begin with nothing, or hold nothing else.
            let count = if n < 2_000 { Value::Null } else { n.into() };
            vec![format!("{n:05}").into(), count, format!("part {n}").into(), Value::Null]
        })
        .collect();

    store.write(vec![each(PUT, all.clone())]).await.unwrap();
    assert_eq!(things(store).await, all.iter().cloned().map(Row).collect::<Vec<_>>());

    let (gone, left) = all.split_at(1_234);
    store.write(vec![each(REMOVE, gone.iter().map(|row| vec![row[0].clone()]).collect())]).await.unwrap();
    assert_eq!(things(store).await, left.iter().cloned().map(Row).collect::<Vec<_>>());

    store.write(vec![each(PUT, vec![]), each(REMOVE, vec![])]).await.unwrap();
    assert_eq!(things(store).await.len(), left.len());
}

pub(crate) async fn what_many_rows_do_to_the_same_row_happens_in_their_order(store: &impl Store) {
    store.write(vec![each(PUT, vec![thing("a", 1), thing("b", 1), thing("a", 2), thing("a", 3)])]).await.unwrap();

    assert_eq!(things(store).await, [Row(thing("a", 3)), Row(thing("b", 1))]);
}

pub(crate) async fn a_wrong_row_among_many_undoes_them_all(store: &impl Store) {
    let wrong = vec![Value::Null, 1_i64.into(), Value::Null, Value::Null];

    let error = store.write(vec![add(1), each(PUT, vec![thing("a", 1), wrong])]).await.unwrap_err();

    assert!(matches!(error, StoreError::Broken(_)), "{error:?}");
    assert!(things(store).await.is_empty() && numbers(store).await.is_empty());
}

pub(crate) async fn a_wrong_statement_is_an_error_and_the_store_lives_on(store: &impl Store) {
    let wrong = store.write(vec![Write::Run(Statement::new("INSERT INTO nowhere VALUES (1)", vec![]))]).await;

    assert!(matches!(wrong, Err(StoreError::Broken(_))), "{wrong:?}");
    let wrong = store.read(vec![Statement::new("SELECT nothing FROM numbers", vec![])]).await;
    assert!(matches!(wrong, Err(StoreError::Broken(_))), "{wrong:?}");
    store.write(vec![add(1)]).await.unwrap();
    assert_eq!(numbers(store).await, [1]);
}

pub(crate) async fn all_statements_of_a_read_see_the_same_moment(store: &impl Store) {
    let writing = async {
        for n in 0..300 {
            store.write(vec![add(n)]).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..100 {
            let count = || Statement::new("SELECT count(*) FROM numbers", vec![]);
            let answers = store.read(vec![count(), count(), count()]).await.unwrap();
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        }
    };

    tokio::join!(writing, reading);
}

pub(crate) async fn a_closed_store_answers_that_it_is_not_available(store: &impl Store) {
    store.write(vec![add(1)]).await.unwrap();

    store.close().await;

    assert!(matches!(store.write(vec![add(2)]).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.read(vec![]).await, Err(StoreError::Unavailable(_))));
}

pub(crate) async fn a_copy_has_the_rows_of_one_moment(store: &impl Store) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.db");
    let all: Vec<_> = (0..1_500_i64)
        .map(|n| vec![format!("{n:05}").into(), n.into(), Value::Null, Value::Blob(n.to_be_bytes().to_vec())])
        .collect();
    store.write(vec![each(PUT, all.clone()), add(7)]).await.unwrap();

    store.copy_to(&path).await.unwrap();
    store.write(vec![add(8)]).await.unwrap();

    let copy = SqliteStore::open(SqliteOptions::at(&path), tables()).await.unwrap();
    assert_eq!(things(&copy).await, all.into_iter().map(Row).collect::<Vec<_>>());
    assert_eq!(numbers(&copy).await, [7]);
}

pub(crate) async fn a_store_that_was_scrubbed_has_what_was_not_removed(store: &impl Store) {
    store.write(vec![each(PUT, vec![thing("a", 1), thing("b", 1), thing("c", 1)])]).await.unwrap();
    store.write(vec![each(REMOVE, vec![vec!["b".into()]])]).await.unwrap();

    store.scrub().await.unwrap();

    assert_eq!(things(store).await, [Row(thing("a", 1)), Row(thing("c", 1))]);
    put(store, thing("b", 2)).await;
    assert_eq!(things(store).await.len(), 3);
}

const PUT: &str = "INSERT INTO things (id, count, part, bytes) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET count = excluded.count, part = excluded.part, bytes = excluded.bytes";
const REMOVE: &str = "DELETE FROM things WHERE id = $1";

fn each(sql: &'static str, params: Vec<Vec<Value>>) -> Write {
    Write::Each { sql: Cow::Borrowed(sql), params }
}

fn thing(id: &str, count: i64) -> Vec<Value> {
    vec![id.into(), count.into(), Value::Null, Value::Blob(vec![1])]
}

async fn put(store: &impl Store, thing: Vec<Value>) {
    store.write(vec![Write::Run(Statement::new(PUT, thing))]).await.unwrap();
}

async fn things(store: &impl Store) -> Vec<Row> {
    let all = Statement::new("SELECT id, count, part, bytes FROM things ORDER BY id", vec![]);
    store.read(vec![all]).await.unwrap().concat()
}

pub(crate) fn add(n: i64) -> Write {
    Write::Run(Statement::new("INSERT INTO numbers (n) VALUES ($1)", vec![n.into()]))
}

pub(crate) async fn numbers(store: &impl Store) -> Vec<i64> {
    let answers = store.read(vec![Statement::new("SELECT n FROM numbers ORDER BY n", vec![])]).await.unwrap();
    answers.into_iter().flatten().map(|row| row.into_cells().int().unwrap()).collect()
}
