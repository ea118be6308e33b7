//! Messages: pages of a conversation, `/api/messages`, and what commands do to messages and replies.

mod rows;
mod sending;
#[cfg(test)]
mod tests;

pub(crate) use rows::{MessageBody, MessageView, ReplyView};
pub(crate) use sending::{Addressed, NewText, Responders, new_message, send, sent, standing_in};

use crate::{
    Api,
    auth::Viewer,
    command_request::{Body, CommandRequest, OwnConversation},
    conversations::cards,
    extract::{CursorKey, PageLimit, Path, Query as QueryString, RequestBody, negotiate},
    live::{self, LiveQuery},
    problem::{Code, Problem},
    reading::{MinPosition, marked, shown},
    rules::{EDITED_CHARS_MAX, Rules},
};
use advisor_commands::{ConversationCommand, Outcome};
use advisor_events::{ConversationId, MessageId, ReplyId, StreamName, UserId, conversation::ConversationEvent};
use advisor_projections::{
    Query, advisors as advisor_rows, changes, conversations as conversation_rows, departures,
    messages::{self as stored, MessageRow},
    parked, replies as reply_rows,
};
use axum::{
    extract::{FromRequestParts, State},
    response::Response,
};
use http::{HeaderMap, StatusCode, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Messages of a page where no limit is given.
pub(crate) const PAGE_DEFAULT: usize = 50;
const OFFERED: &[&str] = &["application/json"];

/// A page of messages.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagePage)]
pub(crate) struct PageView {
    /// Oldest first.
    messages: Vec<MessageView>,
    /// `before` of the page with older ones; null when there are none.
    next_before: Option<String>,
}

/// Which page of a conversation's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The revision of the message that the page ends before; none: the newest messages.
    pub(crate) before: Option<u64>,
    /// Most messages.
    pub(crate) limit: u32,
}

#[derive(Debug, Deserialize)]
struct PageQuery {
    #[serde(default)]
    limit: PageLimit,
    before: Option<String>,
}

/// Path and query of a request for a page.
struct PageRequest {
    id: ConversationId,
    query: PageQuery,
}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::from_request_parts(parts, state).await?;
        let QueryString(query) = QueryString::from_request_parts(parts, state).await?;
        Ok(Self { id: ConversationId(id), query })
    }
}

/// The body of `PATCH /api/messages/{id}`.
#[derive(Debug, Deserialize, ToSchema)]
struct EditRequest {
    /// 1 to 4,000 characters.
    #[schema(min_length = 1, max_length = 4_000)]
    content: String,
}

/// A message that was edited, as it was before; nothing of it is there any more where it was deleted since and the
/// edit is answered again.
pub(crate) struct Edited {
    pub(crate) done: Outcome<ConversationEvent>,
    before: Option<MessageRow>,
}

/// A message that was deleted.
pub(crate) struct Deleted {
    pub(crate) done: Outcome<ConversationEvent>,
    conversation_id: ConversationId,
}

/// The route that reads.
pub(crate) fn queries() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_messages))
}

/// The routes that change.
pub(crate) fn commands() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(update_message)).routes(routes!(delete_message))
}

/// A page of a conversation's messages: the answer of `GET /api/conversations/{id}/messages`.
pub(crate) fn page(user: &UserId, id: &ConversationId, page: Page, key: CursorKey) -> Query<Option<PageView>> {
    let messages = match page.before {
        Some(revision) => stored::before(user, id, revision, page.limit),
        None => stored::newest(user, id, page.limit),
    };
    let (user_id, conversation_id) = (user.clone(), id.clone());
    conversation_rows::by_id(user, id).zip(messages).zip(advisor_rows::of_conversation(user, id)).map(
        move |((conversation, page), advisors)| {
            conversation?;
            Some(page_view(&user_id, &conversation_id, page, &advisors, &key))
        },
    )
}

/// The same from rows that were read already.
pub(crate) fn page_view(
    user: &UserId,
    id: &ConversationId,
    page: stored::MessagePage,
    advisors: &[advisor_rows::AdvisorRow],
    key: &CursorKey,
) -> PageView {
    let oldest = page.messages.first().filter(|_| page.has_more).map(|message| message.revision.to_string());
    let cards = cards(advisors);
    PageView {
        next_before: oldest.map(|oldest| key.seal(&scope(user, id), &oldest)),
        messages: page.messages.into_iter().map(|message| MessageView::of(message, &cards)).collect(),
    }
}

/// A page of a conversation's messages, the newest ones first asked for, oldest first within a page.
#[utoipa::path(
    get,
    path = "/api/conversations/{id}/messages",
    tag = "conversations",
    params(
        ("id" = String, Path),
        ("limit" = Option<u32>, Query, description = "1 to 100; 50 if absent."),
        ("before" = Option<String>, Query, description = "`nextBefore` of the page before."),
        ("min_position" = Option<u64>, Query, description = "Wait for this position, at most 2 s.")
    ),
    responses(
        (
            status = OK,
            body = PageView,
            headers(("x-parked" = Option<String>, description = "`true`: an event can't be applied, and this is how the conversation was before it."))
        ),
        (status = BAD_REQUEST, description = "`INVALID_CURSOR`, `INVALID_LIMIT`"),
        (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`")
    )
)]
async fn list_messages(
    viewer: Viewer,
    _: MinPosition,
    State(api): State<Api>,
    asked: PageRequest,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = asked.query.limit.get(PAGE_DEFAULT)?;
    // What is older than the newest page does not change by what comes.
    let offered = if asked.query.before.is_none() { live::OFFERED } else { OFFERED };
    if negotiate(&headers, offered)? == live::EVENT_STREAM {
        let query = LiveQuery::Messages { conversation_id: asked.id, limit };
        return live::stream(&api, Some(&viewer), query, &headers).await;
    }
    let (user_id, key) = (viewer.user_id(), api.settings.cursor_key.clone());
    let before = match &asked.query.before {
        Some(cursor) => Some(opened(&key, user_id, &asked.id, cursor)?),
        None => None,
    };
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let query = page(user_id, &asked.id, Page { before, limit }, key);
    let read = api.read(query.zip(parked::find(&StreamName::conversation(&asked.id)))).await?;
    let (page, parked) = read.value;
    Ok(marked(shown(read.position, page.ok_or_else(Problem::conversation_not_found)?), parked.as_ref()))
}

/// Replaces the text of one of the caller's own messages.
#[utoipa::path(
    patch,
    path = "/api/messages/{id}",
    tag = "messages",
    params(("id" = String, Path)),
    request_body = EditRequest,
    responses(
        (status = OK, body = Value),
        (status = BAD_REQUEST, description = "`INVALID_MESSAGE_TYPE`, `VALIDATION_ERROR`"),
        (status = NOT_FOUND, description = "`MESSAGE_NOT_FOUND`")
    )
)]
async fn update_message(
    request: CommandRequest,
    Path(id): Path<String>,
    RequestBody { value, json }: RequestBody<EditRequest>,
) -> Result<Response, Problem> {
    Rules::default().text("/content", &value.content, EDITED_CHARS_MAX).check(Problem::invalid_request)?;
    let body = Body { name: "PATCH /api/messages", target: &id, json: &json };
    let edited = edit(&request, MessageId(id.clone()), value.content.clone(), &body).await?;
    let before = edited.before.ok_or_else(Problem::message_not_found)?;
    let answer = json!({
        "success": true,
        "message": "Message updated successfully",
        "updatedMessage": {
            "id": id,
            "content": value.content,
            "createdAt": before.created_at,
            "conversationId": before.conversation_id,
            "sender": before.sender,
        },
        "timestamp": edited.done.recorded_at,
    });
    Ok(request.answer(&edited.done, StatusCode::OK, answer).await)
}

/// Deletes a message, the caller's or an advisor's.
#[utoipa::path(
    delete,
    path = "/api/messages/{id}",
    tag = "messages",
    params(("id" = String, Path)),
    responses((status = OK, body = Value), (status = NOT_FOUND, description = "`MESSAGE_NOT_FOUND`"))
)]
async fn delete_message(request: CommandRequest, Path(id): Path<String>) -> Result<Response, Problem> {
    let body = Body { name: "DELETE /api/messages", target: &id, json: &Value::Null };
    let deleted = delete(&request, MessageId(id.clone()), &body).await?;
    let answer = json!({
        "success": true,
        "message": "Message deleted successfully",
        "deletedCount": 1,
        "deletedMessageIds": [id],
        "conversationId": deleted.conversation_id,
        "timestamp": deleted.done.recorded_at,
    });
    Ok(request.answer(&deleted.done, StatusCode::OK, answer).await)
}

/// Replaces the text of one of the caller's own messages.
pub(crate) async fn edit(
    request: &CommandRequest,
    message_id: MessageId,
    content: String,
    body: &Body<'_>,
) -> Result<Edited, Problem> {
    let user_id = request.viewer.user_id();
    let before = request.api.find(|| stored::by_id(user_id, &message_id)).await?;
    let conversation_id = match &before {
        Some(before) => before.conversation_id.clone(),
        // It may have been deleted after this very command, which is then answered again.
        None => was_in(request, message_id.as_str()).await?.ok_or_else(Problem::message_not_found)?,
    };
    let command = ConversationCommand::EditMessage { user_id: user_id.clone(), message_id, content };
    let conversation = OwnConversation::read_for_caller(conversation_id);
    let done = request.ask_conversation(&conversation, command, body).await.map_err(of_a_message)?;
    Ok(Edited { done, before })
}

/// Deletes a message.
pub(crate) async fn delete(
    request: &CommandRequest,
    message_id: MessageId,
    body: &Body<'_>,
) -> Result<Deleted, Problem> {
    let user_id = request.viewer.user_id();
    let here = || stored::by_id(user_id, &message_id).map(|row| row.map(|row| row.conversation_id));
    let conversation_id = match request.api.find(here).await? {
        Some(id) => id,
        // It may have gone by this very command, which is then answered again.
        None => was_in(request, message_id.as_str()).await?.ok_or_else(Problem::message_not_found)?,
    };
    let command = ConversationCommand::DeleteMessage { user_id: user_id.clone(), message_id };
    let conversation = OwnConversation::read_for_caller(conversation_id);
    let done = request.ask_conversation(&conversation, command, body).await.map_err(of_a_message)?;
    Ok(Deleted { done, conversation_id: conversation.id().clone() })
}

/// Stops a reply. One that has become a message has ended, which its conversation says.
pub(crate) async fn stop_reply(
    request: &CommandRequest,
    reply_id: ReplyId,
    body: &Body<'_>,
) -> Result<Outcome<ConversationEvent>, Problem> {
    let user_id = request.viewer.user_id();
    let here = || {
        let running = reply_rows::by_id(user_id, &reply_id).map(|reply| reply.map(|row| row.conversation_id));
        let ended = stored::by_id(user_id, &reply_id.clone().into()).map(|row| row.map(|row| row.conversation_id));
        running.zip(ended).map(|(running, ended)| running.or(ended))
    };
    let conversation_id = match request.api.find(here).await? {
        Some(id) => id,
        None => was_in(request, reply_id.as_str()).await?.ok_or_else(Problem::reply_not_found)?,
    };
    let command = ConversationCommand::StopReply { user_id: user_id.clone(), reply_id };
    let conversation = OwnConversation::read_for_caller(conversation_id);
    request.ask_conversation(&conversation, command, body).await.map_err(|problem| {
        if problem.code() == Code::ConversationNotFound { Problem::reply_not_found() } else { problem }
    })
}

/// The conversation that a message or a reply of the caller was in before it went: by itself, or with all of it.
async fn was_in(request: &CommandRequest, key: &str) -> Result<Option<ConversationId>, Problem> {
    let caller = request.viewer.user_id();
    let gone = departures::conversation_of(caller, key).zip(changes::conversation_of(caller, key));
    Ok(request.api.read(gone.map(|(alone, with_all)| alone.or(with_all))).await?.value)
}

/// Whoever asks for a message is not told that its conversation has gone.
fn of_a_message(problem: Problem) -> Problem {
    if problem.code() == Code::ConversationNotFound { Problem::message_not_found() } else { problem }
}

fn scope<'a>(user: &'a UserId, id: &'a ConversationId) -> [&'a str; 3] {
    ["messages", user.as_str(), id.as_str()]
}

fn opened(key: &CursorKey, user: &UserId, id: &ConversationId, cursor: &str) -> Result<u64, Problem> {
    let place = key.open(&scope(user, id), cursor)?;
    place.parse().map_err(|_| Problem::new(Code::InvalidCursor, "The cursor is not one of this list's."))
}
