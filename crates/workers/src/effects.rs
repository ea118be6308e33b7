//! What a worker does to a conversation: commands under ids of its own choice, repeated until they are settled.
//!
//! A claim carries a random id, since a derived one would let two workers both be told "written". The
//! effects of an attempt carry ids derived from (reply, attempt): a repeat changes nothing.

use advisor_commands::{CommandContext, CommandError, Commands, ConversationCommand, ConversationRefusal};
use advisor_eventlog::Position;
use advisor_events::{Actor, Clock, StreamName};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// First pause before a command is repeated; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
pub const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Sends commands in the name of one worker.
pub(crate) struct Effects {
    pub(crate) commands: Arc<Commands>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The worker's name, as events tell it.
    pub(crate) worker: &'static str,
}

/// A command and all that tells it from others.
pub(crate) struct Effect {
    pub(crate) stream: StreamName,
    pub(crate) command: ConversationCommand,
    pub(crate) command_id: String,
    /// Canonical JSON of the command.
    pub(crate) body: Value,
    pub(crate) origin: Origin,
}

/// What an effect goes back to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) correlation_id: Option<String>,
    pub(crate) causation_id: Option<String>,
    pub(crate) trace_context: Option<String>,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is in the log, its last event at this position.
    Done(Position),
    /// The rules say no: somebody else was faster, or the conversation has gone on without it.
    Refused(ConversationRefusal),
    /// It could not be settled in time, or never will be.
    GivenUp,
}

impl Effects {
    /// Sends a command until it is settled, for as long as `patience`.
    pub(crate) async fn settle(&self, effect: Effect, patience: Duration) -> Settled {
        let until = Instant::now() + patience;
        let mut pause = PAUSE;
        loop {
            let error = match self.send(&effect).await {
                Ok(position) => return Settled::Done(position),
                Err(error) => error,
            };
            let stream = effect.stream.as_str();
            match error {
                CommandError::Refused(refusal) => return Settled::Refused(refusal),
                CommandError::Busy | CommandError::Unavailable(_) | CommandError::OutcomeUnknown(_) => {
                    if Instant::now() + pause >= until {
                        tracing::error!(stream, error = %error, "a worker's command is given up");
                        return Settled::GivenUp;
                    }
                    tracing::warn!(stream, error = %error, "a worker's command is repeated");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                // Its owner has been erased, and the conversation with them.
                CommandError::KeyDestroyed => return Settled::Refused(ConversationRefusal::NotFound),
                CommandError::KeyReused
                | CommandError::PreconditionFailed
                | CommandError::TooLarge
                | CommandError::UnknownEvent(_)
                | CommandError::Broken(_) => {
                    tracing::error!(stream, error = &error as &dyn std::error::Error, "a worker's command failed");
                    return Settled::GivenUp;
                }
            }
        }
    }

    async fn send(&self, effect: &Effect) -> Result<Position, CommandError<ConversationRefusal>> {
        let context = CommandContext {
            actor: Actor::Worker(self.worker.to_owned()),
            command_id: effect.command_id.clone(),
            body: effect.body.to_string().into_bytes(),
            now: self.clock.now(),
            correlation_id: effect.origin.correlation_id.clone(),
            causation_id: effect.origin.causation_id.clone(),
            trace_context: effect.origin.trace_context.clone(),
            if_match: None,
        };
        let outcome = self.commands.conversations.execute(&effect.stream, effect.command.clone(), context).await?;
        Ok(outcome.position)
    }
}
