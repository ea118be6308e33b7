//! Servers that are not there yet, die, freeze, or say more than is taken in; and lines that are cut.

use super::{KEY, bell, connected, heard_until, number, say};
use crate::{
    contract::{
        PATIENCE, changes, delta, heard,
        proxy::{Faults, FaultyProxy},
        server::{self, NatsServer},
    },
    nats::{NatsBus, NatsOptions, QUEUED_MAX, pause_before},
    port::{Bus, Listener, Topic},
};
use futures::FutureExt;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_opens_without_a_server_and_all_are_told_when_there_is_one() {
    let mut server = NatsServer::prepare("");
    let here = NatsBus::open(NatsOptions::new(server.url(), KEY)).await.unwrap();
    let there = NatsBus::open(NatsOptions::new(server.url(), KEY)).await.unwrap();
    let topic = Topic::Reply("r1".into());
    let (mut first, mut second) = (bell(&here).await, there.listen(&topic).await.unwrap());
    say(&here, 1).await;
    assert!(!here.is_connected() && first.next().now_or_never().is_none());
    server.run();
    assert_eq!([heard(&mut first).await, heard(&mut second).await], [None, None]);
    here.publish(&topic, delta("r1", 0, "now")).await.unwrap();
    assert_eq!(heard(&mut second).await, Some(delta("r1", 0, "now")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_under_load_costs_what_was_said_meanwhile_and_all_are_told() {
    let mut server = NatsServer::start();
    let here = connected(NatsOptions::new(server.url(), KEY)).await;
    let there = connected(NatsOptions::new(server.url(), KEY)).await;
    let mut bell = bell(&there).await;
    let spoken = CancellationToken::new();
    let speaking = async {
        let mut to = 0;
        while !spoken.is_cancelled() {
            to += 1;
            say(&here, to).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let hearing = async {
        for _ in 0..3 {
            while heard(&mut bell).await.is_none() {}
            server.kill();
            // What was heard before comes first; then that it is over, and then that it is back.
            while heard(&mut bell).await.is_some() {}
            server.run();
            while heard(&mut bell).await.is_none() {}
        }
        spoken.cancel();
    };
    tokio::join!(speaking, hearing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_line_of_a_listener_was_cut_it_is_told_after_the_last_message_that_it_lost() {
    let server = NatsServer::start();
    let proxy = FaultyProxy::start(server.port(), Faults::default()).await;
    let speaker = connected(NatsOptions::new(server.url(), KEY)).await;
    let hearer = connected(NatsOptions::new(server::url(proxy.port()), KEY)).await;
    let (mut far, mut near) = (bell(&hearer).await, bell(&speaker).await);
    let mut said = 0;
    let mut say_it = async || {
        said += 1;
        say(&speaker, said).await;
        assert_eq!(heard(&mut near).await, Some(changes(said)));
        said
    };
    for _ in 0..20 {
        for _ in 0..50 {
            say_it().await;
        }
        proxy.cut();
        while heard(&mut far).await.is_some() {}
        let lost = say_it().await;
        proxy.heal();
        while let Some(message) = heard(&mut far).await {
            assert!(number(message) < lost);
        }
        // Told that it is back: from here on all is heard.
        let next = say_it().await;
        assert_eq!(heard(&mut far).await, Some(changes(next)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_server_that_does_not_read() {
    let server = NatsServer::start();
    let here = connected(NatsOptions::new(server.url(), KEY)).await;
    let there = connected(NatsOptions::new(server.url(), KEY)).await;
    let mut bell = bell(&there).await;
    server.signal("STOP");
    let words = "w".repeat(10_000);
    let before = resident_kib();
    // More than the system's buffers and ours take: 80 MB.
    for offset in 0..8_000 {
        let said = here.publish(&Topic::Reply("r1".into()), delta("r1", offset, &words)).now_or_never();
        assert!(matches!(said, Some(Ok(()))), "{offset}: {said:?}");
        tokio::task::yield_now().await;
    }
    // What can't be sent is not kept, but for as much as may wait.
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 40 * 1_024, "{grown} KiB more");
    server.signal("CONT");
    // The queue was full: what is said now may be lost, too. Once it has gone out it is heard.
    let heard = async {
        let mut to = 0;
        while bell.next().now_or_never().is_none() {
            to += 1;
            say(&here, to).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
}

/// On one thread, where the client takes in more than it can hand on before anybody has a turn.
#[tokio::test]
async fn what_comes_faster_than_it_is_handed_on_is_lost_with_a_word() {
    let server = NatsServer::start();
    let options = NatsOptions { messages_max: 16, ..NatsOptions::new(server.url(), KEY) };
    let bus = connected(options).await;
    let mut bell = bell(&bus).await;
    let many = u64::try_from(QUEUED_MAX / 2).unwrap();
    let (mut all, mut last, mut missing) = (0, 0, 0);
    // As a rule the first time is enough.
    'lost: loop {
        for to in all + 1..=all + many {
            say(&bus, to).await;
        }
        all += many;
        while last < all {
            let Some(message) = heard(&mut bell).await else { break 'lost };
            let to = number(message);
            missing += to - last - 1;
            last = to;
        }
        assert_eq!(missing, 0, "some were lost without a word");
    }
    assert!(missing + (all - last) > 0, "none was lost");
    // Told of the loss, it hears what is said from now on.
    say(&bus, all + 1).await;
    heard_until(&mut bell, all + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_nobody_listens_to_any_more_are_let_go() {
    let server = NatsServer::start();
    let here = connected(NatsOptions::new(server.url(), KEY)).await;
    for round in 0..50 {
        let topics: Vec<Topic> = (0..20).map(|n| Topic::Reply(format!("r{round}-{n}").into())).collect();
        let listeners: Vec<Box<dyn Listener>> =
            futures::future::join_all(topics.iter().map(|topic| async { here.listen(topic).await.unwrap() })).await;
        drop(listeners);
    }
    // Nothing is said on them: their ends come by themselves.
    let ended = async {
        while here.tasks.len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[test]
fn a_server_that_is_back_is_found_soon() {
    assert_eq!(pause_before(1), Duration::ZERO);
    for attempt in 2..2_000 {
        assert!((Duration::from_millis(20)..=Duration::from_millis(250)).contains(&pause_before(attempt)), "{attempt}");
    }
    assert_eq!(pause_before(usize::MAX), Duration::from_millis(250));
}

/// What memory this process takes: under nextest it runs this test alone.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}
