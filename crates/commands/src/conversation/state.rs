//! The situations of a conversation: what the rules ask for, and no text.

use advisor_events::{AdvisorId, ConversationId, MessageId, ReplyId, UserId};
use std::collections::HashMap;

/// A situation of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConversationState {
    /// There is none.
    #[default]
    Unknown,
    /// It was started and not deleted.
    Open(Box<Open>),
    /// It is gone, with all that was in it.
    Deleted {
        /// Whose it was, since their key hashes what is still asked.
        user_id: UserId,
    },
}

/// What the rules ask of an open conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub(super) conversation_id: ConversationId,
    pub(super) user_id: UserId,
    pub(super) active_advisor_id: Option<AdvisorId>,
    pub(super) title: Title,
    /// The messages that are there, by who wrote them.
    pub(super) messages: HashMap<MessageId, Author>,
    /// The replies that have not ended, in the order of their messages.
    pub(super) replies: Vec<OpenReply>,
    pub(super) ended_replies: HashMap<ReplyId, Ending>,
    /// Messages that were sent and replies that were asked for, whatever has become of them: the stream has them all.
    pub(super) turns: usize,
}

impl Open {
    pub(super) fn open_reply(&self, reply_id: &ReplyId) -> Option<&OpenReply> {
        self.replies.iter().find(|reply| reply.reply_id == *reply_id)
    }

    pub(super) fn open_reply_mut(&mut self, reply_id: &ReplyId) -> Option<&mut OpenReply> {
        self.replies.iter_mut().find(|reply| reply.reply_id == *reply_id)
    }

    /// Whether this id, of a message or of a reply, has been given already. Those of deleted messages are forgotten.
    pub(super) fn knows(&self, id: &MessageId) -> bool {
        let reply_id = ReplyId(id.0.clone());
        self.messages.contains_key(id)
            || self.ended_replies.contains_key(&reply_id)
            || self.open_reply(&reply_id).is_some()
    }

    /// Whether a reply to an earlier message has not ended.
    pub(super) fn is_behind_another_message(&self, reply: &OpenReply) -> bool {
        self.replies.first().is_some_and(|first| first.message_id != reply.message_id)
    }
}

/// Where the title stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Title {
    /// As it was at the start: a better one may be made.
    AsStarted,
    /// Made from the content, or set by the user: no worker replaces it.
    Settled,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    User,
    Advisor,
}

/// A reply that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenReply {
    pub(super) reply_id: ReplyId,
    pub(super) message_id: MessageId,
    /// The last attempt that began; 0 when none has.
    pub(super) attempt: u32,
    /// How many of them count against the limit.
    pub(super) attempts_counted: u32,
    pub(super) stop: Stop,
}

/// Whether the user wants a reply to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    NotRequested,
    Requested,
}

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Failed,
    Stopped,
}
