//! The event log for operators and analysts: ndjson, on the operators' listener and on the socket in the
//! data directory, never on the public one.
//!
//! A line is `{position, stream, revision, type, data, metadata}`; the event's id stands in the metadata as `eventId`. Sealed fields stay sealed,
//! unless an operator asks to open them, which is logged.

use crate::{
    auth::{Authenticator, LocalOperator, Viewer},
    extract::{Path, Query},
    problem::{Code, Problem},
};
use advisor_eventlog::{Direction, EventLog, Filter, Position, ReadError, Recorded, SubscriptionEvent};
use advisor_events::{KeyError, KeyStore, Metadata, PersonKey, SealContext, StreamName};
use axum::{
    body::Body,
    extract::{FromRef, FromRequestParts, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::{header, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{error::Error, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Events that are read at once.
pub const PAGE_EVENTS: usize = 500;

/// What the routes need.
#[derive(Clone)]
pub struct LogAccess {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Opens sealed fields for operators.
    pub keys: Arc<dyn KeyStore>,
    /// Who asks.
    pub authenticator: Arc<Authenticator>,
    /// Ends those who follow.
    pub shutdown: CancellationToken,
    /// Who follows, as many as may.
    pub followers: Arc<Semaphore>,
}

impl FromRef<LogAccess> for Arc<Authenticator> {
    fn from_ref(access: &LogAccess) -> Self {
        Arc::clone(&access.authenticator)
    }
}

/// `/admin/events` and `/admin/streams/{stream}`.
pub(crate) fn router() -> OpenApiRouter<LogAccess> {
    OpenApiRouter::new().routes(routes!(tail_events)).routes(routes!(show_stream))
}

/// Whoever may read the log: an operator or an analyst, or who may open the socket in the data directory.
enum LogReader {
    Local,
    Person(Viewer),
}

impl LogReader {
    fn may_open(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Person(viewer) => viewer.person().roles.operator,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Local => "the socket in the data directory",
            Self::Person(viewer) => viewer.user_id().as_str(),
        }
    }
}

impl FromRequestParts<LogAccess> for LogReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, access: &LogAccess) -> Result<Self, Problem> {
        if parts.extensions.get::<LocalOperator>().is_some() {
            return Ok(Self::Local);
        }
        let viewer = Viewer::from_request_parts(parts, access).await?;
        let roles = &viewer.person().roles;
        if roles.operator || roles.analyst { Ok(Self::Person(viewer)) } else { Err(Problem::forbidden()) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TailQuery {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    #[serde(default)]
    open: bool,
}

/// Everything after a position; with `follow`, what is appended from now on too.
///
/// Lines `{position, stream, revision, type, data, metadata}`. Sealed fields stay sealed, unless an operator asks to
/// open them.
#[utoipa::path(
    get,
    path = "/admin/events",
    tag = "log",
    params(
        ("after" = Option<u64>, Query, description = "A position."),
        ("follow" = Option<bool>, Query),
        ("open" = Option<bool>, Query, description = "Open sealed fields: for operators.")
    ),
    responses(
        (status = OK, content_type = "application/x-ndjson", body = String),
        (status = SERVICE_UNAVAILABLE, description = "`OVERLOADED`: as many follow as may.")
    ),
    security(("session" = ["operator"]), ("session" = ["analyst"]))
)]
async fn tail_events(
    State(access): State<LogAccess>,
    reader: LogReader,
    Query(query): Query<TailQuery>,
) -> Result<Response, Problem> {
    let keys = if query.open { Some(opener(&access, &reader, "the whole log")?) } else { None };
    let follower = if query.follow { Some(follower(&access)?) } else { None };
    let events = access.log.subscribe_all(Position(query.after), Filter::all()).await;
    let events = events.map_err(|error| problem(&error))?;
    let events = events
        .take_while(move |event| std::future::ready(query.follow || !matches!(event, Ok(SubscriptionEvent::CaughtUp))))
        .try_filter_map(|event| {
            std::future::ready(Ok(match event {
                SubscriptionEvent::Event(event) => Some(event),
                SubscriptionEvent::Checkpoint(_) | SubscriptionEvent::CaughtUp => None,
            }))
        });
    let sign_in_end = sign_in_end(reader, Arc::clone(&access.authenticator));
    let events = events.take_until(async move {
        // The place is kept as long as the stream is.
        let _follower = follower;
        sign_in_end.await;
    });
    Ok(ndjson(events, keys, access.shutdown))
}

/// A place among those who follow: each of them takes from the log's memory for as long as it likes.
fn follower(access: &LogAccess) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&access.followers).try_acquire_owned().map_err(|_| {
        metrics::counter!("advisor_overloaded_total", "class" => "followers").increment(1);
        Problem::new(Code::Overloaded, "As many follow the log as may. Try again in a moment.")
    })
}

/// Returns when the reader's sign-in is over: never, for who comes through the socket.
async fn sign_in_end(reader: LogReader, authenticator: Arc<Authenticator>) {
    match reader {
        LogReader::Local => std::future::pending().await,
        LogReader::Person(viewer) => authenticator.sign_in_end(viewer.person()).await,
    }
}

/// All events of one stream, as lines.
#[utoipa::path(
    get,
    path = "/admin/streams/{stream}",
    tag = "log",
    params(
        ("stream" = String, Path),
        ("open" = Option<bool>, Query, description = "Open sealed fields: for operators.")
    ),
    responses((status = OK, content_type = "application/x-ndjson", body = String), (status = NOT_FOUND)),
    security(("session" = ["operator"]), ("session" = ["analyst"]))
)]
async fn show_stream(
    State(access): State<LogAccess>,
    reader: LogReader,
    Path(stream): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Response, Problem> {
    let stream = StreamName::from_text(stream);
    let keys = if query.open { Some(opener(&access, &reader, stream.as_str())?) } else { None };
    let first = page(&access, &stream, 0).await.map_err(|error| problem(&error))?;
    let (log, name) = (access.clone(), stream.clone());
    let pages = stream::try_unfold(Some(first), move |page_now| {
        let (log, name) = (log.clone(), name.clone());
        async move {
            let Some(events) = page_now.filter(|events| !events.is_empty()) else { return Ok(None) };
            let after = events.last().map_or(0, |event| event.revision + 1);
            let next = if events.len() < PAGE_EVENTS { None } else { Some(page(&log, &name, after).await?) };
            Ok::<_, ReadError>(Some((stream::iter(events.into_iter().map(|event| Ok(Arc::new(event)))), next)))
        }
    });
    Ok(ndjson(pages.try_flatten(), keys, access.shutdown))
}

async fn page(access: &LogAccess, stream: &StreamName, from: u64) -> Result<Vec<Recorded>, ReadError> {
    access.log.read_stream(stream, from, Direction::Forward, PAGE_EVENTS).await
}

/// The keys, if the reader may have fields opened; the log says who did.
fn opener(access: &LogAccess, reader: &LogReader, what: &str) -> Result<Arc<dyn KeyStore>, Problem> {
    if !reader.may_open() {
        return Err(Problem::forbidden());
    }
    tracing::warn!(operator.id = reader.name(), event.stream = what, "an operator opened sealed fields");
    Ok(Arc::clone(&access.keys))
}

fn problem(error: &ReadError) -> Problem {
    match error {
        ReadError::NoSuchStream => Problem::not_found(),
        ReadError::Denied | ReadError::Damaged(_) => Problem::internal(error),
        ReadError::Unavailable(_) => Problem::unavailable(error),
    }
}

fn ndjson(
    events: impl Stream<Item = Result<Arc<Recorded>, ReadError>> + Send + 'static,
    keys: Option<Arc<dyn KeyStore>>,
    shutdown: CancellationToken,
) -> Response {
    let lines = events
        .map_err(|error| -> Box<dyn Error + Send + Sync> { Box::new(error) })
        .and_then(move |event| {
            let keys = keys.clone();
            async move { line(&event, keys.as_deref()).await }
        })
        .take_until(shutdown.cancelled_owned());
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    position: u64,
    stream: &'a str,
    revision: u64,
    r#type: &'a str,
    data: Value,
    metadata: Value,
}

async fn line(event: &Recorded, keys: Option<&dyn KeyStore>) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut data = json_of(&event.data);
    if let Some(keys) = keys {
        open_fields(&mut data, event, keys).await?;
    }
    let mut metadata = json_of(&event.metadata);
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("eventId".to_owned(), json!(event.id));
    }
    let line = Line {
        position: event.position.0,
        stream: event.stream.as_str(),
        revision: event.revision,
        r#type: &event.type_name,
        data,
        metadata,
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

/// What is no JSON is shown all the same: an operator looks here to find out what it is.
fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!({"notJson": STANDARD.encode(bytes)}))
}

async fn open_fields(data: &mut Value, event: &Recorded, keys: &dyn KeyStore) -> Result<(), KeyError> {
    let subject = serde_json::from_slice::<Metadata>(&event.metadata).ok().and_then(|metadata| metadata.subject);
    if let Some(subject) = subject {
        let key = keys.find(&subject).await?;
        let context = SealContext { stream: &event.stream, event_id: event.id };
        open_within(data, key.as_ref(), &context.associated_data());
    }
    Ok(())
}

fn open_within(value: &mut Value, key: Option<&PersonKey>, associated_data: &[u8]) {
    if let Some(sealed) = sealed(value) {
        let opened = key.and_then(|key| key.open(&sealed, associated_data));
        *value = opened.map_or_else(|| json!({"erased": true}), |clear| json_of(&clear));
        return;
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| open_within(field, key, associated_data)),
        Value::Array(items) => items.iter_mut().for_each(|item| open_within(item, key, associated_data)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn sealed(value: &Value) -> Option<Vec<u8>> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    STANDARD.decode(fields.get("sealed")?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_api::{OPERATOR, TestApi};
    use advisor_events::{Personal, PersonalField};
    use axum::Router;
    use http::{Request, StatusCode};
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt;

    #[tokio::test]
    async fn as_many_follow_the_log_as_may_and_who_leaves_makes_room() {
        let test = TestApi::start().await;
        let measurements = PrometheusBuilder::new().build_recorder().handle();
        let admin = crate::admin_router(&test.api, measurements, test.log_access());
        let (first, _second) = (follow(&admin, "true").await, follow(&admin, "true").await);
        let refused = follow(&admin, "true").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        // Who reads what is there and goes does not follow.
        assert_eq!(follow(&admin, "false").await.status(), StatusCode::OK);

        drop(first);
        assert_eq!(follow(&admin, "true").await.status(), StatusCode::OK);
    }

    async fn follow(admin: &Router, follow: &str) -> Response {
        let request = Request::get(format!("/admin/events?follow={follow}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", TestApi::token(OPERATOR)));
        admin.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[test]
    fn sealed_fields_are_opened_wherever_they_stand_and_nothing_else_changes() {
        let key = PersonKey::from_bytes([7; 32]);
        let stream = StreamName::from_text("conversation-1");
        let context = SealContext { stream: &stream, event_id: uuid::Uuid::from_u128(1) };
        let mut title = Personal::Known("hello".to_owned());
        title.seal(&key, context).unwrap();
        let data = json!({"title": title, "deep": [{"title": title}], "plain": 1});

        let mut opened = data.clone();
        open_within(&mut opened, Some(&key), &context.associated_data());
        assert_eq!(opened, json!({"title": "hello", "deep": [{"title": "hello"}], "plain": 1}));

        let mut erased = data;
        open_within(&mut erased, None, &context.associated_data());
        assert_eq!(erased, json!({"title": {"erased": true}, "deep": [{"title": {"erased": true}}], "plain": 1}));
    }
}
