//! The ends of a reply, as commands. Their ids are derived from (reply, attempt): however often the same
//! end is sent, there is one, and of two different ends the first holds.

use super::Desk;
use crate::{
    effects::{Effect, Origin, Settled},
    model::ModelError,
    prompt::tokens_estimate,
};
use advisor_commands::ConversationCommand;
use advisor_events::{
    StreamName,
    conversation::{ReplyFailure, Usage},
};
use advisor_projections::replies::ReplyRow;
use serde_json::json;
use std::time::Duration;

/// How long an end is repeated; then the reply is left to whoever takes it over.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a model wrote, and what it took.
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) model: String,
    pub(crate) usage: Usage,
}

impl Written {
    /// The tokens as the provider told them, else as they are estimated.
    pub(crate) fn new(text: String, model: String, usage: Option<Usage>, prompt_tokens: u32) -> Self {
        let usage = usage.unwrap_or_else(|| estimated(&text, prompt_tokens));
        Self { text, model, usage }
    }
}

fn estimated(text: &str, prompt_tokens: u32) -> Usage {
    let completion_tokens = tokens_estimate(text);
    let total_tokens = prompt_tokens.saturating_add(completion_tokens);
    Usage { prompt_tokens, completion_tokens, total_tokens, estimated: true }
}

/// The end of one attempt at a reply.
pub(crate) struct End<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) reply: &'a ReplyRow,
    pub(crate) attempt: u32,
    pub(crate) origin: Origin,
}

impl End<'_> {
    pub(crate) async fn complete(self, written: Written, finish_reason: String) -> Settled {
        let Written { text, model, usage } = written;
        let command = ConversationCommand::CompleteReply {
            reply_id: self.reply.id.clone(),
            attempt: self.attempt,
            content: text,
            model,
            finish_reason,
            usage,
            is_demo: self.desk.models.is_demo(),
        };
        self.send("CompleteReply", command).await
    }

    /// Ends it with the text so far; `None` when no model had begun to speak.
    pub(crate) async fn stop(self, written: Option<Written>) -> Settled {
        let (content, model, usage) = match written {
            Some(written) => (written.text, Some(written.model), Some(written.usage)),
            None => (String::new(), None, None),
        };
        let command = ConversationCommand::EndStoppedReply {
            reply_id: self.reply.id.clone(),
            attempt: self.attempt,
            content,
            model,
            usage,
            is_demo: self.desk.models.is_demo(),
        };
        self.send("EndStoppedReply", command).await
    }

    /// Ends it with the text that a dead owner left; what that owner asked is not known any more.
    pub(crate) async fn stop_with_draft(self, text: String) -> Settled {
        let usage = (!text.is_empty()).then(|| estimated(&text, 0));
        let command = ConversationCommand::EndStoppedReply {
            reply_id: self.reply.id.clone(),
            attempt: self.attempt,
            content: text,
            model: None,
            usage,
            is_demo: self.desk.models.is_demo(),
        };
        self.send("EndStoppedReply", command).await
    }

    pub(crate) async fn fail(self, reason: ReplyFailure) -> Settled {
        let (reply_id, attempt) = (self.reply.id.clone(), self.attempt);
        self.send("FailReply", ConversationCommand::FailReply { reply_id, attempt, reason }).await
    }

    /// The id names the kind of end: a second one of another kind is decided, not mistaken for a reuse.
    async fn send(self, name: &str, command: ConversationCommand) -> Settled {
        let (reply_id, attempt) = (&self.reply.id, self.attempt);
        let effect = Effect {
            stream: StreamName::conversation(&self.reply.conversation_id),
            command,
            command_id: format!("end-{reply_id}-{attempt}-{name}"),
            body: json!({"name": name, "replyId": reply_id, "attempt": attempt}),
            origin: self.origin,
        };
        self.desk.effects.settle(effect, PATIENCE).await
    }
}

/// What an error of the model is called in the log.
pub(crate) fn failure(error: &ModelError) -> ReplyFailure {
    match error {
        ModelError::Empty => ReplyFailure::NoAiResponse,
        ModelError::RateLimited { .. }
        | ModelError::Unavailable(_)
        | ModelError::TimedOut(_)
        | ModelError::Refused(_)
        | ModelError::Broken(_) => ReplyFailure::AiApiError,
    }
}
