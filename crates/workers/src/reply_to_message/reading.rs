//! What replies are decided and made from: the open ones, and all that goes into a prompt.

use crate::{
    Deps,
    effects::Origin,
    prompt::reply::{Said, Speaker},
};
use advisor_eventlog::{Direction, EventLog, Position, ReadError};
use advisor_events::{
    Event, MessageId, StreamName,
    advisor::Status,
    conversation::{ConversationEvent, TextSource},
};
use advisor_projections::{
    Reader, StoreError, advisors,
    messages::{self, MessageRow, Sender},
    replies::{self, ReplyRow},
    users,
};
use serde_json::Value;
use std::{collections::HashSet, sync::Arc};

/// Messages that are looked at for a history: room for those that are newer than the message.
pub const LOOKED_AT_MAX: u32 = 200;
/// A revision above all others that every database can hold.
const END: u64 = i64::MAX.unsigned_abs();

/// What a look at the open replies sees.
pub(super) struct Seen {
    /// Where the read side stood.
    pub(super) position: Position,
    /// In the order of their messages.
    pub(super) replies: Vec<ReplyRow>,
    /// Whether these are all that there are.
    pub(super) is_whole: bool,
}

/// All that goes into a prompt.
pub(super) struct Context {
    pub(super) plan: String,
    pub(super) document: Value,
    pub(super) document_source: TextSource,
    /// What was said before the message, oldest first.
    pub(super) history: Vec<Said>,
    pub(super) message: Said,
    pub(super) origin: Origin,
}

/// What there is of a reply's context.
pub(super) enum Found {
    /// All of it.
    Context(Box<Context>),
    /// The advisor is not to be had any more.
    NoAdvisor(Origin),
    /// The message is gone, or has not come yet.
    Nothing,
}

/// Why a context can't be read now.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadingError {
    #[error("the read models do not answer")]
    Store(#[from] StoreError),
    #[error("the event log does not answer")]
    Log(#[from] ReadError),
    #[error("a stored text is not what it should be: {0}")]
    Unexpected(&'static str),
}

/// The read models and the log.
pub(super) struct ReadSide {
    reader: Reader,
    log: Arc<dyn EventLog>,
    open_max: u32,
}

impl ReadSide {
    pub(super) fn new(deps: &Deps, open_max: u32) -> Self {
        Self { reader: deps.reader.clone(), log: Arc::clone(&deps.log), open_max }
    }

    pub(super) async fn open_replies(&self) -> Result<Seen, StoreError> {
        let read = self.reader.run(replies::open(self.open_max)).await?;
        let is_whole = u32::try_from(read.value.len()).is_ok_and(|count| count < self.open_max);
        Ok(Seen { position: read.position, replies: read.value, is_whole })
    }

    pub(super) async fn context(&self, reply: &ReplyRow) -> Result<Found, ReadingError> {
        let query = messages::find(&reply.message_id)
            .zip(messages::history(&reply.conversation_id, END, LOOKED_AT_MAX))
            .zip(advisors::by_id(Some(&reply.user_id), &reply.advisor_id).zip(users::by_id(&reply.user_id)));
        let ((message, recent), (advisor, user)) = self.reader.run(query).await?.value;
        let Some(message) = message else { return Ok(Found::Nothing) };
        let (siblings, origin) = self.asked_by(&message).await?;
        let Some(advisor) = advisor.filter(|advisor| advisor.status == Status::Active) else {
            return Ok(Found::NoAdvisor(origin));
        };
        let document = serde_json::from_str(&advisor.document).map_err(|_| ReadingError::Unexpected("a document"))?;
        Ok(Found::Context(Box::new(Context {
            plan: user.map(|user| user.plan).unwrap_or_default(),
            document,
            document_source: TextSource { stream: StreamName::advisor(&advisor.id), revision: advisor.revision },
            history: history(recent, &message, &siblings),
            message: said(message).ok_or(ReadingError::Unexpected("a message"))?,
            origin,
        })))
    }

    /// The replies that the message asks for, and what the chain of reactions goes back to: as the event tells it.
    async fn asked_by(&self, message: &MessageRow) -> Result<(HashSet<MessageId>, Origin), ReadingError> {
        let stream = StreamName::conversation(&message.conversation_id);
        let events = self.log.read_stream(&stream, message.revision, Direction::Forward, 1).await?;
        let recorded = events.first().ok_or(ReadingError::Unexpected("a message's event"))?;
        let (event, metadata) = Event::decode(&recorded.type_name, &recorded.data, &recorded.metadata)
            .map_err(|_| ReadingError::Unexpected("a message's event"))?;
        let Event::Conversation(ConversationEvent::MessageSent(sent)) = event else {
            return Err(ReadingError::Unexpected("a message's event"));
        };
        let origin = Origin {
            correlation_id: metadata.correlation_id.or(Some(metadata.command_id)),
            causation_id: Some(recorded.id.to_string()),
            trace_context: metadata.trace_context,
        };
        Ok((sent.replies.into_iter().map(|reply| reply.reply_id.into()).collect(), origin))
    }
}

/// What was said before the message: older messages, and the replies to them, which may be newer than it.
/// Other replies to the same message are given in parallel and do not hear each other.
fn history(recent: Vec<MessageRow>, message: &MessageRow, siblings: &HashSet<MessageId>) -> Vec<Said> {
    let is_before = |row: &MessageRow| match row.sender {
        Sender::User => row.revision < message.revision,
        Sender::Advisor | Sender::System => !siblings.contains(&row.id),
    };
    recent.into_iter().filter(is_before).filter_map(said).collect()
}

/// A message's words; those of the system, and what has been erased, are nobody's.
fn said(row: MessageRow) -> Option<Said> {
    let speaker = match row.sender {
        Sender::User => Speaker::User,
        Sender::Advisor => Speaker::Advisor,
        Sender::System => return None,
    };
    let source = TextSource { stream: StreamName::conversation(&row.conversation_id), revision: row.text_revision };
    (!row.content.is_empty()).then_some(Said { source, speaker, text: row.content })
}
