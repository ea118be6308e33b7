//! What goes over the wire: events of a stream as bytes, in frames of at most 64 KiB.

use super::id::EventId;
use bytes::Bytes;
use serde::Serialize;
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

#[derive(Serialize)]
struct Reset {
    reason: ResetReason,
}

/// Bytes that wait to be handed to the connection.
#[derive(Default)]
pub(crate) struct Frames {
    waiting: VecDeque<Frame>,
}

struct Frame {
    bytes: Bytes,
    /// Whether an event begins with it.
    begins: bool,
}

impl Frames {
    /// The next frame.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.waiting.pop_front().map(|frame| frame.bytes)
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// An event whose data is JSON text.
    pub(crate) fn event(&mut self, name: &str, id: Option<&EventId>, data: &str) {
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
        self.push(Bytes::from(text));
    }

    /// A comment, so that both ends see that the other lives.
    pub(crate) fn heartbeat(&mut self) {
        self.push(Bytes::from_static(b":\n\n"));
    }

    /// How long the client waits before it connects again.
    pub(crate) fn retry(&mut self, delay: Duration) {
        self.push(Bytes::from(format!("retry: {}\n\n", delay.as_millis())));
    }

    /// What the client has is void, and why.
    pub(crate) fn reset(&mut self, reason: ResetReason) {
        let data = serde_json::to_string(&Reset { reason }).unwrap_or_default();
        self.event("reset", None, &data);
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
            self.waiting.push_back(Frame { bytes: bytes.split_to(FRAME_BYTES_MAX), begins });
            begins = false;
        }
        self.waiting.push_back(Frame { bytes, begins });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{id::QuerySetHash, query::LiveQuery};
    use advisor_eventlog::Position;

    #[test]
    fn an_event_has_its_name_its_id_and_one_line_of_data() {
        let id = EventId { generation: 1, position: Position(9), hash: QuerySetHash::of(None, &[LiveQuery::Advisors]) };
        let mut frames = Frames::default();
        frames.event("change", Some(&id), r#"{"position":9}"#);
        frames.event("delta", None, "{}");
        let id = id.to_string();
        assert_eq!(
            text(frames),
            format!("event: change\nid: {id}\ndata: {{\"position\":9}}\n\nevent: delta\ndata: {{}}\n\n")
        );
    }

    #[test]
    fn line_breaks_in_the_data_end_no_event() {
        let mut frames = Frames::default();
        frames.event("change", None, "a\r\ndata: b\n\ndata: c\rd");
        assert_eq!(text(frames), "event: change\ndata: a\ndata: data: b\ndata: \ndata: data: c\ndata: d\n\n");
    }

    #[test]
    fn a_large_event_goes_out_in_frames() {
        let mut frames = Frames::default();
        let data = "x".repeat(3 * FRAME_BYTES_MAX);
        frames.event("snapshot", None, &data);
        assert_eq!(frames.waiting.len(), 4);
        assert!(frames.waiting.iter().all(|frame| frame.bytes.len() <= FRAME_BYTES_MAX));
        assert_eq!(text(frames), format!("event: snapshot\ndata: {data}\n\n"));
    }

    #[test]
    fn an_event_that_was_handed_over_in_part_is_told_apart() {
        let mut frames = Frames::default();
        frames.event("snapshot", None, &"x".repeat(FRAME_BYTES_MAX));
        frames.pop();
        assert!(!frames.drop_rest());
        assert!(frames.is_empty());
        frames.heartbeat();
        assert!(frames.drop_rest());
    }

    #[test]
    fn a_reset_says_why() {
        let mut frames = Frames::default();
        frames.retry(Duration::from_secs(2));
        frames.reset(ResetReason::Shutdown);
        assert_eq!(text(frames), "retry: 2000\n\nevent: reset\ndata: {\"reason\":\"shutdown\"}\n\n");
    }

    fn text(mut frames: Frames) -> String {
        let mut bytes = Vec::new();
        while let Some(frame) = frames.pop() {
            bytes.extend_from_slice(&frame);
        }
        String::from_utf8(bytes).unwrap()
    }
}
