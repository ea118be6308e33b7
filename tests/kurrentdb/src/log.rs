//! The log as we read that the server keeps it.

use bytes::Bytes;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::UNIX_EPOCH,
};
use uuid::Uuid;

/// Every so many appends the system writes something itself.
const APPENDS_PER_STATISTIC: u64 = 50;

/// An event as it is kept.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its stream.
    pub stream: String,
    /// From 0.
    pub revision: u64,
    /// Both of its position's numbers: they are equal.
    pub position: u64,
    /// Its id.
    pub id: Uuid,
    /// `type`, `content-type` and `created`.
    pub system_metadata: HashMap<String, String>,
    /// What the writer calls its metadata.
    pub metadata: Bytes,
    /// Its data.
    pub data: Bytes,
}

/// An event that somebody asks to append.
#[derive(Clone, Debug)]
pub(crate) struct Proposed {
    pub(crate) id: Uuid,
    pub(crate) system_metadata: HashMap<String, String>,
    pub(crate) metadata: Bytes,
    pub(crate) data: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Any,
    Exists,
    NoStream,
    Exact(u64),
}

/// What an append came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Written {
        last: u64,
        position: u64,
    },
    /// The same ids stand there already.
    Repeated {
        last: u64,
    },
    Wrong {
        actual: Option<u64>,
    },
    Deleted,
}

#[derive(Default)]
pub(crate) struct Log {
    all: Vec<Arc<Stored>>,
    streams: HashMap<String, Vec<Arc<Stored>>>,
    /// Revisions below are hidden.
    deleted_below: HashMap<String, u64>,
    tombstones: HashSet<String>,
    appends: u64,
    /// Where the next event will stand: bytes of a file, as it were.
    next_position: u64,
}

impl Log {
    /// With what a server has in it before anybody else comes.
    pub(crate) fn new() -> Self {
        let mut log = Self { next_position: 264, ..Self::default() };
        for (stream, type_name) in [
            ("$settings", "$settings"),
            ("$$$users", "$metadata"),
            ("$users", "$User"),
            ("orders-1", "order-placed"),
            ("$stats-127.0.0.1:2113", "$statsCollected"),
        ] {
            log.append_foreign(stream, type_name);
        }
        log
    }

    pub(crate) fn append(&mut self, stream: &str, expected: Expected, events: Vec<Proposed>) -> Outcome {
        if self.tombstones.contains(stream) {
            return Outcome::Deleted;
        }
        let there = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let last = there.last().map(|last| last.revision);
        // Whoever expects no stream may begin a deleted one again.
        let visible_last = last.filter(|last| self.deleted_below.get(stream).is_none_or(|below| below <= last));
        let next = match expected {
            Expected::Any => there.len(),
            Expected::Exists if visible_last.is_some() => there.len(),
            Expected::Exists => return Outcome::Wrong { actual: None },
            Expected::NoStream if visible_last.is_none() => there.len(),
            Expected::NoStream => 0,
            Expected::Exact(last) => index(last).saturating_add(1),
        };
        if next == there.len() {
            return self.write(stream, events);
        }
        let same = there.get(next..).and_then(|later| later.get(..events.len()));
        match same.filter(|same| same.iter().zip(&events).all(|(old, new)| old.id == new.id)).and_then(<[_]>::last) {
            Some(last) => Outcome::Repeated { last: last.revision },
            None => Outcome::Wrong { actual: last },
        }
    }

    fn write(&mut self, stream: &str, events: Vec<Proposed>) -> Outcome {
        let (mut last, mut position) = (0, 0);
        for event in events {
            (last, position) = self.push(stream, event);
        }
        self.appends += 1;
        if self.appends.is_multiple_of(APPENDS_PER_STATISTIC) {
            self.append_foreign("$stats-127.0.0.1:2113", "$statsCollected");
        }
        Outcome::Written { last, position }
    }

    fn push(&mut self, stream: &str, event: Proposed) -> (u64, u64) {
        let there = self.streams.entry(stream.to_owned()).or_default();
        let (revision, position) = (there.len() as u64, self.next_position);
        let mut system_metadata = event.system_metadata;
        system_metadata.insert("created".to_owned(), now_ticks().to_string());
        let bytes = (stream.len() + event.data.len() + event.metadata.len()) as u64;
        let event = Arc::new(Stored {
            stream: stream.to_owned(),
            revision,
            position,
            id: event.id,
            system_metadata,
            metadata: event.metadata,
            data: event.data,
        });
        there.push(Arc::clone(&event));
        self.all.push(event);
        self.next_position += 117 + bytes;
        (revision, position)
    }

    pub(crate) fn append_foreign(&mut self, stream: &str, type_name: &str) {
        let system_metadata = [("type", type_name), ("content-type", "application/json")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let data = Bytes::from_static(b"{}");
        self.push(
            stream,
            Proposed { id: Uuid::new_v4(), system_metadata: system_metadata.into(), metadata: Bytes::new(), data },
        );
    }

    pub(crate) fn delete(&mut self, stream: &str) {
        let below = self.streams.get(stream).map_or(0, Vec::len) as u64;
        self.deleted_below.insert(stream.to_owned(), below);
        self.append_foreign(&format!("$${stream}"), "$metadata");
    }

    pub(crate) fn tombstone(&mut self, stream: &str) {
        self.tombstones.insert(stream.to_owned());
        self.append_foreign(stream, "$streamDeleted");
    }

    pub(crate) fn is_tombstoned(&self, stream: &str) -> bool {
        self.tombstones.contains(stream)
    }

    /// What of a stream is not hidden.
    pub(crate) fn stream(&self, stream: &str) -> Vec<Arc<Stored>> {
        let below = index(self.deleted_below.get(stream).copied().unwrap_or_default());
        let there = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        there.iter().skip(below).cloned().collect()
    }

    /// Whether a read may begin there: where an event does, at the start, or behind the end.
    pub(crate) fn begins_at(&self, place: u64) -> bool {
        let event = self.all.partition_point(|event| event.position < place);
        place == 0 || self.all.get(event).is_none_or(|event| event.position == place)
    }

    /// At most `max` events at `from` and after it.
    pub(crate) fn forward(&self, from: u64, max: usize) -> Vec<Arc<Stored>> {
        let first = self.all.partition_point(|event| event.position < from);
        self.all.iter().skip(first).take(max).cloned().collect()
    }

    /// At most `max` events before `before`, the newest first.
    pub(crate) fn backward(&self, before: u64, max: usize) -> Vec<Arc<Stored>> {
        let end = self.all.partition_point(|event| event.position < before);
        self.all.iter().take(end).rev().take(max).cloned().collect()
    }
}

/// Of a revision.
pub(crate) fn index(revision: u64) -> usize {
    usize::try_from(revision).unwrap_or(usize::MAX)
}

/// Of 100 ns, since 1970.
#[expect(clippy::disallowed_methods, reason = "a server has a clock of its own")]
fn now_ticks() -> u128 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() / 100
}
