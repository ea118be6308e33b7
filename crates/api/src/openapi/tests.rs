//! The description, and a walk over every route of the routers themselves: nobody enters whom it does not name.

mod away;
mod walk;

use super::*;
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

fn document() -> Value {
    serde_json::from_str(&openapi_json().unwrap()).unwrap()
}
