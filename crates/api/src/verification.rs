//! Whether the read models have consumed every event of the log and are what it makes of them, for who runs the
//! system.

use crate::{
    Api,
    auth::{Authenticator, Runs},
    extract::Query,
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
    Json, Router,
    extract::{FromRef, State},
    routing::get,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VerificationView {
    generation: u64,
    /// The checkpoint up to which the log was folded.
    position: u64,
    consumed: ConsumptionView,
    logged: ConsumptionView,
    /// The first difference; null where both are the same.
    difference: Option<DifferenceView>,
    /// How the rows compare; null where nobody asked.
    rows: Option<RowsView>,
}

#[derive(Debug, Serialize)]
struct ConsumptionView {
    events: u64,
    digest: String,
}

#[derive(Debug, Serialize)]
struct DifferenceView {
    /// `dropped`, `doubled`, `swapped` or `other`.
    kind: &'static str,
    position: u64,
}

#[derive(Debug, Serialize)]
struct RowsView {
    /// The checkpoint at which rows were compared.
    position: u64,
    /// How many the log makes.
    count: u64,
    /// The first of each table that differ.
    differences: Vec<RowDifferenceView>,
}

#[derive(Debug, Serialize)]
struct RowDifferenceView {
    table: &'static str,
    key: String,
}

/// What the route needs.
#[derive(Clone)]
struct Verifier {
    api: Api,
    keys: Arc<dyn KeyStore>,
}

impl FromRef<Verifier> for Arc<Authenticator> {
    fn from_ref(verifier: &Verifier) -> Self {
        Arc::clone(&verifier.api.authenticator)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerificationQuery {
    /// Whether every row is folded once more, too.
    #[serde(default)]
    rows: bool,
}

/// `GET /admin/verification`.
pub(crate) fn router(api: Api, keys: Arc<dyn KeyStore>) -> Router {
    Router::new().route("/admin/verification", get(show_verification)).with_state(Verifier { api, keys })
}

/// Folds the whole log up to the checkpoint: about a second for a million events, and ten with the rows.
async fn show_verification(
    _: Runs,
    State(verifier): State<Verifier>,
    Query(query): Query<VerificationQuery>,
) -> Result<Json<VerificationView>, Problem> {
    let api = &verifier.api;
    let found = verify(api.log.as_ref(), &api.reader).await.map_err(|error| match error {
        VerificationError::Store(error) => unread(&error),
        error @ VerificationError::Log(_) => Problem::unavailable(&error),
    })?;
    if let Some(difference) = found.difference {
        tracing::error!(?difference, "the read models have not consumed every event of the log once and in order");
    }
    let rows = if query.rows { Some(verifier.refold().await?) } else { None };
    Ok(Json(VerificationView { rows, ..view(&found) }))
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
        rows: None,
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
