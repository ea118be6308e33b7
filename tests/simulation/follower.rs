//! A follower of the whole log: whatever happens to its subscriptions, it hears of each event once and in order.

use crate::{process::Process, weather::Weather};
use advisor_eventlog::{EventLog, Filter, Position, SubscriptionEvent};
use futures::StreamExt;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// What a follower has heard.
#[derive(Default)]
pub(crate) struct Follower(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    reached: Position,
    events: Vec<(Position, Uuid)>,
}

impl Follower {
    /// All events that it was told, in the order of the telling.
    pub(crate) fn events(&self) -> Vec<(Position, Uuid)> {
        self.0.lock().unwrap().events.clone()
    }

    /// Follows, and subscribes again from where it stands when a subscription ends.
    pub(crate) async fn run(self: Arc<Self>, process: Arc<Process>, log: Arc<dyn EventLog>, weather: Arc<Weather>) {
        let dice = weather.dice(&process.name);
        while process.is_up().await {
            let reached = self.0.lock().unwrap().reached;
            if let Ok(mut news) = log.subscribe_all(reached, Filter::all()).await {
                while let Some(Ok(told)) = news.next().await {
                    self.hear(&told);
                    weather.delay(&dice, 0..30).await;
                    if weather.strikes(&dice, 10) {
                        break;
                    }
                }
            }
            tokio::time::sleep(dice.ms(10..500)).await;
        }
    }

    fn hear(&self, told: &SubscriptionEvent) {
        let mut heard = self.0.lock().unwrap();
        match told {
            SubscriptionEvent::Event(event) => {
                heard.reached = event.position;
                heard.events.push((event.position, event.id));
            }
            SubscriptionEvent::Checkpoint(position) => heard.reached = *position,
            SubscriptionEvent::CaughtUp => {}
        }
    }
}
