//! The two ways of asking: each client when it has its answer, or all of them on a schedule whatever comes back.

use crate::{
    client::{Asked, Door},
    samples::{Outcome, Samples},
    wire::{Wire, written},
};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::{sleep_until, timeout};
use tokio_util::task::TaskTracker;

/// Most time for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// Most connections of a schedule.
const CONNECTIONS_MAX: usize = 8_192;

/// The request of each number, as it is written.
pub(crate) type Requests = Arc<dyn Fn(usize) -> Bytes + Send + Sync>;

/// These requests in turn.
pub(crate) fn in_turn(requests: &[Asked]) -> Requests {
    let requests: Vec<Bytes> = requests.iter().map(written).collect();
    Arc::new(move |number| requests.get(number % requests.len().max(1)).cloned().unwrap_or_default())
}

/// So many clients, each of which asks again when it has its answer.
pub(crate) async fn closed(door: Door, clients: usize, duration: Duration, requests: &Requests) -> Samples {
    let end = Instant::now() + duration;
    closed_while(door, clients, requests, move |_| Instant::now() < end).await
}

/// The same until so many requests have been answered.
pub(crate) async fn counted(door: Door, clients: usize, count: usize, requests: &Requests) -> Samples {
    closed_while(door, clients, requests, move |number| number < count).await
}

async fn closed_while(
    door: Door,
    clients: usize,
    requests: &Requests,
    goes_on: impl Fn(usize) -> bool + Copy + Send + 'static,
) -> Samples {
    let samples = Arc::new(Samples::new(Instant::now()));
    let tasks = TaskTracker::new();
    for client in 0..clients {
        let (samples, requests) = (Arc::clone(&samples), Arc::clone(requests));
        tasks.spawn(async move {
            let (mut connection, mut number) = (None, client);
            while goes_on(number) {
                connection = ask(door, connection, requests(number), Instant::now(), &samples).await;
                number += clients;
            }
        });
    }
    ended(tasks, samples).await
}

/// A schedule.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) per_second: f64,
    pub(crate) duration: Duration,
}

/// Sends requests when they are due, over as many connections as that takes.
pub(crate) async fn open(door: Door, schedule: Schedule, requests: &Requests) -> Samples {
    let samples = Arc::new(Samples::new(Instant::now()));
    let pool = Arc::new(Pool { door, idle: Mutex::default(), open: AtomicUsize::new(0) });
    let tasks = TaskTracker::new();
    for number in 0_u32.. {
        let at = Duration::from_secs_f64(f64::from(number) / schedule.per_second);
        if at >= schedule.duration {
            break;
        }
        let due = samples.begun() + at;
        if due > Instant::now() {
            sleep_until(due.into()).await;
        }
        let request = requests(number as usize);
        let (samples, pool) = (Arc::clone(&samples), Arc::clone(&pool));
        tasks.spawn(async move { pool.ask(request, due, &samples).await });
    }
    ended(tasks, samples).await
}

async fn ended(tasks: TaskTracker, samples: Arc<Samples>) -> Samples {
    tasks.close();
    tasks.wait().await;
    // All tasks have ended, and what they held with them.
    Arc::into_inner(samples).unwrap_or_else(|| Samples::new(Instant::now()))
}

/// Connections that wait for a request.
struct Pool {
    door: Door,
    idle: Mutex<Vec<Wire>>,
    open: AtomicUsize,
}

impl Pool {
    async fn ask(&self, request: Bytes, due: Instant, samples: &Samples) {
        let idle = self.idle_client();
        if idle.is_none() && self.open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return samples.take(due, Instant::now(), Outcome::Unsent);
        }
        match ask(self.door, idle, request, due, samples).await {
            Some(client) => self.idle().push(client),
            None => drop(self.open.fetch_sub(1, Ordering::Relaxed)),
        }
    }

    /// One that the server has not closed meanwhile.
    fn idle_client(&self) -> Option<Wire> {
        let client = self.idle().pop()?;
        if client.is_open() {
            return Some(client);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// The list stays whole whatever panicked while it was held.
    fn idle(&self) -> MutexGuard<'_, Vec<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks on this connection or a new one, and takes a sample; gives the connection back if it goes on.
async fn ask(door: Door, client: Option<Wire>, request: Bytes, due: Instant, samples: &Samples) -> Option<Wire> {
    let connected = match client {
        Some(client) => Ok(client),
        None => Wire::connect(door).await,
    };
    let Ok(mut client) = connected else {
        samples.take(due, Instant::now(), Outcome::Unanswered);
        return None;
    };
    let sent = Instant::now();
    let answer = timeout(ANSWER_MAX, client.ask(&request)).await;
    let outcome = match &answer {
        Ok(Ok(answer)) => Outcome::of(answer),
        Ok(Err(_)) | Err(_) => Outcome::Unanswered,
    };
    samples.take(due, sent, outcome);
    (outcome != Outcome::Unanswered && client.is_open()).then_some(client)
}
