//! A client of live queries: it keeps what it was told, as a browser would.

use crate::server::{Client, PATIENCE};
use eventsource_stream::Eventsource;
use futures::{StreamExt, stream::BoxStream};
use reqwest::Method;
use serde_json::Value;
use std::{collections::BTreeMap, future::ready};

/// One event.
pub(crate) struct Told {
    pub(crate) name: String,
    /// Where the connection stands after it, if that is the end of a move.
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// The state of one connection to `/api/live`.
pub(crate) struct LiveClient {
    events: BoxStream<'static, Told>,
    /// Each query's own JSON, moved along by changes.
    pub(crate) data: BTreeMap<String, Value>,
    /// The text of each running reply with its attempt, put together from deltas.
    pub(crate) drafts: BTreeMap<String, (u64, String)>,
    /// Where the connection stands.
    pub(crate) last_id: Option<String>,
    /// The last position it was told; positions never go back.
    pub(crate) position: u64,
    /// Reasons of the resets it was sent.
    pub(crate) resets: Vec<String>,
}

impl LiveClient {
    /// Connects to several queries at once, from scratch or from where another connection stood.
    pub(crate) async fn connect(client: &Client, queries: &[String], last_id: Option<&str>) -> Self {
        Self::try_connect(client, queries, last_id).await.unwrap()
    }

    /// The same, where the server may be gone.
    pub(crate) async fn try_connect(
        client: &Client,
        queries: &[String],
        last_id: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        let query: Vec<String> = queries.iter().map(|query| format!("query={}", query.replace('?', "%3F"))).collect();
        let mut request = client
            .request(Method::GET, &format!("/api/live?{}", query.join("&")))
            .header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await?.error_for_status()?;
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        // A connection that breaks ends the stream of events.
        let events = response.bytes_stream().eventsource().take_while(|event| ready(event.is_ok()));
        let events = events.filter_map(|event| ready(event.ok())).map(|event| Told {
            name: event.event,
            id: Some(event.id).filter(|id| !id.is_empty()),
            data: serde_json::from_str(&event.data).unwrap(),
        });
        Ok(Self::of(events.boxed(), last_id))
    }

    /// The state of this connection, moved along by another one that began where this one stood.
    pub(crate) fn go_on(&mut self, with: Self) {
        self.events = with.events;
    }

    /// One that hears these events.
    pub(crate) fn of(events: BoxStream<'static, Told>, last_id: Option<&str>) -> Self {
        Self {
            events,
            data: BTreeMap::new(),
            drafts: BTreeMap::new(),
            last_id: last_id.map(str::to_owned),
            position: 0,
            resets: Vec::new(),
        }
    }

    /// Takes in events until the state is as it is wanted.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !wanted(self) {
                assert!(self.next().await, "the stream ended while waiting: {what}");
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
        assert!(in_time, "waited in vain: {what}\n{:#?}\n{:?}", self.data, self.drafts);
    }

    /// Takes in one event; false when the stream has ended.
    pub(crate) async fn next(&mut self) -> bool {
        let Some(event) = self.events.next().await else { return false };
        let Told { name, id, data } = event;
        self.last_id = id.or(self.last_id.take());
        match name.as_str() {
            "snapshot" => self.snapshot(&data),
            "change" => self.change(&data),
            "delta" => self.delta(&data),
            "reset" => self.resets.push(data["reason"].as_str().unwrap().to_owned()),
            "unsubscribed" => drop(self.data.remove(data["id"].as_str().unwrap())),
            other => panic!("an unknown event {other}"),
        }
        true
    }

    fn moved_to(&mut self, position: &Value) {
        let position = position.as_u64().unwrap();
        assert!(position >= self.position, "from {} back to {position}", self.position);
        self.position = position;
    }

    fn snapshot(&mut self, event: &Value) {
        self.moved_to(&event["position"]);
        self.data.insert(event["query"].as_str().unwrap().to_owned(), event["data"].clone());
    }

    fn change(&mut self, event: &Value) {
        self.moved_to(&event["position"]);
        for change in event["changes"].as_array().unwrap() {
            let query = change["query"].as_str().unwrap();
            let data = self.data.get_mut(query).expect("a change of a query without snapshot");
            match change["set"].as_str().unwrap() {
                "conversation" | "me" => merge(data, &change["row"]),
                // A card that the query's rows name: this client keeps none.
                "advisors" if !query.starts_with("/api/advisors") => {}
                "conversations" | "advisors" => change_rows(data, change),
                set => change_rows(&mut data[set], change),
            }
        }
        if let Some(list) = self.data.get_mut("/api/conversations").and_then(Value::as_array_mut) {
            list.sort_by(|a, b| b["updatedAt"].as_str().cmp(&a["updatedAt"].as_str()));
        }
    }

    fn delta(&mut self, event: &Value) {
        let (attempt, offset) = (event["attempt"].as_u64().unwrap(), event["offset"].as_u64().unwrap());
        let draft = self.drafts.entry(event["replyId"].as_str().unwrap().to_owned()).or_default();
        if attempt < draft.0 {
            return;
        }
        if attempt > draft.0 {
            *draft = (attempt, String::new());
        }
        let kept: Vec<u16> = draft.1.encode_utf16().collect();
        let offset = usize::try_from(offset).unwrap();
        assert!(offset <= kept.len(), "a gap before offset {offset} in a text of {}", kept.len());
        draft.1 = String::from_utf16(&kept[..offset]).unwrap() + event["text"].as_str().unwrap();
    }
}

fn merge(data: &mut Value, row: &Value) {
    let Some(fields) = row.as_object() else { return };
    for (name, value) in fields {
        data[name] = value.clone();
    }
}

fn change_rows(rows: &mut Value, change: &Value) {
    let rows = rows.as_array_mut().unwrap();
    let key = |row: &Value| row.get("replyId").or_else(|| row.get("id")).cloned();
    let place = rows.iter().position(|row| key(row).as_ref() == Some(&change["key"]));
    match (change["op"].as_str().unwrap(), place) {
        ("upsert", Some(place)) => merge(&mut rows[place], &change["row"]),
        ("upsert", None) => rows.push(change["row"].clone()),
        ("remove", Some(place)) => drop(rows.remove(place)),
        ("remove", None) => {}
        (op, _) => panic!("an unknown op {op}"),
    }
}
