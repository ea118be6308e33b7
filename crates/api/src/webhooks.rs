//! What other services tell: `POST /api/webhooks/clerk` keeps people in step with the sign-in service.
//!
//! It is answered 200 once what it told is durable, and told again until then. Told twice, late, or in any order,
//! it comes to the same: the id of the delivery is that of the command, and the rules of a person's account look at
//! when the sign-in service says that something was so.

pub(crate) mod news;
pub(crate) mod svix;

pub use svix::{Secret as WebhookSecret, SecretError as WebhookSecretError};

use crate::{
    Api, Settings,
    extract::raw_body,
    problem::{Code, Problem},
    traffic::Meter,
};
use advisor_commands::{CommandContext, CommandError, UserCommand, UserRefusal};
use advisor_events::{Actor, StreamName};
use advisor_projections::{StoreError, side::revocations::Subject};
use axum::{
    Json,
    extract::{Request, State},
};
use bytes::Bytes;
use news::News;
use serde::Serialize;
use svix::{Signed, SvixFault};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The name of the sign-in service, as events tell it.
const CLERK: &str = "clerk";

/// What was told is kept, or needs no keeping.
#[derive(Serialize, ToSchema)]
struct Received {
    /// Always true.
    received: bool,
}

/// The route; without a secret its description alone.
pub(crate) fn router(settings: &Settings) -> OpenApiRouter<Api> {
    let router = OpenApiRouter::new().routes(routes!(receive));
    match settings.clerk_webhook_secret {
        Some(_) => router,
        None => OpenApiRouter::with_openapi(router.into_openapi()),
    }
}

/// Takes in what the sign-in service tells of people and their sessions.
///
/// Signed as Svix signs, under the secret `clerk_webhook_secret`; without that secret the route does not exist.
/// Events of other types are answered 200 and change nothing.
#[utoipa::path(
    post,
    path = "/api/webhooks/clerk",
    tag = "webhooks",
    params(
        ("svix-id" = Option<String>, Header, description = "The delivery: told again, it has one effect."),
        ("svix-timestamp" = Option<String>, Header, description = "When it was sent, in seconds; at most 300 s off."),
        ("svix-signature" = Option<String>, Header, description = "Signatures `v1,<base64>` with blanks between them.")
    ),
    request_body = Value,
    responses(
        (status = OK, body = Received),
        (status = BAD_REQUEST, description = "`INVALID_WEBHOOK`"),
        (status = UNAUTHORIZED, description = "`INVALID_SIGNATURE`"),
        (status = NOT_FOUND, description = "No secret is configured."),
        (status = PAYLOAD_TOO_LARGE, description = "`PAYLOAD_TOO_LARGE`"),
        (status = SERVICE_UNAVAILABLE, description = "`UNAVAILABLE`, `OUTCOME_UNKNOWN`: tell it again")
    ),
    security(())
)]
async fn receive(State(api): State<Api>, meter: Meter, request: Request) -> Result<Json<Received>, Problem> {
    meter.check_sign_ins()?;
    take_in(&api, request).await.inspect_err(|problem| meter.note_sign_in(problem))
}

async fn take_in(api: &Api, request: Request) -> Result<Json<Received>, Problem> {
    let secret = api.settings.clerk_webhook_secret.as_ref().ok_or_else(Problem::not_found)?;
    // What is not signed at all costs nothing but a look at the headers.
    let (head, body) = request.into_parts();
    let signed = Signed::read(&head.headers, api.clock.now()).map_err(refuse)?;
    let body = raw_body(&head, body, api.settings.body).await?;
    secret.verify(&signed, &body).map_err(refuse)?;
    let news = News::read(&body, signed.sent_at())?;
    follow(api, signed.id, &body, news).await?;
    Ok(Json(Received { received: true }))
}

fn refuse(fault: SvixFault) -> Problem {
    let problem = match fault {
        SvixFault::Missing(_)
        | SvixFault::Malformed(_)
        | SvixFault::TooManySignatures
        | SvixFault::TooOld
        | SvixFault::TooNew => {
            Problem::new(Code::InvalidWebhook, "The delivery is not signed as one must be, or not of this time.")
        }
        SvixFault::Signature => Problem::new(Code::InvalidSignature, "The delivery is not signed with the secret."),
    };
    problem.caused_by(&fault)
}

/// Returns once what was told is durable.
async fn follow(api: &Api, delivery: &str, body: &Bytes, news: News) -> Result<(), Problem> {
    let mut context = CommandContext::new(Actor::Webhook(CLERK.to_owned()), delivery.to_owned(), api.clock.now());
    context.body = body.to_vec();
    match news {
        News::Account { user_id, profile, plan, told_at } => {
            let stream = StreamName::user(&user_id);
            let command = UserCommand::FollowAccount { user_id, profile, plan, told_at };
            match api.commands.users.execute(&stream, command, context).await {
                Ok(outcome) => drop(api.settled(outcome.position).await),
                // Who was deleted stays deleted, whatever comes late.
                Err(CommandError::Refused(UserRefusal::Deleted) | CommandError::KeyDestroyed) => {}
                Err(error) => return Err(Problem::of_command(error, delivery)),
            }
        }
        News::Deletion { user_id } => {
            let command = UserCommand::FollowDeletion { user_id: user_id.clone() };
            let erased = api.commands.erase(&user_id, command, context).await;
            erased.map_err(|error| Problem::of_command(error, delivery))?;
            revoke(api, Subject::Person(user_id)).await?;
        }
        News::SessionEnd { session_id } => revoke(api, Subject::Session(session_id)).await?,
        News::OfNoConcern => {}
    }
    Ok(())
}

async fn revoke(api: &Api, subject: Subject) -> Result<(), Problem> {
    api.revoked.revoke(subject).await.map_err(|error: StoreError| Problem::unavailable(&error))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
