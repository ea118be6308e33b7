//! What every request goes through on its way in and every answer on its way out.

use crate::{
    extract::negotiate,
    problem::{Code, Problem},
    settings::Settings,
};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::{
    any::Any,
    time::{Duration, Instant},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use tracing::Instrument;
use uuid::Uuid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest request id of a client that is kept.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Name of the histogram of answers.
pub(crate) const REQUEST_DURATION: &str = "advisor_http_request_duration_seconds";

/// The request's id, as it stands in the answer's `x-request-id`.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked: {0}")]
struct Panicked(String);

/// Puts everything around a router whose routes are complete.
pub(crate) fn surround(router: Router, settings: &Settings) -> Router {
    observed(inner(router).layer(cors(&settings.allowed_origins)))
}

/// The same for a listener that no browser talks to.
pub(crate) fn surround_without_browsers(router: Router) -> Router {
    observed(inner(router))
}

/// What every answer has, whoever gives it: request id, measurement, headers.
pub(crate) fn observed(router: Router) -> Router {
    router.layer(from_fn(observe))
}

fn inner(router: Router) -> Router {
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "This route does not know the method.")
        })
        // Around every route for itself, so that the matched path is known; the fallbacks are none.
        .route_layer(from_fn(name_route))
        .layer(CatchPanicLayer::custom(answer_panic))
}

/// Ends requests of one class of routes that take too long.
pub(crate) async fn limit_time(State(most): State<Duration>, request: Request, next: Next) -> Response {
    let key = request.headers().get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Ok(response) = tokio::time::timeout(most, next.run(request)).await {
        return response;
    }
    let problem = Problem::new(Code::TimedOut, "The answer took too long. Try again.");
    key.iter().fold(problem, |problem, key| problem.command_id(key)).into_response()
}

/// Gives every route of `router` at most this time for its answer.
pub(crate) fn within<S: Clone + Send + Sync + 'static>(
    router: utoipa_axum::router::OpenApiRouter<S>,
    most: Duration,
) -> utoipa_axum::router::OpenApiRouter<S> {
    router.layer(from_fn_with_state(most, limit_time))
}

/// Refuses who takes no JSON before anything is done, on routes that answer with nothing else.
pub(crate) async fn json_only(request: Request, next: Next) -> Response {
    match negotiate(request.headers(), &["application/json"]) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[derive(Clone)]
struct RouteName(MatchedPath);

async fn name_route(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(RouteName(path));
    }
    response
}

/// Request id, span, measurement, and the headers that every answer has.
async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers().get(REQUEST_ID).map(HeaderValue::as_bytes));
    let method = request.method().clone();
    let span = tracing::info_span!("request", request.id = id, http.method = %method);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    complete(response.headers_mut());
    let route = response.extensions().get::<RouteName>().map_or("none", |name| name.0.as_str()).to_owned();
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    span.in_scope(|| {
        tracing::debug!(
            http.route = route,
            http.status = status,
            http.duration_ms = elapsed.as_secs_f64() * 1e3,
            "answered"
        );
    });
    let labels = [("route", route), ("method", known_method(&method).to_owned()), ("status", status.to_string())];
    metrics::histogram!(REQUEST_DURATION, &labels).record(elapsed.as_secs_f64());
    response
}

/// A client's own id is kept when it is short and plain: it stands in logs.
pub(crate) fn request_id(given: Option<&[u8]>) -> String {
    let plain = |id: &&[u8]| {
        !id.is_empty()
            && id.len() <= REQUEST_ID_BYTES_MAX
            && id.iter().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=')
            })
    };
    let given = given.filter(plain).and_then(|id| std::str::from_utf8(id).ok());
    given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

/// The headers that every answer has, beside its id.
pub(crate) fn complete(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A method that nobody knows does not become a label of its own.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "The layer hands the panic over.")]
fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::internal(&Panicked(text)).into_response()
}

/// Browsers of the allowed origins may call with credentials; all others get no permission at all.
pub(crate) fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("prefer"),
            REQUEST_ID,
        ])
        .expose_headers([
            HeaderName::from_static("x-position"),
            HeaderName::from_static("x-conversation-id"),
            HeaderName::from_static("x-active-advisor"),
            REQUEST_ID,
        ])
        .max_age(Duration::from_mins(10))
}

#[cfg(test)]
mod tests;
