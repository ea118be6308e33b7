//! What travels beside an event's data.

use crate::{Timestamp, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "id", rename_all = "camelCase")]
pub enum Actor {
    /// A person, by their own command.
    User(UserId),
    /// A person with the role `operator`, by an operator's command.
    Operator(UserId),
    /// A worker of the system, by its name.
    Worker(String),
    /// Data that was brought in, by the name of its source.
    Import(String),
    /// Another service that told what happened there, by its name.
    Webhook(String),
}

impl Actor {
    /// The actor as one text, `user:<id>`; ids are derived from it.
    pub fn key(&self) -> String {
        match self {
            Self::User(id) => format!("user:{id}"),
            Self::Operator(id) => format!("operator:{id}"),
            Self::Worker(name) => format!("worker:{name}"),
            Self::Import(name) => format!("import:{name}"),
            Self::Webhook(name) => format!("webhook:{name}"),
        }
    }

    /// The person behind the command, if it was one.
    pub fn person(&self) -> Option<&UserId> {
        match self {
            Self::User(id) | Self::Operator(id) => Some(id),
            Self::Worker(_) | Self::Import(_) | Self::Webhook(_) => None,
        }
    }
}

/// What is known of an event beside what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The command's time. Order is told by revisions and positions, never by this.
    pub recorded_at: Timestamp,
    /// Who caused the event.
    pub actor: Actor,
    /// Whose key seals the personal fields; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<UserId>,
    /// The command that appended the event: the client's idempotency key, or made by the server.
    pub command_id: String,
    /// Keyed hash of the command's body: tells a retry from a reuse of its id.
    pub body_hash: String,
    /// What the whole chain of reactions goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The event or command that directly led to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// W3C trace context (`traceparent`) of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_context: Option<String>,
    /// CRC-32 (IEEE) of the data as it stands in the log, 8 hexadecimal digits.
    pub checksum: String,
}

impl Metadata {
    /// What is known of an event of nobody's words that no request led to. Its checksum is told by encoding it.
    pub fn new(actor: Actor, command_id: impl Into<String>, recorded_at: Timestamp) -> Self {
        Self {
            recorded_at,
            actor,
            subject: None,
            command_id: command_id.into(),
            body_hash: String::new(),
            correlation_id: None,
            causation_id: None,
            trace_context: None,
            checksum: String::new(),
        }
    }
}
