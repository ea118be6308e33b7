//! What handlers ask for to know who asks.

use super::{Authenticator, Person};
use crate::{problem::Problem, traffic::Meter};
use advisor_events::{Actor, Timestamp, UserId};
use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use std::sync::Arc;

/// The person who is signed in; without one the answer is 401.
#[derive(Clone, Debug)]
pub struct Viewer(Arc<Person>);

impl Viewer {
    /// Who.
    pub fn user_id(&self) -> &UserId {
        &self.0.user_id
    }

    /// As the actor of their own commands.
    pub fn actor(&self) -> Actor {
        Actor::User(self.0.user_id.clone())
    }

    /// When their token ends; a live stream may outlast it by some minutes.
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// Everything that is known of them.
    pub fn person(&self) -> &Person {
        &self.0
    }
}

impl From<Arc<Person>> for Viewer {
    fn from(person: Arc<Person>) -> Self {
        Self(person)
    }
}

/// The person who is signed in, or nobody. A token that is not valid is 401 all the same.
#[derive(Clone, Debug)]
pub struct MaybeViewer(pub Option<Viewer>);

impl MaybeViewer {
    /// Who, if anybody.
    pub fn user_id(&self) -> Option<&UserId> {
        self.0.as_ref().map(Viewer::user_id)
    }
}

/// Marks requests that came through the socket in the data directory: who may open it runs the system.
#[derive(Clone, Copy, Debug)]
pub struct LocalOperator;

/// Whoever runs the system: a person with the role `operator`, or who may open the socket in the data directory.
#[derive(Clone, Debug)]
pub struct Runs(pub Actor);

/// Name of who comes through the socket, as events tell it.
const LOCAL_ACTOR: &str = "admin_socket";

/// A person with the role `operator`; 401 without a token, 403 without the role.
#[derive(Clone, Debug)]
pub struct Operator(pub Viewer);

impl<S> FromRequestParts<S> for MaybeViewer
where
    Arc<Authenticator>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let meter = Meter::of(&parts.extensions);
        let person = Arc::<Authenticator>::from_ref(state).authenticate(&parts.headers, &meter).await?;
        match &person {
            Some(person) => meter.person(&person.user_id)?,
            None => meter.nobody()?,
        }
        Ok(Self(person.map(Viewer)))
    }
}

impl<S> FromRequestParts<S> for Viewer
where
    Arc<Authenticator>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        MaybeViewer::from_request_parts(parts, state).await?.0.ok_or_else(Problem::auth_required)
    }
}

impl<S> FromRequestParts<S> for Operator
where
    Arc<Authenticator>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let viewer = Viewer::from_request_parts(parts, state).await?;
        if viewer.person().roles.operator { Ok(Self(viewer)) } else { Err(Problem::forbidden()) }
    }
}

impl<S> FromRequestParts<S> for Runs
where
    Arc<Authenticator>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.extensions.get::<LocalOperator>().is_some() {
            return Ok(Self(Actor::Worker(LOCAL_ACTOR.to_owned())));
        }
        let operator = Operator::from_request_parts(parts, state).await?;
        Ok(Self(Actor::Operator(operator.0.user_id().clone())))
    }
}
