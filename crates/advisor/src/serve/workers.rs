//! The workers, and the models that they ask.

use super::Running;
use crate::config::{Config, ModelProvider, engines::EventLogEngine};
use advisor_api::Api;
use advisor_projections::Duty;
use advisor_workers::{
    Deps, Options, Share,
    erase_person::EraseOptions,
    model::openai::{Endpoint, OpenAiModel},
    prompt::ModelLimits,
    reply_to_message::{ReplyOptions, TakeOver},
    tiers::{Models, ModelsOptions, TierModels},
};
use anyhow::Result;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Whether this process brings the read models forward: 1 or 0.
const OWNER: &str = "advisor_projections_owner";

/// Starts the workers of this process: some at once, others for as long as it brings the read models forward.
pub(super) fn start(config: &Config, api: &Api, models: Arc<Models>, running: &Running, duty: watch::Receiver<Duty>) {
    let deps = Deps {
        commands: Arc::clone(&api.commands),
        reader: api.reader.clone(),
        side: api.side.clone(),
        keys: Arc::clone(&running.stores.keys) as _,
        bus: Arc::clone(&api.bus),
        log: Arc::clone(&api.log),
        clock: Arc::clone(&api.clock),
        models,
    };
    let options = Options { replies: replies(config), titles: config.limits.titles, erasures: erasures(config) };
    let (tracker, stopping) = (running.workers.clone(), running.stopping.clone());
    advisor_workers::start(&deps, options, Share::Everybodys, &tracker, &stopping);
    let owned = own(deps, options, duty, tracker, stopping.clone());
    running.workers.spawn(async move { stopping.run_until_cancelled(owned).await });
}

fn replies(config: &Config) -> ReplyOptions {
    match config.engines.event_log {
        // The log's lock says that this is the only process: what another one began, nobody runs any more.
        EventLogEngine::Sqlite(_) => ReplyOptions { take_over: TakeOver::AtOnce, ..config.limits.replies },
        EventLogEngine::Postgres(_) | EventLogEngine::KurrentDb(_) => config.limits.replies,
    }
}

fn erasures(config: &Config) -> EraseOptions {
    match config.engines.event_log {
        EventLogEngine::Sqlite(_) => EraseOptions::default(),
        EventLogEngine::Postgres(_) | EventLogEngine::KurrentDb(_) => EraseOptions::among_processes(),
    }
}

/// Runs the owner's workers whenever this process is the owner.
async fn own(
    deps: Deps,
    options: Options,
    mut duty: watch::Receiver<Duty>,
    tracker: TaskTracker,
    stopping: CancellationToken,
) {
    let is_owner = |duty: &Duty| *duty == Duty::Owner;
    metrics::gauge!(OWNER).set(0);
    while duty.wait_for(is_owner).await.is_ok() {
        metrics::gauge!(OWNER).set(1);
        let owned = stopping.child_token();
        let _owned = owned.clone().drop_guard();
        advisor_workers::start(&deps, options, Share::Owners, &tracker, &owned);
        // Gone with what told it: nothing is brought forward any more.
        duty.wait_for(|duty| !is_owner(duty)).await.map(drop).ok();
        metrics::gauge!(OWNER).set(0);
    }
}

/// The models, behind the provider that is configured.
pub(super) fn models(config: &Config) -> Result<Models> {
    let wanted = &config.models;
    let endpoint = match &wanted.provider {
        ModelProvider::Demo { delay } => return Ok(Models::demo(*delay)),
        ModelProvider::OpenRouter { key } => Endpoint::openrouter(key.clone()),
        ModelProvider::Compatible { url, key } => Endpoint::compatible(url, key.clone()),
    };
    let provider = OpenAiModel::new(&endpoint, &config.app_url, config.limits.model_call)?;
    let tiers = TierModels { free: wanted.free.clone(), base: wanted.base.clone(), premium: wanted.premium.clone() };
    let limits_default =
        ModelLimits { window_tokens: Some(wanted.context_tokens), output_tokens_max: wanted.output_tokens_max };
    let limits = wanted.limits.iter().map(|(model, of)| {
        (model.clone(), ModelLimits { window_tokens: Some(of.context_tokens), output_tokens_max: of.output_tokens_max })
    });
    let options = ModelsOptions {
        limits_default,
        limits: limits.collect(),
        retry: config.limits.model_retry,
        breaker: config.limits.model_breaker,
    };
    Ok(Models::new(Arc::new(provider), tiers, options))
}
