//! Honest answers when SQLite fails, or is slow.

use crate::place::{Place, all, append, events, ids, stream};
use advisor_eventlog::{AppendError, EventLog, Expected, Filter, Position, ReadError, SubscriptionEvent};
use futures::{StreamExt, future::join_all};
use std::time::Duration;

#[tokio::test]
async fn appends_that_waited_together_succeed_and_fail_one_by_one() {
    let place = Place::new();
    let log = place.open();
    let lock = place.lock_writing();

    // While another program holds the file, the first append occupies the writer and all others wait.
    let waiting = join_all((0..32).map(|n| {
        let (log, expected) = (&log, if n == 9 { 5 } else { 0 });
        async move { append(log, &format!("{n}"), expected, 2).await }
    }));
    let same = join_all((0..32).map(|_| append(&log, "same", 0, 1)));
    let release = async {
        tokio::task::yield_now().await;
        drop(lock);
    };
    let (results, same, ()) = tokio::join!(waiting, same, release);

    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_ok(), n != 9, "{n}: {result:?}");
    }
    assert_eq!(same.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(all(&log).await.len(), 31 * 2 + 1);
}

#[tokio::test]
async fn another_programs_lock_makes_the_log_unavailable_and_nothing_worse() {
    let place = Place::new();
    let log = place.open_with(|options| options.busy_timeout = Duration::from_millis(50));
    append(&log, "a", 0, 1).await.expect("an append");
    let lock = place.lock_writing();

    let refused = append(&log, "a", 1, 1).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert_eq!(all(&log).await.len(), 1, "readers are not hindered");

    drop(lock);
    append(&log, "a", 1, 1).await.expect("an append without the lock");
}

#[tokio::test]
async fn a_full_queue_makes_the_log_unavailable() {
    let place = Place::new();
    let log = place.open_with(|options| {
        options.append_queue_max = 1;
        options.append_queue_wait = Duration::from_millis(50);
    });
    let lock = place.lock_writing();

    let (first, second) = tokio::join!(append(&log, "a", 0, 1), async {
        let second = append(&log, "b", 0, 1).await;
        drop(lock);
        second
    });

    assert!(matches!(second, Err(AppendError::Unavailable(_))), "{second:?}");
    first.expect("the one that waited");
    assert_eq!(all(&log).await.len(), 1);
}

#[tokio::test]
async fn an_append_that_is_not_answered_in_time_is_repeated_without_harm() {
    let place = Place::new();
    let log = place.open_with(|options| options.append_timeout = Duration::from_millis(50));
    let lock = place.lock_writing();
    let batch = events(3);

    let unknown = log.append(&stream("a"), Expected::NoStream, batch.clone()).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");

    drop(lock);
    let appended = log.append(&stream("a"), Expected::NoStream, batch.clone()).await.expect("its repeat");
    assert_eq!(appended.revision, 2);
    assert_eq!(ids(&all(&log).await), batch.iter().map(|event| event.id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_that_sqlite_fails_is_undone_and_said_to_be() {
    let place = Place::new();
    let log = place.open();
    append(&log, "a", 0, 2).await.expect("an append");
    place.plant("SELECT RAISE(ABORT, 'the disk is full')");

    let (a, b) = tokio::join!(append(&log, "a", 2, 3), append(&log, "b", 0, 1));
    assert!(matches!(a, Err(AppendError::Unavailable(_))), "{a:?}");
    assert!(matches!(b, Err(AppendError::Unavailable(_))), "{b:?}");
    assert_eq!(all(&log).await.len(), 2);

    place.uproot();
    append(&log, "b", 0, 1).await.expect("a stream that is still new");
    let next = append(&log, "a", 2, 3).await.expect("a stream that is where it was");
    assert_eq!((next.revision, log.head().await.expect("the head")), (4, next.position));
}

#[tokio::test]
async fn a_failed_commit_is_an_unknown_outcome_and_its_repeat_converges() {
    let place = Place::new();
    let log = place.open();
    append(&log, "a", 0, 1).await.expect("an append");
    place
        .foreign()
        .execute_batch(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
        )
        .expect("tables whose rule is looked at when a transaction commits");
    place.plant("INSERT INTO child VALUES (1)");
    let batch = events(2);

    let unknown = log.append(&stream("a"), Expected::Exact(0), batch.clone()).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");

    place.uproot();
    let appended = log.append(&stream("a"), Expected::Exact(0), batch.clone()).await.expect("its repeat");
    assert_eq!(log.append(&stream("a"), Expected::Exact(0), batch).await.expect("another repeat"), appended);
    assert_eq!(all(&log).await.len(), 3);
}

#[tokio::test]
async fn followers_see_what_a_failure_left_and_what_comes_after() {
    let place = Place::new();
    let log = place.open();
    append(&log, "a", 0, 1).await.expect("an append");
    let mut follower = log.subscribe_all(Position::START, Filter::all()).await.expect("a subscription");
    while follower.next().await.expect("news").expect("no error") != SubscriptionEvent::CaughtUp {}

    // Somebody writes past the log, which it can only see after a failure made it look anew.
    place
        .foreign()
        .execute_batch(
            "INSERT INTO events (stream, revision, id, type, data, metadata)
         SELECT stream, 1, id, type, data, metadata FROM events",
        )
        .expect("a foreign event");
    let failed = append(&log, "a", 1, 1).await;
    assert!(matches!(failed, Err(AppendError::Unavailable(_))), "{failed:?}");
    append(&log, "a", 2, 1).await.expect("an append after it");

    let mut revisions = Vec::new();
    while revisions.len() < 2 {
        if let SubscriptionEvent::Event(event) = follower.next().await.expect("news").expect("no error") {
            revisions.push(event.revision);
        }
    }
    assert_eq!(revisions, [1, 2]);
}

#[tokio::test]
async fn an_event_without_its_stream_is_damage_and_is_not_skipped() {
    let place = Place::new();
    let log = place.open();
    append(&log, "a", 0, 1).await.expect("an append");
    place.foreign().execute_batch("DELETE FROM streams").expect("damage");

    let read = log.read_all(Position::START, &Filter::all(), 10).await;

    assert!(matches!(read, Err(ReadError::Damaged(_))), "{read:?}");
}
