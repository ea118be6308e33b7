//! One command of a stream at a time, each with the fold that the one before has left.
//!
//! The folds are kept as long as there is room, those used last the longest. A fold that is in use,
//! or waited for, is never dropped: two commands of one stream would run side by side.

use super::fold::Fold;
use crate::Decider;
use advisor_events::StreamName;
use advisor_proof::{Mutant, is_planted};
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
        let fold = if is_planted(Mutant::RevisionsUnchecked) { Arc::default() } else { self.fold(stream) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conversation, handler::fold::Last};
    use advisor_eventlog::Position;
    use uuid::Uuid;

    const WAIT: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn no_more_streams_are_kept_than_allowed_and_those_used_last_stay() {
        let turns = Turns::<Conversation>::new(3, 1_000);
        for number in 0..10 {
            use_with(&turns, &stream(number), 1).await;
        }
        assert_eq!(kept(&turns), [7, 8, 9].map(stream).to_vec());
    }

    #[tokio::test]
    async fn no_more_events_are_kept_than_allowed() {
        let turns = Turns::<Conversation>::new(100, 1_000);
        for number in 0..10 {
            use_with(&turns, &stream(number), 300).await;
        }
        assert_eq!(kept(&turns), [7, 8, 9].map(stream).to_vec());
        use_with(&turns, &stream(9), 900).await;
        assert_eq!(kept(&turns), [stream(9)].to_vec());
        assert_eq!(turns.lock().events, 900);
    }

    #[tokio::test]
    async fn a_fold_in_use_is_never_dropped() {
        let turns = Turns::<Conversation>::new(2, 1_000);
        let first = stream(0);
        let in_use = turns.take(&first, WAIT).await.unwrap();
        for number in 1..10 {
            use_with(&turns, &stream(number), 1).await;
        }
        assert!(kept(&turns).contains(&first));
        assert!(turns.take(&first, Duration::ZERO).await.is_none(), "it is the same one that is in use");
        drop(in_use);
    }

    #[tokio::test]
    async fn streams_that_do_not_exist_are_not_kept() {
        let turns = Turns::<Conversation>::new(10, 1_000);
        use_with(&turns, &stream(1), 5).await;
        for number in 2..100 {
            drop(turns.take(&stream(number), WAIT).await.unwrap());
        }
        assert_eq!(kept(&turns), [stream(1)].to_vec());
        assert_eq!(turns.lock().events, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_fold_that_the_one_before_has_left() {
        let turns = Turns::<Conversation>::new(10, 1_000);
        let name = stream(1);
        let mut first = turns.take(&name, WAIT).await.unwrap();
        let waiting = turns.take(&name, WAIT);
        let leaving = async {
            first.fold().last = Some(last(4));
            drop(first);
        };
        let (second, ()) = tokio::join!(waiting, leaving);
        assert_eq!(second.unwrap().fold().last, Some(last(4)));
    }

    /// Takes a turn that leaves a fold of so many events.
    async fn use_with(turns: &Turns<Conversation>, stream: &StreamName, events: u64) {
        let mut turn = turns.take(stream, WAIT).await.unwrap();
        turn.fold().last = Some(last(events - 1));
    }

    fn last(revision: u64) -> Last {
        Last { id: Uuid::from_u128(1), revision, position: Position(1) }
    }

    fn stream(number: u8) -> StreamName {
        StreamName::from_text(format!("conversation-{number}"))
    }

    fn kept(turns: &Turns<Conversation>) -> Vec<StreamName> {
        let mut kept: Vec<_> = turns.lock().folds.iter().map(|(stream, _)| stream.clone()).collect();
        kept.sort();
        kept
    }
}
