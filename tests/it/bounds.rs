//! What happens when a limit is reached, seen from outside.

use crate::server::Server;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Nobody listens on the discard port of this machine.
const NOBODY: &str = "http://127.0.0.1:9/v1";

#[tokio::test]
async fn a_model_provider_that_fails_again_and_again_is_left_alone_and_operators_see_it() {
    let server = Server::start_with(&[("ADVISOR_MODEL_URL", NOBODY), ("ADVISOR_MODEL_BREAKER_FAILURES_MAX", "2")]);
    let user = server.client("user_1", &[]);

    let chat = json!({"messages": [{"role": "user", "content": "Are you there?"}]});
    let (status, answer) = user.send(Method::POST, "/api/chat", Some(&chat)).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{answer}");

    let (status, ready) = user.send(Method::GET, "/readyz?verbose", None).await;
    assert_eq!(status, StatusCode::OK, "a server whose model is away still works: {ready}");
    let checks: &Vec<Value> = ready["checks"].as_array().unwrap();
    let provider = checks.iter().find(|check| check["name"] == "model provider").unwrap();
    assert!(provider["detail"].as_str().unwrap().contains("is left alone"), "{provider}");
    let metrics = reqwest::get(format!("{}/metrics", server.admin_url)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"advisor_model_provider_standing{provider="127.0.0.1"} 2"#), "{metrics}");
}
