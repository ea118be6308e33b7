//! Replies to messages: whoever is asked for one gives it, once.
//!
//! 1. Look at the open replies, whenever the bus rings and once a second (`look`).
//! 2. Begin what nobody has begun, in the order of messages; take over what nobody runs any more (`verdict`).
//! 3. Claim the attempt by an event that names what the model will be asked (`claim`).
//! 4. Ask, stream the text as deltas and as a draft with a beat (`stream`, `beats`).
//! 5. End the reply by exactly one event (`end`); when an attempt broke off, begin the next one (`run`).
//!
//! At least once and at any time again: everything is decided from the read models and settled by the
//! log, which lets one effect through. What is lost on the way is a doubled call to a model.

mod beats;
pub mod bounds;
mod claim;
mod draft;
mod end;
mod look;
mod reading;
mod run;
mod sightings;
mod stream;
mod verdict;

pub use beats::BeatOptions;

use crate::{
    Deps,
    bell::Bell,
    effects::{Effects, Origin, Settled},
    tiers::Models,
};
use advisor_bus::Bus;
use advisor_events::{ReplyId, conversation::ReplyFailure};
use beats::Beats;
use end::End;
use futures::FutureExt;
use look::{Known, Task};
use reading::ReadSide;
use run::{Outcome, outcome};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// This worker's name, as events tell it.
pub const NAME: &str = "reply_to_message";

/// How replies are given.
#[derive(Clone, Copy, Debug)]
pub struct ReplyOptions {
    /// Most replies that this process gives at the same time.
    pub parallel_max: usize,
    /// Most open replies that a look sees.
    pub open_max: u32,
    /// Time between two looks when the bus does not ring.
    pub look: Duration,
    /// When a reply that somebody else began is taken over.
    pub take_over: TakeOver,
    /// Most time for a reply in one process, all its attempts together.
    pub deadline: Duration,
    /// Most characters of a reply.
    pub text_chars_max: usize,
    /// How long replies may go on after the order to shut down.
    pub grace: Duration,
    /// Drafts and beats.
    pub beats: BeatOptions,
}

/// When a reply that somebody else began is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// At once: there is one worker, and what it does not run was begun by one that is dead.
    AtOnce,
    /// When its beat has stood still for so long on this process's own clock.
    AfterSilence(Duration),
}

impl Default for ReplyOptions {
    fn default() -> Self {
        Self {
            parallel_max: 128,
            open_max: 1_000,
            look: Duration::from_secs(1),
            take_over: TakeOver::AfterSilence(Duration::from_secs(10)),
            deadline: Duration::from_mins(2),
            text_chars_max: 100_000,
            grace: Duration::from_secs(5),
            beats: BeatOptions::default(),
        }
    }
}

/// All that replies need.
struct Desk {
    options: ReplyOptions,
    read: ReadSide,
    models: Arc<Models>,
    bus: Arc<dyn Bus>,
    beats: Beats,
    effects: Effects,
    /// This process goes down: every call is dropped.
    abandon: CancellationToken,
}

/// Gives replies until `shutdown`, and for the grace after it.
pub(crate) async fn run(deps: Deps, options: ReplyOptions, tracker: TaskTracker, shutdown: CancellationToken) {
    let desk = Arc::new(Desk {
        options,
        read: ReadSide::new(&deps, options.open_max),
        models: Arc::clone(&deps.models),
        bus: Arc::clone(&deps.bus),
        beats: Beats::new(Arc::new(deps.side.drafts().clone()), Arc::clone(&deps.clock), options.beats),
        effects: Effects { commands: Arc::clone(&deps.commands), clock: Arc::clone(&deps.clock), worker: NAME },
        abandon: CancellationToken::new(),
    });
    // Also when this panics: what runs must not go on without anybody to look after it.
    let _abandon = desk.abandon.clone().drop_guard();
    let beats_until = CancellationToken::new();
    let _beats_until = beats_until.clone().drop_guard();
    let beating = tracker.spawn({
        let (desk, until) = (Arc::clone(&desk), beats_until.clone());
        async move { desk.beats.run(until).await }
    });
    // Bounded by the replies that run, each of which reports once.
    let (report, reports) = mpsc::channel(options.parallel_max.max(1));
    let worker = Worker { desk: Arc::clone(&desk), tracker, report, reports, known: Known::default() };
    worker.work(shutdown).await;
    beats_until.cancel();
    if beating.await.is_err() {
        tracing::error!("the writer of drafts has panicked");
    }
    if let Err(error) = desk.beats.release_all().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "replies could not be released");
    }
}

struct Worker {
    desk: Arc<Desk>,
    tracker: TaskTracker,
    report: mpsc::Sender<(ReplyId, Outcome)>,
    reports: mpsc::Receiver<(ReplyId, Outcome)>,
    known: Known,
}

impl Worker {
    async fn work(mut self, shutdown: CancellationToken) {
        let mut bell = Bell::new(Arc::clone(&self.desk.bus), &["replies"], self.desk.options.look);
        while !shutdown.is_cancelled() {
            bell.listen().await;
            self.look().await;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = bell.rung() => {}
                Some((reply_id, outcome)) = self.reports.recv() => self.known.note(reply_id, outcome),
            }
        }
        self.wind_down().await;
    }

    async fn look(&mut self) {
        while let Ok((reply_id, outcome)) = self.reports.try_recv() {
            self.known.note(reply_id, outcome);
        }
        let room = self.desk.options.parallel_max.saturating_sub(self.known.running());
        for task in self.known.look(&self.desk, room).await {
            let (desk, report) = (Arc::clone(&self.desk), self.report.clone());
            self.tracker.spawn(async move {
                let reply_id = task.reply_id().clone();
                let outcome = AssertUnwindSafe(carry_out(&desk, task)).catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!(reply.id = %reply_id, "a reply has panicked");
                    desk.beats.leave(&reply_id);
                    Outcome::Failed
                });
                // Nobody listens any more only when this process goes down.
                report.send((reply_id, outcome)).await.ok();
            });
        }
    }

    /// Waits for what runs; when the grace is over, drops it.
    async fn wind_down(mut self) {
        let grace = self.desk.options.grace;
        let in_time = tokio::time::timeout(grace, self.drain()).await.is_ok();
        if !in_time {
            self.desk.abandon.cancel();
            self.drain().await;
        }
    }

    async fn drain(&mut self) {
        while self.known.running() > 0 {
            let Some((reply_id, outcome)) = self.reports.recv().await else { return };
            self.known.note(reply_id, outcome);
        }
    }
}

async fn carry_out(desk: &Desk, task: Task) -> Outcome {
    match task {
        Task::Run(job, signals) => run::run(desk, job, &signals).await,
        Task::EndStopped(reply, text) => {
            let end = End { desk, reply: &reply, attempt: reply.attempt, origin: Origin::default() };
            settled(desk, end.stop_with_draft(text)).await
        }
        Task::Exhausted(reply) => {
            let end = End { desk, reply: &reply, attempt: reply.attempt, origin: Origin::default() };
            settled(desk, end.fail(ReplyFailure::AttemptsExhausted)).await
        }
    }
}

async fn settled(desk: &Desk, end: impl Future<Output = Settled>) -> Outcome {
    match desk.abandon.run_until_cancelled(end).await {
        Some(settled) => outcome(&settled),
        None => Outcome::Left,
    }
}
