//! The bus between any number of processes: a NATS server, or a cluster of them.
//!
//! NATS delivers at most once, and that is all that is asked of it. Nothing here waits for a server: opening
//! succeeds without one, what can't be said at once is not said, and whoever listens is told when something may
//! have been lost: when the connection went, when it is back and the server knows again what is listened to, and
//! when a message came that none of our own processes has said.

mod address;
pub(crate) mod message;
pub(crate) mod subject;
#[cfg(test)]
mod tests;
mod tls;
mod topics;

pub use address::{AddressError, check};

use crate::port::{Bus, BusError, BusMessage, Listener, Topic};
use address::{Addresses, Login, Transport};
use async_nats::{Client, ConnectOptions, Event, connection::State};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use message::Seal;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use subject::Subjects;
use tokio::{
    sync::watch,
    task::unconstrained,
    time::{error::Elapsed, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use topics::{Follower, Subscribed, Topics};

/// Messages and subscriptions that wait to be sent. More are lost: what can't be said at once is not said.
pub const QUEUED_MAX: usize = 512;
/// Most time to connect to a server and to sign in.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest pause before the next attempt to connect: a server that is back is found within it.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(250);
/// The first pause; each one is twice as long as the one before.
const RECONNECT_PAUSE_FIRST: Duration = Duration::from_millis(10);
/// How often a server is asked whether it is there. Three questions without an answer, and the connection is given up.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// Most time that is waited for the server to know what is listened to, and at the end for it to have what was said.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the bus is, and how it is used.
#[derive(Clone)]
pub struct NatsOptions {
    /// `nats://user:password@host:port`, or `tls://…`; several with commas between them.
    pub urls: String,
    /// What NATS calls credentials: a file with a JWT and the seed of an nkey.
    pub credentials_file: Option<PathBuf>,
    /// Certificates in PEM that `tls://` trusts, instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// What all subjects begin with, so that several systems may share a server.
    pub prefix: String,
    /// What our messages are told by: the same for all processes of a system, and nobody else's.
    pub key: [u8; 32],
    /// Messages of a topic that are kept for a slow listener.
    pub messages_max: usize,
}

impl NatsOptions {
    /// The defaults: no files, the prefix `advisor`.
    pub fn new(urls: impl Into<String>, key: [u8; 32]) -> Self {
        Self {
            urls: urls.into(),
            credentials_file: None,
            ca_file: None,
            prefix: "advisor".to_owned(),
            key,
            messages_max: crate::in_process::MESSAGES_MAX,
        }
    }
}

/// Why a bus can't be opened. A server that is away is no reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL can't be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Another prefix is needed.
    #[error("the prefix of subjects on the bus must be of letters, digits, `_` and `-`, with dots between them")]
    Prefix,
    /// A file can't be used.
    #[error("the bus's file {path} can't be used")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificates of the system can't be used.
    #[error("TLS to the bus can't be set up")]
    Tls(#[source] std::io::Error),
    /// The client does not start.
    #[error("the client of the bus can't be started")]
    Client(#[source] async_nats::ConnectError),
}

/// A bus over NATS. Its tasks end with it.
pub struct NatsBus {
    line: Arc<Line>,
    ending: CancellationToken,
    tasks: TaskTracker,
    _end: DropGuard,
}

/// What the bus's tasks share.
struct Line {
    client: Client,
    subjects: Subjects,
    seal: Seal,
    topics: Topics,
    /// How many connections all who listen have been told of.
    told: watch::Sender<u64>,
}

/// How often the connection came and how often it lost something, so that none is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turns {
    connected: u64,
    lost: u64,
}

impl NatsBus {
    /// Opens the bus and returns at once, whether a server is there or not.
    pub async fn open(options: NatsOptions) -> Result<Self, OpenError> {
        let addresses = address::parse(&options.urls, options.credentials_file.as_deref())?;
        let subjects = Subjects::new(&options.prefix).ok_or(OpenError::Prefix)?;
        let (turns, seen) = watch::channel(Turns::default());
        let connect = connect_options(&options, &addresses).await?;
        let connect = connect.custom_inbox_prefix(subjects.inbox()).event_callback({
            let turns = Arc::new(Watcher { turns, complained: AtomicBool::new(false) });
            move |event| {
                turns.note(&event);
                std::future::ready(())
            }
        });
        let client = connect.connect(addresses.servers).await.map_err(OpenError::Client)?;
        let (seal, topics) = (Seal::new(&options.key), Topics::new(options.messages_max));
        let line = Arc::new(Line { client, subjects, seal, topics, told: watch::Sender::new(0) });
        let (ending, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(ending.clone().run_until_cancelled_owned(watch_over(Arc::clone(&line), seen)));
        Ok(Self { line, tasks, _end: ending.clone().drop_guard(), ending })
    }

    /// Waits until there has been a server, and all who listen have been told so.
    pub async fn ready(&self) {
        // An error would be that the bus has ended, which this holds.
        self.line.told.subscribe().wait_for(|told| *told > 0).await.ok();
    }

    /// Whether there is a server now.
    pub fn is_connected(&self) -> bool {
        self.line.is_connected()
    }
}

async fn connect_options(options: &NatsOptions, addresses: &Addresses) -> Result<ConnectOptions, OpenError> {
    let mut connect = ConnectOptions::new()
        .name("advisor")
        .retry_on_initial_connect()
        .ignore_discovered_servers()
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_EVERY)
        .client_capacity(QUEUED_MAX)
        .subscription_capacity(options.messages_max.max(1))
        .reconnect_delay_callback(pause_before);
    match &addresses.login {
        Login::Nobody => {}
        Login::Token(token) => connect = connect.token(token.clone()),
        Login::Password { user, password } => connect = connect.user_and_password(user.clone(), password.clone()),
    }
    if let Some(path) = &options.credentials_file {
        let file = |source| OpenError::File { path: path.clone(), source };
        connect = connect.credentials_file(path).await.map_err(file)?;
    }
    if addresses.transport == Transport::Tls {
        let config = tls::config(options.ca_file.as_deref()).map_err(|source| match &options.ca_file {
            Some(path) => OpenError::File { path: path.clone(), source },
            None => OpenError::Tls(source),
        })?;
        connect = connect.require_tls(true).tls_client_config(config);
    }
    Ok(connect)
}

/// The pause before an attempt to connect, of which there have been so many since the last one that succeeded.
fn pause_before(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = RECONNECT_PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(doublings));
    if attempt <= 1 { Duration::ZERO } else { pause.min(RECONNECT_PAUSE_MAX) }
}

/// Hears from the client how the connection stands.
struct Watcher {
    turns: watch::Sender<Turns>,
    complained: AtomicBool,
}

impl Watcher {
    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.complained.store(false, Ordering::Relaxed);
                tracing::info!("the bus is connected");
                metrics::gauge!("advisor_bus_connected").set(1.0);
                self.turns.send_modify(|turns| turns.connected += 1);
            }
            Event::Disconnected | Event::Closed => {
                self.complain(event);
                metrics::gauge!("advisor_bus_connected").set(0.0);
                self.turns.send_modify(|turns| turns.lost += 1);
            }
            Event::SlowConsumer(_) => self.turns.send_modify(|turns| turns.lost += 1),
            Event::ServerError(_) | Event::ClientError(_) => self.complain(event),
            Event::LameDuckMode | Event::Draining => {}
        }
    }

    /// Once, until it is connected again: attempts are many.
    fn complain(&self, event: &Event) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(bus.error = %event, "the bus is away; who listens looks by the clock until it is back");
        }
    }
}

/// Tells all who listen when something may have been lost. After a connection has come they are told once the
/// server knows again what is listened to: nothing is missed between the look that they take then and what they
/// hear from then on.
async fn watch_over(line: Arc<Line>, mut seen: watch::Receiver<Turns>) {
    let mut before = Turns::default();
    while seen.changed().await.is_ok() {
        let now = *seen.borrow_and_update();
        if now.connected > before.connected {
            // Without an answer they are told too.
            line.round_trip().await.ok();
        }
        line.topics.tell_lost();
        line.told.send_replace(now.connected);
        before = now;
    }
}

impl Line {
    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Speaks to itself: once that is heard the server has taken in all that was sent before.
    async fn round_trip(&self) -> Result<(), Elapsed> {
        timeout(ANSWER_TIMEOUT, async {
            let inbox = self.client.new_inbox();
            if let Ok(mut echo) = self.client.subscribe(inbox.clone()).await
                && self.client.publish(inbox, Bytes::new()).await.is_ok()
            {
                echo.next().await;
            }
        })
        .await
    }

    /// Tells who listens what the server has of a topic, until nobody does.
    async fn follow(self: Arc<Self>, topic: Topic, subject: String, follower: Follower) {
        let Follower { heard, subscribed, ended: _ } = follower;
        let mut messages = match self.client.subscribe(subject).await {
            Ok(messages) => messages,
            Err(error) => {
                tracing::warn!(bus.error = %error, "a topic is not heard");
                return;
            }
        };
        // A connection that comes later tells by itself.
        if self.is_connected() && self.round_trip().await.is_err() {
            heard.send(None).ok();
        }
        subscribed.send_replace(Subscribed::Yes);
        while let Some(message) = messages.next().await {
            let said = self.seal.open(&topic, &message);
            if said.is_none() {
                metrics::counter!("advisor_bus_messages_refused_total").increment(1);
            }
            // Nobody listens: this ends before the next one.
            heard.send(said).ok();
        }
    }

    /// Sends if it can be sent at once.
    fn say(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        let headers = self.seal.headers(subject, &payload);
        let sent = self.client.publish_with_headers(subject.to_owned(), headers, payload);
        // Whether there is room is asked once; a task that has done much must not be told to wait instead.
        match unconstrained(sent).now_or_never() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(BusError(error.to_string())),
            None => lose("full"),
        }
        Ok(())
    }
}

fn lose(reason: &'static str) {
    metrics::counter!("advisor_bus_messages_lost_total", "reason" => reason).increment(1);
}

#[async_trait]
impl Bus for NatsBus {
    /// Never waits. Without a server, or with one that does not read, the message is lost and counted.
    async fn publish(&self, topic: &Topic, message: BusMessage) -> Result<(), BusError> {
        let subject = self.line.subjects.of(topic)?;
        if !self.line.is_connected() {
            lose("away");
            return Ok(());
        }
        for payload in message::encode(&message, self.line.client.max_payload())? {
            self.line.say(&subject, payload)?;
        }
        Ok(())
    }

    /// Without a server the topic is heard from its return on.
    async fn listen(&self, topic: &Topic) -> Result<Box<dyn Listener>, BusError> {
        let subject = self.line.subjects.of(topic)?;
        let (listener, follower) = self.line.topics.join(topic);
        if let Some(follower) = follower {
            let (ended, ending) = (follower.ended.clone(), self.ending.clone());
            let following = Arc::clone(&self.line).follow(topic.clone(), subject, follower);
            self.tasks.spawn(ending.run_until_cancelled_owned(ended.run_until_cancelled_owned(following)));
        }
        if self.line.is_connected() {
            // Without an answer who listens is told that something may be lost.
            timeout(ANSWER_TIMEOUT, listener.subscribed()).await.ok();
        }
        Ok(Box::new(listener))
    }

    fn server_is_there(&self) -> Option<bool> {
        Some(self.line.is_connected())
    }

    /// Waits until the server has taken in what was published, for [`ANSWER_TIMEOUT`] at most, and not at all
    /// without one.
    async fn close(&self) {
        if self.line.is_connected() && self.line.round_trip().await.is_err() {
            tracing::warn!("the bus does not answer; what was said last may be lost");
        }
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
