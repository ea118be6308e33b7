//! A bus that loses, doubles, delays and reorders what is said.

use crate::{dice::Dice, process::Process, weather::Weather};
use advisor_bus::{Bus, BusError, BusMessage, Listener, Topic};
use async_trait::async_trait;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

type Ear = mpsc::UnboundedSender<Option<BusMessage>>;

/// The bus of a world.
pub(crate) struct SimBus {
    weather: Arc<Weather>,
    dice: Dice,
    ears: Mutex<HashMap<Topic, Vec<Ear>>>,
}

impl SimBus {
    /// A bus that nobody listens to yet.
    pub(crate) fn open(weather: &Arc<Weather>) -> Arc<Self> {
        Arc::new(Self { weather: Arc::clone(weather), dice: weather.dice("bus"), ears: Mutex::default() })
    }

    /// The bus as a process reaches it.
    pub(crate) fn of(self: &Arc<Self>, process: &Arc<Process>) -> Arc<dyn Bus> {
        Arc::new(BusOf { process: Arc::clone(process), bus: Arc::clone(self) })
    }

    fn publish(&self, topic: &Topic, message: &BusMessage) {
        let mut all = self.ears.lock().unwrap();
        let Some(ears) = all.get_mut(topic) else { return };
        ears.retain(|ear| !ear.is_closed());
        for ear in ears {
            if self.weather.strikes(&self.dice, 100) {
                // Whoever loses something may be told so, or not.
                if self.dice.happens(300) {
                    drop(ear.send(None));
                }
                continue;
            }
            let copies = if self.weather.strikes(&self.dice, 100) { 2 } else { 1 };
            for _ in 0..copies {
                self.deliver(ear.clone(), message.clone());
            }
        }
    }

    fn deliver(&self, ear: Ear, message: BusMessage) {
        if self.weather.strikes(&self.dice, 200) {
            let late = self.dice.ms(1..400);
            TaskTracker::new().spawn(async move {
                tokio::time::sleep(late).await;
                drop(ear.send(Some(message)));
            });
        } else {
            drop(ear.send(Some(message)));
        }
    }
}

/// The bus as a process reaches it.
struct BusOf {
    process: Arc<Process>,
    bus: Arc<SimBus>,
}

#[async_trait]
impl Bus for BusOf {
    async fn publish(&self, topic: &Topic, message: BusMessage) -> Result<(), BusError> {
        let (bus, topic) = (Arc::clone(&self.bus), topic.clone());
        self.process.call(async move { bus.publish(&topic, &message) }).await;
        Ok(())
    }

    async fn listen(&self, topic: &Topic) -> Result<Box<dyn Listener>, BusError> {
        let (ear, heard) = mpsc::unbounded_channel();
        self.bus.ears.lock().unwrap().entry(topic.clone()).or_default().push(ear);
        Ok(Box::new(ListenerOf { process: Arc::clone(&self.process), heard }))
    }
}

struct ListenerOf {
    process: Arc<Process>,
    heard: mpsc::UnboundedReceiver<Option<BusMessage>>,
}

#[async_trait]
impl Listener for ListenerOf {
    async fn next(&mut self) -> Option<BusMessage> {
        // Before anything is taken: the wait may be given up at any time.
        if !self.process.is_up().await {
            return std::future::pending().await;
        }
        self.heard.recv().await.unwrap_or(None)
    }
}
