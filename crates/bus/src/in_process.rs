//! The bus of the embedded default: bounded broadcast channels in one process.

use crate::port::{Bus, BusError, BusMessage, Listener, Topic};
use async_trait::async_trait;
use std::{collections::HashMap, sync::Mutex};
use tokio::sync::broadcast::{self, error::RecvError};

/// Messages kept for a slow listener, unless others are wanted; what is older is lost to it.
pub const MESSAGES_MAX: usize = 1_024;

/// A bus within this process.
pub struct InProcessBus {
    messages_max: usize,
    topics: Mutex<HashMap<Topic, broadcast::Sender<BusMessage>>>,
}

impl Default for InProcessBus {
    fn default() -> Self {
        Self::new()
    }
}

impl InProcessBus {
    /// A bus that nobody listens to yet, which keeps [`MESSAGES_MAX`] messages.
    pub fn new() -> Self {
        Self::holding(MESSAGES_MAX)
    }

    /// A bus that keeps so many messages of each topic for a slow listener.
    pub fn holding(messages_max: usize) -> Self {
        Self { messages_max: messages_max.max(1), topics: Mutex::default() }
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
        let sender = topics.entry(topic.clone()).or_insert_with(|| broadcast::channel(self.messages_max).0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Fixture;
    use std::sync::Arc;

    struct InOneProcess;

    #[async_trait]
    impl Fixture for InOneProcess {
        async fn open(&self, messages_max: usize) -> [Arc<dyn Bus>; 2] {
            let bus = Arc::new(InProcessBus::holding(messages_max));
            [Arc::clone(&bus) as _, bus]
        }
    }

    crate::contract_tests!(InOneProcess);
}
