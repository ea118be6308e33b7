//! Every operation of the server's own description, asked by everybody with everything: no server error, no
//! answer without a request id, and nothing of a person for anybody else.

use super::check_discreet;
use crate::{
    dice::Dice,
    server::{Client, Server},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Stands in everything that the owner wrote.
const CANARY: &str = "kanarie-7391-walk";

#[tokio::test]
async fn a_walk_over_all_routes_meets_no_server_error_and_no_foreign_word() {
    let server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "0"), ("ADVISOR_STREAMS_PER_PERSON_MAX", "1000")]);
    let owner = server.client("owner", &[]);
    let document: Value =
        owner.http.get(format!("{}/openapi.json", server.url)).send().await.unwrap().json().await.unwrap();
    let fields = fields(&document);
    assert!(fields.len() > 10, "{fields:?}");
    let mut things = own(&owner).await;
    let nobody = Client { token: String::new(), ..owner.clone() };
    let viewers = [
        ("nobody", nobody),
        ("another", server.client("another", &[])),
        ("operator", server.client("ops", &["--role", "operator"])),
        // Last: it may change and delete what is its own.
        ("owner", owner.clone()),
    ];
    let mut counts: BTreeMap<String, BTreeMap<u16, usize>> = BTreeMap::new();
    let mut dice = Dice(7391);
    for (name, viewer) in &viewers {
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
                if *name == "owner" {
                    // What the operations before have changed or deleted is there once more.
                    things = own(&owner).await;
                }
                let bodies = bodies(operation, &fields, &things, &mut dice);
                for path in paths(path, &things) {
                    for body in &bodies {
                        let status = ask(viewer, name, &method, &path, body.as_deref()).await;
                        *counts.entry(format!("{name} {method}")).or_default().entry(status.as_u16()).or_default() += 1;
                    }
                }
            }
        }
    }
    println!("{counts:#?}");
    assert!(counts.values().all(|by_status| by_status.keys().all(|status| *status < 500)), "{counts:#?}");
    assert_eq!(owner.http.get(format!("{}/readyz", server.url)).send().await.unwrap().status(), 200);
}

/// Asks, checks what every answer must be, and gives its status.
async fn ask(viewer: &Client, name: &str, method: &Method, path: &str, body: Option<&[u8]>) -> StatusCode {
    let what =
        format!("{name}: {method} {path} {:?}", body.map(|body| String::from_utf8_lossy(&body[..body.len().min(300)])));
    let mut request = viewer.http.request(method.clone(), format!("{}{path}", viewer.url));
    if !viewer.token.is_empty() {
        request = request.bearer_auth(&viewer.token);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_vec());
    }
    let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let (status, headers) = (response.status(), response.headers().clone());
    assert!(!status.is_server_error(), "{what}: {status}");
    assert!(headers.contains_key("x-request-id"), "{what}");
    assert_eq!(headers["x-content-type-options"], "nosniff", "{what}");
    let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    if kind.starts_with("text/event-stream") {
        return status; // It has no end.
    }
    let bytes = response.bytes().await.unwrap();
    if status.is_client_error() {
        assert_eq!(kind, "application/problem+json", "{what}: {status}");
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(problem["status"], status.as_u16(), "{what}");
        check_discreet(&bytes, &what);
    }
    if name != "owner" {
        let echoed = body.is_some_and(|body| String::from_utf8_lossy(body).contains(CANARY));
        assert!(echoed || !String::from_utf8_lossy(&bytes).contains(CANARY), "{what} tells the owner's words");
    }
    if name == "nobody" && path.starts_with("/api/") && !is_public(path) {
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
    }
    status
}

fn is_public(path: &str) -> bool {
    ["/api/advisors", "/api/health", "/api/live", "/api/webhooks"].iter().any(|public| path.starts_with(public))
}

/// What the owner has, each with the canary in it.
struct Things {
    conversation: String,
    message: String,
    reply: String,
    advisor: String,
}

async fn own(owner: &Client) -> Things {
    let document = json!({"persona": {"name": format!("Kim {CANARY}"), "title": CANARY}});
    let advisor = owner.command("CreateAdvisor", &document).await["result"]["advisorId"].as_str().unwrap().to_owned();
    let body = json!({"messages": [{"role": "user", "content": format!("About {CANARY}")}]});
    let (status, answer) = owner.send(Method::POST, "/api/chat", Some(&body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let conversation = answer["conversation"]["id"].as_str().unwrap().to_owned();
    let stored = owner.get(&format!("/api/conversations/{conversation}")).await;
    let message = stored["messages"][0]["id"].as_str().unwrap().to_owned();
    Things { conversation, message, reply: answer["message"]["id"].as_str().unwrap().to_owned(), advisor }
}

/// The path with things that are there, and with things that can't be.
fn paths(template: &str, things: &Things) -> Vec<String> {
    let queries =
        ["", "?limit=1", "?limit=x&min_position=y", "?before=AAAA&detailed=true&verbose", "?query=/api/me&query=%00"];
    let Some((before, rest)) = template.split_once('{') else {
        return queries.iter().map(|query| format!("{template}{query}")).collect();
    };
    let (_, after) = rest.split_once('}').unwrap();
    let long = "x".repeat(4_000);
    let ids = [
        things.conversation.as_str(),
        &things.message,
        &things.reply,
        &things.advisor,
        "none",
        "%00",
        "a%20b%27%22%3B--",
        "%F0%9F%98%80",
        &long,
    ];
    let with_ids = ids.iter().map(|id| format!("{before}{id}{after}"));
    with_ids
        .chain(queries.iter().skip(1).map(|query| format!("{before}{}{after}{query}", things.conversation)))
        .collect()
}

/// Every field that any body has, by name.
fn fields(document: &Value) -> Vec<String> {
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let named = schemas.values().filter_map(|schema| schema["properties"].as_object()).flat_map(|fields| fields.keys());
    let mut fields: Vec<String> = named.cloned().collect();
    fields.sort();
    fields.dedup();
    fields
}

/// Bodies of every kind: none, odd ones, one of right form about the owner's things, and some by chance.
fn bodies(operation: &Value, fields: &[String], things: &Things, dice: &mut Dice) -> Vec<Option<Vec<u8>>> {
    if operation["requestBody"].is_null() {
        return vec![None];
    }
    let sound = json!({
        "conversationId": things.conversation, "messageId": things.message, "replyId": things.reply,
        "advisorId": things.advisor, "content": "x", "title": "x",
    });
    let mut bodies: Vec<Option<Vec<u8>>> = vec![None];
    bodies.extend(["", "{}", "[]", "null", "\"x\"", "{\"a\":{\"b\":[[[{}]]]}}"].map(|text| Some(text.into())));
    // Commands refuse fields that are not theirs, so each takes its own alone.
    for names in [
        &["conversationId"][..],
        &["messageId"],
        &["replyId"],
        &["conversationId", "title"],
        &["conversationId", "advisorId"],
        &["conversationId", "content"],
        &["messageId", "content"],
    ] {
        let body: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), sound[*name].clone())).collect();
        bodies.push(Some(Value::Object(body).to_string().into()));
    }
    for _ in 0..8 {
        let body: serde_json::Map<_, _> =
            (0..dice.roll(5)).map(|_| (fields[dice.roll(fields.len())].clone(), odd_value(dice, things, 2))).collect();
        bodies.push(Some(Value::Object(body).to_string().into()));
    }
    bodies
}

fn odd_value(dice: &mut Dice, things: &Things, depth: usize) -> Value {
    match dice.roll(if depth == 0 { 12 } else { 14 }) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(9_007_199_254_740_993_u64),
        4 => json!(0.1),
        5 => json!(""),
        6 => json!("\u{202e}\u{200b}e\u{301}\u{301}😀\r\n\ndata: x\n\n"),
        7 => json!("'; DROP TABLE messages; -- {{7*7}} ${x} %s%n"),
        8 => json!("x".repeat(5_000)),
        9 => json!(things.conversation),
        10 => json!(things.advisor),
        11 => json!("user"),
        12 => (0..dice.roll(4)).map(|_| odd_value(dice, things, depth - 1)).collect(),
        _ => json!({"role": odd_value(dice, things, depth - 1), "content": odd_value(dice, things, depth - 1)}),
    }
}
