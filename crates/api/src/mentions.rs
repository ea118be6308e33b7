//! Who is mentioned in a text: `POST /api/mentions`.

mod find;
#[cfg(test)]
mod fuzz;

pub(crate) use find::may_mention;

use crate::{
    Api,
    auth::Viewer,
    extract::{IdempotencyKey, RequestBody},
    layers,
    problem::Problem,
    reading::shown,
    rules::{MESSAGE_CHARS_MAX, Rules},
};
use advisor_events::AdvisorId;
use advisor_projections::advisors::{self, AdvisorName};
use axum::{extract::State, middleware::from_fn, response::Response};
use find::{Mentionable, find};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The body of `POST /api/mentions`.
#[derive(Debug, Deserialize, ToSchema)]
struct MentionsRequest {
    /// The text.
    #[schema(min_length = 1, max_length = 32_000)]
    content: String,
}

/// The route.
pub(crate) fn queries() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(find_mentions)).layer(from_fn(layers::json_only))
}

/// The advisors that a text mentions, of those that its writer sees.
pub(crate) fn mentioned(text: &str, advisors: &[AdvisorName]) -> Vec<AdvisorId> {
    let mentionable: Vec<Mentionable> = advisors
        .iter()
        .map(|advisor| Mentionable {
            id: advisor.id.clone(),
            name: advisor.name.clone(),
            first_name: advisor.first_name.clone(),
        })
        .collect();
    find(text, &mentionable).into_iter().map(|mention| mention.advisor_id).collect()
}

/// Finds the advisors that a text mentions.
#[utoipa::path(
    post,
    path = "/api/mentions",
    tag = "mentions",
    request_body = MentionsRequest,
    responses((status = OK, body = Value), (status = BAD_REQUEST, description = "`VALIDATION_ERROR`"))
)]
async fn find_mentions(
    viewer: Viewer,
    // Nothing is done, so nothing is remembered; a key that is none is refused all the same.
    _key: IdempotencyKey,
    State(api): State<Api>,
    RequestBody { value, .. }: RequestBody<MentionsRequest>,
) -> Result<Response, Problem> {
    let content = value.content;
    Rules::default().text("/content", &content, MESSAGE_CHARS_MAX).check(Problem::invalid_request)?;
    let read = api.read(advisors::visible_to(Some(viewer.user_id()))).await?;
    let mentionable: Vec<Mentionable> = read
        .value
        .iter()
        .map(|row| Mentionable { id: row.id.clone(), name: row.name.clone(), first_name: row.first_name.clone() })
        .collect();
    let ids: Vec<AdvisorId> = find(&content, &mentionable).into_iter().map(|mention| mention.advisor_id).collect();
    let advisors: Vec<Value> =
        ids.iter().filter_map(|id| read.value.iter().find(|row| row.id == *id)).map(described).collect();
    let answer = json!({
        "success": true,
        "mentions": { "advisorIds": ids, "advisors": advisors, "count": advisors.len() },
        "analysis": {
            "hasValidMentions": !advisors.is_empty(),
            "contentLength": content.chars().count(),
            "processedAt": api.clock.now(),
        },
        "content": content,
    });
    Ok(shown(read.position, answer))
}

/// Its role is what its title says; its metadata is that of its document.
fn described(row: &advisors::AdvisorRow) -> Value {
    let document: Value = serde_json::from_str(&row.document).unwrap_or_default();
    json!({ "id": row.id, "name": row.name, "role": row.title, "metadata": document.get("metadata") })
}
