//! What a process listens to: one subscription of each topic, however many listen to it here.

use crate::port::{BusMessage, Listener, Topic};
use async_trait::async_trait;
use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What is heard; `None` where something may not have been.
pub(super) type Heard = Option<BusMessage>;

/// The topics that somebody listens to.
pub(super) struct Topics {
    messages_max: usize,
    channels: Mutex<HashMap<Topic, Weak<Channel>>>,
}

/// One topic, for as long as somebody listens to it.
pub(super) struct Channel {
    heard: broadcast::Sender<Heard>,
    subscribed: watch::Receiver<Subscribed>,
    _end: DropGuard,
}

/// Whether the server knows that we listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscribed {
    NotYet,
    Yes,
}

/// The other end of a channel: who follows the topic until nobody listens any more.
pub(super) struct Follower {
    pub(super) heard: broadcast::Sender<Heard>,
    pub(super) subscribed: watch::Sender<Subscribed>,
    pub(super) ended: CancellationToken,
}

impl Topics {
    /// Nobody listens yet. So many messages of a topic are kept for a slow listener.
    pub(super) fn new(messages_max: usize) -> Self {
        Self { messages_max: messages_max.max(1), channels: Mutex::default() }
    }

    /// One listener more; with who has to follow the topic, where it is the first.
    pub(super) fn join(&self, topic: &Topic) -> (NatsListener, Option<Follower>) {
        let mut channels = self.lock();
        channels.retain(|_, channel| channel.strong_count() > 0);
        if let Some(channel) = channels.get(topic).and_then(Weak::upgrade) {
            return (NatsListener { heard: channel.heard.subscribe(), channel }, None);
        }
        let (sender, heard) = broadcast::channel(self.messages_max);
        let (subscribed, is_subscribed) = watch::channel(Subscribed::NotYet);
        let ended = CancellationToken::new();
        let follower = Follower { heard: sender.clone(), subscribed, ended: ended.clone() };
        let channel = Arc::new(Channel { heard: sender, subscribed: is_subscribed, _end: ended.drop_guard() });
        channels.insert(topic.clone(), Arc::downgrade(&channel));
        (NatsListener { heard, channel }, Some(follower))
    }

    /// Everybody may have missed something.
    pub(super) fn tell_lost(&self) {
        for channel in self.lock().values().filter_map(Weak::upgrade) {
            // Whoever has just gone need not hear it.
            channel.heard.send(None).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Weak<Channel>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to one topic.
pub(super) struct NatsListener {
    heard: broadcast::Receiver<Heard>,
    channel: Arc<Channel>,
}

impl NatsListener {
    /// Waits until the server knows.
    pub(super) async fn subscribed(&self) {
        let mut subscribed = self.channel.subscribed.clone();
        // An error would be that nobody follows the topic any more: there is nothing to wait for.
        subscribed.wait_for(|subscribed| *subscribed == Subscribed::Yes).await.ok();
    }
}

#[async_trait]
impl Listener for NatsListener {
    async fn next(&mut self) -> Option<BusMessage> {
        match self.heard.recv().await {
            Ok(heard) => heard,
            Err(RecvError::Lagged(_)) => None,
            // Never, since the channel that this holds has the other end.
            Err(RecvError::Closed) => pending().await,
        }
    }
}
