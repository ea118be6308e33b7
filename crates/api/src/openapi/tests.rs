//! The description, and a walk over every route in it: nobody enters who is not signed in.

use super::*;
use crate::test_api::TestApi;
use http::{Method, Request, StatusCode};
use serde_json::Value;

const DOCUMENTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_documented_description_is_the_one_of_the_routes() {
    let documented = std::fs::read_to_string(DOCUMENTED).unwrap_or_default();
    let made = openapi_json().unwrap();
    assert!(documented.trim_end() == made, "regenerate it: cargo run -- openapi > docs/openapi.json");
}

#[test]
fn the_description_is_openapi_3_1_and_says_how_to_sign_in() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert_eq!(document["components"]["securitySchemes"]["session"]["scheme"], "bearer");
    assert_eq!(document["components"]["securitySchemes"]["sessionCookie"]["name"], "__session");
    assert!(document["components"]["schemas"]["Problem"]["properties"]["code"].is_object());
    assert!(document["paths"]["/metrics"].is_null());
}

#[test]
fn every_reference_leads_somewhere_and_every_route_can_answer_a_problem() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let content = &operation["responses"]["default"]["content"];
            assert!(content["application/problem+json"].is_object(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn no_route_lets_anybody_in_without_a_token_unless_it_says_so() {
    let api = TestApi::start().await;
    let routes = routes();
    assert!(routes.len() > 25, "{routes:?}");
    for route in routes {
        let answer = api.ask_signed_out(route.request(), None).await;
        let refused = answer.status == StatusCode::UNAUTHORIZED;
        assert_eq!(refused, route.access == Access::SignedIn, "{route:?}: {answer:?}");
        assert!(!answer.status.is_server_error(), "{route:?}: {answer:?}");
    }
}

#[tokio::test]
async fn no_route_that_asks_who_comes_takes_a_forged_token() {
    let api = TestApi::start().await;
    let authorization = format!("Bearer {}", TestApi::forged_token("user_ana"));
    for route in routes().into_iter().filter(|route| route.access != Access::Nobody) {
        let request = route.request().header(header::AUTHORIZATION, &authorization);
        let answer = api.ask_signed_out(request, None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_signed_in_person_causes_no_fault_on_any_route() {
    let api = TestApi::start().await;
    for route in routes() {
        let answer = api.ask("user_ana", route.request(), None).await;
        assert!(!answer.status.is_server_error(), "{route:?}: {answer:?}");
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}");
    }
}

/// Whom a route wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    SignedIn,
    SignedInOrNot,
    Nobody,
}

#[derive(Debug)]
struct Route {
    method: Method,
    path: String,
    access: Access,
}

impl Route {
    fn request(&self) -> http::request::Builder {
        Request::builder().method(self.method.clone()).uri(&self.path)
    }
}

fn document() -> Value {
    serde_json::from_str(&openapi_json().unwrap()).unwrap()
}

fn routes() -> Vec<Route> {
    let document = document();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let path = path.replace(['{', '}'], "");
            routes.push(Route { method, path, access: access(&operation["security"]) });
        }
    }
    routes
}

/// An empty alternative means that it works signed out; nothing but that, that nobody is asked.
fn access(security: &Value) -> Access {
    let alternatives = security.as_array().map_or(&[][..], Vec::as_slice);
    let open = alternatives.iter().any(|alternative| alternative.as_object().is_some_and(serde_json::Map::is_empty));
    match (open, alternatives.len()) {
        (false, _) => Access::SignedIn,
        (true, 1) => Access::Nobody,
        (true, _) => Access::SignedInOrNot,
    }
}
