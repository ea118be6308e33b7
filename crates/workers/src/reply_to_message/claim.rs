//! Taking on an attempt: what the model will be asked, and the claim that names it in the log.

use super::{Desk, reading::Context};
use crate::{
    effects::{Effect, Origin, Settled},
    prompt::{Prompt, reply},
};
use advisor_commands::ConversationCommand;
use advisor_events::{StreamName, conversation::Manifest};
use advisor_projections::replies::ReplyRow;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// How long a claim is repeated; then another look decides anew.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A reply and all that is needed to ask for it.
pub(crate) struct Asked {
    pub(crate) reply: ReplyRow,
    pub(crate) chain: Vec<String>,
    pub(crate) prompt: Prompt,
    pub(crate) manifest: Manifest,
    pub(crate) origin: Origin,
}

/// What will be asked, for whom, of which models.
pub(crate) fn prepare(desk: &Desk, reply: ReplyRow, context: &Context) -> Asked {
    let hint = context.document.get("modelHint").and_then(serde_json::Value::as_str);
    let chain = desk.models.chain(&context.plan, hint);
    let sources = reply::Sources {
        document: &context.document,
        document_source: context.document_source.clone(),
        history: &context.history,
        message: &context.message,
    };
    let first = chain.first().map(String::as_str).unwrap_or_default();
    let (prompt, manifest) = reply::compose(&sources, first, desk.models.limits(&chain));
    Asked { reply, prompt, manifest, chain, origin: context.origin.clone() }
}

/// An attempt that is to be claimed.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) attempt: u32,
    /// Random.
    pub(crate) name: String,
    /// Whether the attempt before was given up in good order, so that this one is not counted.
    pub(crate) after_release: bool,
}

impl Claim {
    pub(crate) fn counted(attempt: u32) -> Self {
        Self { attempt, name: Uuid::new_v4().to_string(), after_release: false }
    }

    pub(crate) fn after_release(attempt: u32) -> Self {
        Self { after_release: true, ..Self::counted(attempt) }
    }
}

/// Claims an attempt. The command's id is as random as the claim: of two workers that claim at the same
/// time, one is told that it was second.
pub(crate) async fn claim(desk: &Desk, asked: &Asked, claim: &Claim) -> Settled {
    let Claim { attempt, name, after_release } = claim.clone();
    let reply_id = asked.reply.id.clone();
    let effect = Effect {
        stream: StreamName::conversation(&asked.reply.conversation_id),
        body: json!({"name": "StartReply", "replyId": reply_id, "attempt": attempt, "claim": name}),
        command_id: format!("claim-{name}"),
        origin: asked.origin.clone(),
        command: ConversationCommand::StartReply {
            reply_id,
            attempt,
            claim: name,
            after_release,
            manifest: asked.manifest.clone(),
        },
    };
    desk.effects.settle(effect, PATIENCE).await
}
