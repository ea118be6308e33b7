//! Connections that are cut, held back, swallowed or refused.

use super::place::Place;
use crate::{
    contract::{
        proxy::Traffic,
        scene::{Scene, at, events, ids, recorded_ids},
    },
    port::{AppendError, Expected, Filter, Position, ReadError},
};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_append_that_was_cut_off_from_its_answer_is_unknown_and_its_repeat_adds_nothing() {
    let place = Place::new(|_| {});
    let (log, proxy) = place.log_behind_proxy().await;
    let scene = Scene::on(log);
    scene.fill("before", 1).await;
    let mut held = proxy.held();
    held.mark_unchanged();

    proxy.let_traffic_be(Traffic::AnswersHeld);
    let batch = events(3);
    let cut = async {
        held.changed().await.expect("a proxy");
        proxy.cut();
    };
    let (unknown, ()) = tokio::join!(scene.append("a", Expected::NoStream, &batch), cut);
    proxy.let_traffic_be(Traffic::Flows);

    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch), "its answer was on the way");
    let again = scene.append("a", Expected::NoStream, &batch).await.expect("its repeat");
    assert_eq!(again.revision, 2);
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch));
}

#[tokio::test]
async fn an_append_into_a_black_hole_is_given_up_in_time_and_its_late_arrival_adds_nothing() {
    let place = Place::new(|options| options.append_timeout = Duration::from_secs(1));
    let (log, proxy) = place.log_behind_proxy().await;
    let scene = Scene::on(log);
    scene.fill("before", 1).await;

    proxy.let_traffic_be(Traffic::Swallowed);
    let batch = events(2);
    let begun = Instant::now();
    let unknown = scene.append("a", Expected::NoStream, &batch).await;
    let taken = begun.elapsed();

    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    let asked = place.options.append_timeout;
    assert!(taken >= asked && taken < 3 * asked, "{taken:?} instead of {asked:?}");

    // Somebody else's repeat is first; what was swallowed arrives after it.
    let other = Scene { log: place.log(), ..scene };
    other.append("a", Expected::NoStream, &batch).await.expect("its repeat");
    proxy.let_traffic_be(Traffic::Flows);
    other.append("b", Expected::NoStream, &events(1)).await.expect("another append");
    assert_eq!(recorded_ids(&other.whole("a").await), ids(&batch));
}

#[tokio::test]
async fn what_waits_behind_a_black_hole_was_certainly_not_written() {
    let place = Place::new(|options| {
        options.append_timeout = Duration::from_secs(1);
        options.group_appends_max = 1;
    });
    let (log, proxy) = place.log_behind_proxy().await;
    let scene = Scene::on(log);
    scene.fill("before", 1).await;

    proxy.let_traffic_be(Traffic::Swallowed);
    let (first, second) = (events(1), events(1));
    let (sent, waiting) =
        tokio::join!(scene.append("a", Expected::NoStream, &first), scene.append("b", Expected::NoStream, &second));
    proxy.let_traffic_be(Traffic::Flows);

    assert!(matches!(sent, Err(AppendError::OutcomeUnknown(_))), "{sent:?}");
    assert!(matches!(waiting, Err(AppendError::Unavailable(_))), "{waiting:?}");
    scene.append("c", Expected::NoStream, &events(1)).await.expect("a later append");
    assert!(scene.whole("b").await.is_empty());
}

#[tokio::test]
async fn a_log_that_is_down_at_the_start_recovers_without_being_opened_again() {
    let place = Place::new(|_| {});
    let (log, proxy) = place.log_behind_proxy().await;
    proxy.let_traffic_be(Traffic::Refused);
    let scene = Scene::on(log);

    let append = scene.append("a", Expected::NoStream, &events(1)).await;
    assert!(matches!(append, Err(AppendError::Unavailable(_))), "{append:?}");
    let head = scene.log.head().await;
    assert!(matches!(head, Err(ReadError::Unavailable(_))), "{head:?}");
    let follower = scene.log.subscribe_all(Position::START, Filter::all()).await;
    assert!(matches!(follower.err(), Some(ReadError::Unavailable(_))));

    proxy.let_traffic_be(Traffic::Flows);
    let batch = scene.fill("a", 2).await;
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch));
    assert_eq!(scene.subscribe(Position::START).await.until_caught_up().await.len(), 2);
}

#[tokio::test]
async fn connections_that_were_cut_while_nobody_used_them_are_made_again() {
    let place = Place::new(|_| {});
    let (log, proxy) = place.log_behind_proxy().await;
    let scene = Scene::on(log);
    let mut all = scene.fill("a", 1).await;
    assert_eq!(scene.whole("a").await.len(), 1);

    proxy.cut();
    let batch = events(1);
    // The first finds out only after it was sent, and says so.
    let cut_off = scene.append("a", at(1), &batch).await;
    assert!(matches!(cut_off, Err(AppendError::OutcomeUnknown(_))), "{cut_off:?}");
    scene.append("a", at(1), &batch).await.expect("its repeat");
    let cut_off = scene.log.head().await;
    assert!(matches!(cut_off, Err(ReadError::Unavailable(_))), "{cut_off:?}");

    all.extend(batch);
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&all));
}

#[tokio::test]
async fn a_follower_whose_look_fails_is_told_and_goes_on_from_where_it_was() {
    let place = Place::new(|_| {});
    let (log, proxy) = place.log_behind_proxy().await;
    let scene = Scene::on(Arc::clone(&log) as _);
    let first = scene.fill("a", 3).await;
    let mut follower = scene.subscribe(Position::START).await;
    assert_eq!(follower.until_caught_up().await.len(), first.len());
    let reached = follower.reached;

    proxy.let_traffic_be(Traffic::Refused);
    proxy.cut();
    let mut subscription = follower.into_subscription();
    let end = timeout(PATIENCE, subscription.next()).await.expect("an end in time");
    assert!(matches!(end, Some(Err(ReadError::Unavailable(_)))), "{end:?}");
    assert!(subscription.next().await.is_none());

    let other = Scene { log: place.log(), ..scene };
    let later = other.fill("b", 2).await;
    proxy.let_traffic_be(Traffic::Flows);
    let scene = Scene { log, ..other };
    let told = scene.subscribe(reached).await.until_caught_up().await;
    assert_eq!(told.iter().map(|event| event.id).collect::<Vec<_>>(), ids(&later));
}
