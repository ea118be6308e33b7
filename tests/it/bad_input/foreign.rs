//! Somebody else's id answers byte for byte, and about as fast, like one that never existed; and nothing of the
//! owner's changes, whatever is tried.

use super::description::{Operation, operations};
use crate::server::{Client, Server};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_foreign_id_and_one_that_never_existed_answer_byte_for_byte_alike() {
    let server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "0")]);
    let owner = server.client("owner", &[]);
    let things = Things::of(&owner).await;
    let before = things.seen_by(&owner, &server).await;
    let mut compared = 0;
    for intruder in [server.client("another", &[]), server.client("reader", &["--role", "analyst"])] {
        for operation in operations(&server.url).await {
            for id in things.ids() {
                for (foreign, absent) in probes(&operation, id).into_iter().zip(probes(&operation, &never(id))) {
                    let (foreign, absent) = (intruder.probe(&foreign).await, intruder.probe(&absent).await);
                    assert_eq!(foreign, absent, "{} {} with {id}", operation.method, operation.path);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 200, "{compared}");
    assert_eq!(things.seen_by(&owner, &server).await, before, "something of the owner's has changed");
}

#[tokio::test]
async fn a_foreign_id_takes_as_long_as_one_that_never_existed() {
    const ROUNDS: usize = 101;
    let server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "0")]);
    let things = Things::of(&server.client("owner", &[])).await;
    let intruder = server.client("another", &[]);
    for (id, method, path, body) in [
        (&things.conversation, Method::GET, "/api/conversations/ID", None),
        (&things.conversation, Method::GET, "/api/conversations/ID/messages", None),
        (&things.conversation, Method::POST, "/api/commands/DeleteConversation", Some(r#"{"conversationId":"ID"}"#)),
        (&things.message, Method::POST, "/api/commands/DeleteMessage", Some(r#"{"messageId":"ID"}"#)),
        (&things.reply, Method::POST, "/api/commands/StopReply", Some(r#"{"replyId":"ID"}"#)),
        (&things.advisor, Method::GET, "/api/advisors/ID", None),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        // One after the other in turns, so that whatever slows the machine slows both.
        for round in 0..2 * ROUNDS {
            let id = if round % 2 == 0 { id.clone() } else { never(id) };
            let begun = Instant::now();
            let body = body.map(|body| serde_json::from_str(&body.replace("ID", &id)).unwrap());
            let answer = intruder.ask(method.clone(), &path.replace("ID", &id), &[], body.as_ref()).await;
            times[round % 2].push(begun.elapsed());
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        }
        let [foreign, absent] = times.map(median);
        let apart = foreign.abs_diff(absent);
        println!("{method} {path}: {foreign:?} and {absent:?}");
        // Generous, since the machine has others to serve; a look that waits, or a row that is read, shows.
        assert!(apart < Duration::from_millis(2) || apart * 4 < foreign.min(absent), "{path}: {foreign:?}, {absent:?}");
    }
}

#[tokio::test]
async fn a_foreign_advisor_in_an_own_conversation_is_none_and_leaves_no_event() {
    let server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "0")]);
    let things = Things::of(&server.client("owner", &[])).await;
    let intruder = server.client("another", &[]);
    let own = intruder.command("StartConversation", &json!({})).await["result"]["conversationId"].clone();
    let stream = format!("conversation-{}", own.as_str().unwrap());
    let before = server.events(&stream).len();
    let said = json!([{"role": "user", "content": "Hi"}]);
    for (method, path, body, status) in [
        ("POST", "/api/commands/AssignAdvisor", json!({"conversationId": own, "advisorId": "ID"}), 422),
        ("POST", "/api/commands/StartConversation", json!({"advisorId": "ID"}), 422),
        (
            "POST",
            "/api/commands/SendMessage",
            json!({"conversationId": own, "content": "Hi", "advisorIds": ["ID"]}),
            422,
        ),
        ("POST", "/api/conversations", json!({"advisorId": "ID"}), 400),
        ("PATCH", "/api/conversations/OWN", json!({"activeAdvisorId": "ID"}), 400),
        ("POST", "/api/chat", json!({"messages": said, "conversationId": own, "advisorId": "ID"}), 400),
    ] {
        let [foreign, absent] = [things.advisor.clone(), never(&things.advisor)].map(|id| Probe {
            method: method.parse().unwrap(),
            path: path.replace("OWN", own.as_str().unwrap()),
            accept: "*/*",
            body: Some(serde_json::from_str(&body.to_string().replace("ID", &id)).unwrap()),
        });
        let (foreign, absent) = (intruder.probe(&foreign).await, intruder.probe(&absent).await);
        assert_eq!(foreign, absent, "{path}");
        assert_eq!(foreign.0, status, "{path}: {}", foreign.2);
    }
    assert_eq!(server.events(&stream).len(), before);
}

/// What the owner has.
pub(super) struct Things {
    pub(super) conversation: String,
    pub(super) message: String,
    reply: String,
    pub(super) advisor: String,
}

impl Things {
    pub(super) async fn of(owner: &Client) -> Self {
        let document = json!({"persona": {"name": "Kim Doe", "title": "Tester"}});
        let advisor = owner.command("CreateAdvisor", &document).await["result"]["advisorId"].clone();
        let body = json!({"messages": [{"role": "user", "content": "Mine"}], "advisorId": advisor});
        let (status, answer) = owner.send(Method::POST, "/api/chat", Some(&body)).await;
        assert_eq!(status, 200, "{answer}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let conversation = text(&answer["conversation"]["id"]);
        let stored = owner.get(&format!("/api/conversations/{conversation}")).await;
        Self {
            conversation,
            message: text(&stored["messages"][0]["id"]),
            reply: text(&answer["message"]["id"]),
            advisor: text(&advisor),
        }
    }

    fn ids(&self) -> [&str; 4] {
        [&self.conversation, &self.message, &self.reply, &self.advisor]
    }

    /// Everything of it that its owner can see, and every event of it.
    async fn seen_by(&self, owner: &Client, server: &Server) -> Value {
        json!([
            owner.get("/api/conversations").await,
            owner.get(&format!("/api/conversations/{}", self.conversation)).await,
            owner.get(&format!("/api/advisors/{}", self.advisor)).await,
            server.events(&format!("conversation-{}", self.conversation)).len(),
            server.events(&format!("advisor-{}", self.advisor)).len(),
        ])
    }
}

/// An id of the same form that nothing ever had.
fn never(id: &str) -> String {
    let changed =
        |c: char| if c.is_ascii_digit() { char::from_digit((c as u32 - '0' as u32 + 1) % 10, 10).unwrap() } else { c };
    let other: String = id.chars().map(changed).collect();
    if other == id { format!("{id}-0") } else { other }
}

/// A request that names an id.
struct Probe {
    method: Method,
    path: String,
    accept: &'static str,
    body: Option<Value>,
}

/// Every way in which an operation can name an id: in its path, in each field of its body, as a query that is live.
fn probes(operation: &Operation, id: &str) -> Vec<Probe> {
    let mut probes = Vec::new();
    let probe = |path: String, accept, body| Probe { method: operation.method.clone(), path, accept, body };
    if let Some((before, rest)) = operation.path.split_once('{') {
        let path = format!("{before}{id}{}", rest.split_once('}').unwrap().1);
        let body = operation.takes_body.then(|| body(&operation.fields, "none"));
        probes.extend(["*/*", "text/event-stream"].map(|accept| probe(path.clone(), accept, body.clone())));
        if operation.method == Method::GET && path.starts_with("/api/") {
            probes.push(probe(format!("/api/live?query={path}"), "text/event-stream", None));
        }
    }
    if operation.fields.keys().any(|name| is_id(name)) {
        probes.push(probe(operation.path.clone(), "*/*", Some(body(&operation.fields, id))));
    }
    probes
}

fn is_id(name: &str) -> bool {
    name.ends_with("Id") || name.ends_with("Ids")
}

/// A body that is right but for its ids.
fn body(fields: &Map<String, Value>, id: &str) -> Value {
    let value = |(name, schema): (&String, &Value)| {
        let value = match name.as_str() {
            "messages" => json!([{"role": "user", "content": "x"}]),
            "jsonConfiguration" => json!("{}"),
            "contentJson" | "imageUrl" => return None,
            "document" => json!({"persona": {"name": "Kim", "title": "x"}}),
            "status" => json!("inactive"),
            "visibility" => json!("private"),
            name if name.ends_with("Ids") => json!([id]),
            name if is_id(name) => json!(id),
            _ if schema["type"] == "object" => json!({}),
            _ => json!("x"),
        };
        Some((name.clone(), value))
    };
    Value::Object(fields.iter().filter_map(value).collect())
}

impl Client {
    /// Everything of the answer but what differs between any two.
    async fn probe(&self, probe: &Probe) -> (u16, Vec<(String, String)>, String) {
        // The same key for both of a pair: a command's id stands in the refusal of a command that was sent.
        let headers = [("accept", probe.accept), ("idempotency-key", "probe")];
        let answer = self.ask(probe.method.clone(), &probe.path, &headers, probe.body.as_ref()).await;
        assert!(answer.status >= 400, "{} {} {:?}: {}", probe.method, probe.path, probe.body, answer.text);
        let named = answer.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let mut headers: Vec<_> = named.filter(|(name, _)| name != "x-request-id" && name != "date").collect();
        headers.sort();
        (answer.status, headers, answer.text)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
