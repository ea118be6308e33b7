//! Queries: at which position they are read, and what every answer to one carries.

use crate::{
    Api,
    extract::min_position,
    problem::{Code, Problem},
};
use advisor_eventlog::Position;
use advisor_projections::{ParkedStream, Query, Read, StoreError, Waited};
use advisor_proof::{Mutant, is_planted};
use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header, request::Parts};
use serde::Serialize;

/// How far the read side was when it answered.
pub(crate) const X_POSITION: HeaderName = HeaderName::from_static("x-position");
/// Says `true` where what is shown is older than that: an event of it can't be applied, and later ones wait.
const X_PARKED: HeaderName = HeaderName::from_static("x-parked");

/// Asked for by every query: the read side has reached the query's `min_position`.
/// It comes after who asks, so that nobody is told anything who is not signed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinPosition;

impl FromRequestParts<Api> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Some(wanted) = min_position(parts)? else { return Ok(Self) };
        if wanted <= api.reader.position() || is_planted(Mutant::MinPositionIgnored) {
            return Ok(Self);
        }
        let head = api.head().await?;
        if wanted > head {
            return Err(Problem::new(Code::InvalidPosition, "min_position is beyond the end of the log."));
        }
        match api.reader.wait_for(wanted, api.settings.position_wait).await {
            Waited::Reached(_) => Ok(Self),
            Waited::Expired(_) | Waited::Stalled(_) => Err(Problem::not_come_so_far()),
        }
    }
}

impl Api {
    /// Reads at one position; 503 while only a part of what the log says is there.
    pub(crate) async fn read<T: Send + 'static>(&self, query: Query<T>) -> Result<Read<T>, Problem> {
        self.reader.run_whole(query).await.map_err(|error| unread(&error))
    }

    /// Looks for what an id of a request names. What is not there may only not be there yet: then it
    /// is looked for again once the read side has come to where the log ended when the request came. Where that
    /// does not come in time nobody knows, and says so: "not found" would be taken for an answer.
    pub(crate) async fn find<T: Send + 'static>(
        &self,
        query: impl Fn() -> Query<Option<T>> + Send,
    ) -> Result<Option<T>, Problem> {
        Ok(self.find_at(query).await?.value)
    }

    /// The same, and at which position it was read.
    pub(crate) async fn find_at<T: Send + 'static>(
        &self,
        query: impl Fn() -> Query<Option<T>> + Send,
    ) -> Result<Read<Option<T>>, Problem> {
        let read = self.read(query()).await?;
        if read.value.is_some() {
            return Ok(read);
        }
        let head = self.head().await?;
        if read.position >= head {
            return Ok(read);
        }
        self.settled(head).await;
        let read = self.read(query()).await?;
        if read.value.is_none() && read.position < head {
            return Err(Problem::not_come_so_far());
        }
        Ok(read)
    }

    /// Waits until the read side shows what stands at `position`, as long as it is reasonable; tells how far it is.
    pub(crate) async fn settled(&self, position: Position) -> Position {
        match self.reader.wait_for(position, self.settings.position_wait).await {
            Waited::Reached(here) | Waited::Expired(here) | Waited::Stalled(here) => here,
        }
    }

    /// Where the log ends.
    pub(crate) async fn head(&self) -> Result<Position, Problem> {
        self.log.head().await.map_err(|error| Problem::unavailable(&error))
    }
}

/// The answer of a query.
pub(crate) fn shown(position: Position, data: impl Serialize) -> Response {
    ([(X_POSITION, HeaderValue::from(position.0))], Json(data)).into_response()
}

/// The same with the `ETag` that `If-Match` takes.
pub(crate) fn tagged(mut response: Response, changed_at: Position) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{changed_at}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The same, saying so where the stream of what is shown is parked.
pub(crate) fn marked(mut response: Response, parked: Option<&ParkedStream>) -> Response {
    if parked.is_some() {
        response.headers_mut().insert(X_PARKED, HeaderValue::from_static("true"));
    }
    response
}

/// Why nothing could be read, as a problem.
pub(crate) fn unread(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::Superseded => Problem::unavailable(error),
        StoreError::Broken(_) => Problem::internal(error),
    }
}
