//! Commands to messages and replies.

use super::{CommandAnswer, answer};
use crate::{
    Api,
    command_request::{Body, CommandRequest},
    extract::CommandBody,
    messages::{self, NewText, Responders},
    problem::{Code, Problem},
    rules::{EDITED_CHARS_MAX, MESSAGE_CHARS_MAX, Rules},
};
use advisor_commands::conversation::REPLIES_MAX;
use advisor_events::{AdvisorId, ConversationId, MessageId, ReplyId};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The body of `SendMessage`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SendMessage {
    conversation_id: String,
    /// 1 to 32,000 characters, not only white space.
    #[schema(min_length = 1, max_length = 32_000, pattern = r"\S")]
    content: String,
    /// Kept beside the text as it comes.
    content_json: Option<Value>,
    /// Who shall reply, at most five: all mentioned ones, else the active one, when it is absent; nobody when it
    /// is empty. The first becomes the active advisor.
    #[schema(max_items = 5)]
    advisor_ids: Option<Vec<String>>,
}

/// The body of `EditMessage`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EditMessage {
    message_id: String,
    /// 1 to 4,000 characters.
    #[schema(min_length = 1, max_length = 4_000)]
    content: String,
}

/// The body of `DeleteMessage`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteMessage {
    message_id: String,
}

/// The body of `StopReply`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StopReply {
    reply_id: String,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(send_message))
        .routes(routes!(edit_message))
        .routes(routes!(delete_message))
        .routes(routes!(stop_reply))
}

/// Adds a message to a conversation and asks for replies. Result: `messageId`, `replies`.
#[utoipa::path(
    post,
    path = "/api/commands/SendMessage",
    operation_id = "SendMessage",
    tag = "commands",
    request_body = SendMessage,
    responses(
        (status = OK, body = CommandAnswer),
        (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`"),
        (status = UNPROCESSABLE_ENTITY, description = "`ADVISOR_NOT_FOUND`, `VALIDATION_ERROR`")
    )
)]
async fn send_message(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<SendMessage>,
) -> Result<Response, Problem> {
    Rules::default()
        .text("/content", &value.content, MESSAGE_CHARS_MAX)
        .said("/content", &value.content)
        .that("/advisorIds", "must name at most 5 advisors", || {
            value.advisor_ids.as_ref().is_none_or(|ids| ids.len() <= REPLIES_MAX)
        })
        .check(Problem::invalid_command)?;
    let body = Body { name: "SendMessage", target: "", json: &json };
    let responders = match value.advisor_ids {
        None => Responders::ByDefault,
        Some(ids) => Responders::Named(ids.into_iter().map(AdvisorId).collect()),
    };
    let text = NewText { content: value.content, content_json: value.content_json, responders };
    let conversation = request.own_conversation(ConversationId(value.conversation_id)).await?;
    let done = messages::send(&request, &conversation, text, &body).await?;
    let result = messages::sent(&done)
        .map_or_else(|| json!({}), |sent| json!({"messageId": sent.message_id, "replies": sent.replies}));
    Ok(answer(&request, &done, result).await)
}

/// Replaces the text of one of the caller's own messages.
#[utoipa::path(
    post,
    path = "/api/commands/EditMessage",
    operation_id = "EditMessage",
    tag = "commands",
    request_body = EditMessage,
    responses((status = OK, body = CommandAnswer), (status = NOT_FOUND, description = "`MESSAGE_NOT_FOUND`"))
)]
async fn edit_message(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<EditMessage>,
) -> Result<Response, Problem> {
    Rules::default().text("/content", &value.content, EDITED_CHARS_MAX).check(Problem::invalid_command)?;
    let body = Body { name: "EditMessage", target: "", json: &json };
    let edited =
        messages::edit(&request, MessageId(value.message_id), value.content, &body).await.map_err(in_a_command)?;
    Ok(answer(&request, &edited.done, json!({})).await)
}

/// Deletes a message, the caller's or an advisor's.
#[utoipa::path(
    post,
    path = "/api/commands/DeleteMessage",
    operation_id = "DeleteMessage",
    tag = "commands",
    request_body = DeleteMessage,
    responses((status = OK, body = CommandAnswer), (status = NOT_FOUND, description = "`MESSAGE_NOT_FOUND`"))
)]
async fn delete_message(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<DeleteMessage>,
) -> Result<Response, Problem> {
    let body = Body { name: "DeleteMessage", target: "", json: &json };
    let deleted = messages::delete(&request, MessageId(value.message_id), &body).await?;
    Ok(answer(&request, &deleted.done, json!({})).await)
}

/// Stops a reply; what has come of it becomes a message.
#[utoipa::path(
    post,
    path = "/api/commands/StopReply",
    operation_id = "StopReply",
    tag = "commands",
    request_body = StopReply,
    responses(
        (status = OK, body = CommandAnswer),
        (status = NOT_FOUND, description = "`REPLY_NOT_FOUND`"),
        (status = CONFLICT, description = "`WRONG_STATE`: it has ended")
    )
)]
async fn stop_reply(
    request: CommandRequest,
    CommandBody { value, json }: CommandBody<StopReply>,
) -> Result<Response, Problem> {
    let body = Body { name: "StopReply", target: "", json: &json };
    let done = messages::stop_reply(&request, ReplyId(value.reply_id), &body).await?;
    Ok(answer(&request, &done, json!({})).await)
}

/// Of a command, a broken rule is 422.
fn in_a_command(problem: Problem) -> Problem {
    let broken = problem.code() == Code::InvalidMessageType;
    if broken { problem.status(StatusCode::UNPROCESSABLE_ENTITY) } else { problem }
}
