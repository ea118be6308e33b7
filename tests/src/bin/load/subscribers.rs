//! Many that look at the same, and when each of them hears of one change after another.
//!
//! A change carries a mark, the same number of digits each time, and the next one comes only when everybody has
//! heard of it: so what a subscriber hears can be told apart without reading it.

use crate::{
    client::{Asked, Client, Door, Stream},
    samples::Times,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const MARK: &str = "mark-";
const MARK_DIGITS: usize = 8;
const MARK_BYTES: usize = MARK.len() + MARK_DIGITS;
/// Subscribers that connect at the same time.
const CONNECTING_MAX: usize = 64;
/// Until everybody has heard of a change, and until all have connected.
const PATIENCE: Duration = Duration::from_mins(1);

/// The text that tells change `number` from all others.
pub(crate) fn mark(number: u32) -> String {
    format!("{MARK}{number:0MARK_DIGITS$}")
}

/// Subscribers that look on until they are dismissed.
pub(crate) struct Subscribers {
    hall: Arc<Hall>,
    tasks: TaskTracker,
    end: CancellationToken,
}

/// What all of them share.
struct Hall {
    count: usize,
    heard: Mutex<Heard>,
    all: Notify,
}

/// Who has heard of the change that is under way.
struct Heard {
    number: u32,
    sent: Instant,
    after: Vec<Duration>,
    /// What went wrong with one of them.
    fault: Option<anyhow::Error>,
}

/// How a change was heard of.
pub(crate) struct Hearing {
    /// When each of them did, from when it was sent.
    pub(crate) after: Vec<Duration>,
    /// When the change was answered.
    pub(crate) answered: Duration,
}

impl Subscribers {
    /// Connects them all; each has what it looks at when this returns.
    pub(crate) async fn connect(door: Door, count: usize, request: &Asked) -> Result<Self> {
        let heard = Heard { number: 0, sent: Instant::now(), after: Vec::new(), fault: None };
        let hall = Arc::new(Hall { count, heard: Mutex::new(heard), all: Notify::new() });
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let (connecting, ready) = (Arc::new(Semaphore::new(CONNECTING_MAX)), Arc::new(Semaphore::new(0)));
        for _ in 0..count {
            let (hall, end, request) = (Arc::clone(&hall), end.clone(), request.clone());
            let (connecting, ready) = (Arc::clone(&connecting), Arc::clone(&ready));
            tasks.spawn(async move {
                let listening = async {
                    let place = connecting.acquire().await?;
                    let mut stream = Client::connect(door).await?.stream(request).await?;
                    stream.next().await.context("a stream ended before it began")??;
                    drop(place);
                    ready.add_permits(1);
                    listen(stream, &hall).await
                };
                let ended = tokio::select! {
                    () = end.cancelled() => return,
                    ended = listening => ended,
                };
                hall.lock().fault = ended.err();
                hall.all.notify_one();
            });
        }
        tasks.close();
        let subscribers = Self { hall, tasks, end };
        let all = u32::try_from(count)?;
        if timeout(PATIENCE, ready.acquire_many(all)).await.is_err() {
            bail!("{} of {count} subscribers have connected: {:?}", ready.available_permits(), subscribers.fault());
        }
        Ok(subscribers)
    }

    /// Makes a change that carries `mark(number)`, and waits until everybody has heard of it.
    pub(crate) async fn hear(&self, number: u32, client: &mut Client, change: Asked) -> Result<Hearing> {
        let sent = Instant::now();
        {
            let mut heard = self.hall.lock();
            (heard.number, heard.sent) = (number, sent);
            heard.after = Vec::with_capacity(self.hall.count);
        }
        let answer = client.ask(change).await?;
        let answered = sent.elapsed();
        ensure!(answer.status.is_success(), "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        if timeout(PATIENCE, self.hall.all.notified()).await.is_err() {
            bail!("of {} subscribers {} heard of change {number}", self.hall.count, self.hall.lock().after.len());
        }
        if let Some(fault) = self.fault() {
            return Err(fault.context("a subscriber has left"));
        }
        Ok(Hearing { after: std::mem::take(&mut self.hall.lock().after), answered })
    }

    fn fault(&self) -> Option<anyhow::Error> {
        self.hall.lock().fault.take()
    }

    /// Lets them go.
    pub(crate) async fn dismiss(self) {
        self.end.cancel();
        self.tasks.wait().await;
    }
}

impl Hall {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subscriber has heard of a change.
    fn note(&self, number: u32) {
        let mut heard = self.lock();
        if heard.number == number {
            let after = heard.sent.elapsed();
            heard.after.push(after);
            if heard.after.len() == self.count {
                self.all.notify_one();
            }
        }
    }
}

impl Hearing {
    /// When everybody had heard.
    pub(crate) fn all(&self) -> Duration {
        self.after.iter().max().copied().unwrap_or_default()
    }
}

/// How long each subscriber took, over all these changes.
pub(crate) fn times(hearings: &[Hearing]) -> Times {
    Times::of(hearings.iter().flat_map(|hearing| hearing.after.iter().map(|after| micros(*after))))
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Notes each mark that comes, until the stream ends: which it should not.
async fn listen(mut stream: Stream, hall: &Hall) -> Result<()> {
    let (mut rest, mut last) = (Vec::new(), 0);
    while let Some(bytes) = stream.next().await {
        rest.extend_from_slice(&bytes?);
        while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK.as_bytes()) {
            let Some(digits) = rest.get(at + MARK.len()..at + MARK_BYTES) else { break };
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or_default();
            // One change may name its mark more than once.
            if number > last {
                hall.note(number);
                last = number;
            }
            rest.drain(..at + MARK_BYTES);
        }
        // A mark may lie across two pieces.
        rest.drain(..rest.len().saturating_sub(MARK_BYTES));
    }
    bail!("the stream has ended")
}
