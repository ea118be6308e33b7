//! What a client of live queries keeps: rows by query, set and key. Cards of advisors are left out; nobody changes
//! any here.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a client keeps of all its queries.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept(BTreeMap<(String, String, String), Value>);

impl Kept {
    /// Takes a query's whole answer in the place of what is kept of it.
    pub(crate) fn replace(&mut self, query: &str, data: &Value) {
        self.0.retain(|(of, _, _), _| of != query);
        if let Some(items) = data.as_array() {
            self.put_all(query, "conversations", "id", items);
            return;
        }
        let mut row = data.clone();
        let fields = row.as_object_mut().expect("a conversation");
        let (messages, replies) = (fields.remove("messages"), fields.remove("replies"));
        fields.remove("hasMore");
        self.put_all(query, "conversation", "id", &[row]);
        for (set, key, rows) in [("messages", "id", messages), ("replies", "replyId", replies)] {
            self.put_all(query, set, key, rows.as_ref().and_then(Value::as_array).expect("rows"));
        }
    }

    /// Takes one change of a row in.
    pub(crate) fn change(&mut self, change: &Value) {
        let text = |name: &str| change[name].as_str().expect("a text").to_owned();
        let place = (text("query"), text("set"), text("key"));
        match (place.1.as_str(), change["op"].as_str()) {
            ("advisors", _) => {}
            (_, Some("remove")) => drop(self.0.remove(&place)),
            _ => drop(self.0.insert(place, plain(&change["row"]))),
        }
    }

    /// Where the two differ.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let places = self.0.keys().chain(other.0.keys());
        let mut different = places.filter(|place| self.0.get(*place) != other.0.get(*place));
        let place = different.next()?;
        Some(format!("{place:?}: {:?} is kept where {:?} is there", self.0.get(place), other.0.get(place)))
    }

    fn put_all(&mut self, query: &str, set: &str, key: &str, rows: &[Value]) {
        for row in rows {
            let place = (query.to_owned(), set.to_owned(), row[key].as_str().expect("a key").to_owned());
            self.0.insert(place, plain(row));
        }
    }
}

/// The row as both a whole answer and a change tell it: advisors by their ids, running texts apart.
fn plain(row: &Value) -> Value {
    let mut row = row.clone();
    let fields = row.as_object_mut().expect("a row");
    for (card, id) in [("activeAdvisor", "activeAdvisorId"), ("advisor", "advisorId")] {
        if let Some(card) = fields.remove(card) {
            fields.insert(id.to_owned(), card["id"].clone());
        }
    }
    if fields.contains_key("replyId") {
        fields.insert("text".to_owned(), json!(""));
    }
    row
}
