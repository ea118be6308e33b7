//! A model that does as it is told, and remembers what it was asked.

use crate::model::{Model, ModelError, ModelEvent, ModelRequest, ModelStream};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// What the model does when it is asked.
#[derive(Clone)]
pub(super) enum Play {
    /// Says this and finishes.
    Says(&'static str),
    /// Says this, and then nothing; the token is cancelled when nobody listens any more.
    Hangs(&'static str, CancellationToken),
    /// Says this once the semaphore lets it, and finishes.
    Waits(Arc<Semaphore>, &'static str),
    /// Says this and breaks off.
    Breaks(&'static str, ModelError),
    /// Says nothing at all, and finishes.
    Empty,
    /// Is a fault of this program.
    Panics,
    /// Does not answer.
    Fails(ModelError),
}

/// The model: plays its script, the last play again and again.
#[derive(Clone)]
pub(super) struct ScriptedModel {
    plays: Arc<Mutex<VecDeque<Play>>>,
    asked: watch::Sender<Vec<Bytes>>,
}

impl ScriptedModel {
    pub(super) fn new(plays: impl IntoIterator<Item = Play>) -> Self {
        Self { plays: Arc::new(Mutex::new(plays.into_iter().collect())), asked: watch::Sender::new(Vec::new()) }
    }

    /// The bodies of all requests so far.
    pub(super) fn asked(&self) -> Vec<Bytes> {
        self.asked.borrow().clone()
    }

    /// Waits until it has been asked so many times.
    pub(super) async fn asked_times(&self, times: usize) {
        self.asked.subscribe().wait_for(|asked| asked.len() >= times).await.unwrap();
    }
}

#[async_trait]
impl Model for ScriptedModel {
    fn name(&self) -> &'static str {
        "script"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let play = {
            let mut plays = self.plays.lock().unwrap();
            let play = plays.pop_front().expect("a play");
            if plays.is_empty() {
                plays.push_back(play.clone());
            }
            play
        };
        self.asked.send_modify(|asked| asked.push(request.body));
        Ok(match play {
            Play::Says(said) => stream::iter(words(said)).chain(finish()).boxed(),
            Play::Hangs(said, dropped) => {
                let guard = dropped.drop_guard();
                let silence = stream::once(async move {
                    let _guard = guard;
                    std::future::pending().await
                });
                stream::iter(words(said)).chain(silence).boxed()
            }
            Play::Waits(semaphore, said) => {
                let gate = stream::once(async move { semaphore.acquire().await.unwrap().forget() });
                gate.flat_map(move |()| stream::iter(words(said))).chain(finish()).boxed()
            }
            Play::Breaks(said, error) => stream::iter(words(said)).chain(stream::iter([Err(error)])).boxed(),
            Play::Empty => finish().boxed(),
            Play::Panics => panic!("as planned"),
            Play::Fails(error) => return Err(error),
        })
    }
}

fn words(said: &'static str) -> impl Iterator<Item = Result<ModelEvent, ModelError>> {
    said.split_inclusive(' ').map(|word| Ok(ModelEvent::Text(word.to_owned())))
}

fn finish() -> impl futures::Stream<Item = Result<ModelEvent, ModelError>> + Send {
    stream::iter([Ok(ModelEvent::Finished { reason: "stop".to_owned() })])
}
