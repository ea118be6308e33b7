//! The pages for people at `/docs`, in a real browser: everything is there, it works, and nothing is
//! fetched from anywhere else.

use crate::{node, server::Server};
use serde_json::{Value, json};

#[tokio::test]
async fn the_pages_show_every_operation_and_error_and_fetch_nothing_from_elsewhere() {
    let server = Server::start();
    let profile = tempfile::tempdir().unwrap();
    let screenshot = profile.path().join("docs.png");
    let arguments =
        [profile.path().to_str().unwrap(), &server.url, &server.token("user_1", &[]), screenshot.to_str().unwrap()];
    let seen = node::run("docs_page.mjs", &arguments);

    assert_eq!(seen["title"], "AI Advisor Chat: the API");
    assert_eq!(sorted(&seen["operations"]), operations(&server).await);
    let answer: Value = serde_json::from_str(seen["answer"].as_str().unwrap()).unwrap();
    assert_eq!(answer["id"], "user_1", "a query can be tried, signed in");

    assert_eq!(seen["codes"], json!(codes(&server)));
    assert_eq!(seen["marked"], "rgb(255, 246, 214)", "the code that a link names stands out");

    assert_eq!(seen["hosts"], json!([seen["host"]]));
    assert_eq!(seen["complaints"], json!([]));
}

/// What `/openapi.json` lists, as the page shows it.
async fn operations(server: &Server) -> Vec<String> {
    let document: Value = reqwest::get(format!("{}/openapi.json", server.url)).await.unwrap().json().await.unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        operations.extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    operations.sort();
    operations
}

/// What `advisor errors` lists, in its order.
fn codes(server: &Server) -> Vec<String> {
    let page = String::from_utf8(server.advisor(&["errors"]).stdout).unwrap();
    let codes = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    codes.map(str::to_owned).collect()
}

fn sorted(list: &Value) -> Vec<String> {
    let mut list: Vec<String> = serde_json::from_value(list.clone()).unwrap();
    list.sort();
    list
}
