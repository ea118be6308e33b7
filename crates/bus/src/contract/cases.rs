//! The cases.
#![expect(missing_docs, reason = "their names are sentences that say it")]

use super::{Fixture, PATIENCE, changes, delta, heard};
use crate::port::{Appended, Bus, BusMessage, Change, Changes, Listener, Topic};
use futures::FutureExt;
use std::{collections::BTreeSet, sync::Arc};

pub async fn what_is_said_after_listening_is_heard_in_order(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let mut listener = there.listen(&Topic::Changes).await.expect("a listener");
    for to in 1..=500 {
        say(&here, &Topic::Changes, changes(to)).await;
    }
    for to in 1..=500 {
        assert_eq!(heard(&mut listener).await, Some(changes(to)));
    }
}

pub async fn everybody_who_listens_hears_all_of_it(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let topic = Topic::Reply("r1".into());
    let mut listeners = Vec::new();
    for bus in [&here, &here, &there, &there] {
        listeners.push(bus.listen(&topic).await.expect("a listener"));
    }
    say(&here, &topic, delta("r1", 0, "one")).await;
    say(&there, &topic, delta("r1", 3, "two")).await;
    for listener in &mut listeners {
        // Two processes have spoken: in which order they are heard is nobody's business.
        let both = [heard(listener).await, heard(listener).await];
        assert!(both.contains(&Some(delta("r1", 0, "one"))) && both.contains(&Some(delta("r1", 3, "two"))), "{both:?}");
    }
}

pub async fn what_nobody_listens_to_is_gone(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let mut bell = there.listen(&Topic::Changes).await.expect("a listener");
    let topic = Topic::Reply("r1".into());
    for offset in 0..10 {
        say(&here, &topic, delta("r1", offset, "nobody")).await;
    }
    nothing_is_on_its_way(&here, &mut bell).await;
    let mut listener = there.listen(&topic).await.expect("a listener");
    say(&here, &topic, delta("r1", 99, "somebody")).await;
    assert_eq!(heard(&mut listener).await, Some(delta("r1", 99, "somebody")));
}

pub async fn no_id_hears_what_is_said_of_another(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let ids = [
        "",
        "a",
        "*",
        ">",
        "a.b",
        "a.*",
        "a.>",
        ".",
        "..",
        "a b",
        "_",
        "_YQ",
        "YQ",
        "-",
        "A",
        "ä",
        "a\r\nPUB a 0",
        "a\0",
        "5f0c5d9e-6c1a-5f0e-9a54-0f3f9d6f2b11",
    ];
    let mut listeners = Vec::new();
    for id in ids {
        listeners.push(there.listen(&Topic::Reply(id.into())).await.expect("a listener"));
    }
    let mut bell = there.listen(&Topic::Changes).await.expect("a listener");
    for id in ids {
        say(&here, &Topic::Reply(id.into()), delta(id, 0, id)).await;
    }
    nothing_is_on_its_way(&here, &mut bell).await;
    for (id, listener) in ids.into_iter().zip(&mut listeners) {
        assert_eq!(heard(listener).await, Some(delta(id, 0, id)), "{id:?}");
        assert_eq!(listener.next().now_or_never(), None, "{id:?}");
    }
}

pub async fn all_of_a_message_comes_as_it_went(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let change = |feed: &str, key: &str| Change { feed: feed.into(), projection: "messages".into(), key: key.into() };
    let several = vec![change("public", "a\"b\\c"), change("José\n", "\0"), change("", "\u{2028}\u{1F600}")];
    let large = 9_007_199_254_740_991;
    let moved = Changes { generation: large, from: 0, to: large, changes: several };
    let moved = BusMessage::Changes(Arc::new(moved));
    let mut bell = there.listen(&Topic::Changes).await.expect("a listener");
    say(&here, &Topic::Changes, moved.clone()).await;
    assert_eq!(heard(&mut bell).await, Some(moved));

    let words = "MSG a 1 3\r\n+OK\r\n-ERR\r\n\0\u{FEFF}é\u{1F600}";
    let topic = Topic::Reply("r1".into());
    let mut listener = there.listen(&topic).await.expect("a listener");
    say(&here, &topic, delta("r1", large, words)).await;
    assert_eq!(heard(&mut listener).await, Some(delta("r1", large, words)));

    let appended = BusMessage::Appended(Appended { to: large });
    let mut listener = there.listen(&Topic::Appends).await.expect("a listener");
    say(&here, &Topic::Appends, appended.clone()).await;
    assert_eq!(heard(&mut listener).await, Some(appended));
}

pub async fn many_changes_come_all_in_one_message_or_in_several_that_follow_on_nothing(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let change = |key: usize| Change { feed: "f".repeat(900), projection: "messages".into(), key: key.to_string() };
    let all: Vec<Change> = (0..500).map(change).collect();
    let mut bell = there.listen(&Topic::Changes).await.expect("a listener");
    let moved = Changes { generation: 1, from: 7, to: 8, changes: all.clone() };
    say(&here, &Topic::Changes, BusMessage::Changes(Arc::new(moved))).await;
    let mut came = Vec::new();
    while came.len() < all.len() {
        let Some(BusMessage::Changes(piece)) = heard(&mut bell).await else { panic!("changes are heard") };
        let is_whole = piece.changes.len() == all.len();
        assert_eq!((piece.from, piece.to), (if is_whole { 7 } else { 8 }, 8));
        came.extend(piece.changes.iter().cloned());
    }
    assert_eq!(came, all);
}

pub async fn a_slow_listener_is_told_of_its_loss_and_hears_on(fixture: &impl Fixture) {
    let [here, there] = fixture.open(16).await;
    let mut slow = there.listen(&Topic::Changes).await.expect("a listener");
    let mut quick = there.listen(&Topic::Changes).await.expect("a listener");
    for to in 1..=500 {
        say(&here, &Topic::Changes, changes(to)).await;
        assert_eq!(heard(&mut quick).await, Some(changes(to)));
    }
    assert_eq!(heard(&mut slow).await, None);
    // What it still has are the last ones, in order; the quick one was not disturbed.
    let Some(BusMessage::Changes(first)) = heard(&mut slow).await else { panic!("it hears on") };
    assert!(first.to > 400, "{first:?}");
    for to in first.to + 1..=500 {
        assert_eq!(heard(&mut slow).await, Some(changes(to)));
    }
    say(&here, &Topic::Changes, changes(501)).await;
    assert_eq!(heard(&mut slow).await, Some(changes(501)));
    assert_eq!(heard(&mut quick).await, Some(changes(501)));
}

pub async fn a_wait_that_is_given_up_loses_nothing(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let mut listener = there.listen(&Topic::Changes).await.expect("a listener");
    for to in 1..=200 {
        assert_eq!(listener.next().now_or_never(), None);
        say(&here, &Topic::Changes, changes(to)).await;
        let many_waits = async {
            loop {
                if let Some(came) = listener.next().now_or_never() {
                    return came;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(tokio::time::timeout(PATIENCE, many_waits).await.expect("something is heard"), Some(changes(to)));
    }
}

pub async fn who_leaves_disturbs_nobody(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let topic = Topic::Reply("r1".into());
    let mut stays = there.listen(&topic).await.expect("a listener");
    for round in 0..20 {
        let leaves = there.listen(&topic).await.expect("a listener");
        say(&here, &topic, delta("r1", round, "both")).await;
        drop(leaves);
        assert_eq!(heard(&mut stays).await, Some(delta("r1", round, "both")));
    }
    drop(stays);
    let mut bell = there.listen(&Topic::Changes).await.expect("a listener");
    say(&here, &topic, delta("r1", 0, "nobody")).await;
    nothing_is_on_its_way(&here, &mut bell).await;
    let mut again = there.listen(&topic).await.expect("a listener");
    say(&here, &topic, delta("r1", 99, "again")).await;
    assert_eq!(heard(&mut again).await, Some(delta("r1", 99, "again")));
}

pub async fn many_speakers_are_all_heard(fixture: &impl Fixture) {
    let [here, there] = fixture.open(1_024).await;
    let mut listener = there.listen(&Topic::Changes).await.expect("a listener");
    let buses = [here, there];
    let speakers = (0..16_u64).map(|speaker| {
        let bus = Arc::clone(&buses[usize::from(speaker % 2 == 0)]);
        async move {
            for n in 1..=20 {
                say(&bus, &Topic::Changes, changes(speaker * 20 + n)).await;
                tokio::task::yield_now().await;
            }
        }
    });
    futures::future::join_all(speakers).await;
    let mut came = BTreeSet::new();
    while came.len() < 320 {
        let Some(BusMessage::Changes(changes)) = heard(&mut listener).await else { panic!("nothing is lost") };
        assert!(came.insert(changes.to), "{} came twice", changes.to);
    }
}

/// What is said last is heard last, so that what was said before has come, or never will.
async fn nothing_is_on_its_way(bus: &Arc<dyn Bus>, bell: &mut Box<dyn Listener>) {
    say(bus, &Topic::Changes, changes(1)).await;
    assert_eq!(heard(bell).await, Some(changes(1)));
}

async fn say(bus: &Arc<dyn Bus>, topic: &Topic, message: BusMessage) {
    bus.publish(topic, message).await.expect("it is said");
}
