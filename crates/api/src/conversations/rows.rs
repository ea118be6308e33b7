//! Conversations as clients see them.

use crate::{
    advisors::{AdvisorCard, Cards, ShortCard},
    messages::{MessageView, ReplyView},
};
use advisor_events::{AdvisorId, ConversationId, Timestamp};
use advisor_projections::{
    conversations::{ConversationItem, ConversationRow, LastMessage},
    messages::{MessagePage, Sender},
    replies::ReplyRow,
};
use serde::Serialize;
use utoipa::ToSchema;

/// The title of a conversation that has none.
const NO_TITLE: &str = "New Conversation";

/// The newest message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LastMessage)]
struct LastMessageView {
    /// Its first 100 characters, then `...`.
    content: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    sender: Sender,
}

/// What an element of the list has beside its advisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ItemBody {
    #[schema(value_type = String)]
    id: ConversationId,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    message_count: u64,
    last_message: Option<LastMessageView>,
}

/// An element of the list of conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationItem)]
pub(crate) struct ItemView {
    #[serde(flatten)]
    body: ItemBody,
    active_advisor: Option<ShortCard>,
}

/// The same as a row of live queries: the advisor's id instead of the card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationItemRow)]
pub(crate) struct ItemRowView {
    #[serde(flatten)]
    body: ItemBody,
    #[schema(value_type = Option<String>)]
    active_advisor_id: Option<AdvisorId>,
}

/// A conversation without its messages, replies and card: a row of live queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationRow)]
pub(crate) struct ConversationRowView {
    #[schema(value_type = String)]
    id: ConversationId,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[schema(value_type = Option<String>)]
    active_advisor_id: Option<AdvisorId>,
}

/// A conversation with its newest messages.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Conversation)]
pub(crate) struct ConversationView {
    #[schema(value_type = String)]
    id: ConversationId,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    active_advisor: Option<AdvisorCard>,
    /// The newest 1,000, oldest first.
    messages: Vec<MessageView>,
    /// Replies that are no message yet, or will be none.
    pub(crate) replies: Vec<ReplyView>,
    /// Whether there are older messages.
    has_more: bool,
}

/// What starting a conversation answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StartedConversation)]
pub(crate) struct StartedView {
    #[schema(value_type = String)]
    pub(crate) id: ConversationId,
    pub(crate) title: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    pub(crate) active_advisor: Option<ShortCard>,
}

/// The title that clients see.
pub(crate) fn shown_title(title: Option<&str>) -> String {
    title.filter(|title| !title.is_empty()).unwrap_or(NO_TITLE).to_owned()
}

impl From<LastMessage> for LastMessageView {
    fn from(message: LastMessage) -> Self {
        Self { content: message.content, created_at: message.created_at, sender: message.sender }
    }
}

impl From<ConversationRow> for ItemBody {
    fn from(row: ConversationRow) -> Self {
        Self {
            id: row.id,
            title: shown_title(row.title.as_deref()),
            created_at: row.created_at,
            updated_at: row.updated_at,
            message_count: row.message_count,
            last_message: row.last_message.map(Into::into),
        }
    }
}

impl From<ConversationItem> for ItemView {
    fn from(item: ConversationItem) -> Self {
        Self { body: item.conversation.into(), active_advisor: item.active_advisor.map(Into::into) }
    }
}

impl From<ConversationRow> for ItemRowView {
    fn from(row: ConversationRow) -> Self {
        Self { active_advisor_id: row.active_advisor_id.clone(), body: row.into() }
    }
}

impl From<ConversationRow> for ConversationRowView {
    fn from(row: ConversationRow) -> Self {
        Self {
            title: shown_title(row.title.as_deref()),
            id: row.id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            active_advisor_id: row.active_advisor_id,
        }
    }
}

impl ConversationView {
    /// A conversation and what is in it; the replies' texts come from their drafts.
    pub(crate) fn of(row: ConversationRow, page: MessagePage, replies: Vec<ReplyRow>, cards: &Cards) -> Self {
        Self {
            title: shown_title(row.title.as_deref()),
            id: row.id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            active_advisor: row.active_advisor_id.as_ref().and_then(|id| cards.get(id)).cloned(),
            messages: page.messages.into_iter().map(|message| MessageView::of(message, cards)).collect(),
            replies: replies.into_iter().map(Into::into).collect(),
            has_more: page.has_more,
        }
    }
}
