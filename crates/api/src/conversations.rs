//! Conversations: `/api/conversations`.

mod rows;
#[cfg(test)]
mod tests;

pub(crate) use rows::{ConversationRowView, ConversationView, ItemRowView, ItemView, StartedView, shown_title};

use crate::{
    Api,
    advisors::{self, AdvisorCard, Cards, ShortCard},
    auth::Viewer,
    command_request::{Body, CommandRequest, OwnConversation},
    extract::{Path, RequestBody, negotiate},
    live::{self, LiveQuery},
    problem::{Code, Problem},
    quotas,
    reading::{MinPosition, marked, shown, tagged, unread},
    rules::{Rules, TITLE_CHARS_MAX},
};
use advisor_commands::{ConversationCommand, Outcome};
use advisor_eventlog::Position;
use advisor_events::{
    AdvisorId, ConversationId, StreamName, UserId,
    conversation::{ConversationEvent, Started as StartedEvent},
};
use advisor_projections::{
    Query, Read, advisors as advisor_rows,
    conversations::{self as stored, ConversationRow},
    messages as message_rows, parked, replies as reply_rows,
};
use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Most conversations in a list.
pub const LIST_MAX: u32 = 50;
/// Most messages in a conversation's own answer.
pub const MESSAGES_MAX: u32 = 1_000;
/// Most bytes of an id: imported ones are kept as they came.
pub const ID_BYTES_MAX: usize = 128;

/// What a conversation is started with.
#[derive(Debug, Default)]
pub(crate) struct NewConversation {
    pub(crate) title: Option<String>,
    pub(crate) advisor_id: Option<AdvisorId>,
}

/// A conversation that was started.
pub(crate) struct Started {
    pub(crate) id: ConversationId,
    pub(crate) done: Outcome<ConversationEvent>,
}

/// The body of `POST /api/conversations`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StartRequest {
    /// "New Conversation" if there is none, or an empty one.
    #[schema(max_length = 200)]
    title: Option<String>,
    /// The oldest active advisor if there is none.
    advisor_id: Option<String>,
}

/// The body of `PATCH /api/conversations/{id}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeRequest {
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    active_advisor_id: Option<String>,
}

/// The routes that read.
pub(crate) fn queries() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_conversations)).routes(routes!(get_conversation))
}

/// The routes that change.
pub(crate) fn commands() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_conversation))
        .routes(routes!(update_conversation))
        .routes(routes!(delete_conversation))
}

/// A person's conversations: the answer of `GET /api/conversations`.
pub(crate) fn list(user: &UserId) -> Query<Vec<ItemView>> {
    stored::of_user(user, LIST_MAX).map(|items| items.into_iter().map(ItemView::from).collect())
}

/// One conversation with what is in it, and the position that its `ETag` names: the answer of
/// `GET /api/conversations/{id}`, but for the texts of its replies (see [`fill_drafts`]).
pub(crate) fn whole(user: &UserId, id: &ConversationId) -> Query<Option<(ConversationView, Position)>> {
    stored::by_id(user, id)
        .zip(message_rows::newest(user, id, MESSAGES_MAX))
        .zip(reply_rows::of_conversation(user, id))
        .zip(advisor_rows::of_conversation(user, id))
        .map(|(((row, messages), replies), advisors)| {
            let row = row?;
            let changed_at = row.position;
            Some((ConversationView::of(row, messages, replies, &cards(&advisors)), changed_at))
        })
}

/// The cards of advisors, by their ids.
pub(crate) fn cards(advisors: &[advisor_rows::AdvisorRow]) -> Cards {
    advisors.iter().map(|row| (row.id.clone(), AdvisorCard::from(row))).collect()
}

/// Puts the texts of running replies into a conversation.
pub(crate) async fn fill_drafts(api: &Api, conversation: &mut ConversationView) -> Result<(), Problem> {
    let ids: Vec<_> = conversation.replies.iter().map(|reply| reply.reply_id.clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let drafts = api.side.drafts().get_many(&ids).await.map_err(|error| unread(&error))?;
    for reply in &mut conversation.replies {
        reply.take_text(&drafts);
    }
    Ok(())
}

/// The caller's conversations, the newest first.
#[utoipa::path(
    get,
    path = "/api/conversations",
    tag = "conversations",
    params(("min_position" = Option<u64>, Query, description = "Wait for this position, at most 2 s.")),
    responses((status = OK, body = Vec<ItemView>))
)]
async fn list_conversations(
    viewer: Viewer,
    _: MinPosition,
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if negotiate(&headers, live::OFFERED)? == live::EVENT_STREAM {
        return live::stream(&api, Some(&viewer), LiveQuery::Conversations, &headers).await;
    }
    let read = api.read(list(viewer.user_id())).await?;
    Ok(shown(read.position, read.value))
}

/// A conversation with its newest messages and its replies.
#[utoipa::path(
    get,
    path = "/api/conversations/{id}",
    tag = "conversations",
    params(
        ("id" = String, Path),
        ("min_position" = Option<u64>, Query, description = "Wait for this position, at most 2 s.")
    ),
    responses(
        (
            status = OK,
            body = ConversationView,
            headers(("x-parked" = Option<String>, description = "`true`: an event can't be applied, and this is how the conversation was before it."))
        ),
        (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`")
    )
)]
async fn get_conversation(
    viewer: Viewer,
    _: MinPosition,
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if negotiate(&headers, live::OFFERED)? == live::EVENT_STREAM {
        return live::stream(&api, Some(&viewer), LiveQuery::Conversation(ConversationId(id)), &headers).await;
    }
    let id = ConversationId(id);
    let query = whole(viewer.user_id(), &id).zip(parked::find(&StreamName::conversation(&id)));
    let Read { position, value: (value, parked), .. } = api.read(query).await?;
    let (mut conversation, changed_at) = value.ok_or_else(Problem::conversation_not_found)?;
    fill_drafts(&api, &mut conversation).await?;
    Ok(marked(tagged(shown(position, conversation), changed_at), parked.as_ref()))
}

/// Starts a conversation.
#[utoipa::path(
    post,
    path = "/api/conversations",
    tag = "conversations",
    request_body = StartRequest,
    responses((status = OK, body = StartedView), (status = BAD_REQUEST, description = "`ADVISOR_NOT_FOUND`, `VALIDATION_ERROR`"))
)]
async fn create_conversation(
    request: CommandRequest,
    RequestBody { value, json }: RequestBody<StartRequest>,
) -> Result<Response, Problem> {
    let title = value.title.filter(|title| !title.is_empty());
    Rules::default().optional_text("/title", title.as_deref(), TITLE_CHARS_MAX).check(Problem::invalid_request)?;
    let body = Body { name: "POST /api/conversations", target: "", json: &json };
    let wanted = NewConversation { title, advisor_id: value.advisor_id.map(AdvisorId) };
    let started = start(&request, wanted, &body, Problem::advisor_unusable_in_request).await?;
    let answer = started_view(&request, &started).await?;
    Ok(request.answer(&started.done, StatusCode::OK, answer).await)
}

/// Renames a conversation, or makes another advisor the active one, or both.
#[utoipa::path(
    patch,
    path = "/api/conversations/{id}",
    tag = "conversations",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen.")),
    request_body = ChangeRequest,
    responses(
        (status = OK, body = Value),
        (status = BAD_REQUEST, description = "`ADVISOR_NOT_FOUND`, `VALIDATION_ERROR`"),
        (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`"),
        (status = PRECONDITION_FAILED, description = "`PRECONDITION_FAILED`")
    )
)]
async fn update_conversation(
    request: CommandRequest,
    Path(id): Path<String>,
    RequestBody { value, json }: RequestBody<ChangeRequest>,
) -> Result<Response, Problem> {
    Rules::default()
        .optional_text("/title", value.title.as_deref(), TITLE_CHARS_MAX)
        .check(Problem::invalid_request)?;
    let body = Body { name: "PATCH /api/conversations", target: &id, json: &json };
    let user_id = request.viewer.user_id().clone();
    let conversation_id = ConversationId(id.clone());
    let row = request.api.find(|| stored::by_id(&user_id, &conversation_id)).await?;
    let row = row.ok_or_else(Problem::conversation_not_found)?;
    let conversation = OwnConversation::read_for_caller(conversation_id);
    let advisor_id = value.active_advisor_id.map(AdvisorId);
    let command = ConversationCommand::Change {
        user_id: user_id.clone(),
        title: value.title.clone(),
        advisor_id: advisor_id.clone(),
    };
    let usable = match &advisor_id {
        Some(advisor_id) => advisors::usable(&request, advisor_id).await?.is_some(),
        None => true,
    };
    let done = if usable {
        request.ask_conversation(&conversation, command, &body).await?
    } else {
        let refusal = Problem::advisor_unusable_in_request();
        request.repeat_in_conversation(&conversation, command, &body, refusal).await?
    };
    let answer = changed_view(row, value.title.as_deref(), advisor_id, &done);
    Ok(request.answer(&done, StatusCode::OK, answer).await)
}

/// Deletes a conversation with all that is in it.
#[utoipa::path(
    delete,
    path = "/api/conversations/{id}",
    tag = "conversations",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen.")),
    responses(
        (status = NO_CONTENT),
        (status = BAD_REQUEST, description = "`INVALID_ID`"),
        (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`"),
        (status = PRECONDITION_FAILED, description = "`PRECONDITION_FAILED`")
    )
)]
async fn delete_conversation(request: CommandRequest, Path(id): Path<String>) -> Result<Response, Problem> {
    if !can_be_an_id(&id) {
        return Err(Problem::new(Code::InvalidId, "This can't be the id of a conversation."));
    }
    let body = Body { name: "DELETE /api/conversations", target: &id, json: &Value::Null };
    let command = ConversationCommand::Delete { user_id: request.viewer.user_id().clone() };
    let conversation = request.own_conversation(ConversationId(id.clone())).await?;
    let done = request.ask_conversation(&conversation, command, &body).await?;
    Ok(request.answer_empty(&done, StatusCode::NO_CONTENT).await)
}

/// Starts a conversation; `unusable` is the answer when the advisor is not there or not active.
pub(crate) async fn start(
    request: &CommandRequest,
    wanted: NewConversation,
    body: &Body<'_>,
    unusable: fn() -> Problem,
) -> Result<Started, Problem> {
    let conversation = OwnConversation::begun_by(request);
    let advisor = match &wanted.advisor_id {
        Some(advisor_id) => advisors::usable(request, advisor_id).await?,
        None => advisors::names(&request.api, &request.viewer).await?.into_iter().next(),
    };
    let is_unusable = wanted.advisor_id.is_some() && advisor.is_none();
    let refusal = if is_unusable { Some(unusable()) } else { quotas::conversations(request).await? };
    let command = ConversationCommand::Start {
        conversation_id: conversation.id().clone(),
        user_id: request.viewer.user_id().clone(),
        title: wanted.title,
        active_advisor_id: advisor.map(|advisor| advisor.id),
    };
    let done = match refusal {
        Some(refusal) => request.repeat_in_conversation(&conversation, command, body, refusal).await?,
        None => request.ask_conversation(&conversation, command, body).await?,
    };
    Ok(Started { id: conversation.id().clone(), done })
}

/// Makes another advisor the active one.
pub(crate) async fn assign(
    request: &CommandRequest,
    conversation: &OwnConversation,
    advisor_id: AdvisorId,
    body: &Body<'_>,
    unusable: fn() -> Problem,
) -> Result<Outcome<ConversationEvent>, Problem> {
    let usable = advisors::usable(request, &advisor_id).await?.is_some();
    let command = ConversationCommand::AssignAdvisor { user_id: request.viewer.user_id().clone(), advisor_id };
    if usable {
        request.ask_conversation(conversation, command, body).await
    } else {
        request.repeat_in_conversation(conversation, command, body, unusable()).await
    }
}

/// Whether an id of ours, or one that was imported, can be this.
fn can_be_an_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// What the command's own event says, so that a repeat says the same.
async fn started_view(request: &CommandRequest, started: &Started) -> Result<StartedView, Problem> {
    let event = started.done.events.iter().find_map(|event| match event {
        ConversationEvent::Started(event) => Some(event),
        ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageSent(_)
        | ConversationEvent::MessageEdited(_)
        | ConversationEvent::MessageDeleted(_)
        | ConversationEvent::ReplyStarted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::ReplyCompleted(_)
        | ConversationEvent::ReplyFailed(_)
        | ConversationEvent::ReplyStopped(_)
        | ConversationEvent::Deleted(_) => None,
    });
    let title = event.and_then(|event| event.title.as_ref()).and_then(|title| title.known());
    Ok(StartedView {
        id: started.id.clone(),
        title: shown_title(title.map(String::as_str)),
        created_at: started.done.recorded_at,
        updated_at: started.done.recorded_at,
        active_advisor: active_advisor(request, event).await?,
    })
}

/// The card of the advisor that a conversation was started with; it may have been archived since.
async fn active_advisor(
    request: &CommandRequest,
    started: Option<&StartedEvent>,
) -> Result<Option<ShortCard>, Problem> {
    let Some(id) = started.and_then(|event| event.active_advisor_id.as_ref()) else { return Ok(None) };
    let row = request.api.read(advisor_rows::by_id(Some(request.viewer.user_id()), id)).await?.value;
    Ok(row.map(|row| ShortCard { id: row.id.0, name: row.name, title: row.title }))
}

/// The conversation as it was read before the change, with the change in it.
fn changed_view(
    row: ConversationRow,
    title: Option<&str>,
    advisor_id: Option<AdvisorId>,
    done: &Outcome<ConversationEvent>,
) -> Value {
    let mut updated = Map::new();
    if let Some(title) = title {
        updated.insert("title".to_owned(), json!(title));
    }
    if let Some(advisor_id) = &advisor_id {
        updated.insert("activeAdvisorId".to_owned(), json!(advisor_id));
    }
    let changed = !done.events.is_empty();
    json!({
        "success": true,
        "conversation": {
            "id": row.id,
            "title": shown_title(title.or(row.title.as_deref())),
            "activeAdvisorId": advisor_id.or(row.active_advisor_id),
            "createdAt": row.created_at,
            "updatedAt": if changed { done.recorded_at } else { row.updated_at },
            "messageCount": row.message_count,
        },
        "updated": updated,
    })
}
