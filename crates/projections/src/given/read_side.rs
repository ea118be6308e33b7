//! A whole read side for tests: a log in memory, read models in a real store, a runner between them.

use super::{MemoryKeys, Story, engine::Place};
use crate::{
    Generation, Query, Read, Reader, Runner, RunnerError, RunnerLimits, RunnerParts, State, Waited, generations::dump,
};
use advisor_bus::{Bus, InProcessBus};
use advisor_eventlog::{EventLog, MemoryLog, Position};
use advisor_events::{Clock, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct ReadSide {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) keys: Arc<MemoryKeys>,
    pub(crate) bus: Arc<InProcessBus>,
    pub(crate) limits: RunnerLimits,
    pub(crate) generation: Generation,
    pub(crate) place: Place,
}

/// A runner at work.
pub(crate) struct Running {
    pub(crate) task: JoinHandle<Result<(), RunnerError>>,
    shutdown: CancellationToken,
}

/// A read side that nothing has been told yet.
pub(crate) async fn empty() -> ReadSide {
    // Positions that are not dense are what other logs have.
    ReadSide::over(Arc::new(MemoryLog::with_stride(3)), RunnerLimits::default()).await
}

/// A read side that has been told a story while it was running.
pub(crate) async fn told(story: &Story) -> (ReadSide, Reader) {
    let side = empty().await;
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    side.reach_head().await;
    running.stop().await;
    let reader = side.reader();
    (side, reader)
}

impl ReadSide {
    pub(crate) async fn over(log: Arc<MemoryLog>, limits: RunnerLimits) -> Self {
        let place = Place::new();
        let generation = place.generation(1).await;
        Self { log, keys: Arc::default(), bus: Arc::default(), limits, generation, place }
    }

    /// The same log under a new and empty generation.
    pub(crate) async fn rebuilt(self, limits: RunnerLimits) -> Self {
        let number = self.generation.number() + 1;
        self.generation.close().await;
        let generation = self.place.generation(number).await;
        Self { limits, generation, ..self }
    }

    /// The same store, opened again.
    pub(crate) async fn reopened(self) -> Self {
        let number = self.generation.number();
        self.generation.close().await;
        let generation = self.place.generation(number).await;
        Self { generation, ..self }
    }

    pub(crate) fn parts(&self) -> RunnerParts {
        RunnerParts {
            log: Arc::clone(&self.log) as Arc<dyn EventLog>,
            keys: Arc::clone(&self.keys) as _,
            generation: self.generation.clone(),
            bus: Arc::clone(&self.bus) as Arc<dyn Bus>,
            clock: Arc::new(StandingClock),
            limits: self.limits.clone(),
        }
    }

    pub(crate) async fn run(&self) -> Running {
        self.run_over(Arc::clone(&self.log) as _).await
    }

    /// Runs over another log, in front of this one.
    pub(crate) async fn run_over(&self, log: Arc<dyn EventLog>) -> Running {
        let runner = Runner::open(RunnerParts { log, ..self.parts() }).await.unwrap();
        let shutdown = CancellationToken::new();
        let task = TaskTracker::new().spawn(runner.run(shutdown.clone()));
        Running { task, shutdown }
    }

    /// Waits until everything in the log is in the read models, and the runner follows the log.
    pub(crate) async fn reach_head(&self) -> Position {
        let head = self.log.head().await.unwrap();
        let mut progress = self.reader().progress();
        let arrived = progress.wait_for(|progress| progress.position >= head && progress.state != State::CatchingUp);
        let arrived = tokio::time::timeout(PATIENCE, arrived).await.expect("the head is reached").unwrap().clone();
        assert_eq!(arrived.state, State::Live);
        head
    }

    pub(crate) async fn tell(&self, story: &Story) -> Position {
        story.append_to(self.log.as_ref(), self.keys.as_ref()).await;
        let head = self.log.head().await.unwrap();
        assert!(matches!(self.reader().wait_for(head, PATIENCE).await, Waited::Reached(_)));
        head
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(&self.generation)
    }

    pub(crate) async fn read<T: Send + 'static>(&self, query: Query<T>) -> T {
        self.read_at(query).await.value
    }

    pub(crate) async fn read_at<T: Send + 'static>(&self, query: Query<T>) -> Read<T> {
        self.reader().run(query).await.unwrap()
    }

    pub(crate) async fn dump(&self) -> String {
        String::from_utf8(self.read(dump()).await).unwrap()
    }
}

impl Running {
    /// Ends the runner in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends the runner wherever it is.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err() || self.shutdown.is_cancelled(), "a killed runner does not end by itself");
    }
}

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        super::recorded_at(1_000)
    }
}
