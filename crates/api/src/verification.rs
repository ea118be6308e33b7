//! Whether the read models have consumed every event of the log and are what it makes of them, for who runs the
//! system.

use crate::{
    Api,
    auth::{Authenticator, Runs},
    problem::Problem,
    reading::unread,
};
use advisor_events::KeyStore;
use advisor_projections::{
    consumption::Consumption,
    refolding::{RefoldingError, RefoldingParts, refold},
    verification::{DifferenceKind, Verification, VerificationError, verify},
};
use axum::{
    Json,
    extract::{FromRef, State},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What was found of what the read models have consumed.
#[derive(Debug, Serialize, ToSchema)]
struct VerificationView {
    generation: u64,
    /// The checkpoint up to which the log was folded.
    position: u64,
    consumed: ConsumptionView,
    logged: ConsumptionView,
    /// The first difference; null where both are the same.
    difference: Option<DifferenceView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ConsumptionView {
    events: u64,
    digest: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct DifferenceView {
    /// `dropped`, `doubled`, `swapped` or `other`.
    kind: &'static str,
    position: u64,
}

/// What was found of their rows.
#[derive(Debug, Serialize, ToSchema)]
struct RowsView {
    /// The checkpoint at which rows were compared.
    position: u64,
    /// How many the log makes.
    count: u64,
    /// The first of each table that differ.
    differences: Vec<RowDifferenceView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RowDifferenceView {
    table: &'static str,
    key: String,
}

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Verifier {
    pub(crate) api: Api,
    pub(crate) keys: Arc<dyn KeyStore>,
}

impl FromRef<Verifier> for Arc<Authenticator> {
    fn from_ref(verifier: &Verifier) -> Self {
        Arc::clone(&verifier.api.authenticator)
    }
}

/// `GET /admin/verification` and what goes deeper.
pub(crate) fn router() -> OpenApiRouter<Verifier> {
    OpenApiRouter::new().routes(routes!(show_verification)).routes(routes!(show_row_verification))
}

/// Compares what was consumed: reads the whole log up to the checkpoint, a few seconds for a million events.
#[utoipa::path(
    get,
    path = "/admin/verification",
    tag = "log",
    responses((status = OK, body = VerificationView)),
    security(("session" = ["operator"]))
)]
async fn show_verification(_: Runs, State(verifier): State<Verifier>) -> Result<Json<VerificationView>, Problem> {
    let api = &verifier.api;
    let found = verify(api.log.as_ref(), &api.reader).await.map_err(|error| match error {
        VerificationError::Store(error) => unread(&error),
        error @ VerificationError::Log(_) => Problem::unavailable(&error),
    })?;
    if let Some(difference) = found.difference {
        tracing::error!(?difference, "the read models have not consumed every event of the log once and in order");
    }
    Ok(Json(view(&found)))
}

/// Compares every row: fills read models anew beside those that are read, a minute or two for a million events.
#[utoipa::path(
    get,
    path = "/admin/verification/rows",
    tag = "log",
    responses((status = OK, body = RowsView)),
    security(("session" = ["operator"]))
)]
async fn show_row_verification(_: Runs, State(verifier): State<Verifier>) -> Result<Json<RowsView>, Problem> {
    verifier.refold().await.map(Json)
}

impl Verifier {
    async fn refold(&self) -> Result<RowsView, Problem> {
        let parts = RefoldingParts {
            log: Arc::clone(&self.api.log),
            keys: Arc::clone(&self.keys),
            clock: Arc::clone(&self.api.clock),
        };
        let found = refold(parts, &self.api.reader).await.map_err(|error| match error {
            RefoldingError::Store(error) => unread(&error),
            error @ (RefoldingError::Runner(_) | RefoldingError::Files(_) | RefoldingError::ErasedMeanwhile) => {
                Problem::unavailable(&error)
            }
        })?;
        if let Some(first) = found.differences.first() {
            tracing::error!(table = first.table, "the read models hold rows that the log does not make");
        }
        let differences = found.differences.into_iter();
        let differences = differences.map(|row| RowDifferenceView { table: row.table, key: row.key }).collect();
        Ok(RowsView { position: found.position.0, count: found.rows, differences })
    }
}

fn view(found: &Verification) -> VerificationView {
    let consumption = |of: Consumption| ConsumptionView { events: of.consumed, digest: of.digest_hex() };
    VerificationView {
        generation: found.generation,
        position: found.position.0,
        consumed: consumption(found.consumed),
        logged: consumption(found.logged),
        difference: found
            .difference
            .map(|difference| DifferenceView { kind: word(difference.kind), position: difference.position.0 }),
    }
}

fn word(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Dropped => "dropped",
        DifferenceKind::Doubled => "doubled",
        DifferenceKind::Swapped => "swapped",
        DifferenceKind::Other => "other",
    }
}
