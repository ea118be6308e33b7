//! The bus of the embedded default: bounded broadcast channels in one process.

use crate::port::{Bus, BusError, BusMessage, Listener, Topic};
use async_trait::async_trait;
use std::{collections::HashMap, sync::Mutex};
use tokio::sync::broadcast::{self, error::RecvError};

/// Messages kept for a slow listener; what is older is lost to it.
const MESSAGES_MAX: usize = 1_024;

/// A bus within this process.
#[derive(Default)]
pub struct InProcessBus {
    topics: Mutex<HashMap<Topic, broadcast::Sender<BusMessage>>>,
}

impl InProcessBus {
    /// A bus that nobody listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Topic, broadcast::Sender<BusMessage>>> {
        self.topics.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for InProcessBus {
    async fn publish(&self, topic: &Topic, message: BusMessage) -> Result<(), BusError> {
        let mut topics = self.lock();
        // A topic lives as long as somebody listens: sending fails when the last one has gone.
        if topics.get(topic).is_some_and(|sender| sender.send(message).is_err()) {
            topics.remove(topic);
        }
        Ok(())
    }

    async fn listen(&self, topic: &Topic) -> Result<Box<dyn Listener>, BusError> {
        let mut topics = self.lock();
        topics.retain(|_, sender| sender.receiver_count() > 0);
        let sender = topics.entry(topic.clone()).or_insert_with(|| broadcast::channel(MESSAGES_MAX).0);
        Ok(Box::new(InProcessListener(sender.subscribe())))
    }
}

struct InProcessListener(broadcast::Receiver<BusMessage>);

#[async_trait]
impl Listener for InProcessListener {
    async fn next(&mut self) -> Option<BusMessage> {
        match self.0.recv().await {
            Ok(message) => Some(message),
            Err(RecvError::Lagged(_)) => None,
            // The bus itself is gone: nothing will ever be said again, and waiting is all that is left.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
