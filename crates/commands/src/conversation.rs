//! The rules of a conversation, its messages and its replies: stream `conversation-<id>`.
//!
//! In this order: what may be asked, why not, the situations (`state`), the rules (`decide`), what
//! events make of a situation (`evolve`), and the tests.

mod decide;
mod evolve;
mod state;
#[cfg(test)]
mod tests;

pub use state::ConversationState;

use crate::Decider;
use advisor_events::{
    AdvisorId, ConversationId, Event, MessageId, ReplyId, UserId,
    conversation::{ConversationEvent, Manifest, ReplyFailure, RequestedReply, Usage},
};
use serde_json::Value;

/// Most replies that one message may ask for.
pub const REPLIES_MAX: usize = 5;
/// Most attempts at a reply, not counting those that follow a release.
pub const ATTEMPTS_MAX: u32 = 3;

/// Decides over a conversation.
#[derive(Debug)]
pub enum Conversation {}

/// What may be asked of a conversation: by its owner, or (from `StartReply` on) by workers.
#[derive(Clone, Debug, PartialEq)]
pub enum ConversationCommand {
    /// Starts a conversation.
    Start {
        /// Its id.
        conversation_id: ConversationId,
        /// Whose it is.
        user_id: UserId,
        /// Its first title.
        title: Option<String>,
        /// Who replies when nobody is named.
        active_advisor_id: Option<AdvisorId>,
    },
    /// Gives it a title that no worker will replace.
    Rename {
        /// Who asks.
        user_id: UserId,
        /// The title.
        title: String,
    },
    /// Makes another advisor the active one.
    AssignAdvisor {
        /// Who asks.
        user_id: UserId,
        /// The advisor, known to be active and visible.
        advisor_id: AdvisorId,
    },
    /// Both at once: all of it happens or nothing.
    Change {
        /// Who asks.
        user_id: UserId,
        /// The title, if it is to change.
        title: Option<String>,
        /// The advisor, known to be active and visible, if it is to change.
        advisor_id: Option<AdvisorId>,
    },
    /// Deletes it with all that is in it.
    Delete {
        /// Who asks.
        user_id: UserId,
    },
    /// Adds a message of the user, and asks for replies.
    SendMessage {
        /// Who asks.
        user_id: UserId,
        /// Starts the conversation with this message, in one append.
        start: Option<StartWith>,
        /// The message.
        message: NewMessage,
        /// Most messages and asked replies of a conversation, all that there ever were.
        messages_max: usize,
    },
    /// Replaces the text of a message of the user.
    EditMessage {
        /// Who asks.
        user_id: UserId,
        /// The message.
        message_id: MessageId,
        /// Its new text.
        content: String,
    },
    /// Deletes a message, the user's or an advisor's; open replies to it end with it.
    DeleteMessage {
        /// Who asks.
        user_id: UserId,
        /// The message.
        message_id: MessageId,
    },
    /// Stops a reply.
    StopReply {
        /// Who asks.
        user_id: UserId,
        /// The reply.
        reply_id: ReplyId,
    },
    /// Takes on an attempt at a reply.
    StartReply {
        /// The reply.
        reply_id: ReplyId,
        /// One more than the last attempt; the first is 1.
        attempt: u32,
        /// Random name of this claim.
        claim: String,
        /// Whether the attempt before was given up in good order, so that this one is not counted.
        after_release: bool,
        /// What the prompt is made of.
        manifest: Manifest,
    },
    /// Ends a reply with its text. After a stop was asked for, the reply ends as stopped, with this text.
    CompleteReply {
        /// The reply.
        reply_id: ReplyId,
        /// The attempt that made it.
        attempt: u32,
        /// Its text.
        content: String,
        /// The model that wrote it.
        model: String,
        /// Why the model ended.
        finish_reason: String,
        /// Tokens it took.
        usage: Usage,
        /// Whether the demo model wrote it.
        is_demo: bool,
    },
    /// Ends a reply without a text.
    FailReply {
        /// The reply.
        reply_id: ReplyId,
        /// The last attempt; 0 when none had begun.
        attempt: u32,
        /// Why.
        reason: ReplyFailure,
    },
    /// Ends a reply whose stop was asked for, with the text so far.
    EndStoppedReply {
        /// The reply.
        reply_id: ReplyId,
        /// The last attempt.
        attempt: u32,
        /// The text so far, perhaps empty.
        content: String,
        /// The model that wrote it, where known.
        model: Option<String>,
        /// Tokens it took, where known.
        usage: Option<Usage>,
        /// Whether the demo model wrote it.
        is_demo: bool,
    },
    /// Gives it a title made from its content, unless it has one that was made or set.
    MakeTitle {
        /// The title.
        title: String,
    },
}

/// A conversation that begins with its first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartWith {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Its first title.
    pub title: Option<String>,
}

/// A message of the user.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Its id.
    pub message_id: MessageId,
    /// Its text.
    pub content: String,
    /// What the client wants kept beside the text.
    pub content_json: Option<Value>,
    /// The advisors that the text mentions.
    pub mentions: Vec<AdvisorId>,
    /// Who shall reply, at most [`REPLIES_MAX`]; the first becomes the active advisor.
    pub replies: Vec<RequestedReply>,
}

/// Why a conversation does not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversationRefusal {
    /// There is none, it is deleted, or it is somebody else's: the three answer alike.
    #[error("There is no such conversation.")]
    NotFound,
    /// It has been started before, by a command that is forgotten.
    #[error("This conversation has been started already.")]
    AlreadyStarted,
    /// The message has been sent before, by a command that is forgotten.
    #[error("This message has been sent already.")]
    AlreadySent,
    /// There were as many messages and asked replies as are allowed.
    #[error("This conversation has as many messages as one may have.")]
    Full,
    /// More than [`REPLIES_MAX`] replies.
    #[error("A message can ask for at most {REPLIES_MAX} replies.")]
    TooManyReplies,
    /// An advisor, or a reply's id, is named more than once.
    #[error("An advisor can be asked for one reply to a message only.")]
    SameReplyTwice,
    /// There is no such message, or no more.
    #[error("There is no such message.")]
    MessageNotFound,
    /// Advisors' messages can't be edited.
    #[error("Only your own messages can be edited.")]
    NotAUserMessage,
    /// Nobody asked for such a reply.
    #[error("There is no such reply.")]
    ReplyNotFound,
    /// The reply has its end.
    #[error("This reply has ended already.")]
    ReplyEnded,
    /// The attempt is an older one, or not the next one.
    #[error("Another attempt at this reply has begun.")]
    NotYourAttempt,
    /// As many attempts as are allowed have begun.
    #[error("This reply has been tried as often as is allowed.")]
    AttemptsExhausted,
    /// A reply to an earlier message has not ended.
    #[error("An earlier message is still being answered.")]
    NotYet,
    /// No attempt begins once a stop was asked for.
    #[error("This reply is being stopped.")]
    StopRequested,
    /// Nobody asked to stop the reply.
    #[error("Nobody has asked to stop this reply.")]
    StopNotRequested,
    /// A title was made from the content before, or the user has set one.
    #[error("The conversation has a title already.")]
    TitleTaken,
}

impl Decider for Conversation {
    type State = ConversationState;
    type Command = ConversationCommand;
    type Event = ConversationEvent;
    type Refusal = ConversationRefusal;

    fn decide(
        state: &ConversationState,
        command: ConversationCommand,
    ) -> Result<Vec<ConversationEvent>, ConversationRefusal> {
        decide::decide(state, command)
    }

    fn evolve(state: ConversationState, event: &ConversationEvent) -> ConversationState {
        evolve::evolve(state, event)
    }

    fn subject(state: &ConversationState, command: &ConversationCommand) -> Option<UserId> {
        match state {
            ConversationState::Open(open) => Some(open.user_id.clone()),
            ConversationState::Deleted { user_id } => Some(user_id.clone()),
            ConversationState::Unknown => match command {
                ConversationCommand::Start { user_id, .. } | ConversationCommand::SendMessage { user_id, .. } => {
                    Some(user_id.clone())
                }
                ConversationCommand::Rename { .. }
                | ConversationCommand::AssignAdvisor { .. }
                | ConversationCommand::Change { .. }
                | ConversationCommand::Delete { .. }
                | ConversationCommand::EditMessage { .. }
                | ConversationCommand::DeleteMessage { .. }
                | ConversationCommand::StopReply { .. }
                | ConversationCommand::StartReply { .. }
                | ConversationCommand::CompleteReply { .. }
                | ConversationCommand::FailReply { .. }
                | ConversationCommand::EndStoppedReply { .. }
                | ConversationCommand::MakeTitle { .. } => None,
            },
        }
    }

    fn event(event: Event) -> Option<ConversationEvent> {
        match event {
            Event::Conversation(event) => Some(event),
            Event::Log(_) | Event::User(_) | Event::Advisor(_) => None,
        }
    }
}
