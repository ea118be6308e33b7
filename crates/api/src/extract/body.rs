//! JSON bodies: media type, size, time, syntax, then shape.
//!
//! Commands answer a broken rule with 422 and refuse unknown fields; routes of the first application
//! answer 400 and ignore them. Which it is, the type of the body says.

use super::json::{self, JsonFault, pointer_level};
use crate::{
    problem::{Code, Detail, Problem},
    settings::BodyLimits,
    traffic::{Place, with_command_id},
};
use axum::{
    body::Body,
    extract::{FromRef, FromRequest, Request},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use std::{pin::pin, time::Duration};
use tokio::time::timeout;

/// A body that takes longer to come gives up its request's place among those that run.
pub const BODY_PROMPT: Duration = Duration::from_millis(25);

/// The JSON body of a command.
#[derive(Clone, Debug)]
pub struct CommandJson(pub Value);

/// The JSON body of a request to a route of the first application.
#[derive(Clone, Debug)]
pub struct RequestJson(pub Value);

/// The body of a command, in its shape. `T` denies unknown fields.
#[derive(Clone, Debug)]
pub struct CommandBody<T> {
    /// The body in its shape.
    pub value: T,
    /// The body as it came: its hash tells a retry from a reuse of its key.
    pub json: Value,
}

/// The body of a request to a route of the first application, in its shape. `T` ignores unknown fields.
#[derive(Clone, Debug)]
pub struct RequestBody<T> {
    /// The body in its shape.
    pub value: T,
    /// The body as it came: its hash tells a retry from a reuse of its key.
    pub json: Value,
}

/// The command's shape out of its body; 422 with the place of what does not fit.
pub fn decode_command<T: DeserializeOwned>(json: &Value) -> Result<T, Problem> {
    decode(json).map_err(|detail| Problem::invalid_command(vec![detail]))
}

/// The request's shape out of its body; 400 with the place of what does not fit.
pub fn decode_request<T: DeserializeOwned>(json: &Value) -> Result<T, Problem> {
    decode(json).map_err(|detail| Problem::invalid_request(vec![detail]))
}

impl<S> FromRequest<S> for CommandJson
where
    BodyLimits: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read(request, BodyLimits::from_ref(state), Problem::invalid_command).await.map(Self)
    }
}

impl<S> FromRequest<S> for RequestJson
where
    BodyLimits: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read(request, BodyLimits::from_ref(state), Problem::invalid_request).await.map(Self)
    }
}

impl<S, T> FromRequest<S> for CommandBody<T>
where
    BodyLimits: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let CommandJson(json) = CommandJson::from_request(request, state).await?;
        Ok(Self { value: decode_command(&json)?, json })
    }
}

impl<S, T> FromRequest<S> for RequestBody<T>
where
    BodyLimits: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let RequestJson(json) = RequestJson::from_request(request, state).await?;
        Ok(Self { value: decode_request(&json)?, json })
    }
}

/// The body's own bytes, whatever they are.
pub(crate) async fn raw_body(head: &Parts, body: Body, limits: BodyLimits) -> Result<Bytes, Problem> {
    check_length(&head.headers, limits)?;
    receive(head, body, limits).await
}

async fn read(
    request: Request,
    limits: BodyLimits,
    invalid: impl FnOnce(Vec<Detail>) -> Problem,
) -> Result<Value, Problem> {
    let (head, body) = request.into_parts();
    check_headers(&head.headers, limits)?;
    let bytes = receive(&head, body, limits).await?;
    let (value, count) = parse(&bytes, "body", invalid)?;
    // It lives as long as the request, and may be larger than its text.
    let room = Place::of(&head.extensions).hold(count * json::VALUE_BYTES);
    room.map_err(|problem| with_command_id(problem, &head.headers))?;
    Ok(value)
}

/// The JSON of a client's message on a socket.
pub(crate) fn read_message(text: &str) -> Result<Value, Problem> {
    parse(text.as_bytes(), "message", Problem::invalid_request).map(|(value, _)| value)
}

fn parse(bytes: &[u8], what: &str, invalid: impl FnOnce(Vec<Detail>) -> Problem) -> Result<(Value, usize), Problem> {
    json::parse_counting(bytes).map_err(|fault| match fault {
        JsonFault::Syntax { line, column } => Problem::new(
            Code::InvalidJson,
            format!("The {what} is no JSON that is taken here: line {line}, column {column}."),
        ),
        JsonFault::Inexact(pointer) => invalid(vec![Detail::at(pointer, "is a number that can't be kept exactly")]),
        JsonFault::Nul(pointer) => invalid(vec![Detail::at(pointer, "must not hold the character NUL")]),
    })
}

fn check_headers(headers: &HeaderMap, limits: BodyLimits) -> Result<(), Problem> {
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(Problem::new(Code::UnsupportedMediaType, "The body must be application/json in UTF-8."));
    }
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().any(|encoding| encoding != "identity");
    if encoded {
        return Err(Problem::new(Code::UnsupportedMediaType, "The body must not be compressed."));
    }
    check_length(headers, limits)
}

/// Refuses what says by itself that it is too large, before any of it is read.
fn check_length(headers: &HeaderMap, limits: BodyLimits) -> Result<(), Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.bytes_max as u64) {
        return Err(too_large(limits));
    }
    Ok(())
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    json && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

fn too_large(limits: BodyLimits) -> Problem {
    closing(Problem::new(Code::PayloadTooLarge, format!("The body is larger than {} bytes.", limits.bytes_max)))
}

/// The whole body. A request whose body does not come at once gives up its place until it is there.
async fn receive(head: &Parts, body: Body, limits: BodyLimits) -> Result<Bytes, Problem> {
    let place = Place::of(&head.extensions);
    let received = async {
        let mut collecting = pin!(collect(body, limits, &place));
        if let Ok(collected) = timeout(BODY_PROMPT, collecting.as_mut()).await {
            return collected;
        }
        place.leave();
        let collected = timeout(limits.timeout.saturating_sub(BODY_PROMPT), collecting).await;
        let bytes = collected.unwrap_or_else(|_| Err(late()))?;
        place.enter().await?;
        Ok(bytes)
    };
    received.await.map_err(|problem| {
        let overloaded = problem.code() == Code::Overloaded;
        if overloaded { with_command_id(problem, &head.headers) } else { problem }
    })
}

async fn collect(body: Body, limits: BodyLimits, place: &Place) -> Result<Bytes, Problem> {
    let mut body = Limited::new(body, limits.bytes_max);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => too_large(limits),
            None => Problem::new(Code::InvalidJson, "The body did not arrive whole.").caused_by(error.as_ref()),
        })?;
        if let Ok(data) = frame.into_data() {
            place.hold(data.len()).map_err(closing)?;
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

fn late() -> Problem {
    closing(Problem::new(Code::RequestTimeout, "The body did not arrive in time."))
}

/// What is still to come of the body is not read.
fn closing(problem: Problem) -> Problem {
    problem.header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn decode<T: DeserializeOwned>(json: &Value) -> Result<T, Detail> {
    if !json.is_object() {
        // A shape is also read from a list, field by field: that is not what a body may be.
        return Err(Detail::at("", "must be a JSON object"));
    }
    serde_path_to_error::deserialize(json).map_err(|error| {
        let message = error.inner().to_string();
        let mut pointer = pointer(error.path());
        if let Some(field) = named_field(&message, "missing field `") {
            pointer.push_str(&pointer_level(field));
        } else if let Some(field) = named_field(&message, "unknown field `") {
            let level = pointer_level(field);
            if !pointer.ends_with(&level) {
                pointer.push_str(&level);
            }
        }
        Detail::at(pointer, rule(&message))
    })
}

fn named_field<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.split_once('`').map(|(field, _)| field)
}

fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => pointer_level(key),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

/// The rule that is broken, without the value that breaks it: an answer does not echo a body.
fn rule(message: &str) -> String {
    if message.starts_with("missing field") {
        return "is required".to_owned();
    }
    if message.starts_with("unknown field") {
        return "is not a field of this request".to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64")) => {
            "must be a whole number in its range".to_owned()
        }
        Some((_, expected)) => format!("must be {expected}"),
        None => "does not have the right form".to_owned(),
    }
}

#[cfg(test)]
mod tests;
