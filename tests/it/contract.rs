//! The contract of the first application and what this one adds to it, route by route, as the author of
//! a client would check it: status, exact fields, types, defaults, order, errors.

mod advisors;
mod browser;
mod chat;
mod commands;
mod conversations;
mod documents;
mod idempotency;
mod ids;
mod messages;
mod model;
mod positions;

use crate::server::{Answer, Client, Server};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// A server whose demo model is quick.
fn server() -> Server {
    Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "0")])
}

/// A server whose demo model takes longer for a reply than any test.
fn slow_server() -> Server {
    Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "5000")])
}

/// A client without a token.
pub(crate) fn nobody(server: &Server) -> Client {
    Client { http: reqwest::Client::new(), url: server.url.clone(), token: String::new() }
}

impl Client {
    async fn fetch(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PATCH, path, &[], Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, &[], None).await
    }

    /// A command, whatever becomes of it.
    async fn order(&self, name: &str, body: &Value) -> Answer {
        self.post(&format!("/api/commands/{name}"), body).await
    }

    /// A command whose result has this one id.
    async fn made(&self, name: &str, body: &Value, id: &str) -> String {
        self.command(name, body).await["result"][id].as_str().unwrap().to_owned()
    }

    async fn conversation(&self) -> String {
        self.made("StartConversation", &json!({}), "conversationId").await
    }

    /// A message that nobody answers.
    async fn say(&self, conversation: &str, content: &str) -> String {
        let body = json!({"conversationId": conversation, "content": content, "advisorIds": []});
        self.made("SendMessage", &body, "messageId").await
    }

    async fn chat(&self, body: &Value) -> Answer {
        self.post("/api/chat", body).await
    }
}

/// The body of a chat request with one message.
fn said(content: &str) -> Value {
    json!({"messages": [{"role": "user", "content": content}]})
}

/// An advisor document that has no more than it must.
fn sparse(id: &str, name: &str) -> Value {
    json!({"advisorId": id, "persona": {"name": name, "title": "Coach"}})
}

fn texts<'a>(rows: &'a Value, field: &str) -> Vec<&'a str> {
    rows.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap()).collect()
}

/// `shape` names each field's type, `text`, `time`, `count`, `flag` or `any`; with `?` it may be null.
/// `{"?": shape}` may be null, `[shape]` is a list of any length, and an object has exactly these fields.
#[track_caller]
fn assert_shape(value: &Value, shape: &Value) {
    if let Err(fault) = compare(value, shape, "") {
        panic!("{fault}\n{value:#}");
    }
}

fn compare(value: &Value, shape: &Value, at: &str) -> Result<(), String> {
    match shape {
        Value::String(kind) => match kind.strip_suffix('?') {
            Some(_) if value.is_null() => Ok(()),
            Some(kind) => of_kind(value, kind, at),
            None => of_kind(value, kind, at),
        },
        Value::Array(shapes) => {
            let items = value.as_array().ok_or_else(|| format!("{at} is no list"))?;
            items.iter().enumerate().try_for_each(|(place, item)| compare(item, &shapes[0], &format!("{at}/{place}")))
        }
        Value::Object(shapes) if shapes.contains_key("?") => {
            if value.is_null() {
                Ok(())
            } else {
                compare(value, &shapes["?"], at)
            }
        }
        Value::Object(shapes) => compare_fields(value, shapes, at),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            if value == shape {
                Ok(())
            } else {
                Err(format!("{at} is {value} instead of {shape}"))
            }
        }
    }
}

fn compare_fields(value: &Value, shapes: &Map<String, Value>, at: &str) -> Result<(), String> {
    let fields = value.as_object().ok_or_else(|| format!("{at} is no object"))?;
    if let Some(name) = fields.keys().find(|name| !shapes.contains_key(*name)) {
        return Err(format!("{at}/{name} is one field too many"));
    }
    shapes.iter().try_for_each(|(name, shape)| {
        let field = fields.get(name).ok_or_else(|| format!("{at}/{name} is missing"))?;
        compare(field, shape, &format!("{at}/{name}"))
    })
}

fn of_kind(value: &Value, kind: &str, at: &str) -> Result<(), String> {
    let fits = match kind {
        "text" => value.is_string(),
        "time" => value.as_str().is_some_and(is_time),
        "count" => value.is_u64(),
        "flag" => value.is_boolean(),
        "any" => true,
        other => panic!("{other} is no kind of field"),
    };
    if fits { Ok(()) } else { Err(format!("{at} is {value} instead of a {kind}")) }
}

/// ISO 8601 in UTC with exactly three digits: `2025-09-16T08:15:30.123Z`.
fn is_time(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == form.len()
        && text
            .chars()
            .zip(form.chars())
            .all(|(c, wanted)| if wanted == 'd' { c.is_ascii_digit() } else { c == wanted })
}

fn card() -> Value {
    json!({
        "id": "text", "name": "text", "title": "text", "image": "text?", "oneLiner": "text?", "archetype": "text?",
        "bio": "text?", "detailedBackground": "text?", "experience": "text?", "specialties": {"?": ["text"]},
        "personalInterests": {"?": ["text"]}, "communicationStyle": "text?", "location": "any",
        "adviceDelivery": "any", "mission": "text?", "tags": ["text"], "modelHint": "text?"
    })
}

fn short_card() -> Value {
    json!({"id": "text", "name": "text", "title": "text"})
}

fn message() -> Value {
    json!({
        "id": "text", "sender": "text", "content": "text", "createdAt": "time", "mentions": ["text"],
        "advisor": {"?": card()}, "advisorId": "text?", "contentJson": "any", "tokensUsed": "count?",
        "editedAt": "time?"
    })
}

fn reply() -> Value {
    json!({
        "replyId": "text", "messageId": "text", "advisorId": "text", "status": "text", "attempt": "count",
        "text": "text"
    })
}

fn conversation() -> Value {
    json!({
        "id": "text", "title": "text", "createdAt": "time", "updatedAt": "time", "activeAdvisor": {"?": card()},
        "messages": [message()], "replies": [reply()], "hasMore": "flag"
    })
}

fn item() -> Value {
    json!({
        "id": "text", "title": "text", "createdAt": "time", "updatedAt": "time", "messageCount": "count",
        "lastMessage": {"?": {"content": "text", "createdAt": "time", "sender": "text"}},
        "activeAdvisor": {"?": short_card()}
    })
}

/// A problem that both kinds of client can read: `error` is the contract's text on its routes.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16, error: &str) {
    let code = match error {
        "Advisor not found" => "ADVISOR_NOT_FOUND",
        "Invalid JSON configuration" => "INVALID_CONFIGURATION",
        text if text.starts_with("Missing required fields: ") => "MISSING_FIELDS",
        code => code,
    };
    assert_eq!(answer.status, status, "{error}: {}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text);
    assert!(!answer.header("x-request-id").is_empty());
    let body = &answer.body;
    let mut shape = json!({
        "type": "text", "title": "text", "status": status, "error": "text", "message": "text",
        "code": if code == "AUTH_REQUIRED" { json!(401) } else { json!("text") }
    });
    for (member, kind) in [
        ("details", json!([{"pointer": "text", "message": "text"}])),
        ("commandId", json!("text")),
        ("conversationId", json!("text")),
    ] {
        if body.get(member).is_some() {
            shape[member] = kind;
        }
    }
    assert_shape(body, &shape);
    assert_eq!(body["error"], error, "{}", answer.text);
    if code != "AUTH_REQUIRED" {
        assert_eq!(body["code"], code, "{}", answer.text);
    }
}

/// A problem whose details point at exactly these places.
#[track_caller]
fn assert_details(answer: &Answer, status: u16, pointers: &[&str]) {
    assert_problem(answer, status, "VALIDATION_ERROR");
    assert_eq!(texts(&answer.body["details"], "pointer"), pointers, "{}", answer.text);
}
