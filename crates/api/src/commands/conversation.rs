//! Commands to conversations.

use super::{CommandAnswer, answer};
use crate::{
    Api,
    command_request::{Body, CommandRequest},
    conversations::{self, NewConversation},
    extract::CommandBody,
    problem::Problem,
    rules::{Rules, TITLE_CHARS_MAX},
};
use advisor_commands::ConversationCommand;
use advisor_events::{AdvisorId, ConversationId};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The body of `StartConversation`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartConversation {
    /// 1 to 200 characters; one is made from the content later if there is none.
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// The active advisor; the oldest one if none is named.
    advisor_id: Option<String>,
}

/// The body of `RenameConversation`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RenameConversation {
    conversation_id: String,
    /// 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
}

/// The body of `AssignAdvisor`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AssignAdvisor {
    conversation_id: String,
    /// An active advisor that the caller sees.
    advisor_id: String,
}

/// The body of `DeleteConversation`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteConversation {
    conversation_id: String,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(start_conversation))
        .routes(routes!(rename_conversation))
        .routes(routes!(assign_advisor))
        .routes(routes!(delete_conversation))
}

/// Starts a conversation. Result: `conversationId`.
#[utoipa::path(
    post,
    path = "/api/commands/StartConversation",
    operation_id = "StartConversation",
    tag = "commands",
    request_body = StartConversation,
    responses((status = OK, body = CommandAnswer), (status = UNPROCESSABLE_ENTITY, description = "`ADVISOR_NOT_FOUND`, `VALIDATION_ERROR`"))
)]
async fn start_conversation(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<StartConversation>,
) -> Result<Response, Problem> {
    Rules::default()
        .optional_text("/title", value.title.as_deref(), TITLE_CHARS_MAX)
        .check(Problem::invalid_command)?;
    let body = Body { name: "StartConversation", target: "", json: &json };
    let wanted = NewConversation { title: value.title, advisor_id: value.advisor_id.map(AdvisorId) };
    let started = conversations::start(&request, wanted, &body, Problem::advisor_unusable_in_command).await?;
    Ok(answer(&request, &started.done, json!({"conversationId": started.id})).await)
}

/// Gives a conversation a title that nothing replaces but the user.
#[utoipa::path(
    post,
    path = "/api/commands/RenameConversation",
    operation_id = "RenameConversation",
    tag = "commands",
    request_body = RenameConversation,
    responses((status = OK, body = CommandAnswer), (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`"))
)]
async fn rename_conversation(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<RenameConversation>,
) -> Result<Response, Problem> {
    Rules::default().text("/title", &value.title, TITLE_CHARS_MAX).check(Problem::invalid_command)?;
    let body = Body { name: "RenameConversation", target: "", json: &json };
    let command = ConversationCommand::Rename { user_id: request.viewer.user_id().clone(), title: value.title };
    let conversation = request.own_conversation(ConversationId(value.conversation_id)).await?;
    let done = request.ask_conversation(&conversation, command, &body).await?;
    Ok(answer(&request, &done, json!({})).await)
}

/// Makes another advisor the active one.
#[utoipa::path(
    post,
    path = "/api/commands/AssignAdvisor",
    operation_id = "AssignAdvisor",
    tag = "commands",
    request_body = AssignAdvisor,
    responses(
        (status = OK, body = CommandAnswer),
        (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`"),
        (status = UNPROCESSABLE_ENTITY, description = "`ADVISOR_NOT_FOUND`")
    )
)]
async fn assign_advisor(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<AssignAdvisor>,
) -> Result<Response, Problem> {
    let body = Body { name: "AssignAdvisor", target: "", json: &json };
    let conversation = request.own_conversation(ConversationId(value.conversation_id)).await?;
    let advisor_id = AdvisorId(value.advisor_id);
    let done =
        conversations::assign(&request, &conversation, advisor_id, &body, Problem::advisor_unusable_in_command).await?;
    Ok(answer(&request, &done, json!({})).await)
}

/// Deletes a conversation with all that is in it.
#[utoipa::path(
    post,
    path = "/api/commands/DeleteConversation",
    operation_id = "DeleteConversation",
    tag = "commands",
    request_body = DeleteConversation,
    responses((status = OK, body = CommandAnswer), (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`"))
)]
async fn delete_conversation(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<DeleteConversation>,
) -> Result<Response, Problem> {
    let body = Body { name: "DeleteConversation", target: "", json: &json };
    let command = ConversationCommand::Delete { user_id: request.viewer.user_id().clone() };
    let conversation = request.own_conversation(ConversationId(value.conversation_id)).await?;
    let done = request.ask_conversation(&conversation, command, &body).await?;
    Ok(answer(&request, &done, json!({})).await)
}
