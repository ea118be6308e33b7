//! Random appends, against lists of ids.

use super::{
    Fixture,
    scene::{Scene, at, event, recorded_ids},
};
use crate::port::{AppendError, Appended, EventLog, NewEvent, Position};
use proptest::{
    prelude::{Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};
use std::sync::Arc;
use uuid::Uuid;

/// Scripts that are tried.
const SCRIPTS: u32 = 40;
/// Streams of a script.
const STREAMS: usize = 3;

/// An append of a script.
#[derive(Clone, Debug)]
struct Step {
    stream: usize,
    /// Where its first event is to stand, counted from the stream's end.
    offset: i64,
    ids: Ids,
}

/// Which ids it brings.
#[derive(Clone, Debug)]
enum Ids {
    New(usize),
    /// Those that stand at its place (as many as there are), and then new ones.
    Old {
        old: usize,
        new: usize,
    },
}

/// Every append does what the model says, and both reads agree with it.
pub fn random_appends_agree_with_a_simple_model(fixture: &impl Fixture) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let log = runtime.block_on(fixture.open());
    let config = Config { cases: SCRIPTS, failure_persistence: None, ..Config::default() };
    let scripts = proptest::collection::vec(steps(), 1..40);
    let result = TestRunner::new(config).run(&scripts, |script| {
        runtime.block_on(play(Arc::clone(&log), &script));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

async fn play(log: Arc<dyn EventLog>, script: &[Step]) {
    let scene = Scene::on(log);
    let start = scene.head().await;
    let mut model: Vec<Vec<Uuid>> = vec![Vec::new(); STREAMS];
    let mut in_order = Vec::new();
    for step in script {
        let stream = &mut model[step.stream];
        let end = stream.len() as i64;
        let first = (end + step.offset).max(0) as usize;
        let batch = batch(stream, first, &step.ids);
        let name = step.stream.to_string();
        let result = scene.append(&name, at(first as u64), &batch).await;
        let ids: Vec<_> = batch.iter().map(|event| event.id).collect();
        check(stream, first, &ids, result);
        if first == stream.len() {
            stream.extend(&ids);
            in_order.extend(ids);
        }
    }
    for (stream, ids) in model.iter().enumerate() {
        assert_eq!(&recorded_ids(&scene.whole(&stream.to_string()).await), ids);
    }
    assert_eq!(recorded_ids(&scene.scan(start, &scene.filter(), 5).await), in_order);
    let told = scene.subscribe(start).await.until_caught_up().await;
    assert_eq!(told.iter().map(|event| event.id).collect::<Vec<_>>(), in_order);
}

fn check(stream: &[Uuid], first: usize, ids: &[Uuid], result: Result<Appended, AppendError>) {
    let there = stream.get(first..).and_then(|later| later.get(..ids.len()));
    let last = stream.len().checked_sub(1).map(|last| last as u64);
    match result {
        Ok(appended) => {
            assert!(first == stream.len() || there == Some(ids), "neither new nor a repeat: {first}, {ids:?}");
            assert_eq!(appended.revision, (first + ids.len() - 1) as u64);
            assert!(appended.position > Position::START);
        }
        Err(AppendError::WrongRevision { actual }) => {
            assert!(first != stream.len() && there != Some(ids), "refused: {first}, {ids:?}");
            assert_eq!(actual, last);
        }
        Err(error) => panic!("{error}"),
    }
}

fn batch(stream: &[Uuid], first: usize, ids: &Ids) -> Vec<NewEvent> {
    let fresh = |count: usize| (0..count).map(|_| event(Vec::new()));
    match ids {
        Ids::New(new) => fresh(*new).collect(),
        Ids::Old { old, new } => {
            let there = stream.get(first..).unwrap_or_default().iter().take(*old);
            let mut batch: Vec<_> = there.map(|id| NewEvent { id: *id, ..event(Vec::new()) }).collect();
            batch.extend(fresh((*new).max(usize::from(batch.is_empty()))));
            batch
        }
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![4 => 0_i64..=0, 3 => -4_i64..=-1, 1 => 1_i64..=2];
    let ids = prop_oneof![
        2 => (1_usize..4).prop_map(Ids::New),
        3 => (1_usize..4, 0_usize..2).prop_map(|(old, new)| Ids::Old { old, new }),
    ];
    (any::<proptest::sample::Index>(), offset, ids).prop_map(|(stream, offset, ids)| Step {
        stream: stream.index(STREAMS),
        offset,
        ids,
    })
}
