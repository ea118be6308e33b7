//! Who is let in where.
//!
//! The routes are those that the routers themselves answer, read from how axum prints them, not from a list that
//! somebody keeps. Each of them must be described, and its description names whom it lets in; then everybody asks
//! for every one of them. The last tests plant what must be found.

use super::*;
use crate::test_api::{ANALYST, OPERATOR, TestApi};
use axum::{Router, body::Body, routing::any};
use http::{Method, Request, StatusCode, header};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::collections::{BTreeMap, BTreeSet};
use tower::ServiceExt;
use utoipa_axum::routes;

#[tokio::test]
async fn every_route_that_answers_is_described_and_every_one_that_is_described_answers() {
    let api = every_route().await;
    for router in [api.router(), admin_router(&api)] {
        let (answered, described) = (answered(&router), described(&router).await);
        let described: BTreeSet<Route> = described.into_keys().collect();
        assert_eq!(answered, described);
        assert!(answered.len() > 6, "{answered:?}");
    }
}

#[tokio::test]
async fn every_route_lets_in_whom_its_description_names_and_nobody_else() {
    let api = every_route().await;
    for router in [api.router(), admin_router(&api)] {
        assert_eq!(walk(&router).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_route_beside_the_description_is_found() {
    let api = TestApi::start().await;
    let planted = api.router().route("/api/planted/{id}", get(async || "in")).route("/planted", any(async || "in"));
    let described: BTreeSet<Route> = described(&planted).await.into_keys().collect();
    let answered = answered(&planted);
    let beside: Vec<&Route> = answered.difference(&described).collect();
    let expected = [("ANY", "/planted"), ("GET", "/api/planted/{id}")];
    assert_eq!(beside, expected.map(|(method, path)| (method.to_owned(), path.to_owned())).iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_described_route_that_forgets_to_ask_who_comes_is_found() {
    /// It asks nobody, and its description says nothing of that.
    #[utoipa::path(get, path = "/api/planted", responses((status = OK)))]
    async fn planted() -> &'static str {
        "in"
    }
    let api = TestApi::start().await;
    let with_planted = crate::routes(&api.api.settings, &api.api.traffic).routes(routes!(planted));
    let (router, document) = describe(with_planted).split_for_parts();
    let found = walk(&router.route("/openapi.json", shown(document)).with_state(api.api.clone())).await;
    let expected = [Identity::Nobody, Identity::Forged, Identity::Expired]
        .map(|identity| format!("GET /api/planted is for SignedIn, and {identity:?} got 200 OK"));
    assert_eq!(found, expected);
}

/// Method and path.
pub(super) type Route = (String, String);

/// Whom a route lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Whoever comes: no token is looked at.
    Anybody,
    /// Who is signed in, or not; a token that is none is refused.
    SignedInOrNot,
    SignedIn,
    /// Operators and analysts.
    LogReader,
    Operator,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Nobody,
    Forged,
    Expired,
    Person,
    Analyst,
    Operator,
}

impl Identity {
    const ALL: [Self; 6] = [Self::Nobody, Self::Forged, Self::Expired, Self::Person, Self::Analyst, Self::Operator];

    fn token(self) -> Option<String> {
        match self {
            Self::Nobody => None,
            Self::Forged => Some(TestApi::forged_token(OPERATOR)),
            Self::Expired => Some(TestApi::expired_token(OPERATOR)),
            Self::Person => Some(TestApi::token("user_ana")),
            Self::Analyst => Some(TestApi::token(ANALYST)),
            Self::Operator => Some(TestApi::token(OPERATOR)),
        }
    }
}

/// The table: what a route of this access answers; `None` for anything that is no refusal at the door.
fn refusal(access: Access, identity: Identity) -> Option<StatusCode> {
    if access == Access::Anybody || (access == Access::SignedInOrNot && identity == Identity::Nobody) {
        return None;
    }
    if [Identity::Nobody, Identity::Forged, Identity::Expired].contains(&identity) {
        return Some(StatusCode::UNAUTHORIZED);
    }
    let has_role = match access {
        Access::Anybody | Access::SignedInOrNot | Access::SignedIn => true,
        Access::LogReader => identity != Identity::Person,
        Access::Operator => identity == Identity::Operator,
    };
    (!has_role).then_some(StatusCode::FORBIDDEN)
}

/// Everybody asks for every route; what was answered otherwise than it should be.
async fn walk(router: &Router) -> Vec<String> {
    let mut found = Vec::new();
    for ((method, path), access) in described(router).await {
        for identity in Identity::ALL {
            let uri = path.replace(['{', '}'], "");
            let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
            if let Some(token) = identity.token() {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let status = response.status();
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status).then_some(status);
            if refused != refusal(access, identity) || status.is_server_error() {
                found.push(format!("{method} {path} is for {access:?}, and {identity:?} got {status}"));
            }
        }
    }
    found
}

/// What the router's own description tells.
async fn described(router: &Router) -> BTreeMap<Route, Access> {
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body();
    let document: Value = serde_json::from_slice(&axum::body::to_bytes(body, 1 << 24).await.unwrap()).unwrap();
    let mut described = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let security = operation.get("security").unwrap_or(&document["security"]);
            described.insert((method.to_uppercase(), path.clone()), access(security));
        }
    }
    described
}

/// An empty alternative means that it works signed out; nothing but that, that nobody is asked.
fn access(security: &Value) -> Access {
    let alternatives = security.as_array().expect("every description says whom it lets in");
    let roles: Vec<Option<&Value>> =
        alternatives.iter().map(|schemes| schemes.as_object().unwrap().values().next()).collect();
    let names = |role: &str| roles.iter().any(|roles| roles.is_some_and(|roles| roles[0] == role));
    let open = roles.iter().any(Option::is_none);
    match (open, roles.len()) {
        (true, 1) => Access::Anybody,
        (true, _) => Access::SignedInOrNot,
        (false, _) if names("analyst") => Access::LogReader,
        (false, _) if names("operator") => Access::Operator,
        (false, _) => Access::SignedIn,
    }
}

/// What a router answers with anything but its fallback. axum has no list of its routes but the one that it prints.
pub(super) fn answered(router: &Router) -> BTreeSet<Route> {
    let printed = format!("{router:?}");
    let (printed, _) = printed.split_once("fallback_router").expect("axum prints its routers as it did");
    let (methods, paths) = printed.split_once("node: Node { paths: {").unwrap();
    let by_id = |text: &str| {
        let parts = text.split("RouteId(").skip(1).map(|part| part.split_once("): ").unwrap());
        parts.map(|(id, rest)| (id.to_owned(), rest.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let methods = by_id(methods);
    let mut answered = BTreeSet::new();
    for (id, path) in by_id(paths) {
        let path = path.split('"').nth(1).unwrap().to_owned();
        let allowed = methods[&id].split("allow_header: Bytes(b\"").nth(1).and_then(|rest| rest.split('"').next());
        // Without a list of methods it takes them all.
        for method in allowed.unwrap_or("ANY").split(',').filter(|method| *method != "HEAD") {
            answered.insert((method.to_owned(), path.clone()));
        }
    }
    answered
}

/// With what has to be configured before it answers.
pub(super) async fn every_route() -> TestApi {
    let mut test = TestApi::start().await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    Arc::make_mut(&mut test.api.settings).clerk_webhook_secret = Some(secret);
    test
}

pub(super) fn admin_router(api: &TestApi) -> Router {
    crate::admin_router(&api.api, PrometheusBuilder::new().build_recorder().handle(), api.log_access())
}
