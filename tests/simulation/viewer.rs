//! A client of live queries: whatever becomes of its connections, it comes to have what the queries answer, and the
//! texts of running replies come to it without a gap.

use crate::{dice::Dice, kept::Kept, process::Process, server::Served, world::World};
use axum::body::{Body, to_bytes};
use futures::StreamExt;
use http::{Request, StatusCode, header};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tower::ServiceExt;

/// Most bytes of a whole answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A viewer; what it keeps outlives its process, as a page outlives its connections.
pub(crate) struct Viewer {
    name: String,
    person: String,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    last_event_id: Option<String>,
    position: u64,
    /// Everything up to here has been told, and is not told again.
    told: Option<u64>,
    kept: Kept,
    /// By reply, the attempt and its text so far.
    texts: BTreeMap<String, (u64, Vec<u16>)>,
    /// By reply, the attempt that this connection has told of last.
    attempts: BTreeMap<String, u64>,
}

/// What a viewer asks for.
enum Wanted {
    /// What a query answers.
    Answer,
    /// What it answers from now on, or from the event that was heard last.
    Stream { after: Option<String> },
}

impl Viewer {
    /// A viewer of this person's conversation and list of conversations.
    pub(crate) fn new(person: &str) -> Arc<Self> {
        Arc::new(Self { name: format!("viewer.{person}"), person: person.to_owned(), memory: Mutex::default() })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Looks, and looks again from where it stands when a connection ends.
    pub(crate) async fn run(self: Arc<Self>, process: Arc<Process>, world: World) {
        let dice = world.weather.dice(&process.name);
        while process.is_up().await {
            if let Some(served) = world.served() {
                let watching = self.watch(&process, &served, &dice, &world);
                let cut = served.process.cut_off(watching).await.is_none();
                world.weather.note(&self.name, if cut { "is cut off" } else { "has no connection any more" });
            }
            tokio::time::sleep(dice.ms(100..2_000)).await;
        }
    }

    /// Where what it keeps is not what the queries answer.
    pub(crate) async fn differences(&self, served: &Served) -> Vec<String> {
        let mut fresh = Kept::default();
        for query in self.queries() {
            match self.ask(served, &query, Wanted::Answer).await {
                Ok(body) => {
                    let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.expect("an answer");
                    fresh.replace(&query, &serde_json::from_slice(&bytes).expect("JSON"));
                }
                Err(status) => return vec![format!("{query} answers {status}")],
            }
        }
        let difference = self.memory.lock().unwrap().kept.difference(&fresh);
        difference.map(|difference| format!("{}: {difference}", self.name)).into_iter().collect()
    }

    async fn watch(&self, process: &Process, served: &Served, dice: &Dice, world: &World) {
        let queries: Vec<String> = self.queries().iter().map(|query| format!("query={query}")).collect();
        let after = self.memory.lock().unwrap().last_event_id.clone();
        let Ok(body) = self.ask(served, &format!("/api/live?{}", queries.join("&")), Wanted::Stream { after }).await
        else {
            return;
        };
        self.memory.lock().unwrap().attempts.clear();
        let (mut body, mut text) = (body.into_data_stream(), String::new());
        while let Some(Ok(chunk)) = body.next().await {
            text.push_str(std::str::from_utf8(&chunk).expect("text"));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let event = event.to_owned();
                text = rest.to_owned();
                self.hear(&event, world);
            }
            if !process.is_up().await || world.weather.strikes(dice, 15) {
                return;
            }
        }
    }

    async fn ask(&self, served: &Served, url: &str, wanted: Wanted) -> Result<Body, StatusCode> {
        let mut request = Request::get(url).header(header::AUTHORIZATION, served.authorization(&self.person));
        if let Wanted::Stream { after } = wanted {
            request = request.header(header::ACCEPT, "text/event-stream");
            if let Some(id) = after {
                request = request.header("last-event-id", id);
            }
        }
        let request = request.body(Body::empty()).expect("a request");
        let answer = served.router.clone().oneshot(request).await.expect("an answer");
        if answer.status() == StatusCode::OK { Ok(answer.into_body()) } else { Err(answer.status()) }
    }

    fn queries(&self) -> [String; 2] {
        ["/api/conversations".to_owned(), format!("/api/conversations/of-{}", self.person)]
    }

    fn hear(&self, event: &str, world: &World) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let (Some(name), Some(data)) = (field("event"), field("data")) else { return };
        let data: Value = serde_json::from_str(data).expect("JSON");
        let mut memory = self.memory.lock().unwrap();
        if name != "delta" {
            world.weather.note(&self.name, &format!("hears {name} {}{}", data["position"], data["reason"]));
        }
        if let Some(position) = data["position"].as_u64() {
            if position < memory.position {
                world.weather.wrong(format!("{}: from {} back to {position}", self.name, memory.position));
            }
            memory.position = position;
            if memory.told.is_some_and(|told| position <= told) {
                world.weather.wrong(format!("{}: {name} of {position} is told again", self.name));
            }
        }
        if let Some(id) = field("id") {
            memory.last_event_id = Some(id.to_owned());
            memory.told = id.split(':').nth(1).and_then(|position| position.parse().ok());
        }
        match name {
            "snapshot" => memory.kept.replace(data["query"].as_str().expect("a query"), &data["data"]),
            "change" => {
                data["changes"].as_array().expect("changes").iter().for_each(|change| memory.kept.change(change));
            }
            "delta" => {
                if let Err(gap) = memory.append(&data) {
                    world.weather.wrong(format!("{}: {gap}", self.name));
                }
            }
            // What is kept is void, and comes anew; a later position may be an earlier one.
            "reset" => (memory.position, memory.told) = (0, None),
            other => world.weather.wrong(format!("{}: an unknown event {other}", self.name)),
        }
    }
}

impl Memory {
    /// A higher attempt begins anew; in one attempt nothing is left out. A new connection begins with what is written,
    /// which may be an earlier attempt than the one before has heard of: that is nothing new.
    fn append(&mut self, delta: &Value) -> Result<(), String> {
        let number = |name: &str| delta[name].as_u64().expect("a number");
        let (attempt, reply) = (number("attempt"), delta["replyId"].as_str().expect("a reply"));
        let (at, text) = self.texts.entry(reply.to_owned()).or_default();
        let before = self.attempts.insert(reply.to_owned(), attempt).unwrap_or_default();
        if attempt < before {
            return Err(format!("{reply} goes from attempt {before} back to {attempt}"));
        }
        if attempt < *at {
            return Ok(());
        }
        if attempt > *at {
            (*at, *text) = (attempt, Vec::new());
        }
        let offset = usize::try_from(number("offset")).expect("a small number");
        if offset > text.len() {
            return Err(format!("{reply} has a gap from {} to {offset}", text.len()));
        }
        text.truncate(offset);
        text.extend(delta["text"].as_str().expect("a text").encode_utf16());
        Ok(())
    }
}
