//! Commands to advisors.

use super::{CommandAnswer, answer};
use crate::{
    Api,
    advisors::{self, document},
    command_request::{Body, CommandRequest},
    extract::{CommandBody, CommandJson},
    problem::{Code, Detail, Problem},
};
use advisor_commands::AdvisorCommand;
use advisor_events::{
    AdvisorId,
    advisor::{Status, Visibility},
};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The body of `ReviseAdvisor`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReviseAdvisor {
    advisor_id: String,
    /// The whole document: it replaces the one before.
    document: Value,
}

/// The body of `SetAdvisorStatus`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetAdvisorStatus {
    advisor_id: String,
    #[schema(value_type = String, examples("active", "inactive", "archived"))]
    status: Status,
}

/// The body of `SetAdvisorVisibility`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetAdvisorVisibility {
    advisor_id: String,
    #[schema(value_type = String, examples("private", "public"))]
    visibility: Visibility,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_advisor))
        .routes(routes!(revise_advisor))
        .routes(routes!(set_advisor_status))
        .routes(routes!(set_advisor_visibility))
}

/// Makes an advisor of a document: a user's own is private, an operator's public. Result: `advisorId`.
#[utoipa::path(
    post,
    path = "/api/commands/CreateAdvisor",
    operation_id = "CreateAdvisor",
    tag = "commands",
    request_body(content = Value, description = "An advisor document; unknown fields are kept."),
    responses(
        (status = OK, body = CommandAnswer),
        (status = CONFLICT, description = "`ADVISOR_EXISTS`"),
        (status = UNPROCESSABLE_ENTITY, description = "`VALIDATION_ERROR`")
    )
)]
async fn create_advisor(request: CommandRequest, CommandJson(json): CommandJson) -> Result<Response, Problem> {
    check_document(&json, "")?;
    let body = Body { name: "CreateAdvisor", target: "", json: &json };
    let created = advisors::create(&request, document::of_document(json.clone()), &body).await?;
    Ok(answer(&request, &created.done, json!({"advisorId": created.id})).await)
}

/// Replaces the document of one's own advisor; operators that of any public one.
#[utoipa::path(
    post,
    path = "/api/commands/ReviseAdvisor",
    operation_id = "ReviseAdvisor",
    tag = "commands",
    request_body = ReviseAdvisor,
    responses((status = OK, body = CommandAnswer), (status = NOT_FOUND, description = "`ADVISOR_NOT_FOUND`"))
)]
async fn revise_advisor(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<ReviseAdvisor>,
) -> Result<Response, Problem> {
    check_document(&value.document, "/document")?;
    let body = Body { name: "ReviseAdvisor", target: "", json: &json };
    let id = AdvisorId(value.advisor_id);
    let revised = advisors::revise(&request, id, value.document, &body).await.map_err(in_a_command)?;
    Ok(answer(&request, &revised.done, json!({})).await)
}

/// Makes an advisor active, inactive or archived. For operators.
#[utoipa::path(
    post,
    path = "/api/commands/SetAdvisorStatus",
    operation_id = "SetAdvisorStatus",
    tag = "commands",
    request_body = SetAdvisorStatus,
    responses(
        (status = OK, body = CommandAnswer),
        (status = FORBIDDEN, description = "`FORBIDDEN`: the caller sees the advisor and is no operator"),
        (status = NOT_FOUND, description = "`ADVISOR_NOT_FOUND`")
    )
)]
async fn set_advisor_status(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<SetAdvisorStatus>,
) -> Result<Response, Problem> {
    let id = AdvisorId(value.advisor_id);
    advisors::check_operator(&request, &id).await.map_err(in_a_command)?;
    let body = Body { name: "SetAdvisorStatus", target: "", json: &json };
    let command = AdvisorCommand::SetStatus { by: request.caller(), status: value.status };
    let done = request.ask_advisor(&id, command, &body).await?;
    let done = done.map_err(|refusal| in_a_command(request.refused(refusal)))?;
    Ok(answer(&request, &done, json!({})).await)
}

/// Shows an advisor to everybody, or to its owner alone. For operators.
#[utoipa::path(
    post,
    path = "/api/commands/SetAdvisorVisibility",
    operation_id = "SetAdvisorVisibility",
    tag = "commands",
    request_body = SetAdvisorVisibility,
    responses(
        (status = OK, body = CommandAnswer),
        (status = CONFLICT, description = "`WRONG_STATE`: an advisor without an owner can't be private"),
        (status = FORBIDDEN, description = "`FORBIDDEN`: the caller sees the advisor and is no operator"),
        (status = NOT_FOUND, description = "`ADVISOR_NOT_FOUND`")
    )
)]
async fn set_advisor_visibility(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<SetAdvisorVisibility>,
) -> Result<Response, Problem> {
    let id = AdvisorId(value.advisor_id);
    advisors::check_operator(&request, &id).await.map_err(in_a_command)?;
    let body = Body { name: "SetAdvisorVisibility", target: "", json: &json };
    let done = advisors::set_visibility(&request, &id, value.visibility, &body).await.map_err(in_a_command)?;
    Ok(answer(&request, &done, json!({})).await)
}

fn check_document(document: &Value, at: &str) -> Result<(), Problem> {
    let details: Vec<Detail> = document::faults(document)
        .into_iter()
        .map(|(pointer, rule)| Detail::at(format!("{at}{pointer}"), rule))
        .collect();
    if details.is_empty() { Ok(()) } else { Err(Problem::invalid_command(details)) }
}

/// The contract words this error on its own routes; a command has the code there.
fn in_a_command(problem: Problem) -> Problem {
    let contracts = problem.code() == Code::AdvisorNotFound;
    if contracts { Problem::new(Code::AdvisorNotFound, "Advisor not found") } else { problem }
}
