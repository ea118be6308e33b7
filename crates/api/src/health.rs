//! Whether the server lives, whether it is ready, and what it is.

pub mod starting;

use crate::{Api, extract::Query, measure::Measurements};
use async_trait::async_trait;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Most time for one check.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Something that must work before the server takes requests.
#[async_trait]
pub trait Check: Send + Sync {
    /// Its name, such as `event log`.
    fn name(&self) -> &'static str;
    /// How it is, in some words; no words of a user, no path, no secret.
    async fn look(&self) -> Result<String, CheckFailed>;
}

/// Why a check failed, for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CheckFailed(pub String);

/// The answer of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, or `not ready`.
    status: &'static str,
    /// Every check, with `verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Checked>>,
}

/// One check and its outcome.
#[derive(Debug, Serialize, ToSchema)]
struct Checked {
    /// What was looked at.
    name: &'static str,
    /// Whether it works.
    ok: bool,
    /// How it is.
    detail: String,
}

/// The answer of `/version`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// The program.
    name: &'static str,
    /// Its version.
    version: &'static str,
}

/// The answer of `/api/health`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy`, or `degraded`.
    status: &'static str,
    /// Now.
    timestamp: String,
    /// The program's version.
    version: &'static str,
    /// Every check, when asked for in detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Checked>>,
}

#[derive(Debug, Deserialize)]
struct Verbose {
    verbose: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Detailed {
    detailed: Option<String>,
}

/// `/livez`, `/readyz`, `/version`: on both listeners.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get_livez)).routes(routes!(get_readyz)).routes(routes!(get_version))
}

/// `/api/health`: on the public listener.
pub(crate) fn contract_router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get_health))
}

/// `/metrics`: on the operators' listener.
pub(crate) fn metrics_router() -> OpenApiRouter<Measurements> {
    OpenApiRouter::new().routes(routes!(get_metrics))
}

/// Everything that is measured, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = OK, body = String)), security(()))]
async fn get_metrics(State(measurements): State<Measurements>) -> Response {
    measurements.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], measurements.render()).into_response()
}

/// Whether the process lives. Asks nothing else.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = OK, description = "It lives.", body = String)), security(()))]
async fn get_livez() -> &'static str {
    "ok"
}

/// What runs.
#[utoipa::path(get, path = "/version", tag = "health", responses((status = OK, body = Version)), security(()))]
async fn get_version() -> Json<Version> {
    Json(Version { name: "advisor", version: env!("CARGO_PKG_VERSION") })
}

/// Whether the server takes requests.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    params(("verbose" = Option<String>, Query, description = "Name every check.")),
    responses((status = OK, body = Readiness), (status = SERVICE_UNAVAILABLE, body = Readiness)),
    security(())
)]
async fn get_readyz(State(api): State<Api>, Query(query): Query<Verbose>) -> Response {
    readiness(look(&api).await, &query)
}

fn readiness(checks: Vec<Checked>, query: &Verbose) -> Response {
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready" } else { "not ready" };
    let is_verbose = query.verbose.as_ref().is_some_and(|verbose| verbose != "false");
    let checks = is_verbose.then_some(checks);
    (status, Json(Readiness { status: word, checks })).into_response()
}

/// How the service is, for the web front end.
#[utoipa::path(
    get,
    path = "/api/health",
    tag = "health",
    params(("detailed" = Option<String>, Query, description = "`true` names every check.")),
    responses((status = OK, body = Health)),
    security(())
)]
async fn get_health(State(api): State<Api>, Query(query): Query<Detailed>) -> Json<Health> {
    let checks = look(&api).await;
    let status = if checks.iter().all(|check| check.ok) { "healthy" } else { "degraded" };
    Json(Health {
        status,
        timestamp: api.clock.now().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        checks: (query.detailed.as_deref() == Some("true")).then_some(checks),
    })
}

async fn look(api: &Api) -> Vec<Checked> {
    let mut checks = vec![running(api)];
    for check in api.checks.iter() {
        checks.push(look_at(check).await);
    }
    checks
}

fn running(api: &Api) -> Checked {
    let ok = !api.shutdown.is_cancelled();
    Checked { name: "server", ok, detail: if ok { "takes requests" } else { "is stopping" }.to_owned() }
}

async fn look_at(check: &Arc<dyn Check>) -> Checked {
    let (ok, detail) = match tokio::time::timeout(CHECK_TIMEOUT, check.look()).await {
        Ok(Ok(detail)) => (true, detail),
        Ok(Err(failed)) => (false, failed.to_string()),
        Err(_) => (false, "does not answer".to_owned()),
    };
    Checked { name: check.name(), ok, detail }
}

#[cfg(test)]
mod tests;
