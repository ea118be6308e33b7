//! One command of a stream at a time, each with the fold that the one before has left.
//!
//! The folds are kept as long as there is room, those used last the longest. A fold that is in use,
//! or waited for, is never dropped: two commands of one stream would run side by side.

use super::fold::Fold;
use crate::Decider;
use advisor_events::StreamName;
use lru::LruCache;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The folds that are kept, and whose turn it is.
pub(super) struct Turns<D: Decider> {
    room: Mutex<Room<D>>,
    streams_max: usize,
    events_max: usize,
}

struct Room<D: Decider> {
    folds: LruCache<StreamName, Kept<D>>,
    events: usize,
}

struct Kept<D: Decider> {
    fold: Arc<AsyncMutex<Fold<D>>>,
    events: usize,
}

impl<D: Decider> Kept<D> {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.fold) > 1
    }
}

/// A stream's turn: nobody else in this process commands the stream until it is dropped.
pub(super) struct Turn<'a, D: Decider> {
    turns: &'a Turns<D>,
    stream: &'a StreamName,
    fold: OwnedMutexGuard<Fold<D>>,
}

impl<D: Decider> Turns<D> {
    pub(super) fn new(streams_max: usize, events_max: usize) -> Self {
        let room = Room { folds: LruCache::unbounded(), events: 0 };
        Self { room: Mutex::new(room), streams_max, events_max }
    }

    /// The stream's turn, unless it does not come for so long.
    pub(super) async fn take<'a>(&'a self, stream: &'a StreamName, wait: Duration) -> Option<Turn<'a, D>> {
        let fold = self.fold(stream);
        let fold = match Arc::clone(&fold).try_lock_owned() {
            Ok(fold) => fold,
            Err(_) => tokio::time::timeout(wait, fold.lock_owned()).await.ok()?,
        };
        Some(Turn { turns: self, stream, fold })
    }

    fn fold(&self, stream: &StreamName) -> Arc<AsyncMutex<Fold<D>>> {
        let mut room = self.lock();
        if let Some(kept) = room.folds.get(stream) {
            return Arc::clone(&kept.fold);
        }
        let fold = Arc::new(AsyncMutex::new(Fold::default()));
        room.folds.put(stream.clone(), Kept { fold: Arc::clone(&fold), events: 0 });
        fold
    }

    /// Weighs a fold whose turn ends, and makes room.
    fn settle(&self, stream: &StreamName, events: usize) {
        let mut room = self.lock();
        let dropped = room.weigh(stream, events).into_iter().chain(self.make_room(&mut room)).collect::<Vec<_>>();
        drop(room);
        // Large folds take a while to drop: not while everybody waits for the room.
        drop(dropped);
    }

    fn make_room(&self, room: &mut Room<D>) -> Vec<Kept<D>> {
        let mut dropped = Vec::new();
        for _ in 0..room.folds.len() {
            if room.folds.len() <= self.streams_max && room.events <= self.events_max {
                break;
            }
            let Some((stream, kept)) = room.folds.pop_lru() else { break };
            if kept.is_in_use() {
                room.folds.put(stream, kept);
            } else {
                room.events -= kept.events;
                dropped.push(kept);
            }
        }
        dropped
    }

    fn lock(&self) -> MutexGuard<'_, Room<D>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Decider> Room<D> {
    /// Gives back the fold of a stream that does not exist, unless somebody waits for it: asking for
    /// unknown ids drives nothing out.
    fn weigh(&mut self, stream: &StreamName, events: usize) -> Option<Kept<D>> {
        let kept = self.folds.peek_mut(stream)?;
        self.events = self.events - kept.events + events;
        kept.events = events;
        // The room's own and that of the turn which ends.
        let is_waited_for = Arc::strong_count(&kept.fold) > 2;
        if events == 0 && !is_waited_for { self.folds.pop(stream) } else { None }
    }
}

impl<D: Decider> Turn<'_, D> {
    pub(super) fn fold(&mut self) -> &mut Fold<D> {
        &mut self.fold
    }
}

impl<D: Decider> Drop for Turn<'_, D> {
    fn drop(&mut self) {
        self.turns.settle(self.stream, self.fold.events());
    }
}
