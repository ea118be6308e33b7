//! What an append may hold: the same on every backend.

use super::{
    Fixture,
    scene::{Scene, at, event, events},
};
use crate::port::{APPEND_BYTES_MAX, APPEND_EVENTS_MAX, AppendError, Expected, NewEvent};
use advisor_events::{StreamName, ids::STREAM_NAME_BYTES_MAX};
use uuid::Uuid;

/// Names, ids and types that some backend can't keep, or keeps for itself.
pub async fn what_no_backend_can_keep_is_refused_before_any_work(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let twice = events(1);
    let nil = NewEvent { id: Uuid::nil(), ..event(Vec::new()) };
    let untyped = NewEvent { type_name: String::new(), ..event(Vec::new()) };
    let system = NewEvent { type_name: "$metadata".to_owned(), ..event(Vec::new()) };
    let batches = [vec![], vec![twice[0].clone(), twice[0].clone()], vec![nil], vec![untyped], vec![system]];
    for batch in batches {
        let result = scene.append("a", Expected::NoStream, &batch).await;
        assert!(matches!(result, Err(AppendError::Invalid(_))), "{batch:?}: {result:?}");
    }

    let too_long = "a".repeat(STREAM_NAME_BYTES_MAX + 1);
    for name in ["", "$all", "$case-1", "with space", "Ü", too_long.as_str()] {
        let result = scene.log.append(&StreamName::from_text(name), Expected::NoStream, events(1)).await;
        assert!(matches!(result, Err(AppendError::Invalid(_))), "{name}: {result:?}");
    }
    assert!(scene.whole("a").await.is_empty());
}

/// Data, metadata and twice the type's name count.
pub async fn exactly_the_most_bytes_are_written_and_one_more_is_not(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let small = event(Vec::new());
    let room = APPEND_BYTES_MAX - small.metadata.len() - 2 * small.type_name.len();

    let result = scene.append("a", at(0), &[event(vec![b'x'; room + 1])]).await;
    assert!(matches!(result, Err(AppendError::TooLarge)), "{result:?}");
    assert!(scene.whole("a").await.is_empty());

    scene.append("a", at(0), &[event(vec![b'x'; room])]).await.expect("the most bytes");
    assert_eq!(scene.whole("a").await[0].data.len(), room);
}

/// Events count too.
pub async fn exactly_the_most_events_are_written_and_one_more_is_not(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;

    let result = scene.append("a", at(0), &events(APPEND_EVENTS_MAX + 1)).await;
    assert!(matches!(result, Err(AppendError::TooLarge)), "{result:?}");
    assert!(scene.whole("a").await.is_empty());

    scene.append("a", at(0), &events(APPEND_EVENTS_MAX)).await.expect("the most events");
    assert_eq!(scene.whole("a").await.len(), APPEND_EVENTS_MAX);
}

/// Data is bytes, whatever they are.
pub async fn bytes_come_back_as_they_went(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let long: Vec<u8> = (0..900_000_u32).map(|n| (n % 251) as u8).collect();
    let bytes = [vec![], vec![0], b"a\0b".to_vec(), vec![0xff, 0xfe, 0x80], "Gr\u{fc}\u{df}e".into()];
    let mut batch: Vec<_> = bytes.iter().map(|bytes| event(bytes.clone())).collect();
    batch.extend(bytes.iter().map(|bytes| NewEvent { metadata: bytes.clone(), ..event(Vec::new()) }));
    batch.push(event(long));
    let name = scene.stream("a".repeat(STREAM_NAME_BYTES_MAX - scene.stream("").as_str().len()));

    scene.log.append(&name, at(0), batch.clone()).await.expect("an append");

    let read = scene.scan(crate::Position::START, &scene.filter(), 100).await;
    assert_eq!(read.len(), batch.len());
    for (read, given) in read.iter().zip(&batch) {
        assert_eq!((&read.id, &*read.type_name), (&given.id, given.type_name.as_str()));
        assert!(read.data == given.data, "data of {}", given.id);
        assert!(read.metadata == given.metadata, "metadata of {}", given.id);
        assert_eq!(read.stream, name);
    }
}
