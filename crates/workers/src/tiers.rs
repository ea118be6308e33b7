//! Which models are asked, in which order, and how often, until one begins to speak.
//!
//! The plan names the tier; a tier falls back to the ones below it; a premium user gets the model that
//! the advisor asks for. Everything here happens before the first word: once a word has been
//! streamed, a failure ends the attempt.

use crate::{
    model::{
        Model, ModelError, ModelEvent, ModelStream,
        breaker::{Breaker, BreakerOptions, Permit, Standing},
        demo::{DEMO_MODEL, DemoModel},
    },
    prompt::{ModelLimits, Prompt},
};
use futures::{StreamExt, stream};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// Characters of a model's name that an advisor asks for.
pub const HINT_CHARS_MAX: usize = 128;

/// What a plan entitles to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Plan `free`, and any word that is not known.
    Free,
    /// Plans `base` and `pro`.
    Base,
    /// Plans `premium` and `enterprise`.
    Premium,
}

impl Tier {
    /// The tier of a plan's word.
    pub fn of_plan(plan: &str) -> Self {
        match plan {
            "base" | "pro" => Self::Base,
            "premium" | "enterprise" => Self::Premium,
            _ => Self::Free,
        }
    }
}

/// The models of the tiers.
#[derive(Clone, Debug)]
pub struct TierModels {
    /// For [`Tier::Free`].
    pub free: String,
    /// For [`Tier::Base`].
    pub base: String,
    /// For [`Tier::Premium`].
    pub premium: String,
}

/// How often a provider is asked before the first word.
#[derive(Clone, Copy, Debug)]
pub struct RetryOptions {
    /// Times that the chain of models is gone through.
    pub passes_max: u32,
    /// Pause after the first pass; it doubles with each, and half of it is left to chance.
    pub pause: Duration,
    /// After this long no further model is asked.
    pub budget: Duration,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { passes_max: 3, pause: Duration::from_millis(500), budget: Duration::from_mins(1) }
    }
}

/// All about the provider but the provider.
#[derive(Clone, Debug, Default)]
pub struct ModelsOptions {
    /// Limits of models that are not in `limits`.
    pub limits_default: ModelLimits,
    /// Limits by model.
    pub limits: HashMap<String, ModelLimits>,
    /// How often it is asked.
    pub retry: RetryOptions,
    /// When it is left alone.
    pub breaker: BreakerOptions,
}

/// The models of this server, behind one provider.
pub struct Models {
    provider: Arc<dyn Model>,
    names: Names,
    options: ModelsOptions,
    breaker: Arc<Breaker>,
}

enum Names {
    Demo,
    Tiers(TierModels),
}

/// An answer that has begun to come.
pub struct Begun {
    /// The model that speaks.
    pub model: String,
    /// The answer from its first word on.
    pub events: ModelStream,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Models {
    /// Models of a provider.
    pub fn new(provider: Arc<dyn Model>, tiers: TierModels, options: ModelsOptions) -> Self {
        let breaker = Breaker::new(provider.name(), options.breaker);
        Self { provider, names: Names::Tiers(tiers), options, breaker }
    }

    /// The built-in demo model alone.
    pub fn demo(delay: Duration) -> Self {
        let options = ModelsOptions::default();
        let provider = Arc::new(DemoModel { delay });
        let breaker = Breaker::new(provider.name(), options.breaker);
        Self { provider, names: Names::Demo, options, breaker }
    }

    /// Who answers, and how they stand.
    pub fn provider(&self) -> (&str, Standing) {
        (self.provider.name(), self.breaker.standing())
    }

    /// Whether answers are demo answers.
    pub fn is_demo(&self) -> bool {
        match self.names {
            Names::Demo => true,
            Names::Tiers(_) => false,
        }
    }

    /// The models to ask for a user of this plan, in order, each once; never empty.
    pub fn chain(&self, plan: &str, hint: Option<&str>) -> Vec<String> {
        let Names::Tiers(tiers) = &self.names else { return vec![DEMO_MODEL.to_owned()] };
        let tier = Tier::of_plan(plan);
        let hint = hint.filter(|hint| tier == Tier::Premium && is_model_name(hint));
        let premium = (tier >= Tier::Premium).then_some(tiers.premium.as_str());
        let base = (tier >= Tier::Base).then_some(tiers.base.as_str());
        let mut chain: Vec<String> = Vec::new();
        for model in [hint, premium, base, Some(tiers.free.as_str())].into_iter().flatten() {
            if !chain.iter().any(|earlier| earlier == model) {
                chain.push(model.to_owned());
            }
        }
        chain
    }

    /// What fits every model of a chain.
    pub fn limits(&self, chain: &[String]) -> ModelLimits {
        let of = |model: &String| self.options.limits.get(model).copied().unwrap_or(self.options.limits_default);
        chain.iter().map(of).reduce(ModelLimits::and).unwrap_or(self.options.limits_default)
    }

    /// Asks the models of a chain until one begins to speak, at the latest by `deadline`.
    pub async fn begin(&self, prompt: &Prompt, chain: &[String], deadline: Instant) -> Result<Begun, ModelError> {
        let retry = self.options.retry;
        let budget = deadline.min(Instant::now() + retry.budget);
        let mut asked: Vec<&str> = chain.iter().map(String::as_str).collect();
        let mut last = ModelError::Unavailable("no model is configured");
        for pass in 0..retry.passes_max {
            let mut wait = Duration::ZERO;
            let mut asked_next = Vec::new();
            for model in asked {
                let error = match self.ask(prompt, model, deadline).await {
                    Ok(begun) => return Ok(begun),
                    Err(Failure::LeftAlone) => return Err(ModelError::Unavailable("it is left alone for a while")),
                    Err(Failure::Model(error)) => error,
                };
                tracing::warn!(model, error = %error, "a model did not answer");
                match error {
                    ModelError::Refused(_) => {}
                    ModelError::RateLimited { retry_after } => {
                        wait = wait.max(retry_after.unwrap_or_default());
                        asked_next.push(model);
                    }
                    ModelError::Unavailable(_)
                    | ModelError::TimedOut(_)
                    | ModelError::Broken(_)
                    | ModelError::Empty => asked_next.push(model),
                }
                last = error;
                if Instant::now() >= budget {
                    return Err(last);
                }
            }
            asked = asked_next;
            let pause = with_jitter(retry.pause * 2_u32.saturating_pow(pass)).max(wait);
            if asked.is_empty() || pass + 1 == retry.passes_max || Instant::now() + pause >= budget {
                break;
            }
            sleep(pause).await;
        }
        Err(last)
    }

    /// Asks one model once.
    async fn ask(&self, prompt: &Prompt, model: &str, deadline: Instant) -> Result<Begun, Failure> {
        let mut permit = self.breaker.admit().ok_or(Failure::LeftAlone)?;
        let first_word = async {
            let mut events = self.provider.stream(prompt.request(model)).await?;
            let mut before = Vec::new();
            loop {
                match events.next().await.ok_or(ModelError::Broken("it was cut off"))?? {
                    usage @ ModelEvent::Usage(_) => before.push(usage),
                    text @ ModelEvent::Text(_) => {
                        before.push(text);
                        return Ok((before, events));
                    }
                    ModelEvent::Finished { .. } => return Err(ModelError::Empty),
                }
            }
        };
        let outcome = timeout_at(deadline, first_word).await.unwrap_or(Err(ModelError::TimedOut("no answer in time")));
        match outcome {
            Ok((before, events)) => {
                permit.spoke();
                let before = stream::iter(before.into_iter().map(Ok));
                Ok(Begun { model: model.to_owned(), events: before.chain(watched(events, permit)).boxed() })
            }
            Err(error) => {
                judge(&mut permit, &error);
                Err(Failure::Model(error))
            }
        }
    }
}

enum Failure {
    Model(ModelError),
    /// The breaker is open.
    LeftAlone,
}

/// The rest of an answer; breaking off in the middle counts against the provider too.
fn watched(events: ModelStream, mut permit: Permit) -> ModelStream {
    events
        .inspect(move |event| match event {
            Err(error) => judge(&mut permit, error),
            Ok(ModelEvent::Finished { .. }) => permit.succeeded(),
            Ok(ModelEvent::Text(_) | ModelEvent::Usage(_)) => {}
        })
        .boxed()
}

/// A provider that refuses, limits or has nothing to say is alive.
fn judge(permit: &mut Permit, error: &ModelError) {
    match error {
        ModelError::Unavailable(_) | ModelError::TimedOut(_) | ModelError::Broken(_) => permit.failed(),
        ModelError::RateLimited { .. } | ModelError::Refused(_) | ModelError::Empty => permit.succeeded(),
    }
}

fn is_model_name(hint: &str) -> bool {
    !hint.is_empty() && hint.len() <= HINT_CHARS_MAX && hint.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Between half of the pause and all of it, so that those who failed together do not return together.
fn with_jitter(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    // Without randomness the pause is merely less spread.
    let spread = if getrandom::fill(&mut byte).is_ok() { f64::from(byte[0]) / 255.0 } else { 0.5 };
    pause.mul_f64(0.5 + spread / 2.0)
}

#[cfg(test)]
mod tests;
