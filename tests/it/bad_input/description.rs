//! What a listener's own description tells of its routes. A test beside the API compares it with the routers: a
//! route that is not described does not answer.

use crate::server::Client;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// With its parameters in braces.
    pub(super) path: String,
    pub(super) access: Access,
    /// The fields of its body and their schemas; none where it takes no body, or any.
    pub(super) fields: Map<String, Value>,
    pub(super) takes_body: bool,
}

/// Whom a route lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever comes: no token is looked at.
    Anybody,
    /// Who is signed in, or not; a token that is none is refused.
    SignedInOrNot,
    SignedIn,
    /// Operators and analysts.
    LogReader,
    Operator,
}

/// Every operation of the listener at `url`.
pub(super) async fn operations(url: &str) -> Vec<Operation> {
    let nobody = Client { http: reqwest::Client::new(), url: url.to_owned(), token: String::new() };
    let document = nobody.ask(Method::GET, "/openapi.json", &[], None).await.body;
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let security = operation.get("security").unwrap_or(&document["security"]);
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let schema = schema["$ref"].as_str().map_or(schema, |name| document.pointer(&name[1..]).unwrap());
            found.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                access: access(security),
                fields: schema["properties"].as_object().cloned().unwrap_or_default(),
                takes_body: operation.get("requestBody").is_some(),
            });
        }
    }
    found
}

/// An empty alternative means that it works signed out; nothing but that, that nobody is asked.
fn access(security: &Value) -> Access {
    let alternatives = security.as_array().unwrap();
    let has_role = |role: &str| alternatives.iter().any(|schemes| schemes["session"] == json!([role]));
    let open = alternatives.contains(&json!({}));
    match (open, alternatives.len()) {
        (true, 1) => Access::Anybody,
        (true, _) => Access::SignedInOrNot,
        (false, _) if has_role("analyst") => Access::LogReader,
        (false, _) if has_role("operator") => Access::Operator,
        (false, _) => Access::SignedIn,
    }
}
