//! A process of workers: the program's own, over ports that fail.

use crate::{
    process::Process,
    server::{generation, side},
    weather::Weather,
    world::World,
};
use advisor_commands::{Commands, HandlerLimits};
use advisor_projections::Reader;
use advisor_workers::{
    Deps, Options, Share,
    make_title::TitleOptions,
    model::breaker::BreakerOptions,
    reply_to_message::ReplyOptions,
    tiers::{Models, ModelsOptions, RetryOptions, TierModels},
};
use std::{sync::Arc, time::Duration};
use tokio_util::task::TaskTracker;

/// Runs workers until they are told to end.
pub(crate) async fn run(world: World, process: Arc<Process>) {
    let Some(generation) = generation(&world, &process).await else { return };
    let side = side(&world, &process).await;
    let log = world.log.of(&process);
    let deps = Deps {
        commands: Arc::new(Commands::new(&log, &world.keys, HandlerLimits::default())),
        reader: Reader::new(&generation),
        side,
        keys: Arc::clone(&world.keys),
        bus: world.bus.of(&process),
        log,
        clock: Arc::<Weather>::clone(&world.weather),
        models: Arc::new(models(&world, &process)),
    };
    // Also when it is killed: its tasks would look at a clock for ever.
    let _shutdown = process.shutdown.clone().drop_guard();
    let tracker = TaskTracker::new();
    for share in [Share::Everybodys, Share::Owners] {
        advisor_workers::start(&deps, options(), share, &tracker, &process.shutdown);
    }
    tracker.close();
    tracker.wait().await;
}

/// No titles, and a deadline that a storm leaves time for.
fn options() -> Options {
    let replies = ReplyOptions { deadline: Duration::from_secs(30), ..ReplyOptions::default() };
    let titles = TitleOptions { parallel_max: 0, ..TitleOptions::default() };
    Options { replies, titles, ..Options::default() }
}

/// One model, asked once: pauses between two passes are random, and no seed reaches them.
fn models(world: &World, process: &Arc<Process>) -> Models {
    let tiers = TierModels { free: "free".into(), base: "base".into(), premium: "premium".into() };
    let retry = RetryOptions { passes_max: 1, pause: Duration::ZERO, ..RetryOptions::default() };
    let breaker = BreakerOptions { failures_max: 1_000, ..BreakerOptions::default() };
    Models::new(world.model.of(process), tiers, ModelsOptions { retry, breaker, ..ModelsOptions::default() })
}
