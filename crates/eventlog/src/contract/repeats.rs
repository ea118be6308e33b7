//! Appending the same again: what an unknown outcome leads to must change nothing.

use super::{
    Fixture,
    scene::{Scene, assert_wrong_revision, at, event, events, ids, recorded_ids},
};
use crate::port::{Expected, NewEvent};

/// The whole batch, on what was a new stream.
pub async fn a_repeated_first_append_adds_nothing(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(3);
    let first = scene.append("a", Expected::NoStream, &batch).await.expect("a first append");

    let again = scene.append("a", Expected::NoStream, &batch).await.expect("its repeat");

    assert_eq!(again, first);
    assert_only(&scene, &batch).await;
}

/// The whole batch, within a stream.
pub async fn a_repeated_append_adds_nothing_even_after_later_events(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut all = scene.fill("a", 2).await;
    let batch = events(3);
    let first = scene.append("a", Expected::Exact(1), &batch).await.expect("an append");
    assert_eq!(scene.append("a", Expected::Exact(1), &batch).await.expect("its repeat"), first);
    let later = events(2);
    scene.append("a", Expected::Exact(4), &later).await.expect("a later append");

    let again = scene.append("a", Expected::Exact(1), &batch).await.expect("its late repeat");

    assert_eq!(again, first);
    all.extend(batch);
    all.extend(later);
    assert_only(&scene, &all).await;
}

/// A part of a batch that stands at its place counts as there.
pub async fn the_repeat_of_a_prefix_adds_nothing(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(4);
    scene.append("a", Expected::NoStream, &batch).await.expect("an append");

    let first_two = scene.append("a", Expected::NoStream, &batch[..2]).await.expect("a prefix");
    let next_one = scene.append("a", Expected::Exact(1), &batch[2..3]).await.expect("a part");

    let read = scene.whole("a").await;
    assert_eq!((first_two.revision, first_two.position), (1, read[1].position));
    assert_eq!((next_one.revision, next_one.position), (2, read[2].position));
    assert_only(&scene, &batch).await;
}

/// What goes beyond what is there is not a repeat.
pub async fn a_repeat_with_one_event_more_is_refused(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(3);
    scene.append("a", Expected::NoStream, &batch).await.expect("an append");

    let more: Vec<_> = batch.iter().cloned().chain(events(1)).collect();
    assert_wrong_revision(scene.append("a", Expected::NoStream, &more).await, Some(2));

    assert_only(&scene, &batch).await;
}

/// Ids are compared in order.
pub async fn the_same_ids_in_another_order_are_refused(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(3);
    scene.append("a", Expected::NoStream, &batch).await.expect("an append");

    let turned: Vec<_> = batch.iter().rev().cloned().collect();
    assert_wrong_revision(scene.append("a", Expected::NoStream, &turned).await, Some(2));
    assert_wrong_revision(scene.append("a", Expected::NoStream, &batch[1..]).await, Some(2));

    assert_only(&scene, &batch).await;
}

/// Data is never compared, and never replaced.
pub async fn the_same_ids_with_other_data_keep_the_old_data(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(2);
    let first = scene.append("a", Expected::NoStream, &batch).await.expect("an append");

    let other: Vec<_> = batch.iter().map(|old| NewEvent { id: old.id, ..event(b"other".to_vec()) }).collect();
    let again = scene.append("a", Expected::NoStream, &other).await.expect("its repeat");

    assert_eq!(again, first);
    let read = scene.whole("a").await;
    assert!(read.iter().zip(&batch).all(|(read, old)| read.data == old.data));
}

/// What a repeat is compared with outlives the process.
pub async fn a_repeat_after_reopening_adds_nothing(fixture: &impl Fixture) {
    let mut scene = Scene::of(fixture).await;
    let batch = events(3);
    let first = scene.append("a", Expected::NoStream, &batch).await.expect("an append");

    if let Some(log) = fixture.reopen(scene.log).await {
        scene.log = log;
        assert_eq!(scene.append("a", Expected::NoStream, &batch).await.expect("its repeat"), first);
        assert_only(&scene, &batch).await;
        let next = scene.append("a", Expected::Exact(2), &events(1)).await.expect("a later append");
        assert!(next.position > first.position);
    }
}

/// Ids are compared within a stream only.
pub async fn one_id_may_stand_in_two_streams(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(1);

    let a = scene.append("a", Expected::NoStream, &batch).await.expect("one stream");
    let b = scene.append("b", Expected::NoStream, &batch).await.expect("the other");

    assert!(b.position > a.position);
    assert_eq!(recorded_ids(&scene.whole("b").await), ids(&batch));
}

/// At the end of a stream, ids are not compared at all.
pub async fn an_id_that_the_stream_has_already_may_be_appended_at_its_end(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let batch = events(1);
    scene.append("a", at(0), &batch).await.expect("the first");

    let second = scene.append("a", at(1), &batch).await.expect("the same id again");

    assert_eq!(second.revision, 1);
    assert_eq!(scene.whole("a").await.len(), 2);
}

/// The stream `a`, and the case's part of the whole log, hold exactly these.
async fn assert_only(scene: &Scene, events: &[NewEvent]) {
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(events));
    assert_eq!(recorded_ids(&scene.scan(crate::Position::START, &scene.filter(), 100).await), ids(events));
}
