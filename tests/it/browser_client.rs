//! The browser client of docs/clients.md, as it stands there, in a real browser: it lists conversations, shows
//! a reply while it is written, and goes on without a gap when the server is killed in the middle of it.

use crate::{markdown::fenced, node, server::Server};
use serde_json::{Value, json};
use std::{fs, path::Path};

#[tokio::test]
async fn the_documented_client_shows_a_reply_and_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let profile = tempfile::tempdir().unwrap();
    let paths = [folder.path(), profile.path()].map(|path| path.to_str().unwrap().to_owned());
    let mut browser = node::begin("browser_client.mjs", &[&paths[0], &paths[1]]);
    let origin = browser.hear()["origin"].as_str().unwrap().to_owned();
    let variables = [("ADVISOR_ALLOWED_ORIGINS", origin.as_str()), ("ADVISOR_DEMO_DELAY_MS", "150")];
    let mut server = Server::start_with(&variables);
    keep_files(folder.path(), &server);
    browser.go_on();

    let streaming = browser.hear();
    server.kill();
    server.start_again_in_place();
    browser.go_on();

    let seen = browser.hear();
    let reply = reply(&server).await;
    let begun = streaming["streaming"].as_str().unwrap().strip_prefix("streaming: ").unwrap();
    assert!(begun.len() < reply.len() && reply.starts_with(begun), "it was in the middle: {begun}");
    assert_eq!(seen["messages"], json!(["user: @Nadia what should we build next?", format!("advisor: {reply}")]));
    let texts: Vec<&str> = seen["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(texts.len() > 1 && texts.iter().all(|text| reply.starts_with(text)), "{texts:#?}");
    let listed: Vec<&str> =
        seen["conversations"].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect();
    assert!(listed.len() == 2 && listed[1] == "Another: nothing yet", "{listed:?}");
    assert_eq!(seen["state"]["data"].as_object().unwrap().len(), 2);
    for (query, data) in seen["state"]["data"].as_object().unwrap() {
        assert_eq!(rows(data.clone()), rows(server.client("me", &[]).get(query).await), "{query}");
    }
    check_streams(seen["streams"].as_array().unwrap());
}

#[test]
fn the_documented_client_has_at_most_40_lines() {
    let client = file("live.js");
    assert!(client.lines().count() <= 40, "{} lines", client.lines().count());
}

/// Everybody came back with the last id that they had seen, and was told what followed and nothing else.
fn check_streams(streams: &[Value]) {
    let (first, resumed): (Vec<&Value>, Vec<&Value>) = streams.iter().partition(|stream| stream["resumed"].is_null());
    assert_eq!((first.len(), resumed.len()), (2, 2), "the page, and the look into its state: {streams:?}");
    let text = |stream: &Value| stream["text"].as_str().unwrap().to_owned();
    let last_seen: Vec<u64> = first.iter().map(|stream| *positions(&text(stream)).last().unwrap()).collect();
    for stream in &resumed {
        let from = position(stream["resumed"].as_str().unwrap());
        assert!(last_seen.contains(&from), "{from} of {last_seen:?}");
        assert!(positions(&text(stream)).first() > Some(&from), "{stream}");
        assert!(!text(stream).contains("event: snapshot"), "{stream}");
    }
    for stream in streams {
        assert!(positions(&text(stream)).is_sorted_by(|a, b| a < b), "{stream}");
        assert!(!text(stream).contains("event: reset"), "{stream}");
    }
}

/// The positions of a stream's ids.
fn positions(stream: &str) -> Vec<u64> {
    stream.lines().filter_map(|line| line.strip_prefix("id: ")).map(position).collect()
}

fn position(id: &str) -> u64 {
    id.split(':').nth(1).unwrap().parse().unwrap()
}

/// The text of the one reply that there is.
async fn reply(server: &Server) -> String {
    let client = server.client("me", &[]);
    let listed = client.get("/api/conversations").await;
    let conversation = client.get(&format!("/api/conversations/{}", listed[0]["id"].as_str().unwrap())).await;
    conversation["messages"][1]["content"].as_str().unwrap().to_owned()
}

/// An answer as the rows of changes have it: advisors by their ids.
fn rows(mut data: Value) -> Value {
    match &mut data {
        Value::Array(items) => *items = items.drain(..).map(rows).collect(),
        Value::Object(fields) => {
            fields.remove("advisor");
            if let Some(card) = fields.remove("activeAdvisor") {
                fields.entry("activeAdvisorId").or_insert(card["id"].clone());
            }
            for field in fields.values_mut() {
                *field = rows(field.take());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    data
}

fn keep_files(folder: &Path, server: &Server) {
    fs::write(folder.join("live.js"), file("live.js")).unwrap();
    let page = file("index.html");
    assert!(page.contains("\"http://127.0.0.1:8080\""));
    fs::write(folder.join("index.html"), page.replace("http://127.0.0.1:8080", &server.url)).unwrap();
    fs::write(folder.join("token.txt"), server.token("me", &[])).unwrap();
}

/// A file as the page on clients has it.
fn file(name: &str) -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clients.md")).unwrap();
    let block =
        fenced(&page).into_iter().find(|block| block.info.split_once(' ').is_some_and(|(_, file)| file == name));
    block.unwrap_or_else(|| panic!("no {name}")).text
}
