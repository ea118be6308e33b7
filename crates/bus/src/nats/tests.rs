//! The bus on a real NATS server.

mod credentials;
mod endings;
mod foreign;
mod outages;
mod tls;

use super::{NatsBus, NatsOptions};
use crate::{
    contract::{
        Fixture, PATIENCE, changes, heard,
        proxy::{Faults, FaultyProxy},
        server::{self, NatsServer},
    },
    port::{Bus, BusMessage, Listener, Topic},
};
use async_trait::async_trait;
use futures::FutureExt;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

const KEY: [u8; 32] = [7; 32];

/// Each case has a server of its own.
#[derive(Default)]
struct OnNats(Mutex<Vec<NatsServer>>);

#[async_trait]
impl Fixture for OnNats {
    async fn open(&self, messages_max: usize) -> [Arc<dyn Bus>; 2] {
        let server = NatsServer::start();
        let options = NatsOptions { messages_max, ..NatsOptions::new(server.url(), KEY) };
        let buses = [connected(options.clone()).await, connected(options).await];
        self.0.lock().unwrap().push(server);
        buses.map(|bus| Arc::new(bus) as _)
    }
}

crate::contract_tests!(OnNats::default());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_systems_on_one_server_neither_hears_the_other() {
    let server = NatsServer::start();
    let ours = connected(NatsOptions::new(server.url(), KEY)).await;
    let theirs = NatsOptions { prefix: "apps.advisor-2".to_owned(), ..NatsOptions::new(server.url(), KEY) };
    let theirs = connected(theirs).await;
    let (mut here, mut there) = (bell(&ours).await, bell(&theirs).await);
    say(&ours, 1).await;
    say(&theirs, 2).await;
    say(&ours, 3).await;
    assert_eq!([heard(&mut here).await, heard(&mut here).await], [Some(changes(1)), Some(changes(3))]);
    assert_eq!(heard(&mut there).await, Some(changes(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_faulty_line_only_what_was_said_is_heard_and_some_of_it_late_twice_or_never() {
    let server = NatsServer::start();
    let proxy = FaultyProxy::start(server.port(), Faults::tenth(1)).await;
    let speaker = connected(NatsOptions::new(server.url(), KEY)).await;
    let hearer = connected(NatsOptions::new(server::url(proxy.port()), KEY)).await;
    let (mut bell, mut whole) = (bell(&hearer).await, bell(&speaker).await);
    let mut times: HashMap<u64, u32> = HashMap::new();
    let (mut last, mut overtaken, mut said) = (0, 0, 0);
    // Until it has heard of something after the three thousand, which may be lost, too.
    while last <= 3_000 {
        said += 1;
        say(&speaker, said).await;
        assert_eq!(heard(&mut whole).await, Some(changes(said)));
        while let Some(Some(message)) = bell.next().now_or_never() {
            let to = number(message);
            assert!(to <= said);
            *times.entry(to).or_default() += 1;
            overtaken += u32::from(to < last);
            last = to;
        }
    }
    let fates = proxy.fates();
    let of = |fate: &std::sync::atomic::AtomicU64| fate.load(Ordering::Relaxed);
    for fate in [&fates.lost, &fates.doubled, &fates.late] {
        assert!((of(&fates.all) / 20..of(&fates.all) / 5).contains(&of(fate)), "{fates:?}");
    }
    let twice = times.values().filter(|times| **times == 2).count();
    assert!(times.values().all(|times| *times <= 2), "three times");
    assert!(times.len() < 2_900 && twice > 100 && overtaken > 100, "{}, {twice}, {overtaken}", times.len());
}

/// A bus whose server is there.
async fn connected(options: NatsOptions) -> NatsBus {
    let bus = NatsBus::open(options).await.unwrap();
    tokio::time::timeout(PATIENCE, bus.ready()).await.expect("a server");
    bus
}

async fn bell(bus: &NatsBus) -> Box<dyn Listener> {
    bus.listen(&Topic::Changes).await.unwrap()
}

async fn say(bus: &NatsBus, to: u64) {
    bus.publish(&Topic::Changes, changes(to)).await.unwrap();
}

fn number(message: BusMessage) -> u64 {
    let BusMessage::Changes(changes) = message else { panic!("{message:?}") };
    changes.to
}

/// Hears until this number, which must come; whether something was said to be lost before it.
async fn heard_until(listener: &mut Box<dyn Listener>, wanted: u64) -> usize {
    let mut losses = 0;
    loop {
        match heard(listener).await {
            Some(message) if number(message.clone()) == wanted => return losses,
            Some(_) => {}
            None => losses += 1,
        }
    }
}
