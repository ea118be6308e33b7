//! Buses that are closed: what was said before is heard, and nothing holds them up.

use super::{KEY, bell, connected, say};
use crate::{
    contract::{PATIENCE, delta, heard, server::NatsServer},
    nats::{NatsBus, NatsOptions},
    port::{Bus, Topic},
};
use std::thread;
use tokio::{runtime, time::timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_before_the_end_of_a_process_is_heard() {
    let server = NatsServer::start();
    let there = connected(NatsOptions::new(server.url(), KEY)).await;
    let topic = Topic::Reply("r1".into());
    let mut listener = there.listen(&topic).await.unwrap();
    // More than one write takes: 3 MB.
    let pieces = (0..60).map(|offset| delta("r1", offset, &"w".repeat(50_000)));
    let (url, said) = (server.url(), pieces.clone().collect::<Vec<_>>());
    // A process of its own as far as its tasks go: on one thread, none of them has a turn before the end.
    let process = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let here = connected(NatsOptions::new(url, KEY)).await;
            for piece in said {
                here.publish(&topic, piece).await.unwrap();
            }
            here.close().await;
        });
    });
    for piece in pieces {
        assert_eq!(heard(&mut listener).await, Some(piece));
    }
    process.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_server_that_is_away_nor_one_that_is_frozen_holds_up_the_end() {
    let mut server = NatsServer::prepare("");
    let before = NatsBus::open(NatsOptions::new(server.url(), KEY)).await.unwrap();
    timeout(PATIENCE, before.close()).await.unwrap();

    server.run();
    let [frozen, dead] = [(); 2].map(|()| connected(NatsOptions::new(server.url(), KEY)));
    let (frozen, dead) = (frozen.await, dead.await);
    let _listeners = [bell(&frozen).await, bell(&dead).await];
    server.signal("STOP");
    say(&frozen, 1).await;
    timeout(PATIENCE, frozen.close()).await.unwrap();
    server.kill();
    timeout(PATIENCE, dead.close()).await.unwrap();
}
