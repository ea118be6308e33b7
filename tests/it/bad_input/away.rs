//! While another program holds the log's file, whatever changes something is 503 and tells nothing, whatever reads
//! goes on, and what is asked again under the same key afterwards is done.

use super::{
    check_discreet,
    description::{Access, Operation, operations},
    foreign::Things,
};
use crate::server::{Answer, Client, Server};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

#[tokio::test]
async fn while_another_program_holds_the_log_every_command_is_503_and_queries_go_on() {
    let server = Server::start_with(&[("ADVISOR_EVENT_LOG_URL", "sqlite:data/log.db"), ("ADVISOR_DEMO_DELAY_MS", "0")]);
    let mut commands = Vec::new();
    for (number, operation) in operations(&server.url).await.into_iter().filter(appends).enumerate() {
        // Everybody has things of their own, so that nobody waits for anybody else's turn.
        let owner = server.client(&format!("owner_{number}"), &["--role", "operator"]);
        let things = Things::of(&owner).await;
        commands.push((operation, owner, things));
    }
    assert!(commands.len() > 15, "{}", commands.len());
    let other = commands[0].1.get("/api/advisors").await[0]["id"].clone();
    let ask_all = async || {
        let asked = commands.iter().map(|(operation, owner, things)| ask(operation, owner, things, &other));
        join_all(asked).await
    };

    let held = Held::of(&server.data_dir().join("log.db"));
    for ((operation, owner, things), answer) in commands.iter().zip(ask_all().await) {
        let what = format!("{} {}: {} {}", operation.method, operation.path, answer.status, answer.text);
        assert_eq!((answer.status, answer.header("content-type")), (503, "application/problem+json"), "{what}");
        assert!(answer.headers.contains_key("retry-after"), "{what}");
        assert_eq!(answer.body["commandId"], json!("while it was held"), "{what}");
        check_discreet(answer.text.as_bytes(), &what);
        assert!(!answer.text.contains("locked"), "{what}");
        owner.get(&format!("/api/conversations/{}", things.conversation)).await;
    }
    drop(held);
    for ((operation, ..), answer) in commands.iter().zip(ask_all().await) {
        assert!((200..300).contains(&answer.status), "{} {}: {}", operation.method, operation.path, answer.text);
    }
}

/// Whether an operation appends something when it is asked for by who owns everything. A reply that has ended is not
/// stopped.
fn appends(operation: &Operation) -> bool {
    let asks_only = ["/api/mentions", "/api/commands/{name}", "/api/commands/StopReply"];
    operation.method != Method::GET
        && operation.access == Access::SignedIn
        && !asks_only.contains(&operation.path.as_str())
}

async fn ask(operation: &Operation, owner: &Client, things: &Things, other: &Value) -> Answer {
    let id = match operation.path.as_str() {
        path if path.starts_with("/api/messages") => &things.message,
        path if path.starts_with("/api/advisors") => &things.advisor,
        _ => &things.conversation,
    };
    let changes_an_advisor = ["ReviseAdvisor", "SetAdvisor"].iter().any(|name| operation.path.contains(name));
    let value = |name: &str| match name {
        "conversationId" => Some(json!(things.conversation)),
        "messageId" => Some(json!(things.message)),
        "advisorId" if changes_an_advisor => Some(json!(things.advisor)),
        "advisorId" | "activeAdvisorId" => Some(other.clone()),
        "advisorIds" | "contentJson" | "imageUrl" => None,
        "messages" => Some(json!([{"role": "user", "content": "x"}])),
        "jsonConfiguration" => Some(json!("{}")),
        "document" => Some(json!({"persona": {"name": "Kim Doe", "title": "x"}})),
        "status" => Some(json!("inactive")),
        "visibility" => Some(json!("private")),
        _ => Some(json!("x")),
    };
    let fields: Map<String, Value> =
        operation.fields.keys().filter_map(|name| Some((name.clone(), value(name)?))).collect();
    // What takes any body takes a document.
    let document = json!({"persona": {"name": "Kim Novak", "title": "Coach"}});
    let body = if fields.is_empty() { document } else { Value::Object(fields) };
    let body = operation.takes_body.then_some(body);
    let path = operation.path.replace("{id}", id);
    owner.ask(operation.method.clone(), &path, &[("idempotency-key", "while it was held")], body.as_ref()).await
}

/// A program that holds a file of SQLite's for writing.
struct Held(Child);

impl Held {
    fn of(file: &Path) -> Self {
        let program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); \
                       db.execute('begin immediate'); print('held', flush=True); sys.stdin.read()";
        let mut python = Command::new("python3");
        python.args(["-c", program]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = python.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(python.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(python)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
