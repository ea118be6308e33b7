//! How a client is brought from where it stands to where the read side is.

use super::{Connection, End, From, Phase, Place, READ_AGAIN_AFTER, ROUNDS_MAX, TOLD_WITHIN, There};
use crate::live::{
    Fault,
    frame::{Change, ChangeOfRow, ResetReason, Snapshot},
    hub::News,
    id::EventId,
    moves::{self, How, Known, Move, Outcome, Plan, RowChange},
    rows,
    telling::tell_advisors,
    view::Rendered,
};
use advisor_eventlog::Position;
use advisor_projections::Query;
use tokio::time::Instant;

impl Connection {
    /// Brings the client from where it wants to begin to where the read side is.
    pub(super) async fn start(&mut self, from: From) -> Result<There, Fault> {
        match from {
            From::Now => self.send_whole(None).await,
            From::NowInstead(reason) => self.send_whole(Some(reason)).await,
            From::Position(position) => {
                self.position = position;
                self.catch_up().await
            }
        }
    }

    /// Tells the client what there is to tell.
    pub(super) async fn go_on(&mut self) {
        self.read_again_at = None;
        while self.ended().is_none() {
            match self.follow_news().await {
                Ok(There::All) => return,
                // It was there, and no change says why it is not any more. A socket goes on without it.
                Ok(There::Not(index)) => self.lose(&[index]),
                Err(fault) if fault.may_pass() => {
                    tracing::debug!(read.error = %fault, "a live stream can't be brought up to date");
                    self.read_again_at = Some(Instant::now() + READ_AGAIN_AFTER);
                    return;
                }
                Err(fault) => {
                    tracing::error!(read.error = %fault, "a live stream ends");
                    self.phase = Phase::Ending(End::Fault);
                }
            }
        }
    }

    async fn follow_news(&mut self) -> Result<There, Fault> {
        match self.followed.news(self.position) {
            News::NothingUntil(reached) if reached.generation == self.generation => {
                self.position = self.position.max(reached.position);
                Ok(There::All)
            }
            News::Public(told) => self.catch_up_publicly(told).await,
            News::NothingUntil(_) | News::Own => self.catch_up().await,
        }
    }

    /// Only something public has changed: what has is read once for all who stand at the same place.
    async fn catch_up_publicly(&mut self, told: Position) -> Result<There, Fault> {
        let Some(after) = self.hub.last_public(self.position) else { return self.catch_up().await };
        let Ok(public) = self.hub.public().read(after, told).await else { return self.catch_up().await };
        // What is told up to where the read side stood is known then: nothing, or something of one's own.
        let is_told = self.hub.wait_until_told(public.position, TOLD_WITHIN).await;
        if !is_told || public.generation != self.generation || self.followed.own_has_moved(self.position) {
            return self.catch_up().await;
        }
        let mut changes = Vec::new();
        for (index, watched) in self.watched.iter().enumerate() {
            tell_advisors(index, watched, &public.advisors, &mut changes);
        }
        self.position = self.position.max(public.position);
        self.send_changes(&changes)?;
        Ok(There::All)
    }

    /// Brings the client to where the read side is: by changes, or with whole queries where those don't do.
    async fn catch_up(&mut self) -> Result<There, Fault> {
        self.move_on(vec![How::Changes; self.watched.len()]).await
    }

    /// The same, with each query's way forward.
    pub(super) async fn move_on(&mut self, how: Vec<How>) -> Result<There, Fault> {
        let mut plan = Plan { after: self.position, how, cards: Vec::new() };
        for _ in 0..ROUNDS_MAX {
            let query = moves::read(&self.onlooker, &self.watched, &plan);
            let found = self.hub.reader().run_whole(query).await?;
            if found.generation != self.generation {
                return self.send_whole(Some(ResetReason::Generation)).await;
            }
            match moves::decide(&self.onlooker, &self.watched, &plan, found, &self.replies)? {
                Outcome::Again(next) => plan = next,
                Outcome::Moved(moved) => {
                    self.tell(*moved).await?;
                    return Ok(There::All);
                }
                Outcome::NotThere(index) => return Ok(There::Not(index)),
                Outcome::TooOld => return self.send_whole(Some(ResetReason::Retention)).await,
            }
        }
        // The read side runs ahead of each plan.
        self.send_whole(None).await
    }

    /// What may fail comes first: a move is told as a whole, or tried again from where it began.
    async fn tell(&mut self, moved: Move) -> Result<(), Fault> {
        let mut snapshots = Vec::with_capacity(moved.snapshots.len());
        for (index, shown) in moved.snapshots {
            snapshots.push((index, self.views.rendered(shown, &self.onlooker).await?));
        }
        for (index, known) in moved.known {
            self.know(index, known);
        }
        self.position = moved.position;
        let mut snapshots = snapshots.into_iter().peekable();
        while let Some((index, whole)) = snapshots.next() {
            let is_last = snapshots.peek().is_none() && moved.changes.is_empty();
            self.send_snapshot(index, &whole, if is_last { Place::EndOfMove } else { Place::WithinMove })?;
        }
        self.send_changes(&moved.changes)?;
        self.replies.take(self.hub.bus().as_ref(), moved.replies).await;
        if moved.viewer_is_gone {
            self.end(ResetReason::Session);
        }
        if !moved.gone.is_empty() {
            self.lose(&moved.gone);
        }
        Ok(())
    }

    /// Sends every query as a whole, after saying why, if there is a reason.
    async fn send_whole(&mut self, reason: Option<ResetReason>) -> Result<There, Fault> {
        let viewer = self.onlooker.user_id.as_ref();
        let all = self.watched.iter().map(|watched| rows::shown(&watched.query, viewer)).collect();
        let read = self.hub.reader().run_whole(Query::all(all)).await?;
        let mut whole = Vec::with_capacity(read.value.len());
        for (index, shown) in read.value.into_iter().enumerate() {
            match shown {
                Some(shown) => whole.push(shown),
                None => return Ok(There::Not(index)),
            }
        }
        let mut news = Vec::new();
        let mut rendered = Vec::with_capacity(whole.len());
        for (watched, shown) in self.watched.iter().zip(whole) {
            news.extend(moves::running(&shown));
            let known = Known { window: shown.window(&watched.query), named: shown.named() };
            rendered.push((known, self.views.rendered(shown, &self.onlooker).await?));
        }
        if let Some(reason) = reason {
            self.frames.reset(reason);
        }
        (self.generation, self.position) = (read.generation, read.position);
        let last = rendered.len().saturating_sub(1);
        for (index, (known, whole)) in rendered.into_iter().enumerate() {
            self.know(index, known);
            self.send_snapshot(index, &whole, if index == last { Place::EndOfMove } else { Place::WithinMove })?;
        }
        self.replies.take(self.hub.bus().as_ref(), news).await;
        Ok(There::All)
    }

    fn know(&mut self, index: usize, known: Known) {
        if let Some(watched) = self.watched.get_mut(index) {
            watched.known = Some(known);
        }
    }

    fn send_snapshot(&mut self, index: usize, whole: &Rendered, place: Place) -> Result<(), Fault> {
        let Some(watched) = self.watched.get(index) else { return Ok(()) };
        let (id, query) = (watched.id.as_ref(), watched.text.as_str());
        let Rendered { data, is_parked } = whole;
        let snapshot = Snapshot { id, query, position: self.position.0, is_parked: *is_parked, data };
        let id = (place == Place::EndOfMove).then(|| self.id());
        Ok(self.frames.event("snapshot", id.as_ref(), &snapshot)?)
    }

    fn send_changes(&mut self, changes: &[RowChange]) -> Result<(), Fault> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.iter().filter_map(|change| {
            let watched = self.watched.get(change.query)?;
            Some(ChangeOfRow {
                id: watched.id.as_ref(),
                query: &watched.text,
                set: change.set,
                op: if change.row.is_some() { "upsert" } else { "remove" },
                key: &change.key,
                row: change.row.as_deref(),
            })
        });
        let change = Change { position: self.position.0, changes: changes.collect() };
        let id = self.id();
        Ok(self.frames.event("change", Some(&id), &change)?)
    }

    /// Where the client stands, as it can come back to it.
    pub(crate) fn id(&self) -> EventId {
        EventId { generation: self.generation, position: self.position, hash: self.hash }
    }
}
