//! What went wrong, as `application/problem+json` that both kinds of client can read.
//!
//! A problem is logged here, once, when it becomes an answer; its cause never stands in the body.

mod catalogue;
mod code;
mod refusals;

pub(crate) use catalogue::errors_html;
pub use catalogue::errors_markdown;
pub use code::Code;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{borrow::Cow, error::Error, time::Duration};
use utoipa::ToSchema;

/// Media type of every error's body.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// How long a client is asked to wait before it tries a busy or absent part again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What went wrong. Small, because most results carry the place for one.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    status: StatusCode,
    message: Cow<'static, str>,
    /// The contract's own wording, where it differs from the code.
    error: Option<Cow<'static, str>>,
    details: Vec<Detail>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// A problem as a socket tells it.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemMessage<'a> {
    status: u16,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    details: &'a [Detail],
}

/// What breaks a rule, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Detail {
    /// JSON pointer into the body, such as `/title`; empty for the whole.
    pub pointer: String,
    /// The rule, in a sentence.
    pub message: Cow<'static, str>,
}

impl Detail {
    /// A rule that is broken at `pointer`.
    pub fn at(pointer: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// The body of an error, for the description of the API.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "It only describes what `IntoResponse` writes.")]
pub(crate) struct ProblemSchema {
    /// `urn:advisor:problem:` and the code; `/docs/errors` explains every code.
    #[schema(rename = "type")]
    kind: String,
    /// The kind of problem in a few words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// The code, or on routes of the first application the text that it had there.
    error: String,
    /// A stable text; for `AUTH_REQUIRED` the number 401.
    code: Value,
    /// A sentence for people.
    message: String,
    /// What breaks which rule.
    details: Option<Vec<Detail>>,
    /// The command, after it was sent: repeat it with this key.
    #[schema(rename = "commandId")]
    command_id: Option<String>,
    /// The conversation that the failed request left.
    #[schema(rename = "conversationId")]
    conversation_id: Option<String>,
}

impl Problem {
    /// A problem with the status of its code.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self(Box::new(Inner {
            code,
            status: code.status(),
            message: message.into(),
            error: None,
            details: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
            cause: None,
        }));
        if matches!(code.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
            || code == Code::Busy
        {
            problem = problem.retry_after(RETRY_AFTER);
        }
        problem
    }

    /// 401: no token.
    pub fn auth_required() -> Self {
        Self::new(Code::AuthRequired, "Sign in to do this.")
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401: a token that is not valid. Why it is not stands in the log alone.
    pub fn invalid_token(reason: &dyn Error) -> Self {
        Self::new(Code::AuthRequired, "The sign-in token is not valid, or no longer.")
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
            .caused_by(reason)
    }

    /// 403: the caller lacks the role.
    pub fn forbidden() -> Self {
        Self::new(Code::Forbidden, "Your role does not allow this.")
    }

    /// 404: no such route, or nothing there for the caller.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing here.")
    }

    /// 404: no such conversation for the caller.
    pub fn conversation_not_found() -> Self {
        Self::new(Code::ConversationNotFound, "Conversation not found")
    }

    /// 404: no such message for the caller.
    pub fn message_not_found() -> Self {
        Self::new(Code::MessageNotFound, "Message not found")
    }

    /// 404: no such reply for the caller.
    pub fn reply_not_found() -> Self {
        Self::new(Code::ReplyNotFound, "Reply not found")
    }

    /// 404: no such advisor for the caller, in the contract's wording.
    pub fn advisor_not_found() -> Self {
        Self::new(Code::AdvisorNotFound, "Advisor not found").worded("Advisor not found")
    }

    /// 422: the command's advisor is not there, not active, or not visible.
    pub fn advisor_unusable_in_command() -> Self {
        Self::new(Code::AdvisorNotFound, "Advisor not found or not active").status(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// 400: the same, on routes of the first application.
    pub fn advisor_unusable_in_request() -> Self {
        Self::new(Code::AdvisorNotFound, "Advisor not found or not active").status(StatusCode::BAD_REQUEST)
    }

    /// 422: a command breaks rules.
    pub fn invalid_command(details: Vec<Detail>) -> Self {
        Self::invalid_request(details).status(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// 400: a request to a route of the first application, or a query, breaks rules.
    pub fn invalid_request(details: Vec<Detail>) -> Self {
        let mut problem = Self::new(Code::ValidationError, "The request breaks a rule; see the details.");
        problem.0.details = details;
        problem
    }

    /// 409: the thing's state does not allow it. `message` is the refusal's sentence.
    pub fn wrong_state(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::WrongState, message)
    }

    /// The read side is not where it would have to be to answer.
    pub(crate) fn not_come_so_far() -> Self {
        Self::new(Code::PositionNotReached, "The read side has not come as far as this yet.")
    }

    /// 503: a part of the system is away.
    pub fn unavailable(cause: &dyn Error) -> Self {
        Self::new(Code::Unavailable, "A part of the service is away. Try again in a moment.").caused_by(cause)
    }

    /// 500: a fault of ours.
    pub fn internal(cause: &dyn Error) -> Self {
        Self::new(Code::InternalError, "Something went wrong on our side.").caused_by(cause)
    }

    /// Another status than the code's usual one.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// `error` as the contract words it on this route.
    #[must_use]
    pub fn worded(mut self, error: impl Into<Cow<'static, str>>) -> Self {
        self.0.error = Some(error.into());
        self
    }

    /// One more member of the body.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// The command's id: on every error after the command was sent.
    #[must_use]
    pub fn command_id(self, id: &str) -> Self {
        self.member("commandId", id)
    }

    /// The conversation that a failed chat left.
    #[must_use]
    pub fn conversation_id(self, id: &str) -> Self {
        self.member("conversationId", id)
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.retain(|(there, _)| *there != name);
        self.0.headers.push((name, value));
        self
    }

    /// When to try again, in whole seconds.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_millis().div_ceil(1_000);
        self.header(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)))
    }

    /// What led to it, with its own causes: for the log alone.
    #[must_use]
    pub fn caused_by(mut self, cause: &dyn Error) -> Self {
        let mut text = cause.to_string();
        let mut next = cause.source();
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        self.0.cause = Some(text);
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The status that it will be answered with.
    pub fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn log(&self) {
        let (code, status) = (self.0.code.text(), self.0.status.as_u16());
        let cause = self.0.cause.as_deref().unwrap_or_default();
        // A line for each request that is too much would be work for nothing: they are counted.
        if self.0.status.is_server_error() && self.0.code != Code::Overloaded {
            tracing::error!(problem.code = code, problem.cause = cause, http.status = status, "the request failed");
        } else {
            tracing::debug!(problem.code = code, problem.cause = cause, http.status = status, "the request is refused");
        }
    }

    /// What a socket tells of it. It is logged here, as an answer is.
    pub(crate) fn message(&self) -> ProblemMessage<'_> {
        self.log();
        let Inner { code, status, message, details, .. } = &*self.0;
        ProblemMessage { status: status.as_u16(), code: code.text(), message, details }
    }

    /// The body as JSON.
    pub fn body(&self) -> Value {
        let inner = &self.0;
        let code = if inner.code == Code::AuthRequired { json!(401) } else { json!(inner.code.text()) };
        let mut members = inner.members.clone();
        members.insert("type".to_owned(), json!(format!("urn:advisor:problem:{}", inner.code.text())));
        members.insert("title".to_owned(), json!(inner.code.title()));
        members.insert("status".to_owned(), json!(inner.status.as_u16()));
        members.insert("error".to_owned(), json!(inner.error.as_deref().unwrap_or(inner.code.text())));
        members.insert("code".to_owned(), code);
        members.insert("message".to_owned(), json!(inner.message));
        if !inner.details.is_empty() {
            members.insert("details".to_owned(), json!(inner.details));
        }
        Value::Object(members)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let mut response = (self.0.status, Json(self.body())).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        for (name, value) in self.0.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_both_kinds_of_client_and_nothing_of_this_request() {
        let body = Problem::conversation_not_found().body();
        assert_eq!(
            body,
            json!({
                "type": "urn:advisor:problem:CONVERSATION_NOT_FOUND", "title": "Conversation not found", "status": 404,
                "error": "CONVERSATION_NOT_FOUND", "code": "CONVERSATION_NOT_FOUND", "message": "Conversation not found"
            })
        );
    }

    #[test]
    fn a_missing_sign_in_keeps_the_number_of_the_contract() {
        let problem = Problem::auth_required();
        assert_eq!(problem.body()["code"], json!(401));
        assert_eq!(problem.body()["error"], json!("AUTH_REQUIRED"));
        assert_eq!(problem.into_response().headers()[header::WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn the_contract_may_word_the_error_and_the_code_stays() {
        let body = Problem::advisor_not_found().body();
        assert_eq!((&body["error"], &body["code"]), (&json!("Advisor not found"), &json!("ADVISOR_NOT_FOUND")));
    }

    #[test]
    fn broken_rules_are_422_in_commands_and_400_elsewhere() {
        let details = vec![Detail::at("/title", "must have 1 to 200 characters")];
        let command = Problem::invalid_command(details.clone());
        assert_eq!(command.status_code(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(command.body()["status"], json!(422));
        assert_eq!(command.body()["details"][0]["pointer"], json!("/title"));
        assert_eq!(Problem::invalid_request(details).status_code(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_cause_stays_out_of_the_body_and_retry_after_goes_into_a_header() {
        let problem = Problem::unavailable(&std::io::Error::other("disk /var/secret is gone")).command_id("key");
        assert_eq!(problem.body()["commandId"], json!("key"));
        assert!(!problem.body().to_string().contains("secret"));
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
}
