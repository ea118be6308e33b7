//! The end of a log that several processes share, for those who follow it: what this process appends is shown to them
//! at once, what others append is looked for, by one task for all of them, and the more often the more happens.

use crate::{
    follow::{Source, closed, follow},
    port::{Filter, PAGE_EVENTS_MAX, Page, Position, ReadError, Recorded, Subscription},
    recent::{Joint, Recent},
};
use futures::future::{BoxFuture, FutureExt};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// The next look comes after this part of the time since news last came.
const PART_OF_SILENCE: u32 = 10;

/// A log whose end is looked at.
pub(crate) trait Looked: Send + Sync + 'static {
    /// How it is done.
    fn tail_limits(&self) -> TailLimits;

    /// Where its last event stands.
    fn head(&self) -> impl Future<Output = Result<Position, ReadError>> + Send;

    /// A page after `after`.
    fn page_after(
        &self,
        after: Position,
        filter: &Filter,
        max: usize,
    ) -> impl Future<Output = Result<Page, ReadError>> + Send;
}

/// The limits of looking, as each adapter's options describe them.
#[derive(Clone, Copy)]
pub(crate) struct TailLimits {
    pub(crate) recent_events_max: usize,
    pub(crate) recent_bytes_max: usize,
    pub(crate) look_interval_min: Duration,
    pub(crate) look_interval_max: Duration,
    pub(crate) look_rest: Duration,
    pub(crate) look_events_max: usize,
    pub(crate) follow_page_max: usize,
}

/// The tail that all followers share, while there are any.
pub(crate) struct Tails<L> {
    log: Arc<L>,
    tasks: TaskTracker,
    ending: CancellationToken,
    current: Mutex<Option<Arc<Tail<L>>>>,
    /// Up to where this process has appended, since it opened the log.
    appended: watch::Sender<Position>,
}

/// What followers are served from as long as looks succeed: one that fails ends it, and them.
pub(crate) struct Tail<L> {
    log: Arc<L>,
    limits: TailLimits,
    tasks: TaskTracker,
    recent: Recent,
    /// Counts those who asked for a look.
    asked: watch::Sender<u64>,
    /// How many had asked when the last look began; when there will be no more looks, the highest number.
    looked: watch::Sender<u64>,
}

impl<L: Looked> Tails<L> {
    pub(crate) fn new(log: Arc<L>, tasks: TaskTracker, ending: CancellationToken) -> Self {
        Self { log, tasks, ending, current: Mutex::default(), appended: watch::Sender::new(Position::START) }
    }

    /// Everything after `after`, and then what comes. It begins once the tail has reached what is there now.
    pub(crate) async fn follow(self: &Arc<Self>, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
        let (tail, subscription) = {
            let mut current = self.lock();
            let tail = Arc::clone(current.get_or_insert_with(|| self.begin()));
            // It holds the tail's bell from here on, so that the tail does not end for want of followers.
            let subscription = follow(Arc::clone(&tail), after, filter);
            (tail, subscription)
        };
        tail.be_looked_at().await?;
        Ok(subscription)
    }

    /// This process has appended up to here.
    pub(crate) fn note_appended(&self, to: Position) {
        self.appended.send_if_modified(|appended| {
            let is_news = to > *appended;
            *appended = to.max(*appended);
            is_news
        });
    }

    /// Tells whenever this process has appended, and up to where.
    pub(crate) fn appended(&self) -> watch::Receiver<Position> {
        self.appended.subscribe()
    }

    /// Others are said to have appended up to here: they are looked for at once, unless nobody follows, or it is known.
    /// What this process has appended itself is seen to by who appends.
    pub(crate) fn look_for(&self, appended: Position) {
        if appended > *self.appended.borrow()
            && let Some(tail) = self.current()
            && tail.recent.head() < appended
        {
            tail.ask();
        }
    }

    /// The tail, if anybody follows.
    pub(crate) fn current(&self) -> Option<Arc<Tail<L>>> {
        self.lock().clone()
    }

    fn begin(self: &Arc<Self>) -> Arc<Tail<L>> {
        let limits = self.log.tail_limits();
        let tail = Arc::new(Tail {
            log: Arc::clone(&self.log),
            limits,
            tasks: self.tasks.clone(),
            recent: Recent::new(Position::START, limits.recent_events_max, limits.recent_bytes_max),
            asked: watch::Sender::new(0),
            looked: watch::Sender::new(0),
        });
        self.tasks.spawn(Arc::clone(self).look_on(Arc::clone(&tail)));
        tail
    }

    /// Looks for news until nobody follows, a look fails, or the log is closed.
    async fn look_on(self: Arc<Self>, tail: Arc<Tail<L>>) {
        let looks = async {
            let mut asked = tail.asked.subscribe();
            let mut news_came = Instant::now();
            while self.is_needed(&tail) {
                let began = Instant::now();
                let asks = *asked.borrow_and_update();
                let found = tail.look().await?;
                if found > 0 {
                    news_came = Instant::now();
                }
                tail.looked.send_replace(asks);
                let asked_again = async {
                    // Its sender is the tail's.
                    asked.changed().await.ok();
                    sleep_until(began + tail.limits.rest(found)).await;
                };
                tokio::select! {
                    () = asked_again => {}
                    () = sleep(tail.limits.pause(news_came.elapsed())) => {}
                }
            }
            Ok::<_, ReadError>(())
        };
        let ended = self.ending.run_until_cancelled(looks).await.unwrap_or_else(|| Err(closed()));
        if let Err(error) = ended {
            *self.lock() = None;
            tail.recent.fail(error);
            tail.looked.send_replace(u64::MAX);
        }
    }

    /// Whether anybody follows; if not, the tail is nobody's any more.
    fn is_needed(&self, tail: &Tail<L>) -> bool {
        let mut current = self.lock();
        let needed = tail.recent.is_followed();
        if !needed {
            *current = None;
        }
        needed
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Tail<L>>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Looked> Tail<L> {
    /// Shows what stands after `after`. What others appended before it is looked for at once.
    pub(crate) fn show(&self, after: Position, events: Vec<Arc<Recorded>>) {
        if self.recent.join(after, events) == Joint::Missing {
            self.ask();
        }
    }

    /// Wakes the followers.
    pub(crate) fn ring_the_bell(&self) {
        self.recent.ring_the_bell();
    }

    /// Returns when a look that began after now has ended.
    async fn be_looked_at(&self) -> Result<(), ReadError> {
        let mut looked = self.looked.subscribe();
        let ask = self.ask();
        // Its sender is ours.
        drop(looked.wait_for(|reached| *reached >= ask).await);
        self.recent.failure().map_or(Ok(()), Err)
    }

    /// Has others' news looked for at once, this process's own among them.
    pub(crate) fn ask(&self) -> u64 {
        let mut mine = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            mine = *asked;
        });
        mine
    }

    /// How many events it has found. Where more has come than a look takes, followers read pages up to the head.
    async fn look(&self) -> Result<usize, ReadError> {
        let to = self.recent.head();
        let head = self.log.head().await?;
        if head <= to {
            return Ok(0);
        }
        let max = self.limits.look_events_max.clamp(1, PAGE_EVENTS_MAX);
        let page = self.log.page_after(to, &Filter::all(), max).await?;
        let found = page.events.len().max(1);
        if page.scanned_to < head {
            self.recent.restart_at(head);
        } else {
            self.recent.join(to, page.events.into_iter().map(Arc::new));
            self.recent.scanned(page.scanned_to);
        }
        self.recent.ring_the_bell();
        Ok(found)
    }
}

impl<L: Looked> Source for Tail<L> {
    fn recent(&self) -> &Recent {
        &self.recent
    }

    fn page(self: Arc<Self>, after: Position, filter: &Filter) -> BoxFuture<'static, Result<Page, ReadError>> {
        let (filter, max) = (filter.clone(), self.limits.follow_page_max.clamp(1, PAGE_EVENTS_MAX));
        let tail = Arc::clone(&self);
        let reading = self.tasks.spawn(async move { tail.log.page_after(after, &filter, max).await });
        let reading = AbortOnDropHandle::new(reading);
        async move { reading.await.unwrap_or_else(|error| Err(ReadError::Unavailable(error.to_string()))) }.boxed()
    }
}

impl TailLimits {
    /// How long nobody looks after a look that found so many events, whoever asks.
    pub(crate) fn rest(&self, events: usize) -> Duration {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        self.look_rest.saturating_mul(events).min(self.look_interval_min)
    }

    /// How long nobody looks after so long a silence.
    pub(crate) fn pause(&self, silence: Duration) -> Duration {
        let longest = self.look_interval_max.max(self.look_interval_min);
        (silence / PART_OF_SILENCE).clamp(self.look_interval_min, longest)
    }
}
