//! People, for who runs the system: erasing them. On the operators' listener and the socket in the data directory.

use crate::{Api, auth::Runs, extract::Path, problem::Problem, reading::unread};
use advisor_commands::{CommandContext, UserCommand};
use advisor_events::{Timestamp, UserId};
use advisor_projections::{deletions, deletions::DeletionRow, users};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// Longest time that an answer waits for an erasure's end.
pub const END_WAIT: Duration = Duration::from_secs(15);
/// Time between two looks whether it has ended.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How far a person's erasure is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ErasureView {
    #[schema(value_type = String)]
    user_id: UserId,
    /// Position of the event that deleted the account.
    position: u64,
    #[schema(value_type = String)]
    deleted_at: Timestamp,
    /// When nothing of the person's words was left anywhere; null while some still are.
    #[schema(value_type = Option<String>)]
    erased_at: Option<Timestamp>,
}

/// `DELETE /admin/users/{id}`.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(erase_user))
}

/// Erases a person. 200 once nothing of their words is left; 202 if that takes longer than 15 s: it goes on, and
/// asking again waits on. Asking for somebody who is erased already answers the same.
#[utoipa::path(
    delete,
    path = "/admin/users/{id}",
    tag = "people",
    params(("id" = String, Path)),
    responses((status = OK, body = ErasureView), (status = ACCEPTED, body = ErasureView), (status = NOT_FOUND)),
    security(("session" = ["operator"]))
)]
async fn erase_user(runs: Runs, State(api): State<Api>, Path(id): Path<String>) -> Result<Response, Problem> {
    let user = UserId::from(id);
    let known = || {
        users::by_id(&user).zip(deletions::of_user(&user)).map(|(row, deletion)| row.map(drop).or(deletion.map(drop)))
    };
    if api.find(known).await?.is_none() {
        return Err(Problem::not_found());
    }
    let context = CommandContext::new(runs.0, format!("erase-{}", Uuid::new_v4()), api.clock.now());
    let command = UserCommand::Delete { user_id: user.clone() };
    let erased = api.commands.erase(&user, command, context).await;
    erased.map_err(|error| Problem::of_command(error, ""))?;
    tracing::warn!(user.id = user.as_str(), "a person is being erased");
    let until = Instant::now() + END_WAIT;
    loop {
        let deletion = api.read(deletions::of_user(&user)).await?.value;
        if let Some(deletion) = deletion {
            let view = view(&api, deletion).await?;
            if view.erased_at.is_some() || Instant::now() >= until {
                return Ok(answer(view));
            }
        } else if Instant::now() >= until {
            return Err(Problem::unavailable(&NotShown));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The event is in the log and the key destroyed, and the rows are there still.
#[derive(Debug, thiserror::Error)]
#[error("the read side does not show the deletion yet")]
struct NotShown;

async fn view(api: &Api, deletion: DeletionRow) -> Result<ErasureView, Problem> {
    let erasure = api.side.erasures().get(&deletion.user_id).await.map_err(|error| unread(&error))?;
    let ended = erasure.filter(|erasure| erasure.position == deletion.position);
    Ok(ErasureView {
        user_id: deletion.user_id,
        position: deletion.position.0,
        deleted_at: deletion.deleted_at,
        erased_at: ended.map(|erasure| erasure.erased_at),
    })
}

fn answer(view: ErasureView) -> Response {
    let status = if view.erased_at.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(view)).into_response()
}
