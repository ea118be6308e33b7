//! How many requests of one class run at a time. What is more waits in a short line, and what is more than that is
//! refused at once: a server that takes on more than it can do answers nobody in time.

use super::Traffic;
use crate::{
    layers,
    problem::{Code, Problem},
};
use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use utoipa_axum::router::OpenApiRouter;

/// Bytes of each body that take no room: what is short is taken however full it is.
pub const BODY_FREE_BYTES: usize = 4 * 1024;

/// How many requests of one class are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Most that run at a time.
    pub running_max: usize,
    /// Most that wait until one of those ends.
    pub waiting_max: usize,
    /// How long they wait.
    pub wait: Duration,
}

/// What lets requests of one class in.
#[derive(Debug)]
pub(super) struct Gate {
    class: &'static str,
    wait: Duration,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

/// Where a request goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateOf {
    Commands,
    Queries,
    Chats,
}

impl Gate {
    pub(super) fn new(class: &'static str, limits: GateLimits) -> Self {
        let running = Arc::new(Semaphore::new(limits.running_max.clamp(1, Semaphore::MAX_PERMITS)));
        let waiting = Semaphore::new(limits.waiting_max.min(Semaphore::MAX_PERMITS));
        Self { class, wait: limits.wait, running, waiting }
    }

    /// A place among those that run.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(place) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(place);
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(self.overloaded()) };
        match timeout(self.wait, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }

    /// Whether nobody is let in, not even to wait.
    pub(super) fn is_full(&self) -> bool {
        self.running.available_permits() == 0 && self.waiting.available_permits() == 0
    }

    fn overloaded(&self) -> Problem {
        overloaded(self.class)
    }

    /// Counts somebody who was refused elsewhere because this gate is full.
    pub(super) fn count_overloaded(&self) {
        count_overloaded(self.class);
    }
}

#[cfg(test)]
impl Gate {
    pub(super) fn occupy(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.running).try_acquire_owned().unwrap()
    }
}

pub(super) fn overloaded(class: &'static str) -> Problem {
    count_overloaded(class);
    refusal()
}

fn count_overloaded(class: &'static str) {
    metrics::counter!("advisor_overloaded_total", "class" => class).increment(1);
}

/// What everybody is told who can't be let in.
pub(super) fn refusal() -> Problem {
    Problem::new(Code::Overloaded, "There is more to do at the moment than can be done. Try again in a moment.")
}

/// The place of a request among those that run, and what its body takes. Given back when the request is answered.
#[derive(Clone, Debug)]
pub(crate) struct Place(Option<Arc<Held>>);

#[derive(Debug)]
struct Held {
    traffic: Arc<Traffic>,
    gate: GateOf,
    running: Mutex<Option<OwnedSemaphorePermit>>,
    body: Mutex<HeldBody>,
}

/// A body, and the room that it takes.
#[derive(Debug, Default)]
struct HeldBody {
    bytes: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// The request's own; one that bounds nothing on routes without a gate.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or(Self(None))
    }

    /// Lets others run while this request waits for its client.
    pub(crate) fn leave(&self) {
        if let Some(held) = &self.0 {
            drop(lock(&held.running).take());
        }
    }

    /// Goes on, as soon as there is a place.
    pub(crate) async fn enter(&self) -> Result<(), Problem> {
        if let Some(held) = &self.0 {
            let place = held.traffic.gate(held.gate).enter().await?;
            *lock(&held.running) = Some(place);
        }
        Ok(())
    }

    /// Room for so many more bytes of the body, and of what is made of it.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Problem> {
        let Some(held) = &self.0 else { return Ok(()) };
        let mut body = lock(&held.body);
        let total = body.bytes.saturating_add(bytes);
        let taken = body.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = total.saturating_sub(BODY_FREE_BYTES).saturating_sub(taken);
        let count = u32::try_from(wanted).map_err(|_| overloaded("bodies"))?;
        let room = Arc::clone(&held.traffic.bodies).try_acquire_many_owned(count).map_err(|_| overloaded("bodies"))?;
        body.bytes = total;
        match &mut body.room {
            Some(taken) => taken.merge(room),
            none => *none = Some(room),
        }
        Ok(())
    }
}

/// What is held is whole whatever panicked meanwhile: it is only put in and taken out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the gate before every route of `router`.
pub(crate) fn gated<S: Clone + Send + Sync + 'static>(
    router: OpenApiRouter<S>,
    traffic: &Arc<Traffic>,
    gate: GateOf,
) -> OpenApiRouter<S> {
    router.layer(from_fn_with_state((Arc::clone(traffic), gate), pass))
}

async fn pass(State((traffic, gate)): State<(Arc<Traffic>, GateOf)>, mut request: Request, next: Next) -> Response {
    let answers = Arc::clone(&traffic.answers);
    let place = Place(Some(Arc::new(Held { traffic, gate, running: Mutex::default(), body: Mutex::default() })));
    if let Err(problem) = place.enter().await {
        return with_command_id(problem, request.headers()).into_response();
    }
    request.extensions_mut().insert(place.clone());
    let response = next.run(request).await;
    drop(place);
    answers.hold(response).await
}

/// The command can be asked again by its key, if it has one.
pub(crate) fn with_command_id(problem: Problem, headers: &HeaderMap) -> Problem {
    match headers.get(layers::IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()) {
        Some(key) => problem.command_id(key),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::TrafficLimits;
    use futures::FutureExt;

    const WAIT: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn what_is_more_than_can_run_waits_and_what_is_more_than_can_wait_is_refused_at_once() {
        let gate = Gate::new("commands", GateLimits { running_max: 2, waiting_max: 1, wait: WAIT });
        let (first, _second) = (gate.enter().await.unwrap(), gate.enter().await.unwrap());
        let mut third = Box::pin(gate.enter());
        assert!(third.as_mut().now_or_never().is_none(), "it waits");

        let refused = gate.enter().now_or_never().expect("at once").unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);

        drop(first);
        assert!(third.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let gate = Gate::new("commands", GateLimits { running_max: 1, waiting_max: 1, wait: WAIT });
        let _running = gate.enter().await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(gate.enter().await.is_err());
        assert_eq!(begun.elapsed(), WAIT);
    }

    #[tokio::test]
    async fn who_leaves_makes_room_and_has_to_enter_again() {
        let traffic = traffic(1, 10);
        let (one, other) = (place(&traffic), place(&traffic));
        one.enter().await.unwrap();
        assert!(other.enter().await.is_err());
        one.leave();
        other.enter().await.unwrap();
        assert!(one.enter().await.is_err());
        drop(other);
        one.enter().await.unwrap();
    }

    #[tokio::test]
    async fn bodies_share_their_room_and_give_it_back_when_they_are_answered() {
        let traffic = traffic(5, 10);
        let (one, other) = (place(&traffic), place(&traffic));
        one.hold(BODY_FREE_BYTES + 4).unwrap();
        one.hold(4).unwrap();
        assert_eq!(other.hold(BODY_FREE_BYTES + 3).unwrap_err().code(), Code::Overloaded);
        // What was refused takes nothing, and what is short needs nothing.
        other.hold(BODY_FREE_BYTES).unwrap();
        other.hold(2).unwrap();
        drop(one);
        other.hold(8).unwrap();
    }

    fn traffic(running_max: usize, bodies_bytes_max: usize) -> Arc<Traffic> {
        let commands = GateLimits { running_max, waiting_max: 0, wait: WAIT };
        Arc::new(Traffic::new(TrafficLimits { commands, bodies_bytes_max, ..TrafficLimits::default() }))
    }

    fn place(traffic: &Arc<Traffic>) -> Place {
        let (running, body) = (Mutex::default(), Mutex::default());
        Place(Some(Arc::new(Held { traffic: Arc::clone(traffic), gate: GateOf::Commands, running, body })))
    }
}
