//! Where a stream stands, as the id of its events: `<generation>:<position>:<hash of viewer and query set>`; and
//! what the client of a socket calls its queries.

use super::query::LiveQuery;
use advisor_eventlog::Position;
use advisor_events::UserId;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Longest id of an event that is looked at; ours are shorter.
pub const EVENT_ID_BYTES_MAX: usize = 128;
/// Longest name that the client of a socket gives to a query.
pub const SUBSCRIPTION_ID_BYTES_MAX: usize = 128;
/// Bytes of the hash that are kept: enough that two query sets never meet.
const HASH_BYTES: usize = 16;

/// Who looks at what, in whatever order it was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QuerySetHash([u8; HASH_BYTES]);

impl QuerySetHash {
    /// The hash of this viewer's queries.
    pub(crate) fn of(viewer: Option<&UserId>, queries: &[&LiveQuery]) -> Self {
        let mut keys: Vec<String> = queries.iter().map(|query| query.key()).collect();
        keys.sort();
        keys.dedup();
        let mut hasher = Sha256::new();
        // A person's id and the absence of one can't be mistaken for each other.
        let viewer = viewer.map_or(String::new(), |viewer| format!("={viewer}"));
        for part in std::iter::once(&viewer).chain(&keys) {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut hash = [0; HASH_BYTES];
        for (to, from) in hash.iter_mut().zip(hasher.finalize()) {
            *to = from;
        }
        Self(hash)
    }
}

/// What the client of a socket calls a query: it is told by this name what the query shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SubscriptionId {
    /// A number, such as one that the client counts on.
    Number(u64),
    /// Any text.
    Text(String),
}

impl SubscriptionId {
    /// Whether it is short enough to be kept and said again with every event.
    pub(crate) fn is_short(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Text(text) => !text.is_empty() && text.len() <= SUBSCRIPTION_ID_BYTES_MAX,
        }
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    /// The generation of the read models.
    pub(crate) generation: u64,
    /// Everything up to here has been told.
    pub(crate) position: Position,
    /// Of what.
    pub(crate) hash: QuerySetHash,
}

impl EventId {
    /// The id that a client sent; `None` for anything that is not one of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > EVENT_ID_BYTES_MAX {
            return None;
        }
        let mut parts = text.split(':');
        let (generation, position, hash) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let hash = HEXLOWER.decode(hash.as_bytes()).ok()?;
        Some(Self {
            generation: number(generation)?,
            position: Position(number(position)?),
            hash: QuerySetHash(hash.try_into().ok()?),
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.generation, self.position, HEXLOWER.encode(&self.hash.0))
    }
}

/// Digits alone: `+1` is a number to the parser and none of ours.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use advisor_events::ConversationId;

    #[test]
    fn an_id_is_read_back_as_it_was_written() {
        let id = EventId { generation: 3, position: Position(42), hash: hash(Some("ana"), &[LiveQuery::Me]) };
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn what_is_not_an_id_of_ours_is_none() {
        let good =
            EventId { generation: 1, position: Position(7), hash: hash(Some("ana"), &[LiveQuery::Me]) }.to_string();
        let (head, tail) = good.rsplit_once(':').unwrap();
        let long = format!("1:{}:{tail}", "7".repeat(200));
        for text in [
            "",
            "abc",
            "1:7",
            "-1:7:00",
            head,
            &format!("{good}:"),
            &format!("{good}0"),
            &format!("1:-7:{tail}"),
            &format!("1:+7:{tail}"),
            &format!("1:99999999999999999999:{tail}"),
            &good.to_uppercase().replace("1:7", "1:7x"),
            &long,
        ] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_order_of_the_queries_does_not_matter_and_everything_else_does() {
        let conversation = |id: &str| LiveQuery::Conversation(ConversationId::from(id));
        let both = hash(Some("ana"), &[LiveQuery::Me, conversation("c1")]);
        assert_eq!(both, hash(Some("ana"), &[conversation("c1"), LiveQuery::Me]));
        assert_eq!(both, hash(Some("ana"), &[conversation("c1"), LiveQuery::Me, LiveQuery::Me]));
        for (viewer, queries) in [
            (Some("bo"), vec![LiveQuery::Me, conversation("c1")]),
            (None, vec![LiveQuery::Me, conversation("c1")]),
            (Some("ana"), vec![LiveQuery::Me]),
            (Some("ana"), vec![LiveQuery::Me, conversation("c2")]),
            (Some("ana"), vec![LiveQuery::Me, conversation("c1"), LiveQuery::Advisors]),
        ] {
            assert_ne!(both, hash(viewer, &queries), "{viewer:?} {queries:?}");
        }
    }

    fn hash(viewer: Option<&str>, queries: &[LiveQuery]) -> QuerySetHash {
        QuerySetHash::of(viewer.map(UserId::from).as_ref(), &queries.iter().collect::<Vec<_>>())
    }
}
