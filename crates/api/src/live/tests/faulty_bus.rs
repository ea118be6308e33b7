//! The laws of the doorbell, over a real NATS server and a line that loses a tenth of what it says, doubles a tenth and
//! lets a tenth come late: whatever is heard, a client has what the queries answer and what the draft says.

use super::{
    sequences::{self, Transport},
    watcher::Watcher,
    world::{asked, complete_reply, conversation, draft, message, public_advisor, say, start_reply},
};
use crate::test_api::TestApi;
use advisor_bus::{
    NatsBus, NatsOptions,
    contract::{
        proxy::{Faults, FaultyProxy},
        server::{self, NatsServer},
    },
};
use advisor_projections::RunnerLimits;
use std::sync::{Arc, atomic::Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_what_the_queries_answer_whatever_becomes_of_the_bell() {
    for (transport, seed) in [(Transport::Stream, 11), (Transport::Socket, 12)] {
        let faulty = Faulty::start(seed).await;
        sequences::run(&faulty.test, transport, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_messages_all_arrive_at_all_who_look() {
    let faulty = Faulty::start(21).await;
    let test = &faulty.test;
    let id = conversation(test, "ana").await;
    let query = format!("/api/conversations/{id}");
    let queries = [query.as_str(), "/api/conversations"];
    let mut watchers =
        [Watcher::of(test, "ana", &queries).await, Watcher::on_socket(test, "ana", &queries, None).await];
    for watcher in &mut watchers {
        watcher.until(|watcher| watcher.kept.len() == queries.len()).await;
    }
    for n in 0..1_000 {
        message(test, "ana", &id, &format!("number {n}")).await;
        if n % 25 == 24 {
            for watcher in &mut watchers {
                watcher.agree(test, "ana").await;
            }
        }
    }
    assert!(watchers.iter().all(|watcher| !watcher.names().contains(&"reset")));
    faulty.met_all_fates(1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_thousand_pieces_of_a_reply_the_text_is_whole_and_in_order() {
    let faulty = Faulty::start(31).await;
    let test = &faulty.test;
    public_advisor(test, "robin", "Coach").await;
    let id = conversation(test, "ana").await;
    let reply = asked(test, "ana", &id, "robin").await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(test, "ana", &[&query]).await;
    watcher.next().await.unwrap();
    start_reply(test, &id, &reply, 1).await;
    watcher.until(|watcher| watcher.kept[&query].rows["replies"][&reply]["status"] == "streaming").await;

    let (mut whole, mut units) = (String::new(), 0);
    for n in 0..3_000_u64 {
        let piece = format!("{n} 😀 ");
        say(test, (&id, &reply), 1, units, &piece).await;
        units += piece.encode_utf16().count() as u64;
        whole.push_str(&piece);
        // The draft is what makes good: it is written seldom, and always at the end.
        if n % 300 == 299 {
            draft(test, &id, &reply, 1, &whole).await;
            watcher.until(|watcher| watcher.texts.get(&reply).is_some_and(|(_, said)| *said == whole)).await;
        }
    }
    complete_reply(test, &id, &reply, 1, &whole).await;
    watcher.agree(test, "ana").await;
    faulty.met_all_fates(3_000);
}

/// An API whose runner rings and whose live queries hear through the faulty line.
pub(super) struct Faulty {
    pub(super) test: TestApi,
    pub(super) proxy: FaultyProxy,
    pub(super) server: NatsServer,
}

impl Faulty {
    async fn start(seed: u64) -> Self {
        Self::start_with(Faults::tenth(seed), RunnerLimits::default()).await
    }

    /// Over a line with these faults.
    pub(super) async fn start_with(faults: Faults, runner_limits: RunnerLimits) -> Self {
        let server = NatsServer::start();
        let proxy = FaultyProxy::start(server.port(), faults).await;
        let bus = NatsBus::open(NatsOptions::new(server::url(proxy.port()), [7; 32])).await.unwrap();
        bus.ready().await;
        Self { test: TestApi::start_within(runner_limits, Arc::new(bus), Vec::new()).await, proxy, server }
    }

    /// The line was as bad as it was meant to be.
    pub(super) fn met_all_fates(&self, messages_min: u64) {
        let fates = self.proxy.fates();
        assert!(fates.all.load(Ordering::Relaxed) >= messages_min, "{fates:?}");
        for fate in [&fates.lost, &fates.doubled, &fates.late] {
            assert!(fate.load(Ordering::Relaxed) >= messages_min / 20, "{fates:?}");
        }
    }
}
