//! What all streams of a process share: who has to look, what many look at, and how many there are.
//!
//! The hub hears on the bus which feeds moved, and looks at the checkpoint by itself once a second. A
//! stream is woken only when a feed moves that it follows.

use super::public::PublicMoves;
use crate::{
    problem::{Code, Problem},
    settings::StreamLimits,
};
use advisor_bus::{Bus, BusMessage, Changes, Listener, Topic};
use advisor_eventlog::Position;
use advisor_events::UserId;
use advisor_projections::{Query, Reader, changes::PUBLIC};
use advisor_proof::{Mutant, is_planted};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the hub looks by itself: what it saw and nobody told by the next time, after a second in all, was lost.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it tries to listen to a bus that is away.
pub const LISTEN_EVERY: Duration = Duration::from_secs(1);
/// Places of public changes that are remembered, so that streams at different places share a read.
pub const PUBLIC_PLACES_MAX: usize = 64;
/// When a client with too many streams may try again.
const TOO_MANY_RETRY: Duration = Duration::from_secs(5);

/// What all live streams of a process share. Spawn [`Hub::run`] once, on the process's task tracker.
pub struct Hub {
    reader: Reader,
    bus: Arc<dyn Bus>,
    feeds: Mutex<HashMap<Arc<str>, watch::Sender<Position>>>,
    /// Where public changes lie: nothing public lies between two of these. The first one is a lower bound.
    public_places: Mutex<VecDeque<Position>>,
    reached: watch::Sender<Reached>,
    streams: Mutex<Streams>,
    public: PublicMoves,
}

/// Every change up to here has been told to those who follow its feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) generation: u64,
    pub(crate) position: Position,
}

impl Hub {
    /// A hub that hears nothing before it [runs](Self::run).
    pub fn new(reader: Reader, bus: Arc<dyn Bus>) -> Arc<Self> {
        let reached = Reached { generation: reader.generation(), position: reader.position() };
        Arc::new(Self {
            public: PublicMoves::new(reader.clone()),
            reader,
            bus,
            feeds: Mutex::default(),
            public_places: Mutex::new(VecDeque::from([reached.position])),
            reached: watch::Sender::new(reached),
            streams: Mutex::default(),
        })
    }

    /// Listens and looks until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut listener: Option<Box<dyn Listener>> = None;
        let mut seen = None;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if listener.is_none() {
                listener = self.listen().await;
            }
            // The look first: it is due now and then, and a bus that is never silent must not put it off.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = looks.tick() => self.look(&mut seen).await,
                heard = hear(listener.as_mut()) => match heard {
                    Some(BusMessage::Changes(changes)) => self.heard(&changes).await,
                    Some(BusMessage::Appended(_) | BusMessage::Delta(_)) => {}
                    None => self.catch_up().await,
                },
            }
        }
    }

    async fn listen(&self) -> Option<Box<dyn Listener>> {
        match self.bus.listen(&Topic::Changes).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::warn!(bus.error = %error, "live queries hear nothing and look every second instead");
                tokio::time::sleep(LISTEN_EVERY).await;
                None
            }
        }
    }

    /// The message follows on what was told: tell it. What does not follow is looked up.
    async fn heard(&self, changes: &Changes) {
        let reached = self.reached();
        let (from, to) = (Position(changes.from), Position(changes.to));
        if changes.generation != reached.generation || from > reached.position {
            self.catch_up().await;
            return;
        }
        let feeds: HashSet<&str> = changes.changes.iter().map(|change| change.feed.as_str()).collect();
        if to > reached.position {
            self.tell(&feeds, to);
        } else if from == reached.position {
            self.tell_after(&feeds, to);
        }
    }

    /// A stream was read on: what changed stands after where everybody may have been told everything already.
    fn tell_after(&self, moved: &HashSet<&str>, told: Position) {
        let feeds = lock(&self.feeds);
        for feed in moved.iter().filter_map(|feed| feeds.get(*feed)) {
            feed.send_replace(Position(told.0 + 1));
        }
    }

    /// Looks at the checkpoint. What is ahead of what was told is on its way, unless it still is ahead when
    /// one looks again.
    async fn look(&self, seen: &mut Option<Reached>) {
        if is_planted(Mutant::NewsLost) {
            return;
        }
        let now = match self.reader.run(Query::of(())).await {
            Ok(read) => Reached { generation: read.generation, position: read.position },
            Err(error) => {
                tracing::warn!(read.error = %error, "the checkpoint of the read models can't be looked at");
                return;
            }
        };
        let told = self.reached();
        let lost =
            seen.replace(now).is_some_and(|seen| seen.generation != told.generation || seen.position > told.position);
        if lost {
            self.tell_everybody(now);
        }
    }

    /// Messages are missing: what happened nobody knows, so all look.
    async fn catch_up(&self) {
        let mut seen = Some(Reached { generation: u64::MAX, position: Position::START });
        self.look(&mut seen).await;
    }

    fn tell_everybody(&self, now: Reached) {
        if now == self.reached() {
            return;
        }
        *lock(&self.public_places) = VecDeque::from([now.position]);
        for feed in lock(&self.feeds).values() {
            feed.send_replace(now.position);
        }
        self.reached.send_replace(now);
    }

    /// First the feeds, then how far everything was told: who sees the second has seen the first.
    pub(super) fn tell(&self, moved: &HashSet<&str>, to: Position) {
        if moved.contains(PUBLIC) {
            let mut places = lock(&self.public_places);
            if places.len() == PUBLIC_PLACES_MAX {
                places.pop_front();
            }
            places.push_back(to);
        }
        {
            let feeds = lock(&self.feeds);
            for feed in moved.iter().filter_map(|feed| feeds.get(*feed)) {
                feed.send_replace(to);
            }
        }
        self.reached.send_modify(|reached| reached.position = to);
    }

    /// How far everything has been told.
    pub(crate) fn reached(&self) -> Reached {
        *self.reached.borrow()
    }

    /// Waits until everything up to `position` has been told; false when it has not within `most`.
    pub(crate) async fn wait_until_told(&self, position: Position, most: Duration) -> bool {
        if self.reached().position >= position {
            return true;
        }
        let mut reached = self.reached.subscribe();
        let told = reached.wait_for(|reached| reached.position >= position);
        tokio::time::timeout(most, told).await.is_ok_and(|told| told.is_ok())
    }

    /// Follows the public feed and that of a person, from now on.
    pub(crate) fn follow(self: &Arc<Self>, viewer: Option<&UserId>) -> Followed {
        // What was told before this line is not heard by who follows after it.
        let mut feeds = lock(&self.feeds);
        let since = self.reached();
        let mut follow = |name: &str| {
            let feed = feeds.entry(Arc::from(name)).or_insert_with(|| watch::Sender::new(since.position));
            feed.subscribe()
        };
        let (public, own) = (follow(PUBLIC), viewer.map(|viewer| follow(viewer.as_str())));
        drop(feeds);
        Followed { hub: Arc::clone(self), viewer: viewer.cloned(), since: since.position, public, own }
    }

    /// The last public change up to `position`, if it is remembered: nothing public lies between the two.
    pub(crate) fn last_public(&self, position: Position) -> Option<Position> {
        lock(&self.public_places).iter().rev().find(|place| **place <= position).copied()
    }

    /// What many streams read at the same place.
    pub(crate) fn public(&self) -> &PublicMoves {
        &self.public
    }

    /// Reads for one stream.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The bus, for the text of running replies.
    pub(crate) fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// One stream more, of this person or of nobody in particular: 503 when there are too many of everybody's, 429
    /// when there are too many of theirs.
    pub(crate) fn admit(self: &Arc<Self>, viewer: Option<&UserId>, limits: StreamLimits) -> Result<Admission, Problem> {
        let mut streams = lock(&self.streams);
        if streams.count >= limits.all_max {
            metrics::counter!("advisor_overloaded_total", "class" => "streams").increment(1);
            let text = "There are as many live streams as there can be. Try again in a moment.";
            return Err(Problem::new(Code::Overloaded, text).retry_after(TOO_MANY_RETRY));
        }
        if let Some(viewer) = viewer {
            let of_viewer = streams.of_people.get(viewer).copied().unwrap_or_default();
            if of_viewer >= limits.per_person_max {
                let most = limits.per_person_max;
                let text =
                    format!("You have {most} live streams already: close one, or look at several queries in one.");
                return Err(Problem::new(Code::TooManyStreams, text).retry_after(TOO_MANY_RETRY));
            }
            streams.of_people.insert(viewer.clone(), of_viewer + 1);
        }
        streams.count += 1;
        streams.show();
        Ok(Admission { hub: Arc::clone(self), viewer: viewer.cloned() })
    }
}

async fn hear(listener: Option<&mut Box<dyn Listener>>) -> Option<BusMessage> {
    match listener {
        Some(listener) => listener.next().await,
        None => pending().await,
    }
}

/// What is held is whole between two lines of code: a panic elsewhere leaves it as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many streams there are.
#[derive(Debug, Default)]
struct Streams {
    count: usize,
    of_people: HashMap<UserId, usize>,
}

impl Streams {
    fn show(&self) {
        metrics::gauge!("advisor_live_streams").set(u32::try_from(self.count).unwrap_or(u32::MAX));
    }
}

/// One of the streams that there may be, and that its person may have.
pub(crate) struct Admission {
    hub: Arc<Hub>,
    viewer: Option<UserId>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut streams = lock(&self.hub.streams);
        streams.count = streams.count.saturating_sub(1);
        streams.show();
        let Some(viewer) = &self.viewer else { return };
        if let Some(count) = streams.of_people.get_mut(viewer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                streams.of_people.remove(viewer);
            }
        }
    }
}

/// The feeds that a stream follows: the public one, and its viewer's.
pub(crate) struct Followed {
    hub: Arc<Hub>,
    viewer: Option<UserId>,
    since: Position,
    public: watch::Receiver<Position>,
    own: Option<watch::Receiver<Position>>,
}

/// What a stream has to do about what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing has changed for it up to here.
    NothingUntil(Reached),
    /// Something public has, up to here, and nothing else.
    Public(Position),
    /// Something of its viewer's may have.
    Own,
}

impl Followed {
    /// Waits until one of the feeds moves.
    pub(crate) async fn moved(&mut self) {
        let own = async {
            match self.own.as_mut() {
                Some(own) => own.changed().await,
                None => pending().await,
            }
        };
        // The hub, which this holds, holds the other end: neither can be gone.
        tokio::select! {
            _ = self.public.changed() => {}
            _ = own => {}
        }
    }

    /// What there is for a stream that stands at `position`.
    pub(crate) fn news(&mut self, position: Position) -> News {
        // How far everything was told comes first: what is told in between is heard as news.
        let reached = self.hub.reached();
        let public = *self.public.borrow_and_update();
        let own = self.own.as_mut().map(|own| *own.borrow_and_update());
        if own.is_some_and(|own| own > position) || position < self.since {
            News::Own
        } else if public > position {
            News::Public(public)
        } else {
            News::NothingUntil(reached)
        }
    }
}

impl Followed {
    /// Whether something of the viewer's has changed after `position`, as far as was told.
    pub(crate) fn own_has_moved(&self, position: Position) -> bool {
        self.own.as_ref().is_some_and(|own| *own.borrow() > position)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let (Some(viewer), Some(_)) = (&self.viewer, &self.own) else { return };
        let mut feeds = lock(&self.hub.feeds);
        // Nobody begins to follow while the map is held: who is alone now is the last.
        if feeds.get(viewer.as_str()).is_some_and(|sender| sender.receiver_count() == 1) {
            feeds.remove(viewer.as_str());
        }
    }
}
