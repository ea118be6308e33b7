//! What a bus is, to everybody else.

use advisor_events::{ConversationId, ReplyId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What one can listen to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `advisor.appends`: events were appended to the log.
    Appends,
    /// `advisor.changes`: the read models moved.
    Changes,
    /// `advisor.replies.<replyId>`: the text of one running reply.
    Reply(ReplyId),
}

/// What is said on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusMessage {
    /// On [`Topic::Appends`].
    Appended(Appended),
    /// On [`Topic::Changes`].
    Changes(Arc<Changes>),
    /// On [`Topic::Reply`].
    Delta(Arc<Delta>),
}

/// A process has appended to the log that others follow too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Appended {
    /// The position of the last event that it appended.
    pub to: u64,
}

/// The read models moved from one checkpoint to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The generation that moved.
    pub generation: u64,
    /// Its checkpoint before; the same as `to` in a message that says only a part of what moved: it follows
    /// on nothing, and who needs the whole looks by itself.
    pub from: u64,
    /// Its checkpoint now.
    pub to: u64,
    /// Which rows changed; ids only.
    pub changes: Vec<Change>,
}

/// One row that changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Whom it concerns: a person's id, or `public`.
    pub feed: String,
    /// The projection's name, such as `messages`.
    pub projection: String,
    /// The row's key.
    pub key: String,
}

/// A piece of a running reply's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    /// The reply.
    pub reply_id: ReplyId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// A higher attempt replaces the text of lower ones.
    pub attempt: u32,
    /// Where the text begins, in UTF-16 units, never inside a pair.
    pub offset: u64,
    /// The text.
    pub text: String,
}

/// The bus can't be reached; nothing depends on it but time.
#[derive(Debug, thiserror::Error)]
#[error("the bus is not available: {0}")]
pub struct BusError(pub String);

/// Messages of one topic, from the moment of listening on.
#[async_trait]
pub trait Listener: Send {
    /// The next message; `None` when messages were lost or the bus went away: look by yourself, and go on listening.
    async fn next(&mut self) -> Option<BusMessage>;
}

/// At-most-once messages between the processes of one system.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Says a message to whoever listens now.
    async fn publish(&self, topic: &Topic, message: BusMessage) -> Result<(), BusError>;
    /// Listens to a topic; what is published after this returns is heard, unless it is lost.
    async fn listen(&self, topic: &Topic) -> Result<Box<dyn Listener>, BusError>;
    /// Whether the server that carries messages is there; `None` where none is needed.
    fn server_is_there(&self) -> Option<bool> {
        None
    }
    /// Ends the bus in good order: what was published before is on its way, unless that takes too long.
    async fn close(&self) {}
}
