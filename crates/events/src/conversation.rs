//! Facts of a conversation, its messages and its replies: stream `conversation-<id>`.
//!
//! All personal fields are sealed under the key of the conversation's owner.

use crate::{AdvisorId, ConversationId, MessageId, Personal, PersonalField, ReplyId, StreamName, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What happened in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum ConversationEvent {
    /// A conversation was started.
    #[serde(rename = "conversation.started.v1")]
    Started(Started),
    /// A conversation has a new title.
    #[serde(rename = "conversation.renamed.v1")]
    Renamed(Renamed),
    /// Another advisor became the active one.
    #[serde(rename = "conversation.advisor_assigned.v1")]
    AdvisorAssigned(AdvisorAssigned),
    /// The user wrote a message, and named who shall reply.
    #[serde(rename = "conversation.message_sent.v1")]
    MessageSent(MessageSent),
    /// The user changed a message.
    #[serde(rename = "conversation.message_edited.v1")]
    MessageEdited(MessageEdited),
    /// A message was deleted, the user's or an advisor's.
    #[serde(rename = "conversation.message_deleted.v1")]
    MessageDeleted(MessageDeleted),
    /// A worker took on an attempt at a reply.
    #[serde(rename = "conversation.reply_started.v2", alias = "conversation.reply_started.v1")]
    ReplyStarted(ReplyStarted),
    /// The user asked a running reply to stop.
    #[serde(rename = "conversation.reply_stop_requested.v1")]
    ReplyStopRequested(ReplyStopRequested),
    /// A reply is whole: it is a message now.
    #[serde(rename = "conversation.reply_completed.v1")]
    ReplyCompleted(ReplyCompleted),
    /// A reply will not come.
    #[serde(rename = "conversation.reply_failed.v1")]
    ReplyFailed(ReplyFailed),
    /// A reply was stopped; what had come is a message now, unless it was empty.
    #[serde(rename = "conversation.reply_stopped.v1")]
    ReplyStopped(ReplyStopped),
    /// The conversation was deleted with all that is in it.
    #[serde(rename = "conversation.deleted.v1")]
    Deleted(Deleted),
}

impl ConversationEvent {
    /// The fields to seal and to open.
    pub fn personal_fields(&mut self) -> Vec<&mut dyn PersonalField> {
        match self {
            Self::Started(event) => optional(&mut event.title),
            Self::Renamed(event) => vec![&mut event.title],
            Self::MessageSent(event) => {
                let mut fields: Vec<&mut dyn PersonalField> = vec![&mut event.content];
                fields.append(&mut optional(&mut event.content_json));
                fields
            }
            Self::MessageEdited(event) => vec![&mut event.content],
            Self::ReplyStarted(event) => vec![&mut event.manifest.request_sha256],
            Self::ReplyCompleted(event) => vec![&mut event.content],
            Self::ReplyStopped(event) => vec![&mut event.content],
            Self::AdvisorAssigned(_)
            | Self::MessageDeleted(_)
            | Self::ReplyStopRequested(_)
            | Self::ReplyFailed(_)
            | Self::Deleted(_) => Vec::new(),
        }
    }
}

fn optional<T>(field: &mut Option<Personal<T>>) -> Vec<&mut dyn PersonalField>
where
    Personal<T>: PersonalField,
{
    field.iter_mut().map(|field| field as &mut dyn PersonalField).collect()
}

/// A conversation was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// Its first title; a better one may be made from the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Personal<String>>,
    /// Who replies when nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_advisor_id: Option<AdvisorId>,
}

/// Where a title comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TitleSource {
    /// The user set it.
    User,
    /// A worker made it from the content.
    Content,
}

/// A conversation has a new title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Renamed {
    /// The title.
    pub title: Personal<String>,
    /// Where it comes from.
    pub source: TitleSource,
}

/// Another advisor became the active one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvisorAssigned {
    /// Who replies from now on when nobody is named.
    pub advisor_id: AdvisorId,
}

/// Who shall reply to a message, and under which id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestedReply {
    /// The reply, which is also the id of the message that it becomes.
    pub reply_id: ReplyId,
    /// Who replies.
    pub advisor_id: AdvisorId,
}

/// The user wrote a message, and named who shall reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    /// The message.
    pub message_id: MessageId,
    /// Its text, as it came.
    pub content: Personal<String>,
    /// What the client wants kept beside the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_json: Option<Personal<Value>>,
    /// The advisors that the text mentions, in the order of their appearance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<AdvisorId>,
    /// Who shall reply; the first has become the active advisor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<RequestedReply>,
}

/// The user changed a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdited {
    /// The message.
    pub message_id: MessageId,
    /// Its new text.
    pub content: Personal<String>,
}

/// A message was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDeleted {
    /// The message.
    pub message_id: MessageId,
}

/// What a prompt is made of, so that the same bytes can be made again: no text, only where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The prompt template and its version, such as `reply.v1`.
    pub template: String,
    /// The model that is asked first.
    pub model: String,
    /// Sampling temperature.
    pub temperature: f64,
    /// Most tokens of the reply.
    pub tokens_max: u32,
    /// The context window that texts were cut to; absent where none was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_tokens: Option<u32>,
    /// The events that hold the texts, in the order of their use: the advisor's document first.
    pub texts: Vec<TextSource>,
    /// SHA-256 of the request's body, hexadecimal. It is sealed, since short words can be guessed from their hash;
    /// version 1 held it in the clear.
    #[serde(deserialize_with = "sealed_or_clear")]
    pub request_sha256: Personal<String>,
}

/// A field that an older version of its event held in the clear.
fn sealed_or_clear<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Personal<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Clear(String),
        Sealed(Personal<String>),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Clear(text) => Personal::Known(text),
        Stored::Sealed(field) => field,
    })
}

/// The event that holds a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TextSource {
    /// Its stream.
    #[schemars(with = "String")]
    pub stream: StreamName,
    /// Its revision, from 0.
    pub revision: u64,
}

/// A worker took on an attempt at a reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyStarted {
    /// The reply.
    pub reply_id: ReplyId,
    /// From 1; higher ones replace what lower ones have said.
    pub attempt: u32,
    /// Random name of this claim: who holds it may go on.
    pub claim: String,
    /// Whether the attempt before was given up in good order (a shutdown), so that this one is not
    /// counted against the limit of attempts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_release: bool,
    /// What the prompt is made of.
    pub manifest: Manifest,
}

/// The user asked a running reply to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyStopRequested {
    /// The reply.
    pub reply_id: ReplyId,
}

/// Tokens that a reply took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the reply.
    pub completion_tokens: u32,
    /// Their sum, as the provider told it.
    pub total_tokens: u32,
    /// Whether they were counted here, because the provider sent none.
    #[serde(default)]
    pub estimated: bool,
}

/// A reply is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyCompleted {
    /// The reply.
    pub reply_id: ReplyId,
    /// The attempt that made it.
    pub attempt: u32,
    /// Its text.
    pub content: Personal<String>,
    /// The model that wrote it.
    pub model: String,
    /// Why the model ended: `stop`, `length` …
    pub finish_reason: String,
    /// Tokens it took.
    pub usage: Usage,
    /// Whether the built-in demo model wrote it.
    #[serde(default)]
    pub is_demo: bool,
}

/// Why a reply will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplyFailure {
    /// The model can't be reached, refuses, or breaks off.
    AiApiError,
    /// The model answered with nothing.
    NoAiResponse,
    /// The advisor is not to be had any more.
    AdvisorNotFound,
    /// Every allowed attempt was begun and none was ended.
    AttemptsExhausted,
    /// The message that it answers was deleted.
    MessageDeleted,
}

/// A reply will not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyFailed {
    /// The reply.
    pub reply_id: ReplyId,
    /// The attempt that failed; 0 when none had begun.
    pub attempt: u32,
    /// Why.
    pub reason: ReplyFailure,
}

/// A reply was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyStopped {
    /// The reply.
    pub reply_id: ReplyId,
    /// The attempt that was stopped; 0 when none had begun.
    pub attempt: u32,
    /// The text so far, perhaps empty.
    pub content: Personal<String>,
    /// The model that wrote it; absent when none had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens it took; absent when none had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Whether the built-in demo model wrote it.
    #[serde(default)]
    pub is_demo: bool,
}

/// The conversation was deleted with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// The conversation, since projections remove its rows everywhere.
    pub conversation_id: ConversationId,
}
