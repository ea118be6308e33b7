//! The workers, and the models that they ask.

use super::Running;
use crate::config::{Config, ModelProvider};
use advisor_api::Api;
use advisor_workers::{
    Deps, Options,
    erase_person::EraseOptions,
    model::openai::{Endpoint, OpenAiModel},
    prompt::ModelLimits,
    reply_to_message::{ReplyOptions, TakeOver},
    tiers::{Models, ModelsOptions, TierModels},
};
use anyhow::Result;
use std::sync::Arc;

/// Starts all workers of this process.
pub(super) fn start(config: &Config, api: &Api, models: Arc<Models>, running: &Running) {
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
    let options = Options {
        // The log's lock says that this is the only process: what another one began, nobody runs any more.
        replies: ReplyOptions { take_over: TakeOver::AtOnce, ..config.limits.replies },
        titles: config.limits.titles,
        erasures: EraseOptions::default(),
    };
    advisor_workers::start(&deps, options, &running.workers, &running.stopping);
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
