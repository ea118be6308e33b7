//! Messages and replies as clients see them.

use crate::advisors::{AdvisorCard, Cards};
use advisor_events::{AdvisorId, MessageId, ReplyId, Timestamp, conversation::ReplyFailure};
use advisor_projections::{
    Draft,
    messages::{MessageRow, Sender},
    replies::{ReplyRow, ReplyStatus},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A message without the card of its advisor: a row of live queries.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessageRow)]
pub(crate) struct MessageBody {
    #[schema(value_type = String)]
    id: MessageId,
    /// `user`, `advisor` or `system`.
    #[schema(value_type = String)]
    sender: Sender,
    content: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Ids of the advisors that it mentions.
    #[schema(value_type = Vec<String>)]
    mentions: Vec<AdvisorId>,
    /// The advisor who wrote it.
    #[schema(value_type = Option<String>)]
    advisor_id: Option<AdvisorId>,
    /// What is kept beside the text; of a reply `usage`, `model`, `finishReason`.
    content_json: Option<Value>,
    tokens_used: Option<u64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    edited_at: Option<Timestamp>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageView {
    #[serde(flatten)]
    body: MessageBody,
    /// The card of the advisor who wrote it.
    advisor: Option<AdvisorCard>,
}

/// A reply that is no message yet, or will be none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Reply)]
pub(crate) struct ReplyView {
    /// The id of the message that it becomes.
    #[schema(value_type = String)]
    pub(crate) reply_id: ReplyId,
    /// What it answers.
    #[schema(value_type = String)]
    message_id: MessageId,
    #[schema(value_type = String)]
    advisor_id: AdvisorId,
    /// `pending`, `streaming` or `failed`.
    #[schema(value_type = String)]
    status: ReplyStatus,
    attempt: u32,
    /// The text so far.
    text: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    error: Option<ReplyFailure>,
}

impl From<MessageRow> for MessageBody {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id,
            sender: row.sender,
            content: row.content,
            created_at: row.created_at,
            mentions: row.mentions,
            advisor_id: row.advisor_id,
            content_json: row.content_json,
            tokens_used: row.tokens_used,
            edited_at: row.edited_at,
        }
    }
}

impl MessageView {
    /// A message with the card of its advisor, if the viewer sees them.
    pub(crate) fn of(row: MessageRow, cards: &Cards) -> Self {
        let advisor = row.advisor_id.as_ref().and_then(|id| cards.get(id)).cloned();
        Self { body: row.into(), advisor }
    }
}

impl From<ReplyRow> for ReplyView {
    fn from(row: ReplyRow) -> Self {
        Self {
            reply_id: row.id,
            message_id: row.message_id,
            advisor_id: row.advisor_id,
            status: row.status,
            attempt: row.attempt,
            text: String::new(),
            error: row.error,
        }
    }
}

impl ReplyView {
    /// Puts in the text so far. A draft may be ahead of the read side by an attempt, never behind:
    /// one of an older attempt says nothing any more.
    pub(crate) fn take_text(&mut self, drafts: &[Draft]) {
        let running = self.status != ReplyStatus::Failed;
        let draft = drafts.iter().find(|draft| draft.reply_id == self.reply_id && draft.attempt >= self.attempt);
        if let Some(draft) = draft.filter(|_| running) {
            self.attempt = draft.attempt;
            self.text.clone_from(&draft.text);
        }
    }
}
