//! The actors that take turns: of those that have something to do, the dice say who goes on.
//!
//! Everything runs on one thread and on a clock that stands still while anybody has something to do. An actor is
//! polled once a turn, and between two turns the tasks that the program itself has spawned go on, first come, first
//! served. Who was woken first makes no difference here: `tokio::sync::watch` wakes its listeners in an order that
//! no seed reaches.

use crate::{dice::Dice, dice::index};
use futures::future::BoxFuture;
use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Where actors come and go. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<Mutex<Actors>>);

#[derive(Default)]
struct Actors {
    number: u64,
    /// By name and number, so that their order is always the same.
    all: BTreeMap<(String, u64), Actor>,
    root: Option<Waker>,
}

struct Actor {
    /// `None` while it is being polled.
    future: Option<BoxFuture<'static, ()>>,
    bell: Arc<Bell>,
}

struct Bell {
    rung: AtomicBool,
    stage: Stage,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Relaxed);
        self.stage.wake_root();
    }
}

impl Stage {
    /// A new actor; of the name, there may be many.
    pub(crate) fn enter(&self, name: &str, actor: impl Future<Output = ()> + Send + 'static) {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), stage: self.clone() });
        let mut actors = self.0.lock().unwrap();
        actors.number += 1;
        let key = (name.to_owned(), actors.number);
        actors.all.insert(key, Actor { future: Some(Box::pin(actor)), bell });
        drop(actors);
        self.wake_root();
    }

    /// All actors of this name are gone, wherever they were.
    pub(crate) fn remove(&self, name: &str) {
        let mut actors = self.0.lock().unwrap();
        let (gone, stay) = std::mem::take(&mut actors.all).into_iter().partition(|((of, _), _)| of == name);
        actors.all = stay;
        drop(actors);
        // Dropped outside the lock: what they held may ring.
        drop::<BTreeMap<_, _>>(gone);
    }

    /// Lets the actors take turns until `end` comes.
    pub(crate) async fn play<T>(&self, dice: &Dice, end: impl Future<Output = T>) -> T {
        let mut end = std::pin::pin!(end);
        poll_fn(|cx| {
            self.0.lock().unwrap().root = Some(cx.waker().clone());
            if let Poll::Ready(value) = end.as_mut().poll(cx) {
                return Poll::Ready(value);
            }
            if self.turn(dice) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// One actor goes on; false when none has anything to do.
    fn turn(&self, dice: &Dice) -> bool {
        let (key, mut future, bell) = {
            let mut actors = self.0.lock().unwrap();
            let ready: Vec<_> =
                actors.all.iter().filter(|(_, actor)| actor.bell.rung.load(Ordering::Relaxed)).collect();
            if ready.is_empty() {
                return false;
            }
            let key = ready[index(dice.roll(ready.len() as u64))].0.clone();
            let actor = actors.all.get_mut(&key).expect("one of them");
            actor.bell.rung.store(false, Ordering::Relaxed);
            (key, actor.future.take().expect("nobody else polls"), Arc::clone(&actor.bell))
        };
        let waker = Waker::from(bell);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut actors = self.0.lock().unwrap();
        match polled {
            Poll::Ready(()) => drop(actors.all.remove(&key)),
            // It may have been removed by itself.
            Poll::Pending => {
                if let Some(actor) = actors.all.get_mut(&key) {
                    actor.future = Some(future);
                }
            }
        }
        true
    }

    fn wake_root(&self) {
        let root = self.0.lock().unwrap().root.clone();
        if let Some(root) = root {
            root.wake();
        }
    }
}
