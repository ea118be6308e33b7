//! Trap 18: reading the whole log needs more rights than most users have.

use crate::fixture::{brisk_log, log};
use advisor_eventlog::{
    EventLog, Filter, Position, ReadError, SubscriptionEvent, contract::scene::Scene, kurrentdb::DENIED,
};
use advisor_events::StreamName;
use advisor_kurrentdb_double::{Access, Double};
use futures::StreamExt;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;

#[tokio::test]
async fn a_denied_whole_log_is_said_aloud_and_heals() {
    let said = Said::default();
    let subscriber = tracing_subscriber::fmt().with_writer(said.clone()).finish();
    let _listening = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let double = Double::start();
    let log = brisk_log(&double.url()).await;
    let mut follower = log.subscribe_all(Position::START, Filter::all()).await.expect("a subscription");
    while follower.next().await.expect("news").expect("more of it") != SubscriptionEvent::CaughtUp {}

    double.whole_log(Access::Denied);

    assert!(matches!(log.head().await, Err(ReadError::Denied)));
    assert!(matches!(log.read_all(Position::START, &Filter::all(), 1).await, Err(ReadError::Denied)));
    // Whoever follows is told, rather than left to wait.
    assert!(matches!(follower.next().await, Some(Err(_))));
    assert!(matches!(log.subscribe_all(Position::START, Filter::all()).await, Err(ReadError::Denied)));
    assert!(said.text().contains(DENIED), "{}", said.text());

    double.whole_log(Access::Granted);
    let scene = Scene::on(Arc::new(log));
    scene.fill("a", 1).await;
    while scene.log.subscribe_all(Position::START, Filter::all()).await.is_err() {
        tokio::task::yield_now().await;
    }
    scene.subscribe(Position::START).await.events(1).await;
}

/// Before anything is written: a log that is not there yet has an end without asking the server for it.
#[tokio::test]
async fn a_denied_whole_log_is_found_before_the_log_begins() {
    let double = Double::start();
    let log = log(&double.url(), |options| options.first_stream = Some(StreamName::log())).await;
    log.reach().await.expect("a server that lets us in");

    double.whole_log(Access::Denied);

    assert!(matches!(log.reach().await, Err(ReadError::Denied)));
    assert_eq!(double.seen().appends, 0);
}

/// What was logged.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("a lock")).into_owned()
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a lock").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Said {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
