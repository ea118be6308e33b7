//! What happens when a limit is reached, seen from outside.

use crate::server::{Client, Server};
use futures::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

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

#[tokio::test]
async fn a_socket_and_each_of_its_subscriptions_are_queries_of_its_person() {
    let server = Server::start_with(&[("ADVISOR_QUERIES_PER_MINUTE", "1"), ("ADVISOR_QUERIES_BURST", "2")]);
    let client = server.client("user_1", &[]);
    let address = client.url.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{address}/api/live"), stream).await.unwrap();
    let mut said = Vec::new();
    for message in [
        json!({"type": "authenticate", "token": client.token}),
        json!({"type": "subscribe", "id": "me", "query": "/api/me"}),
        json!({"type": "subscribe", "id": "list", "query": "/api/conversations"}),
    ] {
        socket.send(Message::text(message.to_string())).await.unwrap();
        let answer: Value = serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
        said.push((answer["type"].clone(), answer["code"].clone()));
    }
    let refused = (json!("error"), json!("RATE_LIMITED"));
    assert_eq!(said, [(json!("authenticated"), Value::Null), (json!("snapshot"), Value::Null), refused]);
}

#[tokio::test]
async fn one_address_is_limited_and_another_is_not() {
    let server = Server::start_with(&[("ADVISOR_ANONYMOUS_PER_MINUTE", "1"), ("ADVISOR_ANONYMOUS_BURST", "2")]);
    let statuses = async |client: &Client| {
        let mut statuses = Vec::new();
        for forwarded in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
            // Nobody has said that this proxy is to be trusted.
            let headers = [("x-forwarded-for", forwarded)];
            statuses.push(client.ask(Method::GET, "/api/advisors", &headers, None).await.status);
        }
        statuses
    };
    assert_eq!(statuses(&stranger(&server, "127.0.0.2")).await, [200, 200, 429]);
    assert_eq!(statuses(&stranger(&server, "127.0.0.3")).await, [200, 200, 429]);
}

#[tokio::test]
async fn a_trusted_proxy_says_where_requests_come_from() {
    let server = Server::start_with(&[
        ("ADVISOR_ANONYMOUS_PER_MINUTE", "1"),
        ("ADVISOR_ANONYMOUS_BURST", "1"),
        ("ADVISOR_TRUSTED_PROXIES", "127.0.0.2"),
    ]);
    let proxy = stranger(&server, "127.0.0.2");
    for (forwarded, status) in [("2001:db8::1", 200), ("2001:db8::2", 429), ("2001:db8:0:1::1", 200)] {
        let answer = proxy.ask(Method::GET, "/api/advisors", &[("x-forwarded-for", forwarded)], None).await;
        assert_eq!(answer.status, status, "{forwarded}: {answer:?}");
    }
}

/// Somebody who is not signed in, at another address of this machine.
fn stranger(server: &Server, place: &str) -> Client {
    let http = reqwest::Client::builder().local_address(Some(place.parse().unwrap())).build().unwrap();
    Client { http, url: server.url.clone(), token: String::new() }
}
