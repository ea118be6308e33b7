//! The handler over a log in memory: that a command is done once, whatever happens between the log and
//! the handler, and that nothing but an append is ever concluded from a cached fold.

mod answers;
pub(super) mod doubles;
mod failures;
mod races;

use super::*;
use crate::{ConversationCommand, ConversationRefusal, NewMessage};
use advisor_eventlog::{Direction, Recorded};
use advisor_events::{
    Actor, Timestamp,
    conversation::{ConversationEvent, RequestedReply},
};
use doubles::{Fault, Keys, TroubledLog};

type ConversationAnswer = Answer<Conversation>;

/// A process: handlers come and go, the log and the keys stay.
struct World {
    log: Arc<TroubledLog>,
    keys: Arc<Keys>,
    stream: StreamName,
}

impl World {
    fn new() -> Self {
        Self { log: Arc::default(), keys: Arc::default(), stream: StreamName::conversation(&"c".into()) }
    }

    /// A world in which Ana has started the conversation.
    async fn with_conversation() -> Self {
        let world = Self::new();
        world.handler().execute(&world.stream, start(), by_ana("start")).await.unwrap();
        world
    }

    /// A handler as a process has it after its start.
    fn handler(&self) -> Handler<Conversation> {
        self.handler_with(HandlerLimits::default())
    }

    fn handler_with(&self, limits: HandlerLimits) -> Handler<Conversation> {
        let (log, keys) = (Arc::clone(&self.log), Arc::clone(&self.keys));
        Handler::new(log, keys, limits)
    }

    async fn recorded(&self) -> Vec<Recorded> {
        self.log.read_stream(&self.stream, 0, Direction::Forward, 4_000).await.unwrap()
    }
}

/// A command of Ana with this id; all have the same body.
fn by_ana(command_id: &str) -> CommandContext {
    by(Actor::User("ana".into()), command_id)
}

fn by_worker(command_id: &str) -> CommandContext {
    by(Actor::Worker("titles".into()), command_id)
}

fn by(actor: Actor, command_id: &str) -> CommandContext {
    let now = Timestamp(1_758_010_530_123);
    CommandContext { body: b"{}".to_vec(), ..CommandContext::new(actor, command_id.to_owned(), now) }
}

fn start() -> ConversationCommand {
    ConversationCommand::Start {
        conversation_id: "c".into(),
        user_id: "ana".into(),
        title: Some("Hello".into()),
        active_advisor_id: Some("alex".into()),
    }
}

fn rename(title: &str) -> ConversationCommand {
    ConversationCommand::Rename { user_id: "ana".into(), title: title.into() }
}

fn assign(advisor: &str) -> ConversationCommand {
    ConversationCommand::AssignAdvisor { user_id: "ana".into(), advisor_id: advisor.into() }
}

fn delete() -> ConversationCommand {
    ConversationCommand::Delete { user_id: "ana".into() }
}

/// A message to `bea`, who becomes the active advisor if she is not: two events.
fn send(message: &str) -> ConversationCommand {
    send_text(message, "What now?".into())
}

fn send_text(message: &str, content: String) -> ConversationCommand {
    ConversationCommand::SendMessage {
        user_id: "ana".into(),
        start: None,
        message: NewMessage {
            message_id: message.into(),
            content,
            content_json: None,
            mentions: Vec::new(),
            replies: vec![RequestedReply { reply_id: format!("{message}-bea").into(), advisor_id: "bea".into() }],
        },
        messages_max: usize::MAX,
    }
}

fn edit(message: &str) -> ConversationCommand {
    ConversationCommand::EditMessage { user_id: "ana".into(), message_id: message.into(), content: "Or now?".into() }
}

fn make_title() -> ConversationCommand {
    ConversationCommand::MakeTitle { title: "Pricing Advice".into() }
}

/// The refusal in an answer.
fn refusal(answer: ConversationAnswer) -> ConversationRefusal {
    match answer {
        Err(CommandError::Refused(refusal)) => refusal,
        other => panic!("refused was expected, not {other:?}"),
    }
}
