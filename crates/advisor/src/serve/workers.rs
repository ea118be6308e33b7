//! The workers, and the models that they ask.

use super::Running;
use crate::config::{Config, ModelProvider};
use advisor_api::Api;
use advisor_workers::{
    Deps, Options,
    erase_person::EraseOptions,
    make_title::TitleOptions,
    model::openai::{CallLimits, Endpoint, OpenAiModel},
    prompt::ModelLimits,
    reply_to_message::{ReplyOptions, TakeOver},
    tiers::{Models, ModelsOptions, TierModels},
};
use anyhow::Result;
use std::sync::Arc;

/// Starts all workers of this process.
pub(super) fn start(config: &Config, api: &Api, running: &Running) -> Result<()> {
    let deps = Deps {
        commands: Arc::clone(&api.commands),
        reader: api.reader.clone(),
        side: api.side.clone(),
        keys: Arc::clone(&running.stores.keys) as _,
        bus: Arc::clone(&api.bus),
        log: Arc::clone(&api.log),
        clock: Arc::clone(&api.clock),
        models: Arc::new(models(config)?),
    };
    let options = Options {
        // The log's lock says that this is the only process: what another one began, nobody runs any more.
        replies: ReplyOptions {
            parallel_max: config.models.replies_parallel_max,
            take_over: TakeOver::AtOnce,
            deadline: config.models.timeout,
            ..ReplyOptions::default()
        },
        titles: TitleOptions::default(),
        erasures: EraseOptions::default(),
    };
    advisor_workers::start(&deps, options, &running.workers, &running.stopping);
    Ok(())
}

fn models(config: &Config) -> Result<Models> {
    let wanted = &config.models;
    let endpoint = match &wanted.provider {
        ModelProvider::Demo { delay } => return Ok(Models::demo(*delay)),
        ModelProvider::OpenRouter { key } => Endpoint::openrouter(key.clone()),
        ModelProvider::Compatible { url, key } => Endpoint::compatible(url, key.clone()),
    };
    let limits = CallLimits { total: wanted.timeout, ..CallLimits::default() };
    let provider = OpenAiModel::new(&endpoint, &config.app_url, limits)?;
    let tiers = TierModels { free: wanted.free.clone(), base: wanted.base.clone(), premium: wanted.premium.clone() };
    let limits_default =
        ModelLimits { window_tokens: Some(wanted.context_tokens), output_tokens_max: wanted.output_tokens_max };
    let limits = wanted.limits.iter().map(|(model, of)| {
        (model.clone(), ModelLimits { window_tokens: Some(of.context_tokens), output_tokens_max: of.output_tokens_max })
    });
    let options = ModelsOptions { limits_default, limits: limits.collect(), ..ModelsOptions::default() };
    Ok(Models::new(Arc::new(provider), tiers, options))
}
