//! Following the whole log.

use super::{
    Fixture,
    scene::{Scene, at, events, ids, told_ids},
};
use crate::port::{Position, SubscriptionEvent};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// Events appended while somebody catches up.
const LIVE_EVENTS: usize = 5_000;

/// Exactly what is there, then the mark.
pub async fn a_subscription_gives_what_is_there_and_then_says_so(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut all = scene.fill("a", 20).await;
    all.extend(scene.fill("b", 5).await);

    let mut follower = scene.subscribe(Position::START).await;
    let told = follower.until_caught_up().await;

    assert_eq!(told_ids(&told), ids(&all));
    let later = scene.fill("c", 2).await;
    assert_eq!(told_ids(&follower.events(2).await), ids(&later));
}

/// Its position is exclusive.
pub async fn a_subscription_begins_after_its_position(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let all = scene.fill("a", 5).await;
    let third = scene.whole("a").await[2].position;

    let told = scene.subscribe(third).await.until_caught_up().await;

    assert_eq!(told_ids(&told), ids(&all[3..]));
}

/// From the end on.
pub async fn a_subscription_from_the_head_gives_only_what_comes(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    scene.fill("a", 5).await;

    let mut follower = scene.subscribe(scene.head().await).await;
    let before = follower.until_caught_up().await;
    let later = scene.fill("b", 3).await;

    assert!(before.is_empty());
    assert_eq!(told_ids(&follower.events(3).await), ids(&later));
}

/// From what was to what is: nothing is lost, and nothing told twice.
pub async fn events_appended_during_catch_up_come_once_and_in_order(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut writers = write_at_full_rate(&scene);
    // Some are there already, the others come meanwhile: for a while the follower is behind, then it is not.
    while scene.scan(Position::START, &scene.filter(), 1_000).await.len() < LIVE_EVENTS / 10 {}

    let told = scene.subscribe(Position::START).await.events(LIVE_EVENTS).await;

    while writers.join_next().await.is_some() {}
    let all = scene.scan(Position::START, &scene.filter(), 1_000).await;
    assert_eq!(all.len(), LIVE_EVENTS);
    assert!(told.iter().map(Arc::as_ref).eq(all.iter()), "the follower was told what the log holds");
}

/// Whoever is about to wait must not miss what comes just then.
pub async fn each_event_alone_wakes_a_subscriber(fixture: &impl Fixture) {
    const ROUNDS: u64 = 1_000;
    let scene = Scene::of(fixture).await;
    let mut follower = scene.subscribe(scene.head().await).await;
    let (log, stream) = (Arc::clone(&scene.log), scene.stream("a"));
    let (next_round, mut rounds) = tokio::sync::mpsc::channel(1);
    let mut writer = JoinSet::new();
    writer.spawn(async move {
        while let Some(round) = rounds.recv().await {
            log.append(&stream, at(round), events(1)).await.expect("the writer's append");
        }
    });

    for round in 0..ROUNDS {
        // The writer appends while the follower goes to sleep, and nothing comes after to wake it.
        next_round.send(round).await.expect("a writer");
        assert_eq!(follower.events(1).await[0].revision, round);
    }
}

/// Whoever falls behind catches up.
pub async fn a_slow_subscriber_still_sees_all_once_and_in_order(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut follower = scene.subscribe(Position::START).await;
    follower.until_caught_up().await;

    // It hears nothing while all is written, so that whatever is buffered for it must overflow.
    let mut writers = write_at_full_rate(&scene);
    let mut told = follower.events(1).await;
    while writers.join_next().await.is_some() {}
    told.extend(follower.events(LIVE_EVENTS - 1).await);

    let all = scene.scan(Position::START, &scene.filter(), 1_000).await;
    assert!(told.iter().map(Arc::as_ref).eq(all.iter()), "the follower was told what the log holds");
}

/// What a filter leaves out moves the checkpoint all the same.
pub async fn checkpoints_pass_what_did_not_match_and_can_be_resumed_from(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let rare = scene.filter_of("rare");
    let first = scene.fill("rare.1", 1).await;
    scene.fill("common.1", 200).await;
    let head = scene.head().await;

    let mut follower = scene.subscribe_to(Position::START, rare.clone()).await;
    let told = follower.until_caught_up().await;
    assert_eq!(told_ids(&told), ids(&first));
    assert!(follower.reached >= head, "{} is short of {head}", follower.reached);

    // Live, too.
    scene.fill("common.2", 20).await;
    let head = scene.head().await;
    while follower.reached < head {
        let news = follower.next().await;
        assert!(!matches!(news, SubscriptionEvent::Event(_)), "{news:?}");
    }

    let checkpoint = follower.reached;
    drop(follower);
    let second = scene.fill("rare.2", 2).await;
    let told = scene.subscribe_to(checkpoint, rare).await.until_caught_up().await;
    assert_eq!(told_ids(&told), ids(&second));
}

/// A follower that went away goes on where it was.
pub async fn a_subscription_that_was_dropped_is_resumed_without_a_gap(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut writers = write_at_full_rate(&scene);
    let mut told = Vec::new();
    let mut reached = Position::START;
    while told.len() < LIVE_EVENTS {
        let mut follower = scene.subscribe(reached).await;
        let some = 700.min(LIVE_EVENTS - told.len());
        told.extend(follower.events(some).await);
        reached = follower.reached;
    }
    while writers.join_next().await.is_some() {}

    let all = scene.scan(Position::START, &scene.filter(), 1_000).await;
    assert!(told.iter().map(Arc::as_ref).eq(all.iter()), "the followers were told what the log holds");
}

/// One that does not listen stops nobody.
pub async fn two_subscribers_do_not_hinder_each_other(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut deaf = scene.subscribe(Position::START).await;
    let mut keen = scene.subscribe(Position::START).await;
    deaf.until_caught_up().await;
    let mut writers = write_at_full_rate(&scene);

    let told = keen.events(LIVE_EVENTS).await;
    let told_late = deaf.events(LIVE_EVENTS).await;

    while writers.join_next().await.is_some() {}
    assert_eq!(told_ids(&told), told_ids(&told_late));
}

/// The end of a log is said, so that nobody waits for ever.
pub async fn a_subscription_outlives_no_log_in_silence(fixture: &impl Fixture) {
    let scene = Scene::of(fixture).await;
    let mut follower = scene.subscribe(scene.head().await).await;
    follower.until_caught_up().await;
    let mut subscription = follower.into_subscription();

    drop(scene);

    let end = async {
        loop {
            match subscription.next().await {
                // What others write to the same server is passed until then.
                Some(Ok(SubscriptionEvent::Checkpoint(_) | SubscriptionEvent::CaughtUp)) => {}
                end => return end,
            }
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(20), end).await;
    assert!(matches!(end, Ok(Some(Err(_)))), "{end:?}");
    assert!(subscription.next().await.is_none());
}

/// Ten writers with a stream each.
fn write_at_full_rate(scene: &Scene) -> JoinSet<()> {
    const WRITERS: usize = 10;
    const BATCH: usize = 5;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (log, stream) = (Arc::clone(&scene.log), scene.stream(writer));
        writers.spawn(async move {
            for append in 0..LIVE_EVENTS / WRITERS / BATCH {
                let first = (append * BATCH) as u64;
                log.append(&stream, at(first), events(BATCH)).await.expect("a writer's append");
                tokio::task::yield_now().await;
            }
        });
    }
    writers
}
