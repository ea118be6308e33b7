//! What is answered before a server has opened what it answers from: that it lives, and what it waits for.

use super::{Checked, Measurements, Verbose, get_livez, get_metrics, get_version, readiness};
use crate::{Problem, Settings, extract::Query, layers};
use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{any, get},
};
use tokio::sync::watch;

/// What a server waits for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Awaited {
    /// What is not there, such as `event log`.
    pub name: &'static str,
    /// Why, in some words; no path, no secret.
    pub why: String,
}

/// The public listener: everything but health is refused for now.
pub fn router(settings: &Settings, awaited: watch::Receiver<Awaited>) -> Router {
    layers::surround(routes(awaited), settings)
}

/// The operators' listener.
pub fn admin_router(measurements: Measurements, awaited: watch::Receiver<Awaited>) -> Router {
    let metrics = Router::new().route("/metrics", get(get_metrics)).with_state(measurements);
    layers::surround_without_browsers(routes(awaited).merge(metrics))
}

fn routes(awaited: watch::Receiver<Awaited>) -> Router {
    Router::new()
        .route("/livez", get(get_livez))
        .route("/readyz", get(get_readyz))
        .route("/version", get(get_version))
        .route("/", any(refuse))
        .route("/{*path}", any(refuse))
        .with_state(awaited)
}

async fn get_readyz(State(awaited): State<watch::Receiver<Awaited>>, Query(query): Query<Verbose>) -> Response {
    let Awaited { name, why } = awaited.borrow().clone();
    readiness(vec![Checked { name, ok: false, detail: why }], &query)
}

async fn refuse(State(awaited): State<watch::Receiver<Awaited>>) -> Problem {
    Problem::unavailable(&*awaited.borrow())
}
