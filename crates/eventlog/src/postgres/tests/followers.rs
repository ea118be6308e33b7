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
}

fn without_looks() -> Place {
    Place::new(|options| {
        options.look_interval_min = NEVER;
        options.look_interval_max = NEVER;
    })
}
