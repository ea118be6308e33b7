//! The front end of the first application in a browser: the session cookie, and other origins.

use super::{assert_problem, assert_shape, item, nobody, said};
use crate::server::{Answer, Server};
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

const FRONT_END: &str = "https://chat.example.com";

#[tokio::test]
async fn the_front_end_works_with_its_session_cookie_alone() {
    let server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "0")]);
    let token = server.token("ann", &[]);
    let browser = nobody(&server);
    let cookie = format!("theme=dark; __session={token}; other=1");
    let session = [("cookie", cookie.as_str())];
    let ask = async |method: Method, path: &str, body: Option<Value>| {
        browser.ask(method, path, &session, body.as_ref()).await
    };
    assert_eq!(ask(Method::GET, "/api/conversations", None).await.body, json!([]));
    let answer = ask(Method::POST, "/api/chat", Some(said("@Priya, hello"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let listed = ask(Method::GET, "/api/conversations", None).await;
    assert_shape(&listed.body, &json!([item()]));
    let path = format!("/api/conversations/{}", listed.body[0]["id"].as_str().unwrap());
    let renamed = ask(Method::PATCH, &path, Some(json!({"title": "Mine"}))).await;
    assert_eq!(renamed.body["conversation"]["title"], "Mine");
    let message = ask(Method::GET, &path, None).await.body["messages"][0]["id"].clone();
    let url = format!("/api/messages/{}", message.as_str().unwrap());
    assert_eq!(ask(Method::PATCH, &url, Some(json!({"content": "x"}))).await.status, 200);
    assert_eq!(ask(Method::DELETE, &url, None).await.status, 200);
    assert_eq!(ask(Method::DELETE, &path, None).await.status, 204);

    let other = server.client("bob", &[]);
    let both = other.ask(Method::GET, "/api/me", &session, None).await;
    assert_problem(&both, 400, "AMBIGUOUS_AUTHORIZATION");
    let same = server.client("ann", &[]);
    let bearer = crate::server::Client { token: token.clone(), ..same };
    assert_eq!(bearer.ask(Method::GET, "/api/me", &session, None).await.body["id"], "ann");
    let signed_out = [("cookie", "__session=; theme=dark")];
    assert_problem(&browser.ask(Method::GET, "/api/me", &signed_out, None).await, 401, "AUTH_REQUIRED");
    assert_eq!(browser.ask(Method::GET, "/api/advisors", &signed_out, None).await.status, 200);
}

#[tokio::test]
async fn browsers_of_the_allowed_origins_may_call_and_others_may_not() {
    let server = Server::start_with(&[("ADVISOR_ALLOWED_ORIGINS", FRONT_END)]);
    let browser = nobody(&server);
    let preflight = async |origin: &str, path: &str, method: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            (
                "access-control-request-headers",
                "authorization,content-type,idempotency-key,if-match,prefer,last-event-id",
            ),
        ];
        browser.ask(Method::OPTIONS, path, &headers, None).await
    };
    for (path, method) in [
        ("/api/chat", "POST"),
        ("/api/conversations/x", "PATCH"),
        ("/api/conversations/x", "DELETE"),
        ("/api/commands/SendMessage", "POST"),
        ("/api/live", "GET"),
    ] {
        let allowed = preflight(FRONT_END, path, method).await;
        assert!((200..300).contains(&allowed.status), "{path}: {}", allowed.status);
        assert_eq!(allowed.header("access-control-allow-origin"), FRONT_END);
        assert_eq!(allowed.header("access-control-allow-credentials"), "true");
        assert!(list(&allowed.headers, "access-control-allow-methods").contains(&method.to_lowercase()), "{path}");
        let headers = list(&allowed.headers, "access-control-allow-headers");
        for name in ["authorization", "content-type", "idempotency-key", "if-match", "prefer", "last-event-id"] {
            assert!(headers.contains(&name.to_owned()), "{name}: {headers:?}");
        }
        assert_forbidden(&preflight("https://evil.example.com", path, method).await);
        assert_forbidden(&preflight("null", path, method).await);
        assert_forbidden(&preflight("https://chat.example.com.evil.com", path, method).await);
    }

    // What an allowed page gets, errors too, it may read.
    for path in ["/api/advisors", "/api/me", "/api/nothing"] {
        let answer = browser.ask(Method::GET, path, &[("origin", FRONT_END)], None).await;
        assert_eq!(answer.header("access-control-allow-origin"), FRONT_END, "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), "true", "{path}");
        let exposed = ["x-active-advisor", "x-conversation-id", "x-position", "x-request-id"];
        assert_eq!(list(&answer.headers, "access-control-expose-headers"), exposed, "{path}");
        assert!(list(&answer.headers, "vary").contains(&"origin".to_owned()), "{path}");
        let foreign = browser.ask(Method::GET, path, &[("origin", "https://evil.example.com")], None).await;
        assert_forbidden(&foreign);
    }
}

#[tokio::test]
async fn the_description_lists_every_route() {
    let server = Server::start();
    let answer = nobody(&server).fetch("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let paths = &answer.body["paths"];
    for (path, methods) in [
        ("/api/advisors", &["get", "post"][..]),
        ("/api/advisors/{id}", &["get", "patch", "delete"]),
        ("/api/conversations", &["get", "post"]),
        ("/api/conversations/{id}", &["get", "patch", "delete"]),
        ("/api/conversations/{id}/messages", &["get"]),
        ("/api/chat", &["post"]),
        ("/api/messages/{id}", &["patch", "delete"]),
        ("/api/mentions", &["post"]),
        ("/api/health", &["get"]),
        ("/api/me", &["get"]),
        ("/api/live", &["get"]),
        ("/readyz", &["get"]),
        ("/livez", &["get"]),
        ("/version", &["get"]),
    ] {
        for method in methods {
            assert!(paths[path][method].is_object(), "{method} {path}");
        }
    }
    for command in [
        "StartConversation",
        "RenameConversation",
        "AssignAdvisor",
        "DeleteConversation",
        "SendMessage",
        "EditMessage",
        "DeleteMessage",
        "StopReply",
        "CreateAdvisor",
        "ReviseAdvisor",
        "SetAdvisorStatus",
        "SetAdvisorVisibility",
    ] {
        assert!(paths[format!("/api/commands/{command}")]["post"].is_object(), "{command}");
    }
}

/// The names in a header, sorted.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let mut names: Vec<String> = headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap().split(','))
        .map(|name| name.trim().to_lowercase())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn assert_forbidden(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), "", "{}", answer.text);
}
