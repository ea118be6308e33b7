//! What goes over the wire: events as server-sent events or as JSON messages of a socket, in frames of at
//! most 64 KiB.

use super::id::{EventId, SubscriptionId};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{collections::VecDeque, time::Duration};

/// Most bytes that are handed to the connection at once. An event may be larger, as the answer of the
/// query itself may be: it goes out in several frames, the next one only when there is room for it.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Why a stream is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResetReason {
    /// The id is older than the changes that are kept.
    Retention,
    /// The id is of another generation of the read models, or of another log.
    Generation,
    /// The client did not read in time.
    Slow,
    /// The sign-in has ended.
    Session,
    /// A conversation of the stream was deleted.
    Gone,
    /// The server stops.
    Shutdown,
    /// The id is of another set of queries, or none at all.
    Query,
}

/// How events look on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As server-sent events.
    EventStream,
    /// As JSON messages, each with its `type`.
    Socket,
}

/// Everything that a query shows. `id` is the name that a socket's client gave to the query.
#[derive(Serialize)]
pub(crate) struct Snapshot<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a SubscriptionId>,
    pub(crate) query: &'a str,
    pub(crate) position: u64,
    /// It is older than the position: an event of it can't be applied, and later ones wait.
    #[serde(rename = "parked", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_parked: bool,
    pub(crate) data: &'a RawValue,
}

/// What changed, of all queries.
#[derive(Serialize)]
pub(crate) struct Change<'a> {
    pub(crate) position: u64,
    pub(crate) changes: Vec<ChangeOfRow<'a>>,
}

/// A row that changed.
#[derive(Serialize)]
pub(crate) struct ChangeOfRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a SubscriptionId>,
    pub(crate) query: &'a str,
    pub(crate) set: &'static str,
    pub(crate) op: &'static str,
    pub(crate) key: &'a str,
    pub(crate) row: Option<&'a RawValue>,
}

/// What the client has is void, and why: all of it, or what the query of this id showed.
#[derive(Serialize)]
struct Reset<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a SubscriptionId>,
    reason: ResetReason,
}

/// An event as a message of a socket.
#[derive(Serialize)]
struct Message<'a, T> {
    #[serde(rename = "type")]
    name: &'static str,
    #[serde(flatten)]
    data: &'a T,
    #[serde(rename = "eventId", skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// Bytes that wait to be handed to the connection.
pub(crate) struct Frames {
    wire: Wire,
    waiting: VecDeque<Frame>,
}

/// Bytes that are handed over at once: an event, or a part of a large one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    /// Whether an event begins with it.
    pub(crate) begins: bool,
    /// Whether an event ends with it.
    pub(crate) ends: bool,
}

impl Frames {
    /// Nothing waits.
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, waiting: VecDeque::new() }
    }

    /// How its events look.
    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    /// The next frame.
    pub(crate) fn pop(&mut self) -> Option<Frame> {
        self.waiting.pop_front()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.iter().map(|frame| frame.bytes.len()).sum()
    }

    /// An event.
    pub(crate) fn event<T: Serialize>(
        &mut self,
        name: &'static str,
        id: Option<&EventId>,
        data: &T,
    ) -> Result<(), serde_json::Error> {
        let text = match self.wire {
            Wire::EventStream => event_of_stream(name, id, &serde_json::to_string(data)?),
            Wire::Socket => serde_json::to_string(&Message { name, data, id: id.map(EventId::to_string) })?,
        };
        self.push(Bytes::from(text));
        Ok(())
    }

    /// A comment, so that both ends see that the other lives. A socket has pings for that.
    pub(crate) fn heartbeat(&mut self) {
        match self.wire {
            Wire::EventStream => self.push(Bytes::from_static(b":\n\n")),
            Wire::Socket => {}
        }
    }

    /// How long the client waits before it connects again. Who writes a client of sockets knows.
    pub(crate) fn retry(&mut self, delay: Duration) {
        match self.wire {
            Wire::EventStream => self.push(Bytes::from(format!("retry: {}\n\n", delay.as_millis()))),
            Wire::Socket => {}
        }
    }

    /// What the client has is void, and why.
    pub(crate) fn reset(&mut self, reason: ResetReason) {
        self.plain_event("reset", None, &Reset { id: None, reason });
    }

    /// The same for the query of this id alone; the connection stands at `at` without it.
    pub(crate) fn reset_one(&mut self, id: Option<&SubscriptionId>, reason: ResetReason, at: &EventId) {
        self.plain_event("reset", Some(at), &Reset { id, reason });
    }

    /// An event that is never too odd to be written.
    pub(crate) fn plain_event<T: Serialize>(&mut self, name: &'static str, id: Option<&EventId>, data: &T) {
        if let Err(error) = self.event(name, id, data) {
            tracing::error!(event.name = name, event.error = %error, "an event can't be written");
        }
    }

    /// Takes back what was not handed over yet; false when an event was handed over in part.
    pub(crate) fn drop_rest(&mut self) -> bool {
        let whole = self.waiting.front().is_none_or(|frame| frame.begins);
        self.waiting.clear();
        whole
    }

    fn push(&mut self, mut bytes: Bytes) {
        let mut begins = true;
        while bytes.len() > FRAME_BYTES_MAX {
            self.waiting.push_back(Frame { bytes: bytes.split_to(FRAME_BYTES_MAX), begins, ends: false });
            begins = false;
        }
        self.waiting.push_back(Frame { bytes, begins, ends: true });
    }
}

/// A server-sent event whose data is JSON text.
fn event_of_stream(name: &str, id: Option<&EventId>, data: &str) -> String {
    let mut text = String::with_capacity(data.len() + name.len() + 96);
    text.push_str("event: ");
    text.push_str(name);
    text.push('\n');
    if let Some(id) = id {
        text.push_str("id: ");
        text.push_str(&id.to_string());
        text.push('\n');
    }
    // JSON as we write it is one line. Were it not, each line would still be one of its own.
    for line in data.split("\r\n").flat_map(|line| line.split(['\n', '\r'])) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{id::QuerySetHash, query::LiveQuery};
    use advisor_eventlog::Position;
    use serde_json::json;

    #[test]
    fn an_event_has_its_name_its_id_and_one_line_of_data() {
        let id = id();
        let mut frames = Frames::new(Wire::EventStream);
        frames.event("change", Some(&id), &json!({"position": 9})).unwrap();
        frames.event("delta", None, &json!({})).unwrap();
        assert_eq!(
            text(frames),
            format!("event: change\nid: {id}\ndata: {{\"position\":9}}\n\nevent: delta\ndata: {{}}\n\n")
        );
    }

    #[test]
    fn on_a_socket_the_same_event_is_a_message_with_its_type() {
        let (id, data) = (id(), serde_json::from_str::<Box<RawValue>>("{\"a\": 1.50}").unwrap());
        let mut frames = Frames::new(Wire::Socket);
        let subscription = SubscriptionId::Text("s1".to_owned());
        let snapshot =
            Snapshot { id: Some(&subscription), query: "/api/me", position: 9, is_parked: false, data: &data };
        frames.event("snapshot", Some(&id), &snapshot).unwrap();
        assert_eq!(
            text(frames),
            format!(
                r#"{{"type":"snapshot","id":"s1","query":"/api/me","position":9,"data":{{"a": 1.50}},"eventId":"{id}"}}"#
            )
        );
    }

    #[test]
    fn line_breaks_in_the_data_end_no_event() {
        assert_eq!(
            event_of_stream("change", None, "a\r\ndata: b\n\ndata: c\rd"),
            "event: change\ndata: a\ndata: data: b\ndata: \ndata: data: c\ndata: d\n\n"
        );
    }

    #[test]
    fn a_large_event_goes_out_in_frames() {
        let data = "x".repeat(3 * FRAME_BYTES_MAX);
        for (wire, whole) in [
            (Wire::EventStream, format!("event: snapshot\ndata: {{\"a\":\"{data}\"}}\n\n")),
            (Wire::Socket, format!("{{\"type\":\"snapshot\",\"a\":\"{data}\"}}")),
        ] {
            let mut frames = Frames::new(wire);
            frames.event("snapshot", None, &json!({"a": data})).unwrap();
            let parts: Vec<_> = frames.waiting.iter().map(|frame| (frame.begins, frame.ends)).collect();
            assert_eq!(parts, [(true, false), (false, false), (false, false), (false, true)]);
            assert!(frames.waiting.iter().all(|frame| frame.bytes.len() <= FRAME_BYTES_MAX));
            assert_eq!(text(frames), whole);
        }
    }

    #[test]
    fn an_event_that_was_handed_over_in_part_is_told_apart() {
        let mut frames = Frames::new(Wire::EventStream);
        frames.event("snapshot", None, &"x".repeat(FRAME_BYTES_MAX)).unwrap();
        frames.pop();
        assert!(!frames.drop_rest());
        assert!(frames.is_empty());
        frames.heartbeat();
        assert!(frames.drop_rest());
    }

    #[test]
    fn a_reset_says_why() {
        let mut frames = Frames::new(Wire::EventStream);
        frames.retry(Duration::from_secs(2));
        frames.reset(ResetReason::Shutdown);
        assert_eq!(text(frames), "retry: 2000\n\nevent: reset\ndata: {\"reason\":\"shutdown\"}\n\n");
        let mut frames = Frames::new(Wire::Socket);
        frames.retry(Duration::from_secs(2));
        frames.heartbeat();
        frames.reset(ResetReason::Shutdown);
        frames.reset_one(Some(&SubscriptionId::Number(7)), ResetReason::Gone, &id());
        assert_eq!(
            text(frames),
            [
                r#"{"type":"reset","reason":"shutdown"}"#,
                &format!(r#"{{"type":"reset","id":7,"reason":"gone","eventId":"{}"}}"#, id()),
            ]
            .concat()
        );
    }

    fn id() -> EventId {
        EventId { generation: 1, position: Position(9), hash: QuerySetHash::of(None, &[&LiveQuery::Advisors]) }
    }

    fn text(mut frames: Frames) -> String {
        let mut bytes = Vec::new();
        while let Some(frame) = frames.pop() {
            bytes.extend_from_slice(&frame.bytes);
        }
        String::from_utf8(bytes).unwrap()
    }
}
