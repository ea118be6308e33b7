//! A language model that speaks, stalls, breaks off and refuses as the dice say, and remembers what it was asked.

use crate::{
    dice::{Dice, index},
    process::Process,
    weather::Weather,
};
use advisor_workers::model::{Model, ModelError, ModelEvent, ModelRequest, ModelStream, Task};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The model of a world.
pub(crate) struct SimModel {
    weather: Arc<Weather>,
    dice: Dice,
    /// By reply, what it would have said each time that it was asked.
    asked: Mutex<BTreeMap<String, Vec<String>>>,
}

impl SimModel {
    /// A model that nobody has asked anything.
    pub(crate) fn open(weather: &Arc<Weather>) -> Arc<Self> {
        Arc::new(Self { weather: Arc::clone(weather), dice: weather.dice("model"), asked: Mutex::default() })
    }

    /// The model as a process reaches it.
    pub(crate) fn of(self: &Arc<Self>, process: &Arc<Process>) -> Arc<dyn Model> {
        Arc::new(ModelOf { process: Arc::clone(process), model: Arc::clone(self) })
    }

    /// By reply, what it would have said each time that it was asked.
    pub(crate) fn asked(&self) -> BTreeMap<String, Vec<String>> {
        self.asked.lock().unwrap().clone()
    }

    fn answer(&self, reply: &str) -> Result<ModelStream, ModelError> {
        let mut asked = self.asked.lock().unwrap();
        let answers = asked.entry(reply.to_owned()).or_default();
        let words: Vec<String> = (0..=self.dice.roll(12)).map(|n| format!("{}.{n} 👋 ", answers.len() + 1)).collect();
        answers.push(words.concat());
        self.weather.note("model", &format!("is asked for {reply} for the {}. time", answers.len()));
        if self.weather.strikes(&self.dice, 50) {
            return Err(ModelError::Unavailable("it refuses"));
        }
        let mut said: Vec<Result<ModelEvent, ModelError>> =
            words.into_iter().map(|w| Ok(ModelEvent::Text(w))).collect();
        said.push(Ok(ModelEvent::Finished { reason: "stop".to_owned() }));
        if self.weather.strikes(&self.dice, 100) {
            said.truncate(index(self.dice.roll(said.len() as u64)));
            said.push(Err(ModelError::Broken("it breaks off")));
        }
        let stall = self.weather.strikes(&self.dice, 50).then(|| index(self.dice.roll(said.len() as u64)));
        let pause = if self.weather.is_stormy() { self.dice.ms(0..400) } else { Duration::ZERO };
        Ok(stream::iter(said.into_iter().enumerate())
            .then(move |(number, event)| async move {
                let stalls = stall == Some(number);
                tokio::time::sleep(if stalls { Duration::from_secs(15) } else { pause }).await;
                event
            })
            .boxed())
    }
}

/// The model as a process reaches it.
struct ModelOf {
    process: Arc<Process>,
    model: Arc<SimModel>,
}

#[async_trait]
impl Model for ModelOf {
    fn name(&self) -> &'static str {
        "simulated"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        // Every message begins with its id, edited or not.
        let id = |message: &str| message.split(':').next().unwrap_or_default().to_owned();
        let reply = match request.task {
            Task::Reply { advisor, message, .. } => format!("{}.{advisor}", id(&message)),
            Task::Title { message } => format!("{}.title", id(&message)),
        };
        let model = Arc::clone(&self.model);
        let answer = self.process.call(async move { model.answer(&reply) }).await?;
        let process = Arc::clone(&self.process);
        let heard = answer.then(move |event| {
            let process = Arc::clone(&process);
            async move { if process.is_up().await { event } else { std::future::pending().await } }
        });
        Ok(heard.boxed())
    }
}
