//! How a process that does not bring the read models forward knows how far they are.
//!
//! It looks at the checkpoint when the bus rings, every second anyway, and often while somebody waits for a position.
//! How the work fares it reads in the lease: what its owner says of itself, or that there is none.

use crate::{
    Generation, StoreError,
    checkpoint::{self, Stand},
    lease::Lease,
    reader::State,
    store::{RowError, Statement},
};
use advisor_bus::{Bus, BusMessage, Listener, Topic};
use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// How often the checkpoint and the lease are looked at, whatever the bus says.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How often the checkpoint is looked at while somebody waits for a position: without a bus, this is what they wait.
pub const FOLLOW_WAITED_FOR: Duration = Duration::from_millis(50);
/// Without a sign of life of an owner for so long nobody is waited for, and readiness says so.
pub const NOBODY_AFTER: Duration = Duration::from_secs(10);
/// What is said then.
const NOBODY: &str = "no worker brings the read models forward";

/// Follows a generation that another process brings forward.
pub struct Follower {
    generation: Generation,
    bus: Arc<dyn Bus>,
    lease: Lease,
    listener: Option<Box<dyn Listener>>,
    /// The owner's sign, and since when it is the same.
    seen: Option<(Option<(u64, u64)>, Instant)>,
}

impl Follower {
    /// Follows a generation by its lease.
    pub fn new(generation: Generation, bus: Arc<dyn Bus>, lease: Lease) -> Self {
        Self { generation, bus, lease, listener: None, seen: None }
    }

    /// Follows for as long as it is polled.
    pub async fn follow(&mut self) -> Infallible {
        let mut look_at = Instant::now();
        loop {
            self.listen().await;
            let is_due = Instant::now() >= look_at;
            if is_due {
                look_at = Instant::now() + FOLLOW_EVERY;
                self.look_at_owner().await;
            }
            if let Err(error) = look_at_checkpoint(&self.generation).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the checkpoint can't be looked at");
            }
            tokio::select! {
                () = sleep_until(look_at) => {}
                () = ring(self.listener.as_mut()) => {}
                () = waited_for(&self.generation) => {}
            }
        }
    }

    async fn listen(&mut self) {
        if self.listener.is_none() {
            match self.bus.listen(&Topic::Changes).await {
                Ok(listener) => self.listener = Some(listener),
                Err(error) => tracing::warn!(bus.error = %error, "the bus can't be listened to; looking by the clock"),
            }
        }
    }

    async fn look_at_owner(&mut self) {
        let Lease::Shared(lease) = &self.lease else { return };
        match lease.look().await {
            Ok(row) => {
                let sign = row.as_ref().map(|row| (row.fence, row.beat));
                let said = row.map_or(State::CatchingUp, |row| row.state);
                let silence = self.unchanged_for(sign);
                self.tell(if silence < NOBODY_AFTER { said } else { lonely(said) });
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the owner of the read models is not known");
            }
        }
    }

    fn unchanged_for(&mut self, sign: Option<(u64, u64)>) -> Duration {
        let now = Instant::now();
        let since = match self.seen {
            Some((seen, since)) if seen == sign => since,
            Some(_) | None => now,
        };
        self.seen = Some((sign, since));
        now.duration_since(since)
    }

    fn tell(&self, state: State) {
        self.generation.progress().send_if_modified(|progress| {
            let has_changed = progress.state != state;
            progress.state = state;
            has_changed
        });
    }
}

async fn look_at_checkpoint(generation: &Generation) -> Result<(), StoreError> {
    let stand = Statement::new(checkpoint::STAND, Vec::new());
    let row = generation.store().read(vec![stand]).await?.into_iter().flatten().next();
    let Stand { position, .. } = Stand::from_row(row.ok_or(RowError("checkpoint"))?)?;
    generation.progress().send_if_modified(|progress| {
        let has_moved = position > progress.position;
        progress.position = position.max(progress.position);
        has_moved
    });
    Ok(())
}

/// What an owner has said that has gone since: why it stopped, if that is what it said.
fn lonely(said: State) -> State {
    match said {
        State::Stopped(reason) => State::Stopped(reason),
        State::Live | State::CatchingUp => State::Stopped(NOBODY.to_owned()),
    }
}

/// Returns when the read models may have moved. What the message says is not believed: anybody may have sent it.
async fn ring(listener: Option<&mut Box<dyn Listener>>) {
    let Some(listener) = listener else { return pending().await };
    loop {
        match listener.next().await {
            Some(BusMessage::Changes(_)) | None => return,
            Some(BusMessage::Appended(_) | BusMessage::Delta(_)) => {}
        }
    }
}

/// Returns when it is time to look because somebody waits.
async fn waited_for(generation: &Generation) {
    let mut waiting = generation.waiting().subscribe();
    // The generation, which is borrowed here, holds the other end.
    if waiting.wait_for(|waiting| *waiting > 0).await.is_err() {
        return pending().await;
    }
    sleep(FOLLOW_WAITED_FOR).await;
}
