//! Reading streams and the whole log.

use super::{
    Fixture,
    scene::{Scene, at, events, ids, recorded_ids},
};
use crate::port::{Direction, Filter, Position, ReadError};
use futures::future::join_all;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Writers at the same time.
const WRITERS: u64 = 16;
/// Appends of each of them.
const APPENDS: u64 = 30;

/// From a revision, inclusive, either way.
pub async fn a_stream_is_read_in_both_directions_from_anywhere(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 5).await;
    scene.fill("b", 2).await;
    let stream = scene.stream("a");
    let cases = [
        (0, Direction::Forward, 10, vec![0, 1, 2, 3, 4]),
        (0, Direction::Forward, 5, vec![0, 1, 2, 3, 4]),
        (0, Direction::Forward, 2, vec![0, 1]),
        (2, Direction::Forward, 2, vec![2, 3]),
        (4, Direction::Forward, 9, vec![4]),
        (2, Direction::Forward, 0, vec![]),
        (u64::MAX, Direction::Backward, 10, vec![4, 3, 2, 1, 0]),
        (u64::MAX, Direction::Backward, 2, vec![4, 3]),
        (4, Direction::Backward, 2, vec![4, 3]),
        (2, Direction::Backward, 9, vec![2, 1, 0]),
        (0, Direction::Backward, 9, vec![0]),
    ];
    for (from, direction, max, revisions) in cases {
        let read = scene.log.read_stream(&stream, from, direction, max).await.expect("a read");
        let read: Vec<_> = read.iter().map(|event| event.revision).collect();
        assert_eq!(read, revisions, "{direction:?} from {from}, at most {max}");
    }
}

/// An end is not an error; never having been is.
pub async fn beyond_the_end_is_empty_and_a_missing_stream_is_an_error(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 2).await;

    for from in [2, 100, u64::MAX] {
        let read = scene.log.read_stream(&scene.stream("a"), from, Direction::Forward, 10).await;
        assert!(read.expect("an empty read").is_empty());
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let read = scene.log.read_stream(&scene.stream("missing"), 0, direction, 10).await;
        assert!(matches!(read, Err(ReadError::NoSuchStream)), "{read:?}");
    }
}

/// Pages are exclusive of where they begin, so that they join.
pub async fn pages_of_the_whole_log_join_without_gap_or_repeat(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut all = Vec::new();
    for stream in ["a", "b", "c"] {
        all.extend(scene.fill(stream, 7).await);
    }

    for max in [1, 2, 7, 1_000] {
        let read = scene.scan(Position::START, &scene.filter(), max).await;
        assert_eq!(recorded_ids(&read), ids(&all), "pages of {max}");
        assert!(read.windows(2).all(|pair| pair[0].position < pair[1].position));
    }
    let read = scene.scan(Position::START, &scene.filter(), 1_000).await;
    let rest = scene.scan(read[9].position, &scene.filter(), 4).await;
    assert_eq!(recorded_ids(&rest), ids(&all[10..]));
}

/// Where a page begins need not be an event that matches.
pub async fn a_page_may_begin_after_an_event_that_the_filter_leaves_out(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let before = scene.fill("wanted.1", 2).await;
    scene.fill("other.1", 3).await;
    let after = scene.fill("wanted.2", 2).await;
    let others = scene.scan(Position::START, &scene.filter_of("other"), 100).await;

    let all = scene.scan(Position::START, &scene.filter_of("wanted"), 1).await;
    let rest = scene.scan(others[1].position, &scene.filter_of("wanted"), 100).await;

    assert_eq!(recorded_ids(&all), [ids(&before), ids(&after)].concat());
    assert_eq!(recorded_ids(&rest), ids(&after));
}

/// Any prefix will do.
pub async fn several_prefixes_let_pass_what_matches_any_of_them(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let a = scene.fill("a.1", 1).await;
    scene.fill("b.1", 1).await;
    let c = scene.fill("c.1", 1).await;
    let prefixes = ["a.", "c.1", "d"].map(|name| scene.stream(name).as_str().to_owned());

    let filter = Filter { stream_prefixes: prefixes.to_vec() };

    assert_eq!(recorded_ids(&scene.scan(Position::START, &filter, 100).await), [ids(&a), ids(&c)].concat());
}

/// Both orders are one.
pub async fn the_order_in_a_stream_is_its_order_in_the_whole_log(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut writers = write(&scene);
    while writers.join_next().await.is_some() {}

    let all = scene.scan(Position::START, &scene.filter(), 100).await;

    assert_eq!(all.len() as u64, WRITERS * APPENDS * 2);
    for writer in 0..WRITERS {
        let name = format!("{writer}");
        let stream = scene.stream(&name);
        let of_stream: Vec<_> = all.iter().filter(|event| event.stream == stream).cloned().collect();
        assert_eq!(of_stream, scene.whole(&name).await);
        assert!(of_stream.iter().zip(0..).all(|(event, revision)| event.revision == revision));
    }
}

/// Whoever has read up to a position has read everything up to it, for ever.
pub async fn no_event_arrives_behind_what_was_scanned(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut writers = write(&scene);
    let mut scanned_to = scene.head().await;
    let start = Position::START;
    let before = scene.scan(start, &scene.filter(), 1_000).await;
    let mut seen: Vec<_> = before.into_iter().filter(|event| event.position <= scanned_to).collect();

    // Read as fast as pages come while the writers write, and on to the head after the last has ended.
    while !writers.is_empty() || scanned_to < scene.head().await {
        while let Some(ended) = writers.try_join_next() {
            ended.expect("a writer");
        }
        let page = scene.log.read_all(scanned_to, &scene.filter(), 1_000).await.expect("a page");
        assert!(page.events.iter().all(|event| event.position > scanned_to && event.position <= page.scanned_to));
        seen.extend(page.events);
        scanned_to = page.scanned_to;
        tokio::task::yield_now().await;
    }

    let all = scene.scan(start, &scene.filter(), 1_000).await;
    assert_eq!(all.len() as u64, WRITERS * APPENDS * 2);
    assert_eq!(recorded_ids(&seen), recorded_ids(&all));
}

/// A writer reads its own writes.
pub async fn what_was_appended_is_read_at_once(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut writers = write(&scene);
    let mut before = scene.head().await;

    for revision in 0..50 {
        let batch = events(1);
        let appended = scene.append("mine", at(revision), &batch).await.expect("an append");
        let read = scene.log.read_stream(&scene.stream("mine"), revision, Direction::Forward, 10).await;
        assert_eq!(recorded_ids(&read.expect("a read")), ids(&batch));
        let news = scene.scan(before, &scene.filter_of("mine"), 1_000).await;
        assert_eq!(recorded_ids(&news), ids(&batch));
        assert!(scene.head().await >= appended.position);
        before = appended.position;
    }
    while writers.join_next().await.is_some() {}
}

/// By its position alone, in the midst of others.
pub async fn an_event_is_found_where_it_stands(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 3).await;
    scene.append("b", at(0), &events(3)).await.expect("an append");

    let all = scene.scan(Position::START, &scene.filter(), 1_000).await;
    assert_eq!(all.len(), 6);
    for event in all {
        let found = scene.log.event_at(event.position).await.expect("a read");
        assert_eq!(found, Some(event));
    }
}

/// At rest, head and scan agree, as long as nobody else writes.
pub async fn the_head_moves_and_is_what_a_scan_reaches(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let before = scene.head().await;

    let streams: Vec<_> = (0..4).map(|n| scene.stream(n)).collect();
    let appended = join_all(streams.iter().map(|stream| scene.log.append(stream, at(0), events(1)))).await;
    let last = appended.into_iter().map(|result| result.expect("an append").position).max();

    let head = scene.head().await;
    assert!(head > before);
    assert_eq!(Some(head), last);
    let mut scanned_to = before;
    while scanned_to < head {
        scanned_to = scene.log.read_all(scanned_to, &scene.filter_of("none"), 10).await.expect("a page").scanned_to;
    }
    let page = scene.log.read_all(scanned_to, &Filter::all(), 10).await.expect("a page at the end");
    assert_eq!(page.events.len(), 0);
    if !fixture.is_shared() {
        assert_eq!((scanned_to, page.scanned_to), (head, head));
    }
}

/// Each writer appends two events at a time to a stream of its own.
fn write(scene: &Scene) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (log, stream) = (Arc::clone(&scene.log), scene.stream(writer));
        writers.spawn(async move {
            for append in 0..APPENDS {
                log.append(&stream, at(append * 2), events(2)).await.expect("a writer's append");
            }
        });
    }
    writers
}
