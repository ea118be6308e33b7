//! Whether a generation has consumed every event of the log up to its checkpoint, each once and in order.
//!
//! The log is folded as the runner has folded it, and compared at every milestone. Where one differs, the events
//! since the one before are tried: without each of them, with each of them twice, with each two neighbours swapped.

use crate::{
    Reader, StoreError,
    consumption::{self, Consumption, Milestone},
};
use advisor_eventlog::{EventLog, Filter, Position, ReadError, port::PAGE_EVENTS_MAX};
use uuid::Uuid;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The generation.
    pub generation: u64,
    /// The checkpoint up to which the log was folded.
    pub position: Position,
    /// What the generation says that it has consumed.
    pub consumed: Consumption,
    /// What the log holds.
    pub logged: Consumption,
    /// The first difference, if there is one.
    pub difference: Option<Difference>,
}

/// Where a generation has left the log first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What happened there.
    pub kind: DifferenceKind,
    /// The event; of two that were swapped the first. Of something else, the last event before it that was consumed
    /// rightly for sure.
    pub position: Position,
}

/// What a generation has done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It was left out.
    Dropped,
    /// It was taken twice.
    Doubled,
    /// It was taken after the one that follows it.
    Swapped,
    /// More than one of these, or something else.
    Other,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// The read models can't be read.
    #[error("the read models can't be read")]
    Store(#[from] StoreError),
    /// The log can't be read.
    #[error("the event log can't be read")]
    Log(#[from] ReadError),
}

/// An event as far as it matters here.
type Consumed = (Position, Uuid);

/// Folds the log up to the generation's checkpoint, and compares.
pub async fn verify(log: &dyn EventLog, reader: &Reader) -> Result<Verification, VerificationError> {
    let (checkpoint, consumed, milestones) = reader.run(consumption::whole()).await?.value;
    let end = Milestone { position: checkpoint.position, consumption: consumed };
    let mut comparison = Comparison::new(milestones, end);
    let mut after = Position::START;
    while after < checkpoint.position {
        let page = log.read_all(after, &Filter::all(), PAGE_EVENTS_MAX).await?;
        if page.scanned_to == after {
            break;
        }
        after = page.scanned_to;
        for event in page.events.iter().take_while(|event| event.position <= checkpoint.position) {
            comparison.take((event.position, event.id));
        }
    }
    Ok(Verification {
        generation: checkpoint.generation,
        position: checkpoint.position,
        consumed,
        logged: comparison.logged,
        difference: comparison.end(consumed),
    })
}

/// The fold of the log beside the milestones of a generation.
struct Comparison {
    /// Those that the fold has not come to, the next one last; the end among them.
    ahead: Vec<Milestone>,
    /// The last one at which both were the same.
    same: Milestone,
    /// What the log has since then, and the event of the milestone itself before it.
    since: Vec<Consumed>,
    at: Option<Consumed>,
    logged: Consumption,
    difference: Option<Difference>,
}

impl Comparison {
    fn new(milestones: Vec<Milestone>, end: Milestone) -> Self {
        let mut ahead = milestones;
        if ahead.last() != Some(&end) {
            ahead.push(end);
        }
        ahead.reverse();
        let same = Milestone { position: Position::START, consumption: Consumption::default() };
        Self { ahead, same, since: Vec::new(), at: None, logged: Consumption::default(), difference: None }
    }

    fn take(&mut self, event: Consumed) {
        self.logged = self.logged.and(event.0, event.1);
        if self.difference.is_some() {
            return;
        }
        self.since.push(event);
        if self.ahead.last().is_some_and(|next| event.0 >= next.position) {
            self.compare();
        }
    }

    /// The log has come to where the generation was at its next milestone.
    fn compare(&mut self) {
        let Some(next) = self.ahead.pop() else { return };
        if next.consumption == self.logged {
            self.same = next;
            self.at = self.since.pop();
            self.since.clear();
        } else {
            self.difference = Some(diagnose((self.same, self.at), &self.since, next));
        }
    }

    /// The first difference, when the log has come to the generation's checkpoint.
    fn end(self, consumed: Consumption) -> Option<Difference> {
        if let Some(difference) = self.difference {
            // What is missing at a milestone and not at the end came after it.
            let came_late = difference.kind == DifferenceKind::Dropped && consumed.consumed == self.logged.consumed;
            return Some(if came_late {
                Difference { kind: DifferenceKind::Swapped, ..difference }
            } else {
                difference
            });
        }
        // The generation says that it has consumed what the log does not have.
        let other = Difference { kind: DifferenceKind::Other, position: self.same.position };
        (consumed != self.logged).then_some(other)
    }
}

/// Which single fault makes of these events what the generation has consumed.
fn diagnose((from, at): (Milestone, Option<Consumed>), events: &[Consumed], to: Milestone) -> Difference {
    let wanted = to.consumption;
    if at.is_some_and(|at| fold(with(from.consumption, &at), events) == wanted) {
        return Difference { kind: DifferenceKind::Doubled, position: from.position };
    }
    let mut before = from.consumption;
    for (index, event) in events.iter().enumerate() {
        let rest = events.get(index + 1..).unwrap_or_default();
        let found = [
            (DifferenceKind::Dropped, fold(before, rest)),
            (DifferenceKind::Doubled, fold(with(with(before, event), event), rest)),
            (DifferenceKind::Swapped, swapped(before, event, rest)),
        ];
        if let Some((kind, _)) = found.into_iter().find(|(_, made)| *made == wanted) {
            return Difference { kind, position: event.0 };
        }
        before = with(before, event);
    }
    Difference { kind: DifferenceKind::Other, position: from.position }
}

fn swapped(before: Consumption, event: &Consumed, rest: &[Consumed]) -> Consumption {
    match rest.split_first() {
        Some((next, rest)) => fold(with(with(before, next), event), rest),
        None => before,
    }
}

fn fold(from: Consumption, events: &[Consumed]) -> Consumption {
    events.iter().fold(from, with)
}

fn with(before: Consumption, event: &Consumed) -> Consumption {
    before.and(event.0, event.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Runner, RunnerLimits,
        given::{MemoryKeys, opened, read_side::ReadSide},
    };
    use advisor_eventlog::{
        AppendError, Appended, Direction, Expected, MemoryLog, NewEvent, Page, Recorded, Subscription,
        SubscriptionEvent,
    };
    use advisor_events::StreamName;
    use async_trait::async_trait;
    use futures::{StreamExt, stream};
    use std::sync::Arc;

    #[tokio::test]
    async fn a_generation_that_has_consumed_everything_is_the_same_as_the_log() {
        let side = side(2_345).await;
        let running = side.run().await;
        side.reach_head().await;
        running.stop().await;

        let found = verify(side.log.as_ref(), &side.reader()).await.unwrap();

        assert_eq!((found.difference, found.consumed, found.consumed.consumed), (None, found.logged, 2_346));
        assert_eq!(found.position, side.log.head().await.unwrap());
    }

    #[tokio::test]
    async fn one_event_that_was_dropped_doubled_or_swapped_is_found_wherever_it_stands() {
        for kind in [DifferenceKind::Dropped, DifferenceKind::Doubled, DifferenceKind::Swapped] {
            for number in [1, 999, 1_000, 1_700] {
                let side = side(1_900).await;
                let log = Arc::new(Tampered { log: Arc::clone(&side.log), kind, number });
                let parts = crate::RunnerParts { log: log as _, ..side.parts() };
                let runner = Runner::open(parts).await.unwrap();
                let shutdown = tokio_util::sync::CancellationToken::new();
                let mut progress = side.generation.progress().subscribe();
                let head = side.log.head().await.unwrap();
                let reached = progress.wait_for(|progress| progress.position == head);
                tokio::select! {
                    done = runner.run(shutdown) => panic!("{kind:?} {number}: {done:?}"),
                    reached = reached => drop(reached.unwrap()),
                }

                let found = verify(side.log.as_ref(), &side.reader()).await.unwrap();

                let difference = found.difference.unwrap_or_else(|| panic!("{kind:?} {number} is found"));
                assert_eq!(difference, Difference { kind, position: nth(&side, number).await }, "{kind:?} {number}");
            }
        }
    }

    async fn nth(side: &ReadSide, number: usize) -> Position {
        let mut after = Position::START;
        let mut left = number;
        loop {
            let page = side.log.read_all(after, &Filter::all(), PAGE_EVENTS_MAX).await.unwrap();
            if let Some(event) = page.events.get(left) {
                return event.position;
            }
            left -= page.events.len();
            after = page.scanned_to;
        }
    }

    async fn side(events: usize) -> ReadSide {
        let side = ReadSide::over(Arc::new(MemoryLog::with_stride(3)), RunnerLimits::default()).await;
        let story = (0..events).fold(opened("this log"), |story, n| story.registered(&format!("user{n}")));
        story.append_to(side.log.as_ref(), &MemoryKeys::default()).await;
        side
    }

    /// A log whose subscriptions have one fault; what is read from it is whole.
    struct Tampered {
        log: Arc<MemoryLog>,
        kind: DifferenceKind,
        /// The event's place in the log, from 0.
        number: usize,
    }

    #[async_trait]
    impl EventLog for Tampered {
        async fn append(
            &self,
            stream: &StreamName,
            expected: Expected,
            events: Vec<NewEvent>,
        ) -> Result<Appended, AppendError> {
            self.log.append(stream, expected, events).await
        }

        async fn read_stream(
            &self,
            stream: &StreamName,
            from: u64,
            direction: Direction,
            max: usize,
        ) -> Result<Vec<Recorded>, ReadError> {
            self.log.read_stream(stream, from, direction, max).await
        }

        async fn read_all(&self, after: Position, filter: &Filter, max: usize) -> Result<Page, ReadError> {
            self.log.read_all(after, filter, max).await
        }

        async fn head(&self) -> Result<Position, ReadError> {
            self.log.head().await
        }

        async fn subscribe_all(&self, after: Position, filter: Filter) -> Result<Subscription, ReadError> {
            let (kind, number, mut place, mut held) = (self.kind, self.number, 0, None);
            let whole = self.log.subscribe_all(after, filter).await?;
            let tampered = whole.flat_map(move |item| {
                let Ok(SubscriptionEvent::Event(event)) = &item else { return stream::iter(vec![item]) };
                place += 1;
                let again = || Ok(SubscriptionEvent::Event(Arc::clone(event)));
                let items = match kind {
                    DifferenceKind::Dropped if place == number + 1 => vec![],
                    DifferenceKind::Doubled if place == number + 1 => vec![again(), again()],
                    DifferenceKind::Swapped if place == number + 1 => {
                        held = Some(again());
                        vec![]
                    }
                    DifferenceKind::Swapped if place == number + 2 => {
                        std::iter::once(again()).chain(held.take()).collect()
                    }
                    DifferenceKind::Dropped
                    | DifferenceKind::Doubled
                    | DifferenceKind::Swapped
                    | DifferenceKind::Other => vec![again()],
                };
                stream::iter(items)
            });
            Ok(tampered.boxed())
        }
    }
}
