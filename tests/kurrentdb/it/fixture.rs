//! Logs on doubles, and on a real server.

use advisor_eventlog::{
    EventLog, Expected, KurrentDbLog, KurrentDbOptions, NewEvent,
    contract::{Fixture, scene},
};
use advisor_events::StreamName;
use advisor_kurrentdb_double::Double;
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};

/// A log with a double of its own.
pub(crate) struct OnDouble {
    double: Double,
    change: fn(&mut KurrentDbOptions),
}

impl OnDouble {
    pub(crate) fn new(change: fn(&mut KurrentDbOptions)) -> Self {
        Self { double: Double::start(), change }
    }
}

#[async_trait]
impl Fixture for OnDouble {
    async fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(begun_log(&self.double.url(), self.change).await)
    }

    async fn reopen(&self, log: Arc<dyn EventLog>) -> Option<Arc<dyn EventLog>> {
        drop(log);
        // The double forgets what stood in memory alone, which is nothing.
        self.double.kill();
        self.double.start_again();
        Some(self.open().await)
    }
}

/// A log in the server that `ADVISOR_TEST_ESDB` names, under a namespace of its own: other tests write to it, too.
pub(crate) struct OnServer {
    url: Option<String>,
    namespace: String,
}

impl OnServer {
    #[expect(clippy::disallowed_methods, reason = "a test's own environment")]
    pub(crate) fn named() -> Self {
        let namespace = format!("test-{}.", uuid::Uuid::new_v4().simple());
        Self { url: std::env::var("ADVISOR_TEST_ESDB").ok(), namespace }
    }
}

#[async_trait]
impl Fixture for OnServer {
    async fn open(&self) -> Arc<dyn EventLog> {
        let change = |options: &mut KurrentDbOptions| {
            options.namespace.clone_from(&self.namespace);
            options.first_stream = Some(StreamName::log());
        };
        Arc::new(begun_log(self.url.as_deref().expect("a server"), change).await)
    }

    async fn reopen(&self, log: Arc<dyn EventLog>) -> Option<Arc<dyn EventLog>> {
        drop(log);
        Some(self.open().await)
    }

    fn is_there(&self) -> bool {
        if self.url.is_none() {
            eprintln!("NOT RUN: ADVISOR_TEST_ESDB names no server of KurrentDB or EventStoreDB");
        }
        self.url.is_some()
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// A log whose first stream has begun, if it is to have one.
async fn begun_log(url: &str, change: impl FnOnce(&mut KurrentDbOptions)) -> KurrentDbLog {
    let mut first_stream = None;
    let log = log(url, |options| {
        change(options);
        first_stream.clone_from(&options.first_stream);
    })
    .await;
    if let Some(stream) = first_stream {
        // The same each time, so that it is there once.
        let event = NewEvent { id: uuid::Uuid::from_u128(1), ..scene::event(b"{}".to_vec()) };
        log.append(&stream, Expected::NoStream, vec![event]).await.expect("the first event");
    }
    log
}

/// A log at this URL.
pub(crate) async fn log(url: &str, change: impl FnOnce(&mut KurrentDbOptions)) -> KurrentDbLog {
    let mut options = KurrentDbOptions::at(url);
    change(&mut options);
    KurrentDbLog::open(options).await.expect("a log")
}

/// As [`log`], with pauses and time-outs that tests can wait for.
pub(crate) async fn brisk_log(url: &str) -> KurrentDbLog {
    log(url, |options| {
        options.append_timeout = Duration::from_secs(1);
        options.read_timeout = Duration::from_secs(1);
        options.reconnect_pause = Duration::from_millis(20);
        options.reconnect_pause_max = Duration::from_millis(200);
    })
    .await
}
