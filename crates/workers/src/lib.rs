//! Reactions that touch the outside world, one file each, and what they need: models and prompts.
//!
//! Workers change the system by commands alone. They look at the read models whenever the bus rings
//! and once a second, and act on what they see there: a lost ring costs time, never a reply.

mod bell;
mod effects;
pub mod make_title;
pub mod model;
pub mod prompt;
pub mod reply_to_message;
pub mod tiers;

use advisor_bus::Bus;
use advisor_commands::Commands;
use advisor_eventlog::EventLog;
use advisor_events::Clock;
use advisor_projections::{Drafts, Reader};
use make_title::TitleOptions;
use reply_to_message::ReplyOptions;
use std::sync::Arc;
use tiers::Models;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What workers work with.
#[derive(Clone)]
pub struct Deps {
    /// How the system is changed.
    pub commands: Arc<Commands>,
    /// What is seen.
    pub reader: Reader,
    /// Where the texts of running replies are kept.
    pub drafts: Drafts,
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
}

/// The names of all workers.
pub fn all() -> [&'static str; 2] {
    [reply_to_message::NAME, make_title::NAME]
}

/// Starts all workers on the tracker. After `shutdown` they end by themselves: replies within their grace,
/// after which what still runs is released to whoever comes next.
pub fn start(deps: &Deps, options: Options, tracker: &TaskTracker, shutdown: &CancellationToken) {
    let replies = reply_to_message::run(deps.clone(), options.replies, tracker.clone(), shutdown.clone());
    tracker.spawn(replies);
    tracker.spawn(make_title::run(deps.clone(), options.titles, tracker.clone(), shutdown.clone()));
}

#[cfg(test)]
mod tests;
