//! Reactions that touch the outside world, one file each, and what they need: models and prompts.
//!
//! Workers change the system by commands alone. They look at the read models whenever the bus rings
//! and once a second, and act on what they see there: a lost ring costs time, never a reply.

mod bell;
mod effects;
pub mod erase_person;
pub mod limits;
pub mod make_title;
pub mod model;
pub mod prompt;
pub mod reply_to_message;
pub mod tiers;

use advisor_bus::Bus;
use advisor_commands::Commands;
use advisor_eventlog::EventLog;
use advisor_events::{Clock, KeyStore};
use advisor_projections::{Reader, SideStore};
use erase_person::EraseOptions;
use futures::{FutureExt, future::BoxFuture};
use make_title::TitleOptions;
use reply_to_message::ReplyOptions;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tiers::Models;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What workers work with.
#[derive(Clone)]
pub struct Deps {
    /// How the system is changed.
    pub commands: Arc<Commands>,
    /// What is seen.
    pub reader: Reader,
    /// Where the texts of running replies are kept, and what has come to its end.
    pub side: SideStore,
    /// The keys of people's words.
    pub keys: Arc<dyn KeyStore>,
    /// What rings, and where deltas are told.
    pub bus: Arc<dyn Bus>,
    /// Where single events are looked up.
    pub log: Arc<dyn EventLog>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Who answers.
    pub models: Arc<Models>,
}

/// How the workers work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Replies.
    pub replies: ReplyOptions,
    /// Titles.
    pub titles: TitleOptions,
    /// Erasures.
    pub erasures: EraseOptions,
}

/// Who runs a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every process that works: the log settles who does what.
    Everybodys,
    /// The one that brings the read models forward, for as long as it does.
    Owners,
}

/// A worker, which runs until it is told to end.
struct Worker {
    name: &'static str,
    share: Share,
    run: fn(Deps, Options, TaskTracker, CancellationToken) -> BoxFuture<'static, ()>,
}

/// Every worker there is.
fn all() -> [Worker; 3] {
    [
        Worker {
            name: reply_to_message::NAME,
            share: Share::Everybodys,
            run: |deps, options, tracker, shutdown| {
                reply_to_message::run(deps, options.replies, tracker, shutdown).boxed()
            },
        },
        Worker {
            name: make_title::NAME,
            share: Share::Owners,
            run: |deps, options, tracker, shutdown| make_title::run(deps, options.titles, tracker, shutdown).boxed(),
        },
        Worker {
            name: erase_person::NAME,
            share: Share::Owners,
            run: |deps, options, tracker, shutdown| {
                erase_person::run(deps, options.erasures, tracker, shutdown).boxed()
            },
        },
    ]
}

/// Time before a worker that has panicked is started again.
pub const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Starts all workers of a share on the tracker. After `shutdown` they end by themselves: replies within their grace,
/// after which what still runs is released to whoever comes next.
pub fn start(deps: &Deps, options: Options, share: Share, tracker: &TaskTracker, shutdown: &CancellationToken) {
    for worker in all().into_iter().filter(|worker| worker.share == share) {
        let (deps, tasks, shutdown) = (deps.clone(), tracker.clone(), shutdown.clone());
        tracker.spawn(async move {
            loop {
                let running = (worker.run)(deps.clone(), options, tasks.clone(), shutdown.clone());
                if AssertUnwindSafe(running).catch_unwind().await.is_ok() {
                    return;
                }
                tracing::error!(worker = worker.name, "a worker has panicked and is started again");
                if shutdown.run_until_cancelled(sleep(RESTART_PAUSE)).await.is_none() {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
