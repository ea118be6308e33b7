//! When to look at the read models: when the bus rings for one of them, and once in a while anyway.

use advisor_bus::{Bus, BusMessage, Listener, Topic};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Least time between two looks, however often it rings.
pub const REST: Duration = Duration::from_millis(10);

/// A doorbell for some projections.
pub(crate) struct Bell {
    bus: Arc<dyn Bus>,
    projections: &'static [&'static str],
    every: Duration,
    listener: Option<Box<dyn Listener>>,
    looked_at: Instant,
}

impl Bell {
    /// Rings for these projections; and after `every`, because a ring may be lost.
    pub(crate) fn new(bus: Arc<dyn Bus>, projections: &'static [&'static str], every: Duration) -> Self {
        Self { bus, projections, every, listener: None, looked_at: Instant::now() }
    }

    /// Listens from now on, so that nothing rings unheard between a look and the wait for the next one.
    pub(crate) async fn listen(&mut self) {
        if self.listener.is_none() {
            match self.bus.listen(&Topic::Changes).await {
                Ok(listener) => self.listener = Some(listener),
                Err(error) => tracing::warn!(error = %error, "the bus can't be listened to; looking by the clock"),
            }
        }
        self.looked_at = Instant::now();
    }

    /// Waits until it is time to look.
    pub(crate) async fn rung(&mut self) {
        let until = self.looked_at + self.every;
        let projections = self.projections;
        tokio::select! {
            biased;
            () = sleep_until(until) => return,
            () = ring(self.listener.as_mut(), projections) => {}
        }
        sleep_until((self.looked_at + REST).min(until)).await;
    }
}

async fn ring(listener: Option<&mut Box<dyn Listener>>, projections: &[&str]) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.next().await {
            Some(BusMessage::Changes(changes)) => {
                if changes.changes.iter().any(|change| projections.contains(&change.projection.as_str())) {
                    return;
                }
            }
            Some(BusMessage::Appended(_) | BusMessage::Delta(_)) => {}
            // Messages were lost: one of them may have been for us.
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use advisor_bus::{Change, Changes, InProcessBus};

    #[tokio::test(start_paused = true)]
    async fn it_rings_for_its_projection_alone_and_once_a_second_anyway() {
        let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new());
        let mut bell = Bell::new(Arc::clone(&bus), &["replies"], Duration::from_secs(1));
        bell.listen().await;

        let began = Instant::now();
        bus.publish(&Topic::Changes, changed("replies")).await.unwrap();
        bell.rung().await;
        assert!(began.elapsed() < Duration::from_millis(50));

        bell.listen().await;
        let began = Instant::now();
        bus.publish(&Topic::Changes, changed("users")).await.unwrap();
        bell.rung().await;
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    fn changed(projection: &str) -> BusMessage {
        let change = Change { feed: "u".into(), projection: projection.into(), key: "k".into() };
        BusMessage::Changes(Arc::new(Changes { generation: 1, from: 1, to: 2, changes: vec![change] }))
    }
}
