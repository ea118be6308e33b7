//! What comes with a command beside its data.

use advisor_events::{Actor, Metadata, Timestamp};

/// What comes with a command beside its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandContext {
    /// Who asks.
    pub actor: Actor,
    /// The client's idempotency key, or made by the server: with the actor and the stream it names the command.
    pub command_id: String,
    /// Canonical JSON of the command's name and the client's body: the same id with another body is refused.
    pub body: Vec<u8>,
    /// The command's time.
    pub now: Timestamp,
    /// What the whole chain of reactions goes back to.
    pub correlation_id: Option<String>,
    /// The event or command that led to this one.
    pub causation_id: Option<String>,
    /// W3C trace context of the request.
    pub trace_context: Option<String>,
    /// Position of the last event of the stream that the caller has seen: with any other one, nothing is done.
    pub if_match: Option<u64>,
}

impl CommandContext {
    /// A command with an empty body, and with nothing known of its origin.
    pub fn new(actor: Actor, command_id: String, now: Timestamp) -> Self {
        Self {
            actor,
            command_id,
            body: Vec::new(),
            now,
            correlation_id: None,
            causation_id: None,
            trace_context: None,
            if_match: None,
        }
    }
}

impl CommandContext {
    /// What stands beside each event of this command; subject and checksum are set per event.
    pub(super) fn metadata(&self, body_hash: &str) -> Metadata {
        Metadata {
            recorded_at: self.now,
            actor: self.actor.clone(),
            subject: None,
            command_id: self.command_id.clone(),
            body_hash: body_hash.to_owned(),
            correlation_id: self.correlation_id.clone(),
            causation_id: self.causation_id.clone(),
            trace_context: self.trace_context.clone(),
            checksum: String::new(),
        }
    }
}
