//! The lock under which positions are given: a stranger holds it, or whoever waits for it is cut off.

use super::{place::Place, wire};
use crate::{
    contract::scene::{Scene, events, ids, recorded_ids},
    port::{AppendError, Appended, Expected, NewEvent},
};
use sqlx::PgConnection;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};

#[tokio::test]
async fn an_append_waits_for_whoever_holds_the_lock() {
    let place = Place::new(|_| {});
    let scene = Scene::on(place.log());
    let mut stranger = holder_of_the_lock(&place, &scene).await;

    let batch = events(1);
    let append = append_in_background(&scene, &batch);
    waiting_backend(&mut stranger).await;
    let_go(&mut stranger).await;

    assert_eq!(append.await.expect("a task").expect("an append").revision, 0);
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch));
}

#[tokio::test]
async fn an_append_that_waits_for_the_lock_too_long_is_refused_and_writes_nothing() {
    let place = Place::new(|options| options.append_lock_wait = Duration::from_millis(300));
    let scene = Scene::on(place.log());
    let mut stranger = holder_of_the_lock(&place, &scene).await;

    let batch = events(1);
    let refused = scene.append("a", Expected::NoStream, &batch).await;
    let_go(&mut stranger).await;

    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert!(scene.whole("a").await.is_empty());
    scene.append("a", Expected::NoStream, &batch).await.expect("the same append, later");
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch));
}

#[tokio::test]
async fn an_append_whose_session_is_ended_by_an_administrator_is_unknown_and_can_be_repeated() {
    let place = Place::new(|_| {});
    let scene = Scene::on(place.log());
    let mut stranger = holder_of_the_lock(&place, &scene).await;

    let batch = events(3);
    let append = append_in_background(&scene, &batch);
    let backend = waiting_backend(&mut stranger).await;
    let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(backend);
    end.execute(&mut stranger).await.expect("the end of a session");
    let ended = append.await.expect("a task");
    let_go(&mut stranger).await;

    assert!(matches!(ended, Err(AppendError::OutcomeUnknown(_))), "{ended:?}");
    scene.append("a", Expected::NoStream, &batch).await.expect("its repeat");
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch));
}

#[tokio::test]
async fn a_client_that_falls_silent_within_its_statement_does_not_hold_the_lock() {
    let place = Place::new(|options| options.append_lock_wait = Duration::from_millis(300));
    let scene = Scene::on(place.log());
    scene.fill("before", 1).await;

    let statement = "CALL append(ARRAY['silent'], ARRAY[-1]::bigint[], ARRAY[1], ARRAY[0]::bigint[], \
        ARRAY[gen_random_uuid()], ARRAY['a'], ARRAY['']::bytea[], ARRAY['']::bytea[], NULL, NULL)";
    // Execute, and not the Sync that follows it and ends the transaction.
    let silent = wire::Client::connect(&place).await.execute(statement).await;

    scene.append("a", Expected::NoStream, &events(1)).await.expect("an append");
    drop(silent);
}

/// Somebody who holds the lock in a transaction, and the log is open.
async fn holder_of_the_lock(place: &Place, scene: &Scene) -> PgConnection {
    scene.fill("before", 1).await;
    let mut stranger = place.stranger().await;
    sqlx::raw_sql("BEGIN; SELECT pg_advisory_xact_lock(append_lock())").execute(&mut stranger).await.expect("the lock");
    stranger
}

async fn let_go(stranger: &mut PgConnection) {
    sqlx::raw_sql("COMMIT").execute(stranger).await.expect("a commit");
}

/// The backend that waits for the stranger's lock, once there is one.
async fn waiting_backend(stranger: &mut PgConnection) -> i32 {
    let blocked = "SELECT pid FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    let look = async {
        loop {
            let pid = sqlx::query_scalar(blocked).fetch_optional(&mut *stranger).await.expect("an answer");
            if let Some(pid) = pid {
                return pid;
            }
            // Within a transaction, activity is looked at once unless it is asked for anew.
            sqlx::raw_sql("SELECT pg_stat_clear_snapshot()").execute(&mut *stranger).await.expect("a fresh look");
        }
    };
    timeout(Duration::from_secs(20), look).await.expect("somebody who waits")
}

fn append_in_background(scene: &Scene, batch: &[NewEvent]) -> JoinHandle<Result<Appended, AppendError>> {
    let (log, stream, batch) = (Arc::clone(&scene.log), scene.stream("a"), batch.to_vec());
    tokio_util::task::TaskTracker::new().spawn(async move { log.append(&stream, Expected::NoStream, batch).await })
}
