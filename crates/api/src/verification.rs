//! Whether the read models have consumed every event of the log, for who runs the system.

use crate::{Api, auth::Runs, problem::Problem, reading::unread};
use advisor_projections::{
    consumption::Consumption,
    verification::{DifferenceKind, Verification, VerificationError, verify},
};
use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

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

/// `GET /admin/verification`.
pub(crate) fn router(api: Api) -> Router {
    Router::new().route("/admin/verification", get(show_verification)).with_state(api)
}

/// Folds the whole log up to the checkpoint: about a second for a million events.
async fn show_verification(_: Runs, State(api): State<Api>) -> Result<Json<VerificationView>, Problem> {
    let found = verify(api.log.as_ref(), &api.reader).await.map_err(|error| match error {
        VerificationError::Store(error) => unread(&error),
        error @ VerificationError::Log(_) => Problem::unavailable(&error),
    })?;
    if let Some(difference) = found.difference {
        tracing::error!(?difference, "the read models have not consumed every event of the log once and in order");
    }
    Ok(Json(view(&found)))
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
