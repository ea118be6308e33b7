//! `POST /api/chat`: a message and its reply in one request.
//!
//! The message is a command like any other; then the request waits for what a worker makes of it.
//! The client's going away ends the waiting and not the reply, and the same key waits on.

pub(crate) mod reply;
#[cfg(test)]
mod tests;
mod text;

use crate::{
    Api, advisors,
    command_request::{Body, CommandRequest, OwnConversation, marked},
    extract::{RequestBody, negotiate},
    mentions,
    messages::{self, Addressed},
    problem::{Code, Problem},
    quotas,
    rules::{MESSAGE_CHARS_MAX, Rules},
};
use advisor_commands::{ConversationCommand, Outcome, StartWith};
use advisor_events::{
    AdvisorId, ConversationId, ReplyId, UserId,
    conversation::{ConversationEvent, ReplyFailure},
};
use advisor_projections::{advisors::AdvisorName, conversations};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use reply::{Ending, Waiting};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const OFFERED: &[&str] = &[JSON, TEXT];
const CONVERSATION_ID: HeaderName = HeaderName::from_static("x-conversation-id");
const ACTIVE_ADVISOR: HeaderName = HeaderName::from_static("x-active-advisor");
/// Characters of a message that become the title of the conversation that it begins.
const TITLE_CHARS: usize = 50;

/// The body of `POST /api/chat`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChatRequest {
    /// The last one whose role is `user` is the new one; the others are not trusted, and not used.
    messages: Vec<ChatMessage>,
    /// The conversation; a new one if there is none.
    conversation_id: Option<String>,
    /// Who replies if nobody is mentioned.
    advisor_id: Option<String>,
}

/// A message as the client sees it.
#[derive(Debug, Deserialize, ToSchema)]
struct ChatMessage {
    /// `user`, `assistant` or `system`.
    role: String,
    /// The text.
    #[serde(default)]
    content: Value,
}

/// The reply that a request waits for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "They are ids, and of different things.")]
struct Awaited {
    user_id: UserId,
    conversation_id: ConversationId,
    reply_id: ReplyId,
    advisor_id: AdvisorId,
    command_id: String,
}

impl Awaited {
    /// The reply that the message asked for, now or the first time.
    fn of(
        request: &CommandRequest,
        id: &ConversationId,
        outcome: &Outcome<ConversationEvent>,
    ) -> Result<Self, Problem> {
        let reply = messages::sent(outcome).and_then(|sent| sent.replies.first()).ok_or_else(Problem::not_found)?;
        Ok(Self {
            user_id: request.viewer.user_id().clone(),
            conversation_id: id.clone(),
            reply_id: reply.reply_id.clone(),
            advisor_id: reply.advisor_id.clone(),
            command_id: request.id.clone(),
        })
    }

    /// A problem after the message was stored: the client can go on with the conversation, or wait with the same key.
    fn problem(&self, problem: Problem) -> Problem {
        problem.conversation_id(self.conversation_id.as_str()).command_id(&self.command_id)
    }

    /// What stands in place of a reply that will not come.
    fn failure(&self, reason: ReplyFailure) -> Problem {
        self.problem(match reason {
            ReplyFailure::NoAiResponse => Problem::new(Code::NoAiResponse, "The advisor's model gave no answer."),
            ReplyFailure::AiApiError | ReplyFailure::AdvisorNotFound | ReplyFailure::AttemptsExhausted => {
                Problem::new(Code::AiApiError, "The advisor's model could not be asked.")
            }
            ReplyFailure::MessageDeleted => self.gone(),
        })
    }

    /// Stopped before it said anything, or deleted.
    fn gone(&self) -> Problem {
        self.problem(Problem::wrong_state("The reply was stopped or deleted."))
    }

    fn addressed(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        let named = [(CONVERSATION_ID, self.conversation_id.as_str()), (ACTIVE_ADVISOR, self.advisor_id.as_str())];
        for (name, id) in named {
            if let Ok(value) = HeaderValue::from_str(id) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The route; it keeps its own time, which is longer than that of other commands.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(chat))
}

/// Sends a message and waits for the reply, at most 150 seconds.
#[utoipa::path(
    post,
    path = "/api/chat",
    tag = "chat",
    request_body = ChatRequest,
    responses(
        (status = OK, description = "The reply, as `application/json`, or its text as it comes, as `text/plain`.", body = Value),
        (status = BAD_REQUEST, description = "`NO_USER_MESSAGE`, `NO_ADVISOR_AVAILABLE`, `ADVISOR_NOT_FOUND`, `VALIDATION_ERROR`"),
        (status = NOT_FOUND, description = "`CONVERSATION_NOT_FOUND`"),
        (status = CONFLICT, description = "`WRONG_STATE`: the reply was stopped or deleted"),
        (status = BAD_GATEWAY, description = "`AI_API_ERROR`, `NO_AI_RESPONSE`"),
        (status = SERVICE_UNAVAILABLE, description = "`SHUTTING_DOWN`, `TIMED_OUT`: the same key waits on")
    )
)]
async fn chat(
    request: CommandRequest,
    headers: HeaderMap,
    RequestBody { value, json }: RequestBody<ChatRequest>,
) -> Result<Response, Problem> {
    let media_type = negotiate(&headers, OFFERED)?;
    let content = new_message(&value)?;
    let conversation = match &value.conversation_id {
        Some(id) => request.own_conversation(ConversationId(id.clone())).await?,
        None => OwnConversation::begun_by(&request),
    };
    let outcome = send(&request, (&value, &json), &conversation, content).await?;
    let awaited = Awaited::of(&request, conversation.id(), &outcome)?;
    let sign_in = request.api.authenticator.watch(request.viewer.person());
    let mut waiting = Waiting::new(&request.api, &awaited, outcome.position, sign_in).await;
    let response = if media_type == TEXT {
        text::answer(waiting, &awaited).await?
    } else {
        let ending = waiting.ending().await.map_err(|problem| awaited.problem(problem))?;
        Json(json_answer(&awaited, ending)?).into_response()
    };
    Ok(marked(awaited.addressed(response), &outcome, request.api.reader.position()))
}

/// The new message's text.
fn new_message(request: &ChatRequest) -> Result<String, Problem> {
    let last = request.messages.iter().rev().find(|message| message.role == "user");
    let last = last.ok_or_else(|| Problem::new(Code::NoUserMessage, "There is no message of the user."))?;
    let text = last.content.as_str();
    let content = text.unwrap_or_default();
    Rules::default()
        .that("/messages", "the last message of the user must have a text as its content", || text.is_some())
        .optional_text("/messages", text, MESSAGE_CHARS_MAX)
        .said("/messages", content)
        .check(Problem::invalid_request)?;
    Ok(content.to_owned())
}

/// Stores the message, in its conversation or in a new one, and asks for its reply.
async fn send(
    request: &CommandRequest,
    (chat, json): (&ChatRequest, &Value),
    conversation: &OwnConversation,
    content: String,
) -> Result<Outcome<ConversationEvent>, Problem> {
    let body = Body { name: "POST /api/chat", target: "", json };
    let names = advisors::names(&request.api, &request.viewer).await?;
    let mentions = mentions::mentioned(&content, &names);
    let advisor = match mentions.first() {
        Some(advisor) => Ok(advisor.clone()),
        None => choose(request, chat, &names).await?,
    };
    let id = conversation.id();
    let start = match &chat.conversation_id {
        Some(_) => None,
        None => Some(StartWith { conversation_id: id.clone(), title: Some(title_of(&content)) }),
    };
    let command = |responders| ConversationCommand::SendMessage {
        user_id: request.viewer.user_id().clone(),
        start,
        message: messages::new_message(request, id, content, Addressed { mentions, responders }),
        messages_max: request.api.settings.quotas.messages_per_conversation_max,
    };
    let begins = chat.conversation_id.is_none();
    let refused = if begins { quotas::conversations(request).await? } else { None };
    match refused.map_or(advisor, Err) {
        Ok(advisor) => {
            request.meter.replies(request.viewer.user_id(), 1)?;
            request.ask_conversation(conversation, command(vec![advisor]), &body).await
        }
        Err(refusal) => request.repeat_in_conversation(conversation, command(Vec::new()), &body, refusal).await,
    }
}

/// Who replies where nobody is mentioned. The inner error refuses the message unless it has been sent before.
async fn choose(
    request: &CommandRequest,
    chat: &ChatRequest,
    names: &[AdvisorName],
) -> Result<Result<AdvisorId, Problem>, Problem> {
    if let Some(id) = &chat.advisor_id {
        let usable = advisors::usable(request, &AdvisorId(id.clone())).await?;
        return Ok(usable.map(|advisor| advisor.id).ok_or_else(Problem::advisor_unusable_in_request));
    }
    let active = match &chat.conversation_id {
        Some(id) => {
            let id = ConversationId(id.clone());
            match request.api.find(|| conversations::by_id(request.viewer.user_id(), &id)).await? {
                Some(row) => row.active_advisor_id,
                None => return Ok(Err(Problem::conversation_not_found())),
            }
        }
        None => None,
    };
    let nobody = || Problem::new(Code::NoAdvisorAvailable, "There is no advisor who could answer.");
    Ok(messages::standing_in(active.as_ref(), names).ok_or_else(nobody))
}

fn json_answer(awaited: &Awaited, ending: Ending) -> Result<Value, Problem> {
    match ending {
        Ending::Message(message, conversation) => Ok(reply::answer(&message, conversation.as_deref())),
        Ending::Failed(reason) => Err(awaited.failure(reason)),
        Ending::Gone => Err(awaited.gone()),
    }
}

/// The first characters of a message, with `...` after a cut.
fn title_of(content: &str) -> String {
    match content.char_indices().nth(TITLE_CHARS) {
        Some((end, _)) => format!("{}...", content.get(..end).unwrap_or(content)),
        None => content.to_owned(),
    }
}
