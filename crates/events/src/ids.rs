//! Identities: newtypes over text, the names of streams, and ids that are derived from a command.

use data_encoding::BASE32_NOPAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

text_id! {
    /// A person: the subject of their sign-in token (Clerk: `user_…`).
    UserId
}
text_id! {
    /// An advisor: a slug such as `alex-reyes-v3`.
    AdvisorId
}
text_id! {
    /// A conversation: UUID text; imported ones keep the id that they came with.
    ConversationId
}
text_id! {
    /// A message: UUID text; imported ones keep the id that they came with.
    MessageId
}
text_id! {
    /// A reply, which is also the id of the message that it becomes.
    ReplyId
}

impl From<ReplyId> for MessageId {
    fn from(reply: ReplyId) -> Self {
        Self(reply.0)
    }
}

/// Longest stream name in bytes, on every backend.
pub const STREAM_NAME_BYTES_MAX: usize = 200;

/// The name of a stream: `<kind>-<id>` in ASCII letters, digits, `_ . -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamName(String);

impl StreamName {
    /// A name as it came from a log or from an operator; adapters refuse what does not fit.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The one stream of the log itself.
    pub fn log() -> Self {
        Self("log".to_owned())
    }

    /// `user-<id>`.
    pub fn user(id: &UserId) -> Self {
        Self::of("user-", &id.0)
    }

    /// `advisor-<id>`.
    pub fn advisor(id: &AdvisorId) -> Self {
        Self::of("advisor-", &id.0)
    }

    /// `conversation-<id>`.
    pub fn conversation(id: &ConversationId) -> Self {
        Self::of("conversation-", &id.0)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that does not fit is named by its hash; the id itself stands in the stream's first event.
    /// So is one that begins with `x-`, so that no id can take the name of another's hash.
    fn of(prefix: &str, id: &str) -> Self {
        let fits = !id.is_empty()
            && !id.starts_with("x-")
            && prefix.len() + id.len() <= STREAM_NAME_BYTES_MAX
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if fits {
            Self(format!("{prefix}{id}"))
        } else {
            let digest = Sha256::digest(id.as_bytes());
            Self(format!("{prefix}x-{}", BASE32_NOPAD.encode(&digest).to_ascii_lowercase()))
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Namespace of all ids that this system derives (a random UUID, fixed for ever).
const NAMESPACE: Uuid = Uuid::from_u128(0x8f2d_6b0e_51c7_4c39_9e0a_d3c1_7a44_25b6);

/// The id that a command gives to something it makes, so that a retry names the same thing.
///
/// The parts are joined by NUL, which no actor, command id or name contains.
pub fn derived_id(actor: &str, command_id: &str, name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{actor}\0{command_id}\0{name}").as_bytes())
}

/// The id of the `index`-th event of a command with this body.
pub fn event_id(actor: &str, command_id: &str, body_hash: &str, index: usize) -> Uuid {
    derived_id(actor, command_id, &format!("event\0{body_hash}\0{index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_fits_names_its_stream() {
        let name = StreamName::advisor(&AdvisorId::from("alex-reyes-v3"));
        assert_eq!(name.as_str(), "advisor-alex-reyes-v3");
    }

    #[test]
    fn an_id_that_does_not_fit_names_its_stream_by_its_hash() {
        let long = "a".repeat(200);
        for id in ["", "José", "a b", "x-disguised", "a*", "a>", long.as_str()] {
            let name = StreamName::user(&UserId::from(id));
            assert!(name.as_str().starts_with("user-x-"), "{id}: {name}");
            assert!(name.as_str().len() <= STREAM_NAME_BYTES_MAX);
        }
    }

    #[test]
    fn the_same_command_derives_the_same_ids_and_another_one_does_not() {
        let id = derived_id("user:a", "key", "conversation");
        assert_eq!(id, derived_id("user:a", "key", "conversation"));
        assert_ne!(id, derived_id("user:b", "key", "conversation"));
        assert_ne!(id, derived_id("user:a", "key", "message"));
        assert_ne!(event_id("user:a", "key", "h", 0), event_id("user:a", "key", "h", 1));
        assert_ne!(event_id("user:a", "key", "h", 0), event_id("user:a", "key", "i", 0));
    }

    #[test]
    fn derived_ids_never_change_from_build_to_build() {
        // A retry after an upgrade names what the first try made.
        assert_eq!(derived_id("user:a", "key", "conversation").to_string(), "a753ec34-e743-5f06-9624-0d74da8ed425");
        assert_eq!(event_id("user:a", "key", "h", 0).to_string(), "8a15342a-f048-5628-90fa-3486be025810");
    }
}
