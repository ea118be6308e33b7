//! Live queries: what a query shows, and then every change of it, in one stream of events.
//!
//! In reading order: which queries there are ([`query`]); how a client is brought from one position to
//! another ([`rows`], [`window`], [`moves`], [`telling`], [`view`]); the text of running replies ([`deltas`],
//! [`replies`]); what all streams share ([`hub`], [`public`]); a stream ([`connection`]) and what goes over
//! the wire ([`id`], [`frame`]). It goes over the body of an answer (this file), or over a WebSocket
//! ([`socket`]).

pub(crate) mod connection;
pub(crate) mod deltas;
pub(crate) mod frame;
#[cfg(test)]
mod fuzz;
pub(crate) mod hub;
pub(crate) mod id;
mod moves;
pub(crate) mod public;
pub(crate) mod query;
pub(crate) mod replies;
mod rows;
pub(crate) mod socket;
mod telling;
mod view;
mod window;

pub(crate) use connection::BEYOND_TOKEN_MS;
pub use hub::Hub;
pub(crate) use query::LiveQuery;

use crate::{
    Api,
    auth::{MaybeViewer, Viewer},
    extract::negotiate,
    problem::{Code, Detail, Problem},
    reading::{MinPosition, X_POSITION, unread},
};
use advisor_projections::{StoreError, Waited};
use axum::{
    body::Body,
    extract::{FromRequestParts, Query, Request, State},
    response::{IntoResponse, Response},
};
use connection::{Beginning, Connection, From as Begin, NotBegun};
use frame::{ResetReason, Wire};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use id::{EventId, QuerySetHash};
use moves::{Onlooker, Watched};
use query::Audience;
use std::{convert::Infallible, sync::Arc, time::Duration};
use utoipa_axum::{router::OpenApiRouter, routes};
use view::Views;

/// Media type of streams of events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// What a query answers with that can be live.
pub(crate) const OFFERED: &[&str] = &["application/json", EVENT_STREAM];

/// Most queries of one stream.
pub const QUERIES_MAX: usize = 20;
/// Soonest and latest that clients connect again, so that not all of them come at once.
const RECONNECT_AFTER_MS: std::ops::Range<u64> = 1_000..4_000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Why a stream can't go on for now, or at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// What it shows can't be read.
    #[error("the read models can't be read")]
    Store(#[from] StoreError),
    /// What was read can't be written as JSON.
    #[error("a row can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Fault {
    /// Whether waiting may heal it.
    fn may_pass(&self) -> bool {
        match self {
            Self::Store(StoreError::Unavailable(_) | StoreError::Superseded) => true,
            Self::Store(StoreError::Broken(_)) | Self::Json(_) => false,
        }
    }
}

/// The route of several live queries in one stream.
pub(crate) fn queries() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(watch_queries))
}

/// Several queries of one client in one stream: all of them move together from position to position.
///
/// `snapshot` is a query's own JSON; `change` is what changed since, of all queries; `delta` is a piece of a
/// running reply's text; `reset` says why what follows is new, or why the stream ends.
///
/// With `Upgrade: websocket` the same comes over a WebSocket, on which the token and the queries are said in
/// messages: no parameter, cookie or `Authorization` header is looked at, and the page's `Origin` must be one of
/// the allowed ones. docs/live.md tells everything of both.
#[utoipa::path(
    get,
    path = "/api/live",
    tag = "live",
    params(
        ("query" = Option<Vec<String>>, Query, description = "Paths of queries with their parameters, 1 to 20."),
        ("min_position" = Option<u64>, Query, description = "Wait for this position, at most 2 s."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
        ("Upgrade" = Option<String>, Header, description = "`websocket`, with the other headers of RFC 6455.")
    ),
    responses(
        (status = OK, content_type = "text/event-stream", body = String),
        (status = SWITCHING_PROTOCOLS, description = "The connection is a WebSocket now."),
        (status = BAD_REQUEST, description = "The queries or the WebSocket's opening are not as they must be."),
        (status = FORBIDDEN, description = "`ORIGIN_NOT_ALLOWED`: a page of another origin asks for a WebSocket."),
        (status = NOT_FOUND, description = "One of the queries is not there, or not live."),
        (status = UPGRADE_REQUIRED, description = "The WebSocket's version is not 13."),
        (status = TOO_MANY_REQUESTS, description = "`TOO_MANY_STREAMS`"),
        (status = SERVICE_UNAVAILABLE, description = "`OVERLOADED`: there are too many streams of everybody's.")
    ),
    security((), ("session" = []))
)]
async fn watch_queries(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    if socket::is_wanted(request.headers()) {
        return socket::open(request, &api);
    }
    let (mut parts, _) = request.into_parts();
    let viewer = MaybeViewer::from_request_parts(&mut parts, &api).await?;
    MinPosition::from_request_parts(&mut parts, &api).await?;
    negotiate(&parts.headers, &[EVENT_STREAM])?;
    let watched = named_queries(&parts.uri)?;
    open(&api, viewer.0.as_ref(), watched, &parts.headers).await
}

/// The answer of a query's own route when it is asked for as a stream.
pub(crate) async fn stream(
    api: &Api,
    viewer: Option<&Viewer>,
    query: LiveQuery,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    open(api, viewer, vec![(query.text(), query)], headers).await
}

/// The queries that a URL names, each once.
fn named_queries(uri: &Uri) -> Result<Vec<(String, LiveQuery)>, Problem> {
    let refused = |message: &'static str| Problem::invalid_request(vec![Detail::at("", message)]);
    let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|rejection| refused("the query does not have the right form").caused_by(&rejection))?;
    let texts: Vec<String> = parameters.into_iter().filter(|(name, _)| name == "query").map(|(_, text)| text).collect();
    if texts.is_empty() || texts.len() > QUERIES_MAX {
        return Err(refused("name 1 to 20 queries, each as `query=` and its path"));
    }
    let mut queries: Vec<(String, LiveQuery)> = Vec::with_capacity(texts.len());
    for text in texts {
        let query = LiveQuery::parse(&text)?;
        if !queries.iter().any(|(_, known)| *known == query) {
            queries.push((text, query));
        }
    }
    Ok(queries)
}

async fn open(
    api: &Api,
    viewer: Option<&Viewer>,
    queries: Vec<(String, LiveQuery)>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if viewer.is_none() && queries.iter().any(|(_, query)| query.audience() == Audience::SignedIn) {
        return Err(Problem::auth_required());
    }
    if api.shutdown.is_cancelled() {
        return Err(Problem::new(Code::ShuttingDown, "The server stops. Connect again."));
    }
    let asked: Vec<&LiveQuery> = queries.iter().map(|(_, query)| query).collect();
    let from = match headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        None => Begin::Now,
        Some(id) => beginning(api, viewer, &asked, id.to_str().unwrap_or_default()).await?,
    };
    let watched: Vec<Watched> = queries
        .iter()
        .map(|(text, query)| Watched { query: query.clone(), text: text.clone(), id: None, known: None })
        .collect();
    let begun = Connection::begin(parts(api, Wire::EventStream, viewer, watched.clone())?, from).await;
    let begun = match begun {
        // What is not there may only not be there yet.
        Err(NotBegun::NotThere(_)) => {
            settle(api).await?;
            Connection::begin(parts(api, Wire::EventStream, viewer, watched)?, from).await
        }
        begun => begun,
    };
    begun.map(response).map_err(|not_begun| refusal(&not_begun, &asked))
}

/// Waits until the read side has come to where the log ends now, as long as it is reasonable.
async fn settle(api: &Api) -> Result<(), Problem> {
    let head = api.log.head().await.map_err(|error| Problem::unavailable(&error))?;
    api.settled(head).await;
    Ok(())
}

/// Why a stream of these queries does not begin, as an answer.
fn refusal(not_begun: &NotBegun, queries: &[&LiveQuery]) -> Problem {
    match not_begun {
        // The one that was asked for may be the last of many.
        NotBegun::NotThere(index) => {
            queries.get(*index).or(queries.last()).map_or_else(Problem::not_found, |query| query.not_found())
        }
        NotBegun::Unread(Fault::Store(error)) => unread(error),
        NotBegun::Unread(fault @ Fault::Json(_)) => Problem::internal(fault),
    }
}

/// Where a client begins that has seen this event last: there, if that is a place that can be resumed from.
async fn beginning(
    api: &Api,
    viewer: Option<&Viewer>,
    queries: &[&LiveQuery],
    last_event_id: &str,
) -> Result<Begin, Problem> {
    let hash = QuerySetHash::of(viewer.map(Viewer::user_id), queries);
    let Some(id) = EventId::parse(last_event_id).filter(|id| id.hash == hash) else {
        return Ok(Begin::NowInstead(ResetReason::Query));
    };
    if id.generation != api.reader.generation() {
        return Ok(Begin::NowInstead(ResetReason::Generation));
    }
    if id.position <= api.reader.position() {
        return Ok(Begin::Position(id.position));
    }
    let head = api.log.head().await.map_err(|error| Problem::unavailable(&error))?;
    if id.position > head {
        // It was given by another log, or by one that was restored from before it.
        return Ok(Begin::NowInstead(ResetReason::Generation));
    }
    match api.reader.wait_for(id.position, api.settings.position_wait).await {
        Waited::Reached(_) => Ok(Begin::Position(id.position)),
        Waited::Expired(_) | Waited::Stalled(_) => {
            Err(Problem::new(Code::PositionNotReached, "The read side has not come as far as this yet."))
        }
    }
}

fn parts(api: &Api, wire: Wire, viewer: Option<&Viewer>, watched: Vec<Watched>) -> Result<Beginning, Problem> {
    let limits = api.settings.streams;
    Ok(Beginning {
        wire,
        hub: Arc::clone(&api.live),
        views: Views::new(api.side.drafts().clone(), api.settings.cursor_key.clone()),
        clock: Arc::clone(&api.clock),
        shutdown: api.shutdown.clone(),
        heartbeat: limits.heartbeat,
        slow_after: limits.slow_after,
        onlooker: Onlooker {
            user_id: viewer.map(|viewer| viewer.user_id().clone()),
            roles: viewer.map(|viewer| viewer.person().roles).unwrap_or_default(),
        },
        expires_at: viewer.map(Viewer::expires_at),
        sign_in: viewer.map(|viewer| api.authenticator.watch(viewer.person())),
        traffic: Arc::clone(&api.traffic),
        admission: api.live.admit(viewer.map(Viewer::user_id), limits)?,
        watched,
    })
}

fn response(connection: Connection) -> Response {
    let position = HeaderValue::from(connection.position().0);
    let frames = futures::stream::unfold(Box::new(connection), |mut connection| async {
        let frame = connection.next().await?;
        Some((Ok::<_, Infallible>(frame.bytes), connection))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
        (X_POSITION, position),
    ];
    (headers, Body::from_stream(frames)).into_response()
}

/// When a client connects again; each at another time.
fn reconnect_after() -> Duration {
    let chance = getrandom::u64().unwrap_or_default();
    let span = RECONNECT_AFTER_MS.end - RECONNECT_AFTER_MS.start;
    Duration::from_millis(RECONNECT_AFTER_MS.start + chance % span)
}

#[cfg(test)]
mod tests;
