//! Following the whole log: pages while behind, then the ring of recent events, without gap or repeat.

use crate::{
    port::{Filter, Page, Position, ReadError, Recorded, Subscription, SubscriptionEvent},
    recent::{Glance, Recent},
};
use advisor_proof::{Mutant, is_planted};
use futures::{
    future::BoxFuture,
    stream::{self, StreamExt, TryStreamExt},
};
use std::sync::Arc;
use tokio::sync::watch;

/// Most events that a follower takes out of the ring at once.
pub const GLANCE_EVENTS_MAX: usize = 1_024;

/// A log that can be followed.
pub(crate) trait Source: Send + Sync + 'static {
    /// Its newest events.
    fn recent(&self) -> &Recent;

    /// Begins to read the page after `after`; the work goes on while nobody waits for it yet.
    fn page(self: Arc<Self>, after: Position, filter: &Filter) -> BoxFuture<'static, Result<Page, ReadError>>;
}

/// Everything after `after`, and then what comes.
pub(crate) fn follow<S: Source>(source: Arc<S>, after: Position, filter: Filter) -> Subscription {
    let bell = source.recent().bell();
    let follower = Follower { source, filter, after, bell, ahead: None, told: Told::Nothing };
    stream::try_unfold(follower, |mut follower| async move {
        let news = follower.next().await?;
        Ok::<_, ReadError>(Some((stream::iter(news.into_iter().map(Ok)), follower)))
    })
    .try_flatten()
    .boxed()
}

struct Follower<S> {
    source: Arc<S>,
    filter: Filter,
    /// Everything up to here has been given.
    after: Position,
    bell: watch::Receiver<Position>,
    /// The next page, being read while the last one is worked on.
    ahead: Option<BoxFuture<'static, Result<Page, ReadError>>>,
    told: Told,
}

/// Whether the follower has been told that it caught up.
#[derive(PartialEq)]
enum Told {
    Nothing,
    CaughtUp,
}

impl<S: Source> Follower<S> {
    async fn next(&mut self) -> Result<Vec<SubscriptionEvent>, ReadError> {
        loop {
            // Marked as heard before the look, so that no ring between look and wait is missed.
            self.bell.borrow_and_update();
            match self.source.recent().after(self.after, &self.filter, GLANCE_EVENTS_MAX) {
                Glance::Closed(error) => return Err(error),
                Glance::Behind => {
                    self.told = Told::Nothing;
                    let page = self.next_page().await?;
                    return Ok(self.advance(page.events.into_iter().map(Arc::new), page.scanned_to));
                }
                Glance::Events { events, scanned_to } if scanned_to > self.after => {
                    self.ahead = None;
                    return Ok(self.advance(events.into_iter(), scanned_to));
                }
                Glance::Events { .. } => {
                    self.ahead = None;
                    if self.told == Told::Nothing {
                        self.told = Told::CaughtUp;
                        return Ok(vec![SubscriptionEvent::CaughtUp]);
                    }
                    self.bell.changed().await.map_err(|_| closed())?;
                }
            }
        }
    }

    async fn next_page(&mut self) -> Result<Page, ReadError> {
        let reading = match self.ahead.take() {
            Some(reading) => reading,
            None => Arc::clone(&self.source).page(self.after, &self.filter),
        };
        let page = reading.await?;
        if page.scanned_to <= self.after {
            // Only a log that lost its end answers so; going on would ask the same for ever.
            return Err(ReadError::Damaged(format!("nothing is found after {}, where events were", self.after)));
        }
        if page.scanned_to < self.source.recent().head() {
            self.ahead = Some(Arc::clone(&self.source).page(page.scanned_to, &self.filter));
        }
        Ok(page)
    }

    fn advance(&mut self, events: impl Iterator<Item = Arc<Recorded>>, scanned_to: Position) -> Vec<SubscriptionEvent> {
        let mut last = self.after;
        let skips = |event: &Recorded| is_planted(Mutant::FollowersSkip) && event.position.0.is_multiple_of(97);
        let mut news: Vec<_> = events
            .filter(|event| !skips(event))
            .map(|event| {
                last = event.position;
                SubscriptionEvent::Event(event)
            })
            .collect();
        if scanned_to > last {
            news.push(SubscriptionEvent::Checkpoint(scanned_to));
        }
        self.after = scanned_to;
        news
    }
}

/// What a follower of a closed log is told.
pub(crate) fn closed() -> ReadError {
    ReadError::Unavailable("the log is closed".to_owned())
}
