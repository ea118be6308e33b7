//! The person who asks: `/api/me`.

use crate::{
    Api,
    auth::{Viewer, roles::Roles},
    extract::negotiate,
    live::{self, LiveQuery},
    problem::Problem,
    reading::{MinPosition, shown, tagged},
};
use advisor_events::{Timestamp, UserId};
use advisor_projections::users::{self, UserRow};
use axum::{extract::State, response::Response};
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The person who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Me)]
pub(crate) struct MeView {
    #[schema(value_type = String)]
    id: UserId,
    email: Option<String>,
    name: Option<String>,
    image: Option<String>,
    /// The word of the plan as it stands in the sign-in service.
    plan: String,
    /// What the plan is worth: `free`, `base` or `premium`.
    tier: &'static str,
    /// `user`, perhaps `operator`, `analyst`.
    roles: Vec<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// The route.
pub(crate) fn queries() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get_me))
}

/// A row as the person themselves see it.
pub(crate) fn view(row: UserRow, roles: Roles) -> MeView {
    MeView {
        id: row.id,
        email: row.email,
        name: row.name,
        image: row.image,
        tier: tier(&row.plan),
        plan: row.plan,
        roles: roles.names(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// The person who asks.
#[utoipa::path(
    get,
    path = "/api/me",
    tag = "me",
    params(("min_position" = Option<u64>, Query, description = "Wait for this position, at most 2 s.")),
    responses((status = OK, body = MeView))
)]
async fn get_me(
    viewer: Viewer,
    _: MinPosition,
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if negotiate(&headers, live::OFFERED)? == live::EVENT_STREAM {
        return live::stream(&api, Some(&viewer), LiveQuery::Me, &headers).await;
    }
    // A person who has just been registered may not be on the read side yet.
    let read = api.find_at(|| users::by_id(viewer.user_id())).await?;
    let row = read.value.ok_or_else(Problem::not_found)?;
    let changed_at = row.position;
    Ok(tagged(shown(read.position, view(row, viewer.person().roles)), changed_at))
}

/// Both vocabularies of plans; an unknown word is worth what everybody has.
fn tier(plan: &str) -> &'static str {
    match plan {
        "base" | "pro" => "base",
        "premium" | "enterprise" => "premium",
        _ => "free",
    }
}
