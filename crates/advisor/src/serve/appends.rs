//! Processes that share a log tell each other how far they have appended: whoever follows it in another process looks
//! at once, and not when the clock says so (`docs/decisions/0225-appends-ring-the-bus.md`).

use super::engines::OpenLog;
use advisor_bus::{Appended, Bus, BusMessage, Topic};
use advisor_eventlog::Position;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Least time between two messages of this process.
pub(crate) const REST: Duration = Duration::from_millis(1);

/// Tells the others, and listens to them. Where nobody else appends there is nothing to tell.
pub(super) fn exchange(log: &OpenLog, bus: &Arc<dyn Bus>, tasks: &TaskTracker, ending: &CancellationToken) {
    let Some(appended) = log.appended() else { return };
    let (saying, hearing) = (say(appended, Arc::clone(bus)), hear(log.clone(), Arc::clone(bus)));
    tasks.spawn(ending.clone().run_until_cancelled_owned(saying));
    tasks.spawn(ending.clone().run_until_cancelled_owned(hearing));
}

/// What is appended meanwhile is one message.
async fn say(mut appended: watch::Receiver<Position>, bus: Arc<dyn Bus>) {
    while appended.changed().await.is_ok() {
        let to = appended.borrow_and_update().0;
        if let Err(error) = bus.publish(&Topic::Appends, BusMessage::Appended(Appended { to })).await {
            tracing::warn!(bus.error = %error, "others are not told of appends; they look by the clock");
        }
        sleep(REST).await;
    }
}

async fn hear(log: OpenLog, bus: Arc<dyn Bus>) {
    let mut listener = match bus.listen(&Topic::Appends).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(bus.error = %error, "others' appends are not heard of; looking by the clock");
            return;
        }
    };
    loop {
        match listener.next().await {
            Some(BusMessage::Appended(appended)) => log.look_for(Position(appended.to)),
            // Some may have been lost.
            None => log.look_for(Position(u64::MAX)),
            Some(BusMessage::Changes(_) | BusMessage::Delta(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests;
