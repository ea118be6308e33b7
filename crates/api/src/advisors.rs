//! Advisors: `/api/advisors`.

mod card;
pub(crate) mod document;
#[cfg(test)]
mod tests;

pub(crate) use card::{AdvisorCard, Cards, ShortCard};

use crate::{
    Api,
    auth::{MaybeViewer, Viewer},
    command_request::{Body, CommandRequest},
    extract::{Path, RequestBody, negotiate},
    live::{self, LiveQuery},
    problem::{Code, Problem},
    quotas,
    reading::{MinPosition, shown, tagged},
};
use advisor_commands::{AdvisorCommand, AdvisorRefusal, Outcome};
use advisor_events::{
    AdvisorId, UserId,
    advisor::{AdvisorEvent, Status, Visibility},
};
use advisor_projections::{Query, advisors as rows};
use axum::{extract::State, response::Response};
use document::{Form, FormError, Wanted};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// An advisor's card with what only its own page shows.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct AdvisorPage {
    #[serde(flatten)]
    card: AdvisorCard,
    /// `active`, `inactive` or `archived`.
    status: &'static str,
    /// `private` or `public`.
    visibility: &'static str,
}

/// The form of the web front end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AdvisorForm {
    first_name: Option<String>,
    last_name: Option<String>,
    title: Option<String>,
    /// A JSON object as text.
    json_configuration: Option<Value>,
    image_url: Option<String>,
}

/// An advisor that was made.
pub(crate) struct Created {
    pub(crate) id: AdvisorId,
    document: Value,
    pub(crate) done: Outcome<AdvisorEvent>,
}

/// An advisor whose document was replaced.
pub(crate) struct Revised {
    pub(crate) done: Outcome<AdvisorEvent>,
    document: Value,
}

/// The routes of advisors.
pub(crate) fn queries() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_advisors)).routes(routes!(get_advisor))
}

/// The routes that change advisors.
pub(crate) fn commands() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_advisor))
        .routes(routes!(update_advisor))
        .routes(routes!(archive_advisor))
}

/// The active advisors that somebody sees, oldest first: the answer of `GET /api/advisors`.
pub(crate) fn list(viewer: Option<&UserId>) -> Query<Vec<AdvisorCard>> {
    rows::visible_to(viewer).map(|rows| rows.iter().map(AdvisorCard::from).collect())
}

impl From<&rows::AdvisorRow> for AdvisorPage {
    fn from(row: &rows::AdvisorRow) -> Self {
        Self { card: row.into(), status: row.status.as_str(), visibility: row.visibility.as_str() }
    }
}

/// The active advisors, oldest first. Signed out: those that everybody sees.
#[utoipa::path(
    get,
    path = "/api/advisors",
    tag = "advisors",
    params(("min_position" = Option<u64>, Query, description = "Wait for this position, at most 2 s.")),
    responses((status = OK, body = Vec<AdvisorCard>)),
    security((), ("session" = []))
)]
async fn list_advisors(
    viewer: MaybeViewer,
    _: MinPosition,
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if negotiate(&headers, live::OFFERED)? == live::EVENT_STREAM {
        return live::stream(&api, viewer.0.as_ref(), LiveQuery::Advisors, &headers).await;
    }
    let read = api.read(list(viewer.user_id())).await?;
    Ok(shown(read.position, read.value))
}

/// One advisor, of any status.
#[utoipa::path(
    get,
    path = "/api/advisors/{id}",
    tag = "advisors",
    params(
        ("id" = String, Path),
        ("min_position" = Option<u64>, Query, description = "Wait for this position, at most 2 s.")
    ),
    responses((status = OK, body = AdvisorPage), (status = NOT_FOUND, description = "`Advisor not found`")),
    security((), ("session" = []))
)]
async fn get_advisor(
    viewer: MaybeViewer,
    _: MinPosition,
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if negotiate(&headers, live::OFFERED)? == live::EVENT_STREAM {
        return live::stream(&api, viewer.0.as_ref(), LiveQuery::Advisor(AdvisorId(id)), &headers).await;
    }
    let read = api.read(rows::by_id(viewer.user_id(), &AdvisorId(id))).await?;
    let row = read.value.ok_or_else(Problem::advisor_not_found)?;
    Ok(tagged(shown(read.position, AdvisorPage::from(&row)), row.position))
}

/// Makes an advisor of the front end's form: a user's own is private, an operator's public.
#[utoipa::path(
    post,
    path = "/api/advisors",
    tag = "advisors",
    request_body = AdvisorForm,
    responses(
        (status = CREATED, body = AdvisorCard),
        (status = BAD_REQUEST, description = "`Missing required fields: …`, `Invalid JSON configuration`")
    )
)]
async fn create_advisor(
    request: CommandRequest,
    RequestBody { value, json }: RequestBody<AdvisorForm>,
) -> Result<Response, Problem> {
    let form = Form::from(value);
    let document = form.document().map_err(|error| form_problem(&error))?;
    let wanted = Wanted { id: None, words: form.names(), status: Status::Active, document };
    let body = Body { name: "POST /api/advisors", target: "", json: &json };
    let created = create(&request, wanted, &body).await?;
    let card = AdvisorCard::of(created.id.as_str(), &created.document);
    Ok(request.answer(&created.done, StatusCode::CREATED, card).await)
}

/// Replaces an advisor by what the form says.
#[utoipa::path(
    patch,
    path = "/api/advisors/{id}",
    tag = "advisors",
    params(("id" = String, Path)),
    request_body = AdvisorForm,
    responses((status = OK, body = AdvisorCard), (status = NOT_FOUND, description = "`Advisor not found`"))
)]
async fn update_advisor(
    request: CommandRequest,
    Path(id): Path<String>,
    RequestBody { value, json }: RequestBody<AdvisorForm>,
) -> Result<Response, Problem> {
    let document = Form::from(value).document().map_err(|error| form_problem(&error))?;
    let body = Body { name: "PATCH /api/advisors", target: &id, json: &json };
    let id = AdvisorId(id.clone());
    let revised = revise(&request, id.clone(), document, &body).await?;
    let card = AdvisorCard::of(id.as_str(), &revised.document);
    Ok(request.answer(&revised.done, StatusCode::OK, card).await)
}

/// Archives an advisor: it is not listed any more, and its messages stay.
#[utoipa::path(
    delete,
    path = "/api/advisors/{id}",
    tag = "advisors",
    params(("id" = String, Path)),
    responses((status = OK, body = Value), (status = NOT_FOUND, description = "`Advisor not found`"))
)]
async fn archive_advisor(request: CommandRequest, Path(id): Path<String>) -> Result<Response, Problem> {
    let body = Body { name: "DELETE /api/advisors", target: &id, json: &Value::Null };
    let command = AdvisorCommand::SetStatus { by: request.caller(), status: Status::Archived };
    let advisor_id = AdvisorId(id.clone());
    request.check_seen(&advisor_id).await?;
    let done = request.ask_advisor(&advisor_id, command, &body).await?;
    let done = done.map_err(|refusal| request.refused(refusal))?;
    let answer = json!({"success": true, "message": "Advisor archived successfully"});
    Ok(request.answer(&done, StatusCode::OK, answer).await)
}

/// Makes an advisor. An id that somebody else's private advisor has is not told of: it gets a suffix.
pub(crate) async fn create(request: &CommandRequest, wanted: Wanted, body: &Body<'_>) -> Result<Created, Problem> {
    let actor = request.advisors_actor().key();
    let fresh = |words: &str| document::new_id(words, &actor, &request.id);
    let first = match &wanted.id {
        Some(id) => id.clone(),
        None => made_before(request, fresh(&wanted.words)).await?,
    };
    let second = fresh(first.as_str());
    let full = quotas::advisors(request).await?;
    let asking = if full.is_some() { request.repeating() } else { request.clone() };
    for id in [first, second] {
        let document = document::with_id(wanted.document.clone(), &id);
        let command = AdvisorCommand::Create {
            advisor_id: id.clone(),
            owner_id: Some(request.viewer.user_id().clone()),
            visibility: if request.is_of_an_operator() { Visibility::Public } else { Visibility::Private },
            status: wanted.status,
            document: document.clone(),
        };
        match asking.ask_advisor(&id, command, body).await {
            Ok(Ok(done)) => return Ok(Created { id, document, done }),
            Ok(Err(AdvisorRefusal::Exists { visible: false })) => {}
            Ok(Err(refusal)) => return Err(request.refused(refusal)),
            Err(problem) if full.is_some() && problem.code() == Code::PreconditionFailed => {}
            Err(problem) => return Err(problem),
        }
    }
    let exists = || Problem::new(Code::AdvisorExists, "There is an advisor of this id already.");
    Err(full.unwrap_or_else(exists).command_id(&request.id))
}

/// The id that this command gave to an advisor of another name: there it is known, and refused as another
/// request under the same key. Otherwise `id`.
async fn made_before(request: &CommandRequest, id: AdvisorId) -> Result<AdvisorId, Problem> {
    let Some((_, digits)) = id.as_str().rsplit_once('-') else { return Ok(id) };
    let names = names(&request.api, &request.viewer).await?;
    let mut made = names.into_iter().map(|advisor| advisor.id);
    let before = made.find(|made| made.as_str().rsplit_once('-').is_some_and(|(_, end)| end == digits));
    Ok(before.unwrap_or(id))
}

/// Replaces an advisor's document.
pub(crate) async fn revise(
    request: &CommandRequest,
    id: AdvisorId,
    document: Value,
    body: &Body<'_>,
) -> Result<Revised, Problem> {
    request.check_seen(&id).await?;
    let document = document::with_id(document, &id);
    let command = AdvisorCommand::Revise { by: request.caller(), document: document.clone() };
    let done = request.ask_advisor(&id, command, body).await?;
    Ok(Revised { done: done.map_err(|refusal| request.refused(refusal))?, document })
}

/// Shows an advisor to everybody, or to its owner alone. Its document goes into the event once more.
pub(crate) async fn set_visibility(
    request: &CommandRequest,
    id: &AdvisorId,
    visibility: Visibility,
    body: &Body<'_>,
) -> Result<Outcome<AdvisorEvent>, Problem> {
    let row = request.api.find(|| rows::find(id)).await?.ok_or_else(Problem::advisor_not_found)?;
    let command = AdvisorCommand::SetVisibility {
        by: request.caller(),
        visibility,
        document: serde_json::from_str(&row.document).map_err(|error| Problem::internal(&error))?,
        document_revision: row.revision,
    };
    let done = request.ask_advisor(id, command, body).await?;
    done.map_err(|refusal| request.refused(refusal))
}

/// Lets operators pass. To others an advisor that they see is forbidden, and one that they don't is not there.
pub(crate) async fn check_operator(request: &CommandRequest, id: &AdvisorId) -> Result<(), Problem> {
    if request.is_of_an_operator() {
        return Ok(());
    }
    let seen = request.api.find(|| rows::by_id(Some(request.viewer.user_id()), id)).await?;
    Err(if seen.is_some() { Problem::forbidden() } else { Problem::advisor_not_found() })
}

/// The names of the active advisors that a person sees, oldest first.
pub(crate) async fn names(api: &Api, viewer: &Viewer) -> Result<Vec<rows::AdvisorName>, Problem> {
    Ok(api.read(rows::names(Some(viewer.user_id()))).await?.value)
}

/// The advisor, if it is active and the caller sees it.
pub(crate) async fn usable(request: &CommandRequest, id: &AdvisorId) -> Result<Option<rows::AdvisorName>, Problem> {
    let user_id = request.viewer.user_id();
    let wanted = || {
        let id = id.clone();
        rows::names(Some(user_id)).map(move |names| names.into_iter().find(|advisor| advisor.id == id))
    };
    request.api.find(wanted).await
}

impl From<AdvisorForm> for Form {
    fn from(form: AdvisorForm) -> Self {
        Self {
            first_name: form.first_name,
            last_name: form.last_name,
            title: form.title,
            // What is no text is no JSON text either.
            json_configuration: form.json_configuration.map(|value| match value {
                Value::String(text) => text,
                Value::Null => String::new(),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => "not a text".to_owned(),
            }),
            image_url: form.image_url,
        }
    }
}

/// The contract's wording.
fn form_problem(error: &FormError) -> Problem {
    let text = error.to_string();
    let code = match error {
        FormError::Missing(_) => Code::MissingFields,
        FormError::InvalidConfiguration => Code::InvalidConfiguration,
    };
    Problem::new(code, text.clone()).worded(text)
}
