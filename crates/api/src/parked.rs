//! Parked streams, for who runs the system: which they are, and reading them on.

use crate::{Api, auth::Runs, extract::Path, problem::Problem};
use advisor_events::{StreamName, Timestamp};
use advisor_projections::{
    ParkedStream, ReadOn, ReadOnError,
    parked::{self, Poison},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// A stream that is parked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ParkedStream)]
struct ParkedView {
    #[schema(value_type = String)]
    stream: StreamName,
    /// Revision, position and id of the first event that is not applied.
    revision: u64,
    position: u64,
    #[schema(value_type = String)]
    event_id: Uuid,
    /// `checksum`, `shape`, `seal` or `panic`.
    #[schema(value_type = String)]
    reason: Poison,
    #[schema(value_type = String)]
    parked_at: Timestamp,
    /// How many events of the stream wait behind it.
    queued: u64,
}

/// What came of reading a stream on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RetriedView {
    #[schema(value_type = String)]
    stream: StreamName,
    /// How many events were applied.
    applied: u64,
    /// Where it is parked now; null where it goes on.
    parked: Option<ParkedView>,
}

/// `GET /admin/parked-streams` and `POST /admin/parked-streams/{stream}/retry`.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_parked_streams)).routes(routes!(retry_parked_stream))
}

/// The streams whose events are not applied any more, from one on that can't be; the earliest first.
#[utoipa::path(
    get,
    path = "/admin/parked-streams",
    tag = "log",
    responses((status = OK, body = Vec<ParkedView>)),
    security(("session" = ["operator"]))
)]
async fn list_parked_streams(_: Runs, State(api): State<Api>) -> Result<Json<Vec<ParkedView>>, Problem> {
    let parked = api.read(parked::all()).await?.value;
    Ok(Json(parked.into_iter().map(ParkedView::from).collect()))
}

/// Reads a parked stream on, from the event that it is parked at.
///
/// Where that one, or a later one, still can't be applied, the stream is parked there. Only the process that brings
/// the read models forward can do it.
#[utoipa::path(
    post,
    path = "/admin/parked-streams/{stream}/retry",
    tag = "log",
    params(("stream" = String, Path)),
    responses(
        (status = OK, body = RetriedView),
        (status = NOT_FOUND, description = "It is not parked."),
        (status = CONFLICT, description = "`WRONG_STATE`: a person was deleted meanwhile, or is by what waits, and the rows would not be what the log makes. Fill the read models anew instead."),
        (status = SERVICE_UNAVAILABLE, description = "What waits can't be read now, or somebody else brings the read models forward.")
    ),
    security(("session" = ["operator"]))
)]
async fn retry_parked_stream(
    _: Runs,
    State(api): State<Api>,
    Path(stream): Path<String>,
) -> Result<Json<RetriedView>, Problem> {
    let stream = StreamName::from_text(stream);
    let done = api.reader.read_on(stream.clone()).await.map_err(|error| match error {
        error @ (ReadOnError::Busy | ReadOnError::Nobody | ReadOnError::Unread(_)) => Problem::unavailable(&error),
    })?;
    let (applied, parked) = match done {
        ReadOn::NotParked => return Err(Problem::not_found()),
        ReadOn::OutOfOrder => return Err(Problem::wrong_state(OUT_OF_ORDER)),
        ReadOn::Done(applied) => (applied, None),
        ReadOn::StillParked(applied, parked) => (applied, Some(parked.into())),
    };
    Ok(Json(RetriedView { stream, applied, parked }))
}

const OUT_OF_ORDER: &str = "The order of what waits and of a person's deletion matters. Fill the read models anew.";

impl From<ParkedStream> for ParkedView {
    fn from(parked: ParkedStream) -> Self {
        Self {
            stream: parked.stream,
            revision: parked.revision,
            position: parked.position.0,
            event_id: parked.event_id,
            reason: parked.reason,
            parked_at: parked.parked_at,
            queued: parked.queued,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::test_api::{OPERATOR, TestApi};
    use advisor_eventlog::{Expected, NewEvent};
    use advisor_events::ConversationId;
    use axum::body::Body;
    use http::{Request, StatusCode, header};
    use http_body_util::BodyExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    const ANA: &str = "user_ana";

    #[tokio::test]
    async fn what_is_shown_of_a_parked_conversation_says_so() {
        let app = TestApi::with_advisors().await;
        let (parked, whole) = (start(&app).await, start(&app).await);
        park(&app, &parked).await;

        for (id, says) in [(&parked, Some("true")), (&whole, None)] {
            for path in [format!("/api/conversations/{id}"), format!("/api/conversations/{id}/messages")] {
                let answer = app.get(ANA, &path).await;
                assert_eq!((answer.status, answer.header("x-parked")), (StatusCode::OK, says), "{path}");
            }
        }
        assert_eq!(app.get(ANA, "/api/conversations").await.header("x-parked"), None);
    }

    #[tokio::test]
    async fn who_runs_the_system_sees_which_streams_are_parked_and_has_them_tried_again() {
        let app = TestApi::with_advisors().await;
        let id = start(&app).await;
        assert_eq!(admin(&app, "GET", "/admin/parked-streams").await, (StatusCode::OK, json!([])));
        let position = park(&app, &id).await;

        let (status, listed) = admin(&app, "GET", "/admin/parked-streams").await;
        assert_eq!(status, StatusCode::OK);
        let stream = format!("conversation-{id}");
        let first = &listed[0];
        assert_eq!((&first["stream"], &first["position"]), (&json!(stream), &json!(position)));
        assert_eq!((&first["reason"], &first["queued"], &first["revision"]), (&json!("shape"), &json!(0), &json!(1)));
        let (status, tried) = admin(&app, "POST", &format!("/admin/parked-streams/{stream}/retry")).await;
        assert_eq!((status, &tried["applied"]), (StatusCode::OK, &json!(0)));
        assert_eq!((&tried["parked"]["position"], &tried["stream"]), (&json!(position), &json!(stream)));
        let (status, _) = admin(&app, "POST", "/admin/parked-streams/conversation-other/retry").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    async fn start(app: &TestApi) -> String {
        let started = app.command(ANA, "StartConversation", json!({})).await;
        started.body["result"]["conversationId"].as_str().unwrap().to_owned()
    }

    /// Appends what no build can read; gives its position.
    pub(crate) async fn park(app: &TestApi, id: &str) -> u64 {
        let stream = StreamName::conversation(&ConversationId::from(id));
        let event = NewEvent {
            id: Uuid::new_v4(),
            type_name: "conversation.renamed.v1".to_owned(),
            data: b"{}".to_vec(),
            metadata: b"{}".to_vec(),
        };
        let position = app.api.log.append(&stream, Expected::Exact(0), vec![event]).await.unwrap().position;
        app.api.reader.progress().wait_for(|progress| progress.parked_streams == 1).await.unwrap();
        position.0
    }

    async fn admin(app: &TestApi, method: &str, path: &str) -> (StatusCode, Value) {
        let measurements = PrometheusBuilder::new().build_recorder().handle();
        let router = crate::admin_router(&app.api, measurements, app.log_access());
        let token = TestApi::token(OPERATOR);
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}
