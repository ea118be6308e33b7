//! How followers come to hear of what is appended, here and elsewhere.

use super::place::Place;
use crate::{
    contract::scene::{Scene, events, ids, told_ids},
    port::{Expected, Position},
    postgres::PostgresLogOptions,
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// No look comes by itself while a test runs.
const NEVER: Duration = Duration::from_hours(1);

#[tokio::test]
async fn what_this_process_appends_is_heard_without_a_look() {
    let place = without_looks();
    let scene = Scene::on(place.log());
    let mut follower = scene.subscribe(Position::START).await;
    follower.until_caught_up().await;

    // The follower sleeps when the append begins.
    let (told, batch) = tokio::join!(follower.events(1), scene.fill("a", 1));

    assert_eq!(told_ids(&told), ids(&batch));
}

#[tokio::test]
async fn an_append_that_finds_those_of_others_has_them_looked_for() {
    let place = without_looks();
    let scene = Scene::on(place.log());
    let mut follower = scene.subscribe(Position::START).await;
    follower.until_caught_up().await;

    let elsewhere = Scene { log: place.log(), prefix: scene.prefix.clone() };
    let mut all = elsewhere.fill("a", 2).await;
    let batch = events(1);
    scene.append("b", Expected::NoStream, &batch).await.expect("an append");

    all.extend(batch);
    assert_eq!(told_ids(&follower.events(3).await), ids(&all));
}

#[tokio::test]
async fn a_subscription_begins_with_what_others_had_appended() {
    let place = without_looks();
    let scene = Scene::on(place.log());
    let mut first = scene.subscribe(Position::START).await;
    first.until_caught_up().await;

    let elsewhere = Scene { log: place.log(), prefix: scene.prefix.clone() };
    let all = elsewhere.fill("a", 2).await;

    assert_eq!(told_ids(&scene.subscribe(Position::START).await.until_caught_up().await), ids(&all));
}

#[tokio::test]
async fn what_a_process_tells_of_its_appends_has_another_look_at_once() {
    let place = without_looks();
    let log = place.log();
    let scene = Scene::on(Arc::clone(&log) as _);
    let mut follower = scene.subscribe(Position::START).await;
    follower.until_caught_up().await;
    let elsewhere = place.log();
    let mut told = elsewhere.appended();
    assert!(!told.has_changed().expect("the log is open"));

    let writer = Scene { log: elsewhere, prefix: scene.prefix.clone() };
    let mut all = Vec::new();
    for stream in ["a", "b"] {
        all.extend(writer.fill(stream, 2).await);
        let appended = *told.borrow_and_update();
        assert_eq!(appended, writer.head().await);
        log.look_for(appended);
        assert_eq!(told_ids(&follower.events(2).await), ids(&all[all.len() - 2..]));
    }
    // A repeat appends nothing.
    writer.append("b", Expected::NoStream, &all[2..]).await.expect("a repeat");
    assert!(!told.has_changed().expect("the log is open"));
}

#[tokio::test]
async fn nobody_looks_when_nobody_follows_any_more() {
    let place = Place::new(|_| {});
    let log = place.log();
    let scene = Scene::on(Arc::clone(&log) as _);
    assert!(log.tails.current().is_none());
    let follower = scene.subscribe(Position::START).await;
    assert!(log.tails.current().is_some());

    drop(follower);

    let gone = async {
        while log.tails.current().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect("the last look");
}

#[test]
fn looks_come_the_more_often_the_more_happens() {
    let limits = PostgresLogOptions::at("").tail_limits();
    let pause = |silence| limits.pause(Duration::from_millis(silence)).as_millis();
    assert_eq!([0, 50, 200, 500, 100_000].map(pause), [5, 5, 20, 50, 50]);
    // Who is told of appends looks at once while they are few, and takes many together.
    let rest = |found| limits.rest(found).as_millis();
    assert_eq!([0, 1, 4, 20, usize::MAX].map(rest), [0, 1, 4, 5, 5]);
}

fn without_looks() -> Place {
    Place::new(|options| {
        options.look_interval_min = NEVER;
        options.look_interval_max = NEVER;
    })
}
