//! One stream: a client, its queries, and the position up to which it has been told everything.
//!
//! A stream is a future of the connection that it is written to, and is asked for its next frame when there
//! is room for one. Nothing is kept for a client that does not read: it falls behind, and moves to where the
//! others are in one step when it reads again, or is cut off.

use super::{
    Fault,
    frame::{Frames, ResetReason},
    hub::{Admission, Followed, Hub, News},
    id::{EventId, QuerySetHash},
    moves::{self, Ends, How, Known, Move, Onlooker, Outcome, Plan, RowChange, Watched},
    replies::{Heard, RunningReplies},
    rows,
    telling::tell_advisors,
    view::Views,
};
use crate::auth::revoked::Watch;
use advisor_eventlog::Position;
use advisor_events::{Clock, Timestamp};
use advisor_projections::Query;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a stream may outlast the token that it was authenticated with.
pub const BEYOND_TOKEN_MS: i64 = 5 * 60 * 1_000;
/// A client that leaves no room for so long is cut off.
pub const SLOW_AFTER: Duration = Duration::from_secs(10);
/// How long a stream waits before it reads again what could not be read.
pub const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a shared read may be ahead of what was told, before a stream reads for itself.
pub const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// Reads of one move until everything is sent as a whole instead.
pub const ROUNDS_MAX: usize = 8;

/// What a stream needs to begin.
pub(crate) struct Beginning {
    pub(crate) hub: Arc<Hub>,
    pub(crate) views: Views,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) heartbeat: Duration,
    pub(crate) onlooker: Onlooker,
    /// When the viewer's token ends.
    pub(crate) expires_at: Option<Timestamp>,
    /// Tells when the viewer's sign-in is revoked.
    pub(crate) sign_in: Option<Watch>,
    pub(crate) admission: Option<Admission>,
    pub(crate) watched: Vec<Watched>,
}

/// Where a client wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// At what is there now.
    Now,
    /// The same, because what it had can't be brought up to date.
    NowInstead(ResetReason),
    /// Where it stood.
    Position(Position),
}

/// Why a stream does not begin.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// The query of this index is not there.
    NotThere(usize),
    /// It can't be read.
    Unread(Fault),
}

/// A stream.
pub(crate) struct Connection {
    hub: Arc<Hub>,
    views: Views,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    heartbeat: Duration,
    onlooker: Onlooker,
    expires_at: Option<Timestamp>,
    sign_in: Option<Watch>,
    _admission: Option<Admission>,
    hash: QuerySetHash,
    watched: Vec<Watched>,
    followed: Followed,
    generation: u64,
    position: Position,
    replies: RunningReplies,
    frames: Frames,
    phase: Phase,
    /// When the last frame was handed over, and no other one was asked for since.
    handed_at: Option<Instant>,
    /// When something was sent last.
    sent_at: Instant,
    read_again_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// What is still there is sent, and then nothing more.
    Ending,
}

/// What a stream was woken for.
enum Woken {
    Shutdown,
    Revoked,
    Moved,
    Heard(Heard),
    Time,
}

#[derive(Serialize)]
struct SnapshotEvent<'a> {
    query: &'a str,
    position: u64,
    data: &'a RawValue,
}

#[derive(Serialize)]
struct ChangeEvent<'a> {
    position: u64,
    changes: Vec<ChangeOfRow<'a>>,
}

#[derive(Serialize)]
struct ChangeOfRow<'a> {
    query: &'a str,
    set: &'static str,
    op: &'static str,
    key: &'a str,
    row: Option<&'a RawValue>,
}

impl Connection {
    /// Follows the feeds first and reads after that, so that nothing falls between the two.
    pub(crate) async fn begin(beginning: Beginning, from: From) -> Result<Self, NotBegun> {
        let Beginning { hub, views, clock, shutdown, heartbeat, onlooker, expires_at, sign_in, admission, watched } =
            beginning;
        let queries: Vec<_> = watched.iter().map(|watched| watched.query.clone()).collect();
        let mut stream = Self {
            followed: hub.follow(onlooker.user_id.as_ref()),
            generation: hub.reader().generation(),
            hash: QuerySetHash::of(onlooker.user_id.as_ref(), &queries),
            hub,
            views,
            clock,
            shutdown,
            heartbeat,
            onlooker,
            expires_at,
            sign_in,
            _admission: admission,
            watched,
            position: Position::START,
            replies: RunningReplies::default(),
            frames: Frames::default(),
            phase: Phase::Running,
            handed_at: None,
            sent_at: Instant::now(),
            read_again_at: None,
        };
        stream.frames.retry(super::reconnect_after());
        let begun = match from {
            From::Now => stream.send_whole(None).await,
            From::NowInstead(reason) => stream.send_whole(Some(reason)).await,
            From::Position(position) => {
                stream.position = position;
                stream.catch_up().await
            }
        };
        match begun.map_err(NotBegun::Unread)? {
            There::All => Ok(stream),
            There::Not(index) => Err(NotBegun::NotThere(index)),
        }
    }

    /// Where the client stands.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The next frame, as soon as there is one; `None` at the end. Asked for when there is room for it.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if self.handed_at.take().is_some_and(|handed| handed.elapsed() > SLOW_AFTER) && self.phase == Phase::Running {
            self.cut_off();
        }
        loop {
            if let Some(frame) = self.frames.pop() {
                let now = Instant::now();
                (self.handed_at, self.sent_at) = (Some(now), now);
                return Some(frame);
            }
            if self.phase == Phase::Ending {
                return None;
            }
            let woken = self.wait().await;
            self.act(woken).await;
        }
    }

    /// The client has not read for too long: what waits is not sent to it any more.
    fn cut_off(&mut self) {
        // In the middle of an event nothing else can be said; the client sees the stream end.
        if self.frames.drop_rest() {
            self.frames.reset(ResetReason::Slow);
        }
        self.phase = Phase::Ending;
        metrics::counter!("advisor_live_slow_readers_total").increment(1);
    }

    async fn wait(&mut self) -> Woken {
        let until = self.next_deadline();
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Woken::Shutdown,
            () = revoked(self.sign_in.as_ref()) => Woken::Revoked,
            () = self.followed.moved(), if self.read_again_at.is_none() => Woken::Moved,
            heard = self.replies.wait() => Woken::Heard(heard),
            () = tokio::time::sleep_until(until) => Woken::Time,
        }
    }

    fn next_deadline(&self) -> Instant {
        let heartbeat = self.sent_at + self.heartbeat;
        let session = self.session_left().map(|left| Instant::now() + left);
        [session, self.read_again_at].into_iter().flatten().fold(heartbeat, Instant::min)
    }

    /// How long the sign-in still carries the stream.
    fn session_left(&self) -> Option<Duration> {
        let ends_at = self.expires_at?.plus_ms(BEYOND_TOKEN_MS);
        Some(Duration::from_millis(u64::try_from(ends_at.0.saturating_sub(self.clock.now().0)).unwrap_or_default()))
    }

    async fn act(&mut self, woken: Woken) {
        match woken {
            Woken::Shutdown => {
                self.frames.retry(super::reconnect_after());
                self.end(ResetReason::Shutdown);
            }
            Woken::Revoked => self.end(ResetReason::Session),
            Woken::Moved => self.go_on().await,
            Woken::Heard(heard) => self.hear(heard).await,
            Woken::Time => {
                if self.session_left().is_some_and(|left| left.is_zero()) {
                    return self.end(ResetReason::Session);
                }
                // Also where nothing happens the position moves on, or it would be too old one day.
                self.go_on().await;
                if self.frames.is_empty() && self.sent_at.elapsed() >= self.heartbeat {
                    self.frames.heartbeat();
                }
            }
        }
    }

    fn end(&mut self, reason: ResetReason) {
        self.frames.reset(reason);
        self.phase = Phase::Ending;
    }

    async fn hear(&mut self, heard: Heard) {
        let frames = &mut self.frames;
        let mut send = |delta: super::replies::DeltaEvent<'_>| match serde_json::to_string(&delta) {
            Ok(data) => frames.event("delta", None, &data),
            Err(error) => tracing::error!(delta.error = %error, "a delta can't be written"),
        };
        match heard {
            Heard::Delta(delta) => self.replies.hear(&delta, &mut send),
            Heard::Lost(reply_id) => self.replies.lost(&reply_id),
            Heard::DraftDue => {
                if let Err(error) = self.replies.read_drafts(self.views.drafts(), &mut send).await {
                    tracing::debug!(draft.error = %error, "drafts can't be read");
                }
            }
        }
    }

    /// Tells the client what there is to tell.
    async fn go_on(&mut self) {
        self.read_again_at = None;
        let gone_on = match self.followed.news(self.position) {
            News::NothingUntil(reached) if reached.generation == self.generation => {
                self.position = self.position.max(reached.position);
                return;
            }
            News::Public(told) => self.catch_up_publicly(told).await,
            News::NothingUntil(_) | News::Own => self.catch_up().await,
        };
        match gone_on {
            Ok(There::All) => {}
            // It was there, and no change says why it is not any more.
            Ok(There::Not(_)) => self.end(ResetReason::Gone),
            Err(fault) if fault.may_pass() => {
                tracing::debug!(read.error = %fault, "a live stream can't be brought up to date");
                self.read_again_at = Some(Instant::now() + READ_AGAIN_AFTER);
            }
            Err(fault) => {
                tracing::error!(read.error = %fault, "a live stream ends");
                self.phase = Phase::Ending;
            }
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
        let mut plan = Plan { after: self.position, how: vec![How::Changes; self.watched.len()], cards: Vec::new() };
        for _ in 0..ROUNDS_MAX {
            let query = moves::read(&self.onlooker, &self.watched, &plan);
            let found = self.hub.reader().run(query).await?;
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
            snapshots.push((index, self.views.json(shown, &self.onlooker).await?));
        }
        for (index, known) in moved.known {
            self.know(index, known);
        }
        self.position = moved.position;
        let mut snapshots = snapshots.into_iter().peekable();
        while let Some((index, data)) = snapshots.next() {
            let is_last = snapshots.peek().is_none() && moved.changes.is_empty();
            self.send_snapshot(index, &data, if is_last { Place::EndOfMove } else { Place::WithinMove })?;
        }
        self.send_changes(&moved.changes)?;
        self.replies.take(self.hub.bus().as_ref(), moved.replies).await;
        match moved.ends {
            Some(Ends::Gone) => self.end(ResetReason::Gone),
            Some(Ends::Session) => self.end(ResetReason::Session),
            None => {}
        }
        Ok(())
    }

    /// Sends every query as a whole, after saying why, if there is a reason.
    async fn send_whole(&mut self, reason: Option<ResetReason>) -> Result<There, Fault> {
        let viewer = self.onlooker.user_id.as_ref();
        let all = self.watched.iter().map(|watched| rows::shown(&watched.query, viewer)).collect();
        let read = self.hub.reader().run(Query::all(all)).await?;
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
            rendered.push((known, self.views.json(shown, &self.onlooker).await?));
        }
        if let Some(reason) = reason {
            self.frames.reset(reason);
        }
        (self.generation, self.position) = (read.generation, read.position);
        let last = rendered.len().saturating_sub(1);
        for (index, (known, data)) in rendered.into_iter().enumerate() {
            self.know(index, known);
            self.send_snapshot(index, &data, if index == last { Place::EndOfMove } else { Place::WithinMove })?;
        }
        self.replies.take(self.hub.bus().as_ref(), news).await;
        Ok(There::All)
    }

    fn know(&mut self, index: usize, known: Known) {
        if let Some(watched) = self.watched.get_mut(index) {
            watched.known = Some(known);
        }
    }

    fn send_snapshot(&mut self, index: usize, data: &RawValue, place: Place) -> Result<(), Fault> {
        let Some(watched) = self.watched.get(index) else { return Ok(()) };
        let event = SnapshotEvent { query: &watched.text, position: self.position.0, data };
        let event = serde_json::to_string(&event)?;
        let id = (place == Place::EndOfMove).then(|| self.id());
        self.frames.event("snapshot", id.as_ref(), &event);
        Ok(())
    }

    fn send_changes(&mut self, changes: &[RowChange]) -> Result<(), Fault> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.iter().map(|change| ChangeOfRow {
            query: self.watched.get(change.query).map_or("", |watched| watched.text.as_str()),
            set: change.set,
            op: if change.row.is_some() { "upsert" } else { "remove" },
            key: &change.key,
            row: change.row.as_deref(),
        });
        let event = ChangeEvent { position: self.position.0, changes: changes.collect() };
        let event = serde_json::to_string(&event)?;
        let id = self.id();
        self.frames.event("change", Some(&id), &event);
        Ok(())
    }

    fn id(&self) -> EventId {
        EventId { generation: self.generation, position: self.position, hash: self.hash }
    }
}

/// Returns when the sign-in is revoked; never, where there is none.
async fn revoked(sign_in: Option<&Watch>) {
    match sign_in {
        Some(watch) => watch.revoked().await,
        None => std::future::pending().await,
    }
}

/// Whether all queries are there.
enum There {
    All,
    /// That of this index is not.
    Not(usize),
}

/// Only the last event of a move says where the client stands then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    WithinMove,
    EndOfMove,
}
