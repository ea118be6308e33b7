//! A command on its way: from a request to the handler, and from what it led to back to an answer.

pub(crate) mod owned;
mod resolved;

pub(crate) use resolved::OwnConversation;

use crate::{
    Api, RequestId,
    auth::Viewer,
    extract::{IdempotencyKey, IfMatch, Prefer, json},
    problem::{Code, Problem},
    reading::X_POSITION,
    traffic::Meter,
};
use advisor_commands::{
    AdvisorCommand, AdvisorRefusal, Caller, CallerRole, CommandContext, CommandError, ConversationCommand, Outcome,
};
use advisor_eventlog::Position;
use advisor_events::{
    Actor, AdvisorId, StreamName, Timestamp, advisor::AdvisorEvent, conversation::ConversationEvent, ids::derived_id,
};
use advisor_proof::{Mutant, Point, is_planted, reached};
use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, request::Parts};
use serde::Serialize;
use serde_json::Value;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Longest trace context that is kept: the standard's own form has 55 bytes.
pub const TRACE_CONTEXT_BYTES_MAX: usize = 128;
/// A position that no event ever has: a command that is expected there is recognised, and never done.
const NOWHERE: u64 = u64::MAX;

/// What a request brings to a command beside its body: who asks, the command's id, and what is expected.
#[derive(Clone)]
pub(crate) struct CommandRequest {
    pub(crate) api: Api,
    pub(crate) viewer: Viewer,
    /// What the request is charged to.
    pub(crate) meter: Meter,
    /// The command's id.
    pub(crate) id: String,
    /// The command's time.
    pub(crate) now: Timestamp,
    prefer: Prefer,
    if_match: Option<u64>,
    correlation_id: Option<String>,
    trace_context: Option<String>,
}

impl FromRequestParts<Api> for CommandRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let viewer = Viewer::from_request_parts(parts, api).await?;
        let IdempotencyKey(id) = IdempotencyKey::from_request_parts(parts, api).await?;
        let IfMatch(if_match) = IfMatch::from_request_parts(parts, api).await?;
        let prefer = Prefer::from_request_parts(parts, api).await?;
        let trace_context = parts.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        Ok(Self {
            api: api.clone(),
            viewer,
            meter: Meter::of(&parts.extensions),
            id,
            now: api.clock.now(),
            prefer,
            if_match,
            correlation_id: parts.extensions.get::<RequestId>().map(|RequestId(id)| id.clone()),
            trace_context: trace_context.filter(|text| text.len() <= TRACE_CONTEXT_BYTES_MAX).map(str::to_owned),
        })
    }
}

impl CommandRequest {
    /// The id of something that this command makes: the same for every repeat of it.
    pub(crate) fn new_id(&self, name: &str) -> String {
        let actor = if is_planted(Mutant::KeysUnscoped) { String::new() } else { self.viewer.actor().key() };
        derived_id(&actor, &self.id, name).to_string()
    }

    /// Whether the caller runs the system.
    pub(crate) fn is_of_an_operator(&self) -> bool {
        self.viewer.person().roles.operator
    }

    /// The caller as the rules of advisors want to know them.
    pub(crate) fn caller(&self) -> Caller {
        let role = if self.is_of_an_operator() { CallerRole::Operator } else { CallerRole::User };
        Caller { user_id: self.viewer.user_id().clone(), role }
    }

    /// The actor of commands to advisors.
    pub(crate) fn advisors_actor(&self) -> Actor {
        if self.is_of_an_operator() { Actor::Operator(self.viewer.user_id().clone()) } else { self.viewer.actor() }
    }

    /// Asks a conversation. `name` is the command's name or the route's, `target` what its path names:
    /// with the body they tell a repeat of the request from another one under the same key.
    pub(crate) async fn ask_conversation(
        &self,
        conversation: &OwnConversation,
        command: ConversationCommand,
        body: &Body<'_>,
    ) -> Result<Outcome<ConversationEvent>, Problem> {
        if is_planted(Mutant::WordsLogged) {
            tracing::info!(body = %body.json, "asked");
        }
        let context = self.context(self.viewer.actor(), body);
        let stream = StreamName::conversation(conversation.id());
        let outcome = self.api.commands.conversations.execute(&stream, command, context).await;
        outcome.map_err(|error| Problem::of_command(error, &self.id))
    }

    /// Asks a conversation only whether this command has been done before: then its answer stands,
    /// whatever has become of what it needed. Otherwise it is `refusal`.
    pub(crate) async fn repeat_in_conversation(
        &self,
        conversation: &OwnConversation,
        command: ConversationCommand,
        body: &Body<'_>,
        refusal: Problem,
    ) -> Result<Outcome<ConversationEvent>, Problem> {
        let outcome = self.repeating().ask_conversation(conversation, command, body).await;
        outcome.map_err(|problem| if problem.code() == Code::PreconditionFailed { refusal } else { problem })
    }

    /// The same request, which does nothing unless it has been done before: it ends in
    /// [`Code::PreconditionFailed`] then.
    pub(crate) fn repeating(&self) -> Self {
        Self { if_match: Some(NOWHERE), ..self.clone() }
    }

    /// Asks an advisor. The refusal comes back as it is: whether an id is taken decides about the next one.
    pub(crate) async fn ask_advisor(
        &self,
        id: &AdvisorId,
        command: AdvisorCommand,
        body: &Body<'_>,
    ) -> Result<Result<Outcome<AdvisorEvent>, AdvisorRefusal>, Problem> {
        let context = self.context(self.advisors_actor(), body);
        match self.api.commands.advisors.execute(&StreamName::advisor(id), command, context).await {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(CommandError::Refused(refusal)) => Ok(Err(refusal)),
            Err(error) => Err(Problem::of_command(error, &self.id)),
        }
    }

    /// An advisor's refusal as an answer.
    pub(crate) fn refused(&self, refusal: AdvisorRefusal) -> Problem {
        Problem::of_command(CommandError::Refused(refusal), &self.id)
    }

    /// The answer to a command, once the read side shows what it led to (or will not in time).
    pub(crate) async fn answer<E>(&self, outcome: &Outcome<E>, status: StatusCode, body: impl Serialize) -> Response {
        let response = (self.status(status), Json(body)).into_response();
        self.settle(outcome, response).await
    }

    /// The same without a body.
    pub(crate) async fn answer_empty<E>(&self, outcome: &Outcome<E>, status: StatusCode) -> Response {
        self.settle(outcome, self.status(status).into_response()).await
    }

    /// Adds to an answer how far the read side is, which has been waited for unless the caller does not want it.
    async fn settle<E>(&self, outcome: &Outcome<E>, response: Response) -> Response {
        let position = match self.prefer {
            Prefer::Settled => self.api.settled(outcome.position).await,
            Prefer::RespondAsync => self.api.reader.position(),
        };
        reached(Point::BeforeAnswer);
        marked(response, outcome, position)
    }

    fn status(&self, usual: StatusCode) -> StatusCode {
        match self.prefer {
            Prefer::Settled => usual,
            Prefer::RespondAsync => StatusCode::ACCEPTED,
        }
    }

    fn context(&self, actor: Actor, body: &Body<'_>) -> CommandContext {
        CommandContext {
            body: body.canonical(),
            correlation_id: self.correlation_id.clone(),
            trace_context: self.trace_context.clone(),
            if_match: self.if_match,
            ..CommandContext::new(actor, self.id.clone(), self.now)
        }
    }
}

/// Adds to an answer how far the read side is, and whether it is an answer of before.
pub(crate) fn marked<E>(mut response: Response, outcome: &Outcome<E>, position: Position) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_POSITION, HeaderValue::from(position.0));
    if outcome.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// What tells one request under a key from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    /// The command's name, or the route's.
    pub(crate) name: &'static str,
    /// What the path names; empty where it names nothing.
    pub(crate) target: &'a str,
    /// The body as it came.
    pub(crate) json: &'a Value,
}

impl Body<'_> {
    fn canonical(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n{}\n", self.name, Value::from(self.target)).into_bytes();
        bytes.extend_from_slice(&json::canonical(self.json));
        bytes
    }
}
