//! One stream: a client, its queries, and the position up to which it has been told everything.
//!
//! A stream is a future of the connection that it is written to, and is asked for its next frame when there
//! is room for one. Nothing is kept for a client that does not read: it falls behind, and moves to where the
//! others are in one step when it reads again, or is cut off.

mod moving;
mod queries;

use super::{
    Fault,
    frame::{FRAME_BYTES_MAX, Frame, Frames, ResetReason, Wire},
    hub::{Admission, Followed, Hub},
    id::QuerySetHash,
    moves::{Onlooker, Watched},
    replies::{DeltaEvent, Heard, RunningReplies},
    view::Views,
};
use crate::{auth::revoked::Watch, traffic::Traffic};
use advisor_eventlog::Position;
use advisor_events::{Clock, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long a stream may outlast the token that it was authenticated with.
pub const BEYOND_TOKEN_MS: i64 = 5 * 60 * 1_000;
/// How long a stream waits before it reads again what could not be read.
pub const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a shared read may be ahead of what was told, before a stream reads for itself.
pub const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// Reads of one move until everything is sent as a whole instead.
pub const ROUNDS_MAX: usize = 8;

/// What a stream needs to begin.
pub(crate) struct Beginning {
    pub(crate) wire: Wire,
    pub(crate) hub: Arc<Hub>,
    pub(crate) views: Views,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) heartbeat: Duration,
    /// A client that leaves no room for so long is cut off.
    pub(crate) slow_after: Duration,
    pub(crate) onlooker: Onlooker,
    /// When the viewer's token ends.
    pub(crate) expires_at: Option<Timestamp>,
    /// Tells when the viewer's sign-in is revoked.
    pub(crate) sign_in: Option<Watch>,
    pub(crate) admission: Admission,
    /// Has the room for what waits.
    pub(crate) traffic: Arc<Traffic>,
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

impl NotBegun {
    /// The index of the query that is not there.
    pub(crate) fn missing(&self) -> Option<usize> {
        match self {
            Self::NotThere(index) => Some(*index),
            Self::Unread(_) => None,
        }
    }
}

/// A stream.
pub(crate) struct Connection {
    hub: Arc<Hub>,
    views: Views,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    heartbeat: Duration,
    slow_after: Duration,
    onlooker: Onlooker,
    expires_at: Option<Timestamp>,
    sign_in: Option<Watch>,
    _admission: Admission,
    traffic: Arc<Traffic>,
    /// The room that what waits takes, if that is more than one frame.
    room: Option<OwnedSemaphorePermit>,
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
    Ending(End),
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client was told so.
    Reset(ResetReason),
    /// What it shows can't be read, and waiting does not heal it.
    Fault,
}

/// What a stream was woken for.
pub(crate) enum Woken {
    Shutdown,
    Revoked,
    Moved,
    Heard(Heard),
    Time,
}

impl Connection {
    /// Follows the feeds first and reads after that, so that nothing falls between the two.
    pub(crate) async fn begin(beginning: Beginning, from: From) -> Result<Self, NotBegun> {
        let mut stream = Self::new(beginning);
        stream.frames.retry(super::reconnect_after());
        match stream.start(from).await.map_err(NotBegun::Unread)? {
            There::All => Ok(stream),
            There::Not(index) => Err(NotBegun::NotThere(index)),
        }
    }

    fn new(beginning: Beginning) -> Self {
        let Beginning {
            wire,
            hub,
            views,
            clock,
            shutdown,
            heartbeat,
            slow_after,
            onlooker,
            expires_at,
            sign_in,
            admission,
            traffic,
            watched,
        } = beginning;
        Self {
            followed: hub.follow(onlooker.user_id.as_ref()),
            generation: hub.reader().generation(),
            hash: hash(&onlooker, &watched),
            hub,
            views,
            clock,
            shutdown,
            heartbeat,
            slow_after,
            onlooker,
            expires_at,
            sign_in,
            _admission: admission,
            traffic,
            room: None,
            watched,
            position: Position::START,
            replies: RunningReplies::default(),
            frames: Frames::new(wire),
            phase: Phase::Running,
            handed_at: None,
            sent_at: Instant::now(),
            read_again_at: None,
        }
    }

    /// Where the client stands.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The next frame, as soon as there is one; `None` at the end. Asked for when there is room for it.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            if self.ended().is_some() {
                return None;
            }
            let woken = self.wait().await;
            self.act(woken).await;
        }
    }

    /// The next frame, if there is one. Asked for when there is room for it.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let is_slow = self.handed_at.take().is_some_and(|handed| handed.elapsed() > self.slow_after);
        if self.phase == Phase::Running && (is_slow || !self.has_room()) {
            self.cut_off();
        }
        let frame = self.frames.pop()?;
        if self.frames.is_empty() {
            self.room = None;
        }
        let now = Instant::now();
        (self.handed_at, self.sent_at) = (Some(now), now);
        Some(frame)
    }

    /// Takes room for what waits. One frame needs none: everybody can be told what is short.
    fn has_room(&mut self) -> bool {
        let (bytes, taken) = (self.frames.bytes(), self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if bytes <= FRAME_BYTES_MAX.max(taken) {
            return true;
        }
        let Ok(room) = self.traffic.hold_events(bytes - taken) else { return false };
        match &mut self.room {
            Some(taken) => taken.merge(room),
            none => *none = Some(room),
        }
        true
    }

    /// Why nothing more comes than the frames that are there.
    pub(crate) fn ended(&self) -> Option<End> {
        match self.phase {
            Phase::Running => None,
            Phase::Ending(end) => Some(end),
        }
    }

    /// The client has not read for too long, or there is no room for what it should read: what waits is not sent to it
    /// any more.
    fn cut_off(&mut self) {
        // In the middle of an event nothing else can be said; the client sees the stream end.
        if self.frames.drop_rest() {
            self.frames.reset(ResetReason::Slow);
        }
        self.phase = Phase::Ending(End::Reset(ResetReason::Slow));
        metrics::counter!("advisor_live_slow_readers_total").increment(1);
    }

    /// Waits until there is something to do. Nothing is lost when the wait is given up.
    pub(crate) async fn wait(&mut self) -> Woken {
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

    /// Does it; this must not be given up half-way.
    pub(crate) async fn act(&mut self, woken: Woken) {
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
                    self.sent_at = Instant::now();
                }
            }
        }
    }

    fn end(&mut self, reason: ResetReason) {
        self.frames.reset(reason);
        self.phase = Phase::Ending(End::Reset(reason));
    }

    async fn hear(&mut self, heard: Heard) {
        let frames = &mut self.frames;
        let mut send = |delta: DeltaEvent<'_>| frames.plain_event("delta", None, &delta);
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
}

fn hash(onlooker: &Onlooker, watched: &[Watched]) -> QuerySetHash {
    let queries: Vec<_> = watched.iter().map(|watched| &watched.query).collect();
    QuerySetHash::of(onlooker.user_id.as_ref(), &queries)
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
