//! The file: who may open it, and what it must be.

use crate::place::{Place, all, append};
use advisor_eventlog::{AppendError, EventLog, Filter, OpenError, Position, ReadError, SqliteLog, SqliteLogOptions};
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_bundled_sqlite_is_one_that_does_not_damage_write_ahead_logs() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[tokio::test]
async fn a_log_that_is_open_is_not_opened_again_until_it_is_closed() {
    let place = Place::new();
    let log = place.open();

    let second = SqliteLog::open(place.options()).err().expect("a refusal");
    assert!(matches!(second, OpenError::LogInUse { .. }), "{second}");
    assert!(second.to_string().contains("is in use by another process"), "{second}");

    log.close().await;
    let second = place.open();
    append(&second, "a", 0, 1).await.expect("an append to the second");
    let late = append(&log, "a", 1, 1).await;
    assert!(matches!(late, Err(AppendError::Unavailable(_))), "{late:?}");
    assert!(matches!(log.head().await, Err(ReadError::Unavailable(_))));
    assert!(matches!(log.read_all(Position::START, &Filter::all(), 1).await, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn the_log_can_be_read_by_its_owner_alone() {
    let place = Place::new();
    let log = place.open();
    append(&log, "a", 0, 1).await.expect("an append");

    for name in ["log.db", "log.db-wal", "log.db-shm", "log.db.lock"] {
        let mode = std::fs::metadata(place.file(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_file_that_is_no_log_is_left_alone() {
    let place = Place::new();
    let foreign = Connection::open(place.file("log.db")).expect("a database");
    foreign.execute_batch("CREATE TABLE recipes (name TEXT)").expect("a table");

    let error = SqliteLog::open(place.options()).err().expect("a refusal");

    assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
}

#[test]
fn a_text_file_is_no_log() {
    let place = Place::new();
    std::fs::write(
        place.file("log.db"),
        "a shopping list, long enough to be taken for a header of a file\n".repeat(20),
    )
    .expect("a file");

    let error = SqliteLog::open(place.options()).err().expect("a refusal");

    assert!(matches!(error, OpenError::Sqlite { .. }), "{error}");
}

#[test]
fn a_log_of_a_newer_schema_is_left_alone() {
    let place = Place::new();
    drop(place.open());
    place.foreign().execute_batch("PRAGMA user_version = 99").expect("a newer schema");

    let error = SqliteLog::open(place.options()).err().expect("a refusal");

    assert!(matches!(error, OpenError::SchemaTooNew { found: 99, .. }), "{error}");
}

#[test]
fn a_missing_directory_is_said() {
    let place = Place::new();

    let error = SqliteLog::open(SqliteLogOptions::at(place.file("missing/log.db"))).err().expect("a refusal");

    assert!(matches!(error, OpenError::File { .. }), "{error}");
}

#[tokio::test]
async fn positions_end_below_what_json_numbers_can_say() {
    const LAST: u64 = (1 << 53) - 1;
    let place = Place::new();
    drop(place.open());
    place
        .foreign()
        .execute_batch(&format!(
            "INSERT INTO streams VALUES (1, 'a'); INSERT INTO types VALUES (1, 'told');
         INSERT INTO events VALUES ({}, 1, 0, zeroblob(16), 1, x'', x'');",
            LAST - 1
        ))
        .expect("an event far on");
    let log = place.open();

    let last = append(&log, "a", 1, 1).await.expect("the last position");
    assert_eq!(last.position, Position(LAST));
    let beyond = append(&log, "a", 2, 1).await;
    assert!(matches!(beyond, Err(AppendError::Unavailable(_))), "{beyond:?}");
    assert_eq!(all(&log).await.len(), 2);
}

#[tokio::test]
async fn no_position_is_given_out_twice() {
    let place = Place::new();
    let log = place.open();
    let last = append(&log, "a", 0, 3).await.expect("an append").position;
    drop(log);
    place.foreign().execute_batch("DELETE FROM events WHERE revision = 2").expect("an event taken away");

    let log = place.open();

    assert!(append(&log, "a", 2, 1).await.expect("an append").position > last);
}
