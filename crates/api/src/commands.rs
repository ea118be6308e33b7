//! `POST /api/commands/{Name}`: every command by its name, one file per aggregate.

mod advisor;
mod conversation;
mod message;

use crate::{
    Api,
    auth::Viewer,
    command_request::CommandRequest,
    extract::Path,
    problem::{Code, Problem},
};
use advisor_commands::Outcome;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What a command led to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommandAnswer {
    /// The command's id: the `Idempotency-Key`, or made by the server.
    command_id: String,
    /// The stream that it asked.
    stream: String,
    /// Revision of its last event, or of the stream's where nothing had to happen.
    revision: u64,
    /// Position of that event: a query with `min_position` shows what it led to.
    position: u64,
    /// What it made.
    result: Value,
}

/// The routes of all commands.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(conversation::router())
        .merge(message::router())
        .merge(advisor::router())
        .routes(routes!(refuse_command))
}

/// Any other name: there is no such command.
#[utoipa::path(
    post,
    path = "/api/commands/{name}",
    tag = "commands",
    params(("name" = String, Path, description = "A name that is none of the commands'.")),
    responses((
        status = NOT_FOUND,
        description = "`UNKNOWN_COMMAND`",
        body = crate::problem::ProblemSchema,
        content_type = "application/problem+json"
    ))
)]
async fn refuse_command(_viewer: Viewer, Path(_name): Path<String>) -> Problem {
    Problem::new(Code::UnknownCommand, "There is no command of this name.")
}

/// The answer of a command, with its result.
async fn answer<E>(request: &CommandRequest, done: &Outcome<E>, result: Value) -> Response {
    let body = CommandAnswer {
        command_id: request.id.clone(),
        stream: done.stream.to_string(),
        revision: done.revision,
        position: done.position.0,
        result,
    };
    request.answer(done, StatusCode::OK, body).await
}
