use super::*;
use crate::{
    model::ModelRequest,
    prompt::{Prompt, reply::Speaker, title},
};
use async_trait::async_trait;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

#[test]
fn both_vocabularies_of_plans_name_a_tier_and_unknown_words_the_lowest() {
    for (plan, tier) in [
        ("free", Tier::Free),
        ("base", Tier::Base),
        ("pro", Tier::Base),
        ("premium", Tier::Premium),
        ("enterprise", Tier::Premium),
        ("", Tier::Free),
        ("Premium!", Tier::Free),
    ] {
        assert_eq!(Tier::of_plan(plan), tier, "{plan}");
    }
}

#[test]
fn a_chain_goes_down_the_tiers_and_the_advisors_wish_counts_for_premium_alone() {
    let models = models(Script::default());
    assert_eq!(models.chain("free", Some("wish")), ["f"]);
    assert_eq!(models.chain("pro", Some("wish")), ["b", "f"]);
    assert_eq!(models.chain("premium", None), ["p", "b", "f"]);
    assert_eq!(models.chain("enterprise", Some("wish")), ["wish", "p", "b", "f"]);
    assert_eq!(models.chain("premium", Some("b")), ["b", "p", "f"]);
    assert_eq!(models.chain("premium", Some("two words")), ["p", "b", "f"]);
    assert_eq!(Models::demo(Duration::ZERO).chain("premium", Some("wish")), ["demo"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_model_that_speaks_is_heard_to_its_end() {
    let models = models(Script::new([says("Hello")]));
    let begun = begin(&models, "premium").await.unwrap();
    assert_eq!(begun.model, "p");
    let events: Vec<_> = begun.events.map(Result::unwrap).collect().await;
    assert_eq!(events, [ModelEvent::Text("Hello".into()), ModelEvent::Finished { reason: "stop".into() }]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_is_followed_by_the_next_of_the_chain() {
    for error in [
        ModelError::RateLimited { retry_after: Some(Duration::from_mins(15)) },
        ModelError::Unavailable("x"),
        ModelError::TimedOut("x"),
        ModelError::Refused(404),
        ModelError::Broken("x"),
        ModelError::Empty,
    ] {
        let script = Script::new([Err(error.clone()), says("Hello")]);
        let models = models(script.clone());
        assert_eq!(begin(&models, "premium").await.unwrap().model, "b", "{error}");
        assert_eq!(script.asked(), ["p", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_before_its_first_word_is_asked_for_again() {
    let script = Script::new([Ok(vec![Err(ModelError::Broken("x"))]), says("Hello")]);
    let models = models(script.clone());
    assert_eq!(begin(&models, "free").await.unwrap().model, "f");
    assert_eq!(script.asked(), ["f", "f"]);
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_last_error_after_three_passes() {
    let script = Script::new((0..9).map(|_| Err(ModelError::Unavailable("x"))));
    let models = models(script.clone());
    assert_eq!(begin(&models, "free").await.unwrap_err(), ModelError::Unavailable("x"));
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_refuses_is_not_asked_again() {
    let script = Script::new([Err(ModelError::Refused(401)), says("never")]);
    let models = models(script.clone());
    assert_eq!(begin(&models, "free").await.unwrap_err(), ModelError::Refused(401));
    assert_eq!(script.asked(), ["f"]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_provider_asks_for_is_kept_within_the_budget() {
    let wait = |seconds| Err(ModelError::RateLimited { retry_after: Some(Duration::from_secs(seconds)) });
    let began = Instant::now();
    assert!(begin(&models(Script::new([wait(7), says("Hello")])), "free").await.is_ok());
    assert_eq!(began.elapsed(), Duration::from_secs(7));

    let began = Instant::now();
    assert!(begin(&models(Script::new([wait(61), says("Hello")])), "free").await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn silence_before_the_first_word_ends_at_the_deadline() {
    let models = models(Script::new([Ok(Vec::new())]).silent());
    let began = Instant::now();
    let error = models.begin(&prompt(), &models.chain("free", None), began + Duration::from_secs(9)).await.unwrap_err();
    assert_eq!(error, ModelError::TimedOut("no answer in time"));
    assert_eq!(began.elapsed(), Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_the_provider_is_left_alone_for_thirty_seconds() {
    let mut answers: Vec<_> = (0..5).map(|_| Err(ModelError::Unavailable("x"))).collect();
    answers.push(says("Hello"));
    let script = Script::new(answers);
    let models = models(script.clone());
    assert!(begin(&models, "free").await.is_err());
    assert!(begin(&models, "free").await.is_err());
    assert_eq!(script.asked().len(), 5);

    assert!(begin(&models, "free").await.is_err());
    assert_eq!(script.asked().len(), 5, "nobody is asked while it is open");

    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(begin(&models, "free").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn breaking_off_in_the_middle_counts_against_the_provider() {
    let text = || Ok(ModelEvent::Text("Hel".into()));
    let script = Script::new((0..5).map(|_| Ok(vec![text(), Err(ModelError::Broken("x"))])));
    let models = models(script.clone());
    for _ in 0..5 {
        let begun = begin(&models, "free").await.unwrap();
        assert_eq!(begun.events.count().await, 2);
    }
    assert!(begin(&models, "free").await.is_err());
    assert_eq!(script.asked().len(), 5);
}

type Answer = Result<Vec<Result<ModelEvent, ModelError>>, ModelError>;

/// A model that answers by a script, and remembers whom it was asked for.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Played>>);

#[derive(Default)]
struct Played {
    answers: VecDeque<Answer>,
    asked: Vec<String>,
    silent: bool,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self(Arc::new(Mutex::new(Played { answers: answers.into_iter().collect(), ..Played::default() })))
    }

    fn silent(self) -> Self {
        self.0.lock().unwrap().silent = true;
        self
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }
}

#[async_trait]
impl Model for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let mut played = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        played.asked.push(body["model"].as_str().unwrap().to_owned());
        let events = stream::iter(played.answers.pop_front().expect("an answer for every question")?);
        Ok(if played.silent { events.chain(stream::pending()).boxed() } else { events.boxed() })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "It stands among answers that are errors.")]
fn says(text: &str) -> Answer {
    Ok(vec![Ok(ModelEvent::Text(text.into())), Ok(ModelEvent::Finished { reason: "stop".into() })])
}

fn models(script: Script) -> Models {
    let tiers = TierModels { free: "f".into(), base: "b".into(), premium: "p".into() };
    Models::new(Arc::new(script), tiers, ModelsOptions::default())
}

async fn begin(models: &Models, plan: &str) -> Result<Begun, ModelError> {
    models.begin(&prompt(), &models.chain(plan, None), Instant::now() + Duration::from_mins(2)).await
}

fn prompt() -> Prompt {
    title::compose(&[(Speaker::User, "Hello".to_owned())])
}
