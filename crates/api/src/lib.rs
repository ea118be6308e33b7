//! HTTP: one file per resource; live queries; authentication; problem answers.

pub mod accept;
mod advisors;
pub mod auth;
mod chat;
mod command_request;
mod commands;
mod conversations;
mod docs;
pub mod events;
pub mod extract;
#[cfg(test)]
mod fuzz;
mod health;
mod layers;
pub mod limits;
mod live;
mod me;
pub mod measure;
mod mentions;
mod messages;
mod openapi;
mod parked;
pub mod problem;
mod quotas;
mod reading;
mod rules;
pub mod settings;
#[cfg(test)]
mod test_api;
#[cfg(test)]
mod test_log;
#[cfg(test)]
mod test_talk;
pub mod traffic;
mod users;
mod verification;
pub mod webhooks;

pub use health::{Check, CheckFailed, starting};
pub use layers::RequestId;
pub use live::Hub as LiveHub;
pub use openapi::openapi_json;
pub use problem::{Problem, errors_markdown};
pub use settings::Settings;

use advisor_bus::Bus;
use advisor_commands::Commands;
use advisor_eventlog::EventLog;
use advisor_events::Clock;
use advisor_projections::{Reader, SideStore};
use auth::{Authenticator, revoked::Revoked};
use axum::{
    Router,
    extract::FromRef,
    middleware::{from_fn, from_fn_with_state},
};
pub use command_request::owned::Owned;
use events::LogAccess;
use extract::CursorKey;
use measure::Measurements;
use settings::BodyLimits;
use std::{ops::Deref, sync::Arc};
use tokio_util::sync::CancellationToken;
use traffic::{Class, GateOf, Shed, Traffic, gated, meter, metered};
use utoipa_axum::router::OpenApiRouter;
use verification::Verifier;

/// Everything that handlers need. Each layer of each request clones it: that is one count up.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// What an API is made of.
#[derive(Clone)]
pub struct Parts {
    /// Commands, which change things.
    pub commands: Arc<Commands>,
    /// The read models.
    pub reader: Reader,
    /// The drafts of running replies.
    pub side: SideStore,
    /// The log, for its head.
    pub log: Arc<dyn EventLog>,
    /// The doorbell.
    pub bus: Arc<dyn Bus>,
    /// What all live streams share; somebody has to run it.
    pub live: Arc<LiveHub>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Who asks.
    pub authenticator: Arc<Authenticator>,
    /// Whose sign-ins are not accepted any more; somebody has to let it follow.
    pub revoked: Arc<Revoked>,
    /// Whose conversations are, as far as it was read before.
    pub owned: Arc<Owned>,
    /// What is let in.
    pub traffic: Arc<Traffic>,
    /// What an operator can set.
    pub settings: Arc<Settings>,
    /// What `/readyz` looks at beside whether the server stops.
    pub checks: Arc<[Arc<dyn Check>]>,
    /// Cancelled when the server stops: readiness fails, streams end, waiting requests give up.
    pub shutdown: CancellationToken,
}

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Tests put other parts in.
#[cfg(test)]
impl std::ops::DerefMut for Api {
    fn deref_mut(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }
}

impl FromRef<Api> for Arc<Authenticator> {
    fn from_ref(api: &Api) -> Self {
        Arc::clone(&api.authenticator)
    }
}

impl FromRef<Api> for BodyLimits {
    fn from_ref(api: &Api) -> Self {
        api.settings.body
    }
}

impl FromRef<Api> for CursorKey {
    fn from_ref(api: &Api) -> Self {
        api.settings.cursor_key.clone()
    }
}

/// The public listener: the contract's routes, commands, queries, live queries, health.
pub fn router(api: &Api) -> Router {
    let (router, document) = openapi::describe(routes(&api.settings, &api.traffic)).split_for_parts();
    let metered = from_fn_with_state((Arc::clone(&api.traffic), Class::Open), meter);
    let router = router.route("/openapi.json", openapi::shown(document).layer(metered));
    layers::surround(router.with_state(api.clone()), &api.settings)
}

/// The same as it stands behind the public listener: what would be refused anyway does not come as far as its routes.
pub fn front(api: &Api) -> accept::Front {
    accept::Front::shedding(router(api), Shed::new(&api.traffic, &api.settings.allowed_origins))
}

/// The operators' listener: health, metrics, the log's events, erasing people, verifying, parked streams.
pub fn admin_router(api: &Api, measurements: Measurements, access: LogAccess) -> Router {
    let verifier = Verifier { api: api.clone(), keys: Arc::clone(&access.keys) };
    let described = OpenApiRouter::new()
        .merge(health::router().merge(users::router()).merge(parked::router()).with_state(api.clone()))
        .merge(health::metrics_router().with_state(measurements))
        .merge(events::router().with_state(access))
        .merge(verification::router().with_state(verifier));
    let (router, document) = openapi::describe_for_operators(described).split_for_parts();
    layers::surround_without_browsers(router.route("/openapi.json", openapi::shown(document)))
}

/// Every resource in one list: a route that is not here does not exist.
fn routes(settings: &Settings, traffic: &Arc<Traffic>) -> OpenApiRouter<Api> {
    let open = OpenApiRouter::new().merge(health::router()).merge(health::contract_router()).merge(docs::router());
    let queries = OpenApiRouter::new()
        .merge(me::queries())
        .merge(advisors::queries())
        .merge(conversations::queries())
        .merge(messages::queries())
        .merge(mentions::queries())
        .merge(live::queries());
    let commands = OpenApiRouter::new()
        .merge(advisors::commands())
        .merge(conversations::commands())
        .merge(messages::commands())
        .merge(commands::router())
        .layer(from_fn(layers::json_only));
    let webhooks = webhooks::router(settings);
    let let_in = |router, gate, class| metered(gated(router, traffic, gate), traffic, class);
    OpenApiRouter::new()
        .merge(metered(layers::within(open, settings.time.query), traffic, Class::Open))
        .merge(let_in(layers::within(queries, settings.time.query), GateOf::Queries, Class::Query))
        .merge(let_in(layers::within(commands, settings.time.command), GateOf::Commands, Class::Command))
        .merge(let_in(layers::within(webhooks, settings.time.command), GateOf::Commands, Class::Signed))
        .merge(let_in(chat::router(), GateOf::Chats, Class::Command))
}
