//! What one request is charged, and how its answer says so.

use super::{
    Traffic,
    address::Address,
    rates::{Counted, Counter, Rates, Reading},
};
use crate::problem::Problem;
use advisor_events::UserId;
use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use utoipa_axum::router::OpenApiRouter;

/// The fields of the IETF's draft `ratelimit-headers` from its version 8 on.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What a route is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It changes something.
    Command,
    /// It reads.
    Query,
    /// It asks nobody who they are.
    Open,
    /// It is another service's, which signs what it sends.
    Signed,
}

/// The meter of one request. Cloning is cheap: it stays the same one.
#[derive(Clone, Debug)]
pub struct Meter(Option<Arc<Running>>);

#[derive(Debug)]
struct Running {
    traffic: Arc<Traffic>,
    class: Class,
    address: Option<Address>,
    /// What was counted, until the answer says so: a socket is metered for long after its own.
    readings: Mutex<Option<Vec<Reading>>>,
}

impl Meter {
    /// One that counts nothing, for requests of nobody in particular.
    pub fn off() -> Self {
        Self(None)
    }

    fn new(traffic: &Arc<Traffic>, class: Class, request: &Request) -> Self {
        let address = traffic.trusted_proxies.origin(request.extensions(), request.headers());
        Self(Some(Arc::new(Running {
            traffic: Arc::clone(traffic),
            class,
            address,
            readings: Mutex::new(Some(Vec::new())),
        })))
    }

    /// The request is this person's.
    pub(crate) fn person(&self, user: &UserId) -> Result<(), Problem> {
        let Some(running) = &self.0 else { return Ok(()) };
        let rates = &running.traffic.rates;
        match running.class {
            Class::Command => running.note(rates.commands.take(user, 1)),
            Class::Query => running.note(rates.queries.take(user, 1)),
            Class::Open | Class::Signed => Ok(()),
        }
    }

    /// The request is nobody's: its address is charged.
    pub(crate) fn nobody(&self) -> Result<(), Problem> {
        self.at_address(|rates| &rates.anonymous, 1)
    }

    /// The person asks models for so many replies.
    pub(crate) fn replies(&self, user: &UserId, count: usize) -> Result<(), Problem> {
        let Some(running) = self.0.as_ref().filter(|_| count > 0) else { return Ok(()) };
        let cost = u32::try_from(count).unwrap_or(u32::MAX);
        running.note(running.traffic.rates.replies.take(user, cost))
    }

    /// A sign-in, or a delivery, may be tried from the request's address: not too many were refused lately.
    pub(crate) fn check_sign_ins(&self) -> Result<(), Problem> {
        let Some(running) = &self.0 else { return Ok(()) };
        let Some(address) = running.address else { return Ok(()) };
        match running.refused().look(address) {
            Counted { refusal: None, .. } => Ok(()),
            refused => running.note(refused),
        }
    }

    /// What became of a sign-in or a delivery: a refused one is charged to its address.
    pub(crate) fn note_sign_in(&self, problem: &Problem) {
        if problem.status_code() == StatusCode::UNAUTHORIZED {
            // There was something left when it was looked at; what others have used since is used up all the same.
            if let Some((running, address)) = self.0.as_ref().and_then(|running| Some((running, running.address?))) {
                drop(running.note(running.refused().take(address, 1)));
            }
        }
    }

    fn at_address(&self, counter: impl FnOnce(&Rates) -> &Counter, cost: u32) -> Result<(), Problem> {
        let Some(running) = &self.0 else { return Ok(()) };
        let Some(address) = running.address else { return Ok(()) };
        running.note(counter(&running.traffic.rates).take(address, cost))
    }

    /// Whoever was refused before it was known who asks, or by what: its address is charged.
    fn settle(&self) {
        let Some(running) = &self.0 else { return };
        if running.class != Class::Signed && running.readings().as_ref().is_some_and(Vec::is_empty) {
            // The answer has been given.
            drop(self.nobody());
        }
    }

    /// Says in an answer what was counted.
    fn write(&self, headers: &mut HeaderMap) {
        let Some(running) = &self.0 else { return };
        let Some(readings) = running.readings().take() else { return };
        let list = |item: fn(&Reading) -> &str| readings.iter().map(item).collect::<Vec<_>>().join(", ");
        let fields =
            [(RATE_LIMIT_POLICY, list(|reading| &reading.policy)), (RATE_LIMIT, list(|reading| &reading.standing))];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

impl Running {
    /// Who forges deliveries keeps nobody from signing in who shares their address, and the other way round.
    fn refused(&self) -> &Counter {
        let rates = &self.traffic.rates;
        match self.class {
            Class::Signed => &rates.refused_deliveries,
            Class::Command | Class::Query | Class::Open => &rates.refused_sign_ins,
        }
    }

    fn note(&self, counted: Counted) -> Result<(), Problem> {
        if let Some(readings) = self.readings().as_mut() {
            readings.extend(counted.reading);
        }
        counted.refusal.map_or(Ok(()), Err)
    }

    /// The list stays whole whatever panicked while it was held: it is only added to.
    fn readings(&self) -> MutexGuard<'_, Option<Vec<Reading>>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sync> FromRequestParts<S> for Meter {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

impl Meter {
    /// The request's own; one that counts nothing on routes that are not metered.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(Self::off)
    }
}

/// Meters every route of `router`.
pub(crate) fn metered<S: Clone + Send + Sync + 'static>(
    router: OpenApiRouter<S>,
    traffic: &Arc<Traffic>,
    class: Class,
) -> OpenApiRouter<S> {
    router.layer(from_fn_with_state((Arc::clone(traffic), class), meter))
}

/// Meters one request.
pub(crate) async fn meter(
    State((traffic, class)): State<(Arc<Traffic>, Class)>,
    mut request: Request,
    next: Next,
) -> Response {
    let meter = Meter::new(&traffic, class, &request);
    let open = if class == Class::Open { meter.nobody() } else { Ok(()) };
    let mut response = match open {
        Ok(()) => {
            request.extensions_mut().insert(meter.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    meter.settle();
    meter.write(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::TrafficLimits;
    use axum::body::Body;

    #[test]
    fn what_is_counted_after_the_answer_is_not_kept() {
        let traffic = Arc::new(Traffic::new(TrafficLimits::default()));
        let meter = Meter::new(&traffic, Class::Query, &Request::new(Body::empty()));
        let mut headers = HeaderMap::new();
        meter.person(&"ana".into()).unwrap();
        meter.write(&mut headers);
        assert!(headers.contains_key(RATE_LIMIT));

        meter.person(&"ana".into()).unwrap();

        assert!(meter.0.unwrap().readings().is_none());
    }
}
