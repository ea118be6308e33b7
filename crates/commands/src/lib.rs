//! What may be asked and the rules: one file per aggregate, one handler.

pub mod advisor;
pub mod conversation;
mod decider;
mod handler;
mod recent_commands;
#[cfg(test)]
mod specification;
pub mod user;

pub use advisor::{Advisor, AdvisorCommand, AdvisorRefusal, Caller, CallerRole};
pub use conversation::{Conversation, ConversationCommand, ConversationRefusal, NewMessage, StartWith};
pub use decider::Decider;
pub use handler::{CommandContext, CommandError, Commands, Handler, HandlerLimits, Outcome};
pub use user::{User, UserCommand, UserRefusal};
