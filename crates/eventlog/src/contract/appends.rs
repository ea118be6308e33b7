//! Appending: where events land, and what is refused.

use super::{
    Fixture,
    scene::{Scene, assert_wrong_revision, at, events, ids, recorded_ids},
};
use crate::port::{AppendError, Appended, Expected};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Writers at the same time.
const WRITERS: u64 = 32;

/// Revisions begin at 0 and are dense.
pub async fn the_first_append_begins_at_revision_0(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(3);

    let appended = scene.append("a", Expected::NoStream, &batch).await.expect("a first append");

    let read = scene.whole("a").await;
    assert_eq!(appended.revision, 2);
    assert_eq!(read.iter().map(|event| event.revision).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(recorded_ids(&read), ids(&batch));
    assert_eq!(read.last().map(|event| event.position), Some(appended.position));
}

/// `Exact(k)` puts events at k + 1.
pub async fn an_append_at_the_last_revision_goes_on_from_it(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let first = scene.append("a", Expected::NoStream, &events(2)).await.expect("a first append");

    let second = scene.append("a", Expected::Exact(1), &events(2)).await.expect("a second append");

    assert_eq!(second.revision, 3);
    assert!(second.position > first.position);
    assert_eq!(scene.whole("a").await.len(), 4);
}

/// A stream that exists is not new.
pub async fn no_stream_on_an_existing_stream_is_refused_with_the_actual_revision(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 3).await;

    assert_wrong_revision(scene.append("a", Expected::NoStream, &events(1)).await, Some(2));
}

/// Somebody else was faster.
pub async fn new_events_below_the_last_revision_are_refused(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 3).await;

    assert_wrong_revision(scene.append("a", Expected::Exact(0), &events(1)).await, Some(2));
    assert_wrong_revision(scene.append("a", Expected::Exact(1), &events(3)).await, Some(2));
}

/// What was expected never was.
pub async fn an_append_above_the_last_revision_is_refused(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 3).await;

    assert_wrong_revision(scene.append("a", Expected::Exact(3), &events(1)).await, Some(2));
    assert_wrong_revision(scene.append("a", Expected::Exact(u64::MAX), &events(1)).await, Some(2));
    assert_wrong_revision(scene.append("missing", Expected::Exact(0), &events(1)).await, None);
}

/// Writers of different streams don't meet.
pub async fn thirty_two_writers_on_as_many_streams_all_land(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;

    let results = at_once(&scene, |writer| (format!("{writer}"), Expected::NoStream)).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(scene.scan(crate::Position::START, &scene.filter(), 1_000).await.len() as u64, 2 * WRITERS);
}

/// Optimistic concurrency: one decision stands, the others are made again.
pub async fn of_thirty_two_writers_at_the_same_revision_exactly_one_wins(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 1).await;

    let results = at_once(&scene, |_| ("a".to_owned(), Expected::Exact(0))).await;

    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for result in lost {
        assert_wrong_revision(result, Some(2));
    }
    assert_eq!(scene.whole("a").await.len(), 3);
}

/// Appends that are committed together succeed and fail one by one.
pub async fn one_refused_append_among_others_leaves_theirs_alone(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;

    let expected = |writer| if writer == 7 { Expected::Exact(5) } else { Expected::NoStream };
    let results = at_once(&scene, |writer| (format!("{writer}"), expected(writer))).await;

    let (landed, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(landed.len() as u64, WRITERS - 1);
    for result in refused {
        assert_wrong_revision(result, None);
    }
    assert_eq!(scene.scan(crate::Position::START, &scene.filter(), 1_000).await.len() as u64, 2 * (WRITERS - 1));
}

/// All or nothing.
pub async fn a_refused_append_leaves_nothing(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let kept = scene.fill("a", 2).await;

    assert_wrong_revision(scene.append("a", Expected::NoStream, &events(5)).await, Some(1));
    assert_wrong_revision(scene.append("missing", Expected::Exact(0), &events(5)).await, None);

    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&kept));
    assert_eq!(recorded_ids(&scene.scan(crate::Position::START, &scene.filter(), 100).await), ids(&kept));
    assert!(scene.whole("missing").await.is_empty());
    scene.append("missing", Expected::NoStream, &events(1)).await.expect("a stream that is still new");
}

/// An append's events follow each other.
pub async fn an_append_of_many_events_stays_together_and_in_order(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(100);
    let noise = at_once(&scene, |writer| (format!("noise.{writer}"), Expected::NoStream));

    let (appended, _) = tokio::join!(scene.append("a", at(0), &batch), noise);

    assert_eq!(appended.expect("the batch").revision, 99);
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch));
    let all = scene.scan(crate::Position::START, &scene.filter(), 1_000).await;
    let mine = scene.stream("a");
    let places: Vec<_> = all.iter().enumerate().filter(|(_, event)| event.stream == mine).map(|(n, _)| n).collect();
    assert_eq!(places.len(), 100);
    assert!(places.windows(2).all(|pair| pair[0] + 1 == pair[1]), "nothing stands between: {places:?}");
    let read: Vec<_> = all.into_iter().filter(|event| event.stream == mine).collect();
    assert_eq!(recorded_ids(&read), ids(&batch));
}

/// Each writer appends two events, all at the same time.
async fn at_once(scene: &Scene, place: impl Fn(u64) -> (String, Expected)) -> Vec<Result<Appended, AppendError>> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (name, expected) = place(writer);
        let (log, stream) = (Arc::clone(&scene.log), scene.stream(name));
        writers.spawn(async move { log.append(&stream, expected, events(2)).await });
    }
    writers.join_all().await
}
