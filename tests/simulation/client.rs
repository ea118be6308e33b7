//! A client: sends commands until it knows what became of them, and writes down what it was told.
//!
//! A client that is killed comes back with what it had not settled, under the same command id.

use crate::{
    dice::{Dice, index},
    process::Process,
    weather::Weather,
};
use advisor_commands::{
    CommandContext, CommandError, Commands, ConversationCommand, HandlerLimits, NewMessage, Outcome,
};
use advisor_eventlog::{EventLog, Position};
use advisor_events::{
    Actor, Clock, ConversationId, KeyStore, MessageId, ReplyId, StreamName, UserId,
    conversation::{ConversationEvent, RequestedReply},
};
use std::sync::{Arc, Mutex};

/// The advisors who are asked for replies.
pub(crate) const ADVISORS: [&str; 2] = ["ada", "ben"];

/// A command and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) actor: Actor,
    pub(crate) command_id: String,
    pub(crate) stream: StreamName,
    pub(crate) told: Told,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// So many events happened, the last one here.
    Done { events: usize, revision: u64, position: Position },
    /// The rules say no.
    Refused(String),
    /// A store was not there, and nothing was written.
    NothingWritten,
}

/// A command that is not settled.
#[derive(Clone)]
struct Open {
    command_id: String,
    command: ConversationCommand,
    /// Whether a try may have been written.
    tried: Tried,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tried {
    InVain,
    Unknown,
}

/// What a client remembers, killed or not.
pub(crate) struct Client {
    name: String,
    person: UserId,
    conversation: ConversationId,
    dice: Dice,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    number: u64,
    open: Option<Open>,
    messages: Vec<MessageId>,
    replies: Vec<ReplyId>,
    history: Vec<Entry>,
}

impl Client {
    /// A client of this person, who has one conversation.
    pub(crate) fn new(name: &str, person: &str, weather: &Weather) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            person: person.into(),
            conversation: ConversationId(format!("of-{person}")),
            dice: weather.dice(name),
            memory: Mutex::default(),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it asked and was told.
    pub(crate) fn history(&self) -> Vec<Entry> {
        self.memory.lock().unwrap().history.clone()
    }

    /// Whether everything it asked is settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.memory.lock().unwrap().open.is_none()
    }

    /// Sends commands as long as the storm goes on, through a handler of its own.
    pub(crate) async fn run(
        self: Arc<Self>,
        process: Arc<Process>,
        (log, keys): (Arc<dyn EventLog>, Arc<dyn KeyStore>),
        weather: Arc<Weather>,
    ) {
        let commands = Commands::new(&log, &keys, HandlerLimits::default());
        while process.is_up().await {
            let open = self.memory.lock().unwrap().open.clone();
            match open {
                Some(open) => {
                    // Whoever is killed in the middle does not know what became of it.
                    self.note_tried(Tried::Unknown);
                    self.settle(&commands, open, &weather).await;
                }
                None if weather.is_stormy() => {
                    tokio::time::sleep(self.dice.ms(20..2_500)).await;
                    self.think_of_something();
                }
                None => return,
            }
        }
    }

    async fn settle(&self, commands: &Commands, open: Open, weather: &Weather) {
        let stream = StreamName::conversation(&self.conversation);
        let actor = Actor::User(self.person.clone());
        let context = CommandContext {
            body: format!("{:?}", open.command).into_bytes(),
            ..CommandContext::new(actor.clone(), open.command_id.clone(), weather.now())
        };
        // There has to be a conversation, or viewers would look at nothing.
        let may_give_up = open.tried == Tried::InVain && !matches!(open.command, ConversationCommand::Start { .. });
        let told = match commands.conversations.execute(&stream, open.command, context).await {
            Ok(outcome) => done(&outcome),
            Err(CommandError::Refused(refusal)) => Told::Refused(format!("{refusal:?}")),
            // Some give up here, and rely on the promise that comes with this error.
            Err(CommandError::Unavailable(_)) if may_give_up && self.dice.happens(500) => Told::NothingWritten,
            Err(error @ (CommandError::Busy | CommandError::Unavailable(_) | CommandError::OutcomeUnknown(_))) => {
                if !matches!(error, CommandError::OutcomeUnknown(_)) {
                    self.note_tried(open.tried);
                }
                return tokio::time::sleep(self.dice.ms(50..1_000)).await;
            }
            Err(error) => {
                weather.wrong(format!("{} is told of {}: {error:?}", self.name, open.command_id));
                Told::Refused(error.to_string())
            }
        };
        weather.note(&self.name, &format!("{}: {told:?}", open.command_id));
        let mut memory = self.memory.lock().unwrap();
        memory.history.push(Entry { actor, command_id: open.command_id, stream, told });
        memory.open = None;
    }

    fn note_tried(&self, tried: Tried) {
        if let Some(open) = &mut self.memory.lock().unwrap().open {
            open.tried = tried;
        }
    }

    fn think_of_something(&self) {
        let mut memory = self.memory.lock().unwrap();
        memory.number += 1;
        let command = match self.dice.roll(20) {
            _ if memory.number == 1 => self.start(),
            0..=9 => self.send(&mut memory),
            10..=12 if !memory.messages.is_empty() => {
                let message_id = self.dice.pick(&memory.messages).clone();
                let content = format!("{message_id}: edited by {} {}", self.name, memory.number);
                ConversationCommand::EditMessage { user_id: self.person.clone(), message_id, content }
            }
            13..=14 if !memory.messages.is_empty() => {
                let message_id = self.dice.pick(&memory.messages).clone();
                ConversationCommand::DeleteMessage { user_id: self.person.clone(), message_id }
            }
            15..=17 if !memory.replies.is_empty() => {
                let reply_id = memory.replies
                    [memory.replies.len() - 1 - index(self.dice.roll(2)).min(memory.replies.len() - 1)]
                .clone();
                ConversationCommand::StopReply { user_id: self.person.clone(), reply_id }
            }
            _ => {
                let title = format!("title {} of {}", memory.number, self.name);
                ConversationCommand::Rename { user_id: self.person.clone(), title }
            }
        };
        let command_id = format!("{}-{}", self.name, memory.number);
        memory.open = Some(Open { command_id, command, tried: Tried::InVain });
    }

    fn start(&self) -> ConversationCommand {
        ConversationCommand::Start {
            conversation_id: self.conversation.clone(),
            user_id: self.person.clone(),
            title: None,
            active_advisor_id: None,
        }
    }

    fn send(&self, memory: &mut Memory) -> ConversationCommand {
        let message_id = MessageId(format!("m.{}.{}", self.name, memory.number));
        let asked = index(self.dice.roll(3));
        let replies: Vec<RequestedReply> = ADVISORS[..asked]
            .iter()
            .map(|advisor| RequestedReply {
                reply_id: ReplyId(format!("{message_id}.{advisor}")),
                advisor_id: (*advisor).into(),
            })
            .collect();
        memory.messages.push(message_id.clone());
        memory.replies.extend(replies.iter().map(|reply| reply.reply_id.clone()));
        let content = format!("{message_id}: said");
        let message = NewMessage { message_id, content, content_json: None, mentions: Vec::new(), replies };
        ConversationCommand::SendMessage { user_id: self.person.clone(), start: None, message, messages_max: 10_000 }
    }
}

fn done(outcome: &Outcome<ConversationEvent>) -> Told {
    Told::Done { events: outcome.events.len(), revision: outcome.revision, position: outcome.position }
}
