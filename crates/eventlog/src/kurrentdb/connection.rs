//! The client behind a swap: one that has died, or that nobody answers, is replaced by a new one.

use super::{
    failure::Failure,
    options::{KurrentDbOptions, OpenError},
    server::{Server, check_certificates, settings},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

/// After so many failures in a row a client is replaced: in a cluster it never looks for another node by itself.
pub const FAILURES_IN_A_ROW_MAX: u32 = 3;

pub(super) struct Connection {
    make: Box<dyn Fn() -> Result<Server, OpenError> + Send + Sync>,
    pause: Duration,
    pause_max: Duration,
    room: Semaphore,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    server: Option<Arc<Server>>,
    /// Calls that failed since one did not.
    failures: u32,
    /// Clients that never connected since one did.
    deaths: u32,
    /// No new client is made before.
    not_before: Option<Instant>,
}

impl Connection {
    pub(super) fn new(options: &KurrentDbOptions) -> Result<Self, OpenError> {
        let settings = settings(&options.url)?;
        check_certificates(&settings)?;
        Ok(Self {
            make: Box::new(move || Server::connect(&settings)),
            pause: options.reconnect_pause,
            pause_max: options.reconnect_pause_max,
            room: Semaphore::new(options.calls_max.clamp(1, Semaphore::MAX_PERMITS)),
            slot: Mutex::default(),
        })
    }

    /// A call, with a time-out of our own: the client's are hints to the server, which a dead one does not take.
    /// It is made again, within that time, where it certainly did nothing because another node leads.
    pub(super) async fn call<T, Answer>(
        &self,
        limit: Duration,
        call: impl Fn(Arc<Server>) -> Answer,
    ) -> Result<T, Failure>
    where
        Answer: Future<Output = Result<T, Failure>>,
    {
        let deadline = Instant::now() + limit;
        let Ok(Ok(_room)) = timeout_at(deadline, self.room.acquire()).await else {
            return Err(Failure::NotSent("too many calls wait for the server".to_owned()));
        };
        loop {
            let server = self.server()?;
            let answer = timeout_at(deadline, call(Arc::clone(&server))).await;
            let answer = answer.unwrap_or(Err(Failure::Silent(limit)));
            self.judge(&server, answer.as_ref().err());
            match answer {
                Err(Failure::NotLeader) if Instant::now() + self.pause < deadline => sleep(self.pause).await,
                answer => return answer,
            }
        }
    }

    /// The client that is there, or a new one.
    fn server(&self) -> Result<Arc<Server>, Failure> {
        let mut slot = self.lock();
        if let Some(server) = &slot.server {
            return Ok(Arc::clone(server));
        }
        let now = Instant::now();
        if let Some(later) = slot.not_before.filter(|later| *later > now) {
            let wait = later - now;
            return Err(Failure::NotSent(format!("the server can't be reached; the next attempt is in {wait:?}")));
        }
        let server = Arc::new((self.make)().map_err(|error| {
            self.put_off(&mut slot);
            Failure::NotSent(error.to_string())
        })?);
        slot.server = Some(Arc::clone(&server));
        slot.failures = 0;
        Ok(server)
    }

    /// Whether the client is kept after what came of its call.
    fn judge(&self, server: &Arc<Server>, failure: Option<&Failure>) {
        let mut slot = self.lock();
        if !slot.server.as_ref().is_some_and(|current| Arc::ptr_eq(current, server)) {
            return;
        }
        match failure {
            None
            | Some(
                Failure::WrongRevision(_)
                | Failure::NoSuchStream
                | Failure::Tombstoned
                | Failure::Denied
                | Failure::Refused(_)
                | Failure::NotSent(_)
                | Failure::Damaged(_),
            ) => {
                slot.failures = 0;
                slot.deaths = 0;
            }
            Some(Failure::NotLeader | Failure::Broken(_)) => {
                slot.failures += 1;
                if slot.failures >= FAILURES_IN_A_ROW_MAX {
                    slot.server = None;
                }
            }
            // Where nobody answers, a new connection may find somebody.
            Some(Failure::Silent(_)) => slot.server = None,
            Some(Failure::Dead(reason)) => {
                tracing::warn!(reason, "the event log's server can't be reached");
                slot.server = None;
                self.put_off(&mut slot);
            }
        }
    }

    fn put_off(&self, slot: &mut Slot) {
        let pause = self.pause.saturating_mul(2_u32.saturating_pow(slot.deaths)).min(self.pause_max);
        slot.deaths = slot.deaths.saturating_add(1);
        slot.not_before = Some(Instant::now() + pause);
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
