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
    reply_to_message::{BeatOptions, ReplyOptions},
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
        advisor_workers::start(&deps, options(&process), share, &tracker, &process.shutdown);
    }
    tracker.close();
    tracker.wait().await;
}

/// No titles, and a deadline that a storm leaves time for. The second worker never notices that it stood still, as one
/// whose clock stood still with it: what it does then has to be refused, since it does not refrain.
fn options(process: &Process) -> Options {
    let notices = !process.name.starts_with("worker.2");
    let drop_after = if notices { BeatOptions::default().drop_after } else { Duration::from_hours(1) };
    let beats = BeatOptions { drop_after, ..BeatOptions::default() };
    let replies = ReplyOptions { deadline: Duration::from_secs(30), beats, ..ReplyOptions::default() };
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
