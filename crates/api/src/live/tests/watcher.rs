//! A client of live queries as a browser would be one: it keeps what it is told, and can be compared with
//! what the queries answer.

use super::caller::Caller;
use crate::test_api::{Answer, TestApi};
use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::{Request, StatusCode, header};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};
use tower::ServiceExt;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// What a client keeps of one query.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    /// Rows by set and key.
    pub(crate) rows: BTreeMap<String, BTreeMap<String, Value>>,
    pub(crate) cards: BTreeMap<String, Value>,
    rest: Map<String, Value>,
}

/// What events come over.
enum Line {
    Stream {
        body: BodyDataStream,
        buffer: String,
    },
    /// Each subscription's id is the text of its query.
    Socket(Box<Caller>),
}

/// One connection.
pub(crate) struct Watcher {
    line: Line,
    pub(crate) id: Option<String>,
    pub(crate) position: u64,
    pub(crate) kept: BTreeMap<String, Kept>,
    /// Attempt and text of running replies.
    pub(crate) texts: BTreeMap<String, (u64, String)>,
    /// Everything it was told.
    pub(crate) told: Vec<Told>,
    /// Names of replies that it may hear deltas of.
    named: Vec<String>,
}

impl Watcher {
    /// Looks at these queries in one stream.
    pub(crate) async fn of(test: &TestApi, user: &str, queries: &[&str]) -> Self {
        Self::resumed(test, user, queries, None).await
    }

    /// The same from where another one stood.
    pub(crate) async fn resumed(test: &TestApi, user: &str, queries: &[&str], id: Option<&str>) -> Self {
        match Self::try_resumed(test, user, queries, id).await {
            Ok(watcher) => watcher,
            Err(answer) => panic!("{queries:?}: {answer:?}"),
        }
    }

    pub(crate) async fn try_of(test: &TestApi, user: &str, queries: &[&str]) -> Result<Self, Answer> {
        Self::try_resumed(test, user, queries, None).await
    }

    pub(crate) async fn try_resumed(
        test: &TestApi,
        user: &str,
        queries: &[&str],
        id: Option<&str>,
    ) -> Result<Self, Answer> {
        let parameters: Vec<String> = queries
            .iter()
            .map(|query| format!("query={}", query.replace('?', "%3F").replace('&', "%26").replace('>', "%3E")))
            .collect();
        Self::at(test, Some(user), &format!("/api/live?{}", parameters.join("&")), id).await
    }

    /// Opens a stream at a URL.
    pub(crate) async fn at(test: &TestApi, user: Option<&str>, url: &str, id: Option<&str>) -> Result<Self, Answer> {
        let mut request = Request::get(url).header(header::ACCEPT, "text/event-stream");
        if let Some(user) = user {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", TestApi::token(user)));
        }
        if let Some(id) = id {
            request = request.header("last-event-id", id);
        }
        let (parts, body) = test.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
        if parts.status != StatusCode::OK {
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            return Err(Answer { status: parts.status, headers: parts.headers, body });
        }
        assert_eq!(parts.headers[header::CONTENT_TYPE], "text/event-stream");
        assert_eq!(parts.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(parts.headers["x-accel-buffering"], "no");
        Ok(Self::over(Line::Stream { body: body.into_data_stream(), buffer: String::new() }, id))
    }

    /// The same over a socket: each query is subscribed to for itself, or all of them are resumed at once.
    pub(crate) async fn on_socket(test: &TestApi, user: &str, queries: &[&str], id: Option<&str>) -> Self {
        let mut caller = Caller::of(test, Some(user)).await;
        let subscriptions = queries.iter().map(|query| json!({"id": query, "query": query}));
        if let Some(id) = id {
            let queries: Vec<Value> = subscriptions.collect();
            caller.say(&json!({"type": "resume", "lastEventId": id, "queries": queries})).await;
        } else {
            for subscription in subscriptions {
                let query = &subscription["query"];
                caller.say(&json!({"type": "subscribe", "id": query, "query": query})).await;
            }
        }
        Self::over(Line::Socket(Box::new(caller)), id)
    }

    /// The next message on the socket that it is, whatever it is.
    pub(crate) async fn next_said(&mut self) -> Value {
        let Line::Socket(caller) = &mut self.line else { panic!("this is no socket") };
        caller.hear().await.unwrap()
    }

    fn over(line: Line, id: Option<&str>) -> Self {
        Self {
            line,
            id: id.map(str::to_owned),
            position: 0,
            kept: BTreeMap::new(),
            texts: BTreeMap::new(),
            told: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Says something on the socket that it is.
    pub(crate) async fn say(&mut self, message: &Value) {
        let Line::Socket(caller) = &mut self.line else { panic!("this is no socket") };
        caller.say(message).await;
    }

    /// Takes over what the client that stood there had.
    pub(crate) fn with(mut self, before: &Self) -> Self {
        self.kept.clone_from(&before.kept);
        self.texts.clone_from(&before.texts);
        self.named.clone_from(&before.named);
        self.position = before.position;
        self
    }

    /// The next event with its comments left out; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        let next = tokio::time::timeout(PATIENCE, self.take_event()).await;
        let told = next.unwrap_or_else(|_| panic!("nothing came after {:#?}", self.told.last()))?;
        self.keep(&told);
        self.told.push(told.clone());
        Some(told)
    }

    async fn take_event(&mut self) -> Option<Told> {
        let (body, buffer) = match &mut self.line {
            Line::Socket(caller) => return caller.event().await,
            Line::Stream { body, buffer } => (body, buffer),
        };
        loop {
            while let Some((event, rest)) = buffer.split_once("\n\n") {
                let event = parse(event);
                *buffer = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let chunk = body.next().await?.unwrap();
            assert!(chunk.len() <= 64 * 1024);
            buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// One chunk of a stream of events as it comes.
    pub(crate) async fn raw(&mut self) -> Option<String> {
        let Line::Stream { body, .. } = &mut self.line else { panic!("a socket has no chunks") };
        let chunk = tokio::time::timeout(PATIENCE, body.next()).await.unwrap()?;
        Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    }

    /// Takes in events until `wanted`.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            assert!(self.next().await.is_some(), "the stream ended: {:#?}", self.told.last());
        }
    }

    /// Reads to the end of the stream; the reason of its last reset.
    pub(crate) async fn end(&mut self) -> String {
        while self.next().await.is_some() {}
        let last = self.told.last().unwrap();
        assert_eq!(last.name, "reset", "{last:?}");
        last.data["reason"].as_str().unwrap().to_owned()
    }

    /// The names of all events so far.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.told.iter().map(|told| told.name.as_str()).collect()
    }

    /// Takes in events until what is kept is what the queries answer now.
    pub(crate) async fn agree(&mut self, test: &TestApi, user: &str) {
        let mut wanted = BTreeMap::new();
        for query in self.kept.keys() {
            let answer = test.ask(user, Request::get(query), None).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}");
            wanted.insert(query.clone(), Kept::of(query, &answer.body));
        }
        loop {
            let different = wanted.iter().find(|(query, wanted)| !self.kept[*query].agrees(wanted));
            let Some((query, wanted)) = different else { return };
            let next = tokio::time::timeout(PATIENCE, self.next()).await;
            let came = next.is_ok_and(|next| next.is_some());
            assert!(came, "{query}\nkept {:#?}\nwanted {wanted:#?}", self.kept[query]);
        }
    }

    fn keep(&mut self, told: &Told) {
        if told.id.is_some() {
            self.id.clone_from(&told.id);
        }
        match told.name.as_str() {
            "snapshot" => {
                self.move_to(&told.data["position"]);
                let query = told.data["query"].as_str().unwrap();
                self.kept.insert(query.to_owned(), Kept::of(query, &told.data["data"]));
                self.note_named(&told.data["data"]["replies"]);
            }
            "change" => {
                let before = self.position;
                self.move_to(&told.data["position"]);
                assert!(self.position > before || self.told.last().is_some_and(|last| last.name == "snapshot"));
                assert!(told.id.is_some());
                for change in told.data["changes"].as_array().unwrap() {
                    self.change(change);
                }
            }
            "delta" => self.delta(&told.data),
            "reset" => {
                // One subscription of a socket has ended, or all that is kept is void.
                let lost = told.data["id"].as_str();
                assert_eq!(told.id.is_some(), lost.is_some(), "{told:?}");
                lost.map(|id| self.kept.remove(id));
            }
            "unsubscribed" => drop(self.kept.remove(told.data["id"].as_str().unwrap())),
            other => panic!("an unknown event {other}"),
        }
    }

    fn move_to(&mut self, position: &Value) {
        let position = position.as_u64().unwrap();
        assert!(position >= self.position, "from {} back to {position}", self.position);
        self.position = position;
    }

    fn change(&mut self, change: &Value) {
        let (query, set) = (change["query"].as_str().unwrap(), change["set"].as_str().unwrap());
        let key = change["key"].as_str().unwrap().to_owned();
        let kept = self.kept.get_mut(query).unwrap_or_else(|| panic!("a change of {query} before its snapshot"));
        let is_card = set == "advisors" && !query.starts_with("/api/advisors");
        let rows = if is_card { &mut kept.cards } else { kept.rows.entry(set.to_owned()).or_default() };
        match change["op"].as_str().unwrap() {
            "upsert" => {
                let mut row = change["row"].clone();
                assert!(row.is_object(), "{change}");
                if set == "replies" {
                    row["text"] = json!("");
                    self.named.push(key.clone());
                }
                rows.insert(key, row);
            }
            "remove" => {
                assert!(change["row"].is_null());
                rows.remove(&key);
                if set == "replies" {
                    self.named.retain(|named| *named != key);
                }
            }
            op => panic!("an unknown op {op}"),
        }
    }

    fn note_named(&mut self, replies: &Value) {
        for reply in replies.as_array().into_iter().flatten() {
            self.named.push(reply["replyId"].as_str().unwrap().to_owned());
        }
    }

    fn delta(&mut self, delta: &Value) {
        let reply = delta["replyId"].as_str().unwrap();
        assert!(self.named.iter().any(|named| named == reply), "a delta of a reply that is not named, or not any more");
        let attempt = delta["attempt"].as_u64().unwrap();
        let (at, text) = self.texts.entry(reply.to_owned()).or_default();
        assert!(attempt >= *at, "from attempt {at} back to {attempt}");
        let kept: Vec<u16> = if attempt > *at { Vec::new() } else { text.encode_utf16().collect() };
        let offset = usize::try_from(delta["offset"].as_u64().unwrap()).unwrap();
        assert!(offset <= kept.len(), "a gap before {offset} in a text of {}", kept.len());
        let begin = String::from_utf16(&kept[..offset]).unwrap();
        (*at, *text) = (attempt, begin + delta["text"].as_str().unwrap());
    }
}

impl Kept {
    /// What a client keeps of a query's own JSON.
    pub(crate) fn of(query: &str, data: &Value) -> Self {
        let mut kept = Self::default();
        let path = query.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_start_matches("/api/").split('/').collect();
        match parts.as_slice() {
            ["me"] => kept.put("me", "id", data.clone()),
            ["advisors"] => data.as_array().unwrap().iter().for_each(|card| kept.put("advisors", "id", card.clone())),
            ["advisors", _] => kept.put("advisors", "id", data.clone()),
            ["conversations"] => {
                for item in data.as_array().unwrap() {
                    let item = kept.without_card(item, "activeAdvisor", "activeAdvisorId");
                    kept.put("conversations", "id", item);
                }
            }
            ["conversations", _] => {
                let mut row = kept.without_card(data, "activeAdvisor", "activeAdvisorId");
                let fields = row.as_object_mut().unwrap();
                let (messages, replies) = (fields.remove("messages").unwrap(), fields.remove("replies").unwrap());
                kept.rest.insert("hasMore".to_owned(), fields.remove("hasMore").unwrap());
                kept.put("conversation", "id", row);
                kept.messages(&messages);
                for reply in replies.as_array().unwrap() {
                    let mut reply = reply.clone();
                    reply["text"] = json!("");
                    kept.put("replies", "replyId", reply);
                }
            }
            ["conversations", _, "messages"] => {
                kept.rest.insert("nextBefore".to_owned(), data["nextBefore"].clone());
                kept.messages(&data["messages"]);
            }
            other => panic!("an unknown query {other:?}"),
        }
        kept
    }

    /// Whether all that a query answers is kept: its rows exactly, and at least its cards.
    fn agrees(&self, answer: &Self) -> bool {
        let rows = |kept: &Self| -> Vec<_> {
            let sets = kept.rows.iter().filter(|(_, rows)| !rows.is_empty());
            sets.map(|(set, rows)| (set.clone(), rows.clone())).collect()
        };
        let has_card = |(id, card): (&String, &Value)| {
            let kept = self.cards.get(id);
            kept.is_some_and(|kept| card.as_object().unwrap().iter().all(|(name, value)| kept[name] == *value))
        };
        rows(self) == rows(answer) && self.rest == answer.rest && answer.cards.iter().all(has_card)
    }

    fn messages(&mut self, messages: &Value) {
        for message in messages.as_array().unwrap() {
            let message = self.without_card(message, "advisor", "advisorId");
            self.put("messages", "id", message);
        }
    }

    fn without_card(&mut self, row: &Value, card: &str, id: &str) -> Value {
        let mut row = row.clone();
        let card = row.as_object_mut().unwrap().remove(card).unwrap();
        if card.is_object() {
            row[id] = card["id"].clone();
            self.cards.insert(card["id"].as_str().unwrap().to_owned(), card);
        } else if row.get(id).is_none() {
            row[id] = Value::Null;
        }
        row
    }

    fn put(&mut self, set: &str, key: &str, row: Value) {
        let key = row[key].as_str().unwrap().to_owned();
        self.rows.entry(set.to_owned()).or_default().insert(key, row);
    }
}

/// An event of its lines; `None` for comments and times of reconnecting.
fn parse(text: &str) -> Option<Told> {
    let (mut name, mut id, mut data) = (None, None, Vec::new());
    for line in text.split('\n') {
        let (field, value) = line.split_once(": ").unwrap_or((line, ""));
        match field {
            "event" => name = Some(value.to_owned()),
            "id" => id = Some(value.to_owned()),
            "data" => data.push(value),
            "" | ":" | "retry" => {}
            other => panic!("an unknown field {other}"),
        }
    }
    Some(Told { name: name?, id, data: serde_json::from_str(&data.join("\n")).unwrap() })
}
