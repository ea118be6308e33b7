//! Conversations as the server would have written them.

use crate::Stores;
use advisor_eventlog::{Expected, NewEvent};
use advisor_events::{
    Actor, ConversationId, Event, Metadata, PersonKey, SealContext, StreamName, Timestamp, UserId,
    conversation::{
        ConversationEvent, Manifest, MessageSent, ReplyCompleted, ReplyStarted, RequestedReply, Started, TextSource,
        Usage,
    },
};
use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use std::io::Write;
use uuid::Uuid;

/// Messages of a conversation in a filled log: a question and an answer in turn.
const MESSAGES: u64 = 20;
/// Its events: a start, and three for every two messages.
const EVENTS: u64 = 1 + MESSAGES / 2 * 3;
/// People in a filled log.
const PEOPLE: u64 = 100;
/// Most events of one append.
const BATCH: usize = 400;
/// Appends that wait at the same time.
const APPENDS: usize = 64;
/// The sample advisor who answers.
const ADVISOR: &str = "nadia-okafor-v1";
/// 2025-09-16T08:15:30Z.
const BEGINNING_MS: i64 = 1_758_010_530_000;
/// An event is about 600 bytes of JSON with it.
const TEXT: &str = "What would you charge for a flat white in a town where everybody knows everybody, and the \
                    roaster has just raised the price of beans by a fifth?";

/// Appends conversations until there are so many events more.
pub(crate) async fn fill(stores: &Stores, events: u64) -> Result<()> {
    let conversations = events.div_ceil(EVENTS);
    let batches = stream::iter(0..conversations).map(|number| async move {
        let person = UserId(format!("user_{}", number % PEOPLE));
        let conversation = Conversation::new(stores, person, Uuid::new_v4()).await?;
        conversation.append(stores, conversation.events(MESSAGES)?).await
    });
    batches.buffer_unordered(APPENDS).try_collect::<Vec<()>>().await?;
    say(&format!("{} events in {conversations} conversations", conversations * EVENTS))
}

/// Appends one conversation.
pub(crate) async fn long(stores: &Stores, person: &str, messages: u64) -> Result<()> {
    let conversation = Conversation::new(stores, UserId::from(person), Uuid::new_v4()).await?;
    conversation.append(stores, conversation.events(messages)?).await?;
    say(conversation.id.as_str())
}

/// A conversation and the key of its owner.
struct Conversation {
    id: ConversationId,
    stream: StreamName,
    owner: UserId,
    key: PersonKey,
}

impl Conversation {
    async fn new(stores: &Stores, owner: UserId, id: Uuid) -> Result<Self> {
        let key = stores.keys.obtain(&owner).await?;
        let id = ConversationId(id.to_string());
        Ok(Self { stream: StreamName::conversation(&id), id, owner, key })
    }

    /// A start, then a message, the beginning of its reply and its end, in turn.
    fn events(&self, messages: u64) -> Result<Vec<NewEvent>> {
        let mut events = vec![self.encode(ConversationEvent::Started(self.started()), 0)?];
        for number in 0..messages / 2 {
            let reply_id = Uuid::new_v4().to_string();
            let turn = [
                ConversationEvent::MessageSent(message(&reply_id)),
                ConversationEvent::ReplyStarted(self.reply_started(&reply_id)),
                ConversationEvent::ReplyCompleted(completed(&reply_id)),
            ];
            for event in turn {
                events.push(self.encode(event, number + 1)?);
            }
        }
        Ok(events)
    }

    fn encode(&self, event: ConversationEvent, turn: u64) -> Result<NewEvent> {
        let id = Uuid::new_v4();
        let metadata = Metadata {
            recorded_at: Timestamp(BEGINNING_MS).plus_ms(i64::try_from(turn)? * 60_000),
            actor: Actor::User(self.owner.clone()),
            subject: Some(self.owner.clone()),
            command_id: id.to_string(),
            body_hash: self.key.body_hash(id.as_bytes()),
            correlation_id: None,
            causation_id: None,
            trace_context: None,
            checksum: String::new(),
        };
        let context = SealContext { stream: &self.stream, event_id: id };
        let encoded = Event::from(event).encode(Some(&self.key), context, &metadata)?;
        Ok(NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata })
    }

    async fn append(&self, stores: &Stores, events: Vec<NewEvent>) -> Result<()> {
        let mut expected = Expected::NoStream;
        for batch in events.chunks(BATCH) {
            let appended = stores.log.append(&self.stream, expected, batch.to_vec()).await?;
            expected = Expected::Exact(appended.revision);
        }
        Ok(())
    }

    fn started(&self) -> Started {
        Started {
            conversation_id: self.id.clone(),
            user_id: self.owner.clone(),
            title: Some("Raising the price".to_owned().into()),
            active_advisor_id: Some(ADVISOR.into()),
        }
    }

    fn reply_started(&self, reply_id: &str) -> ReplyStarted {
        ReplyStarted {
            reply_id: reply_id.into(),
            attempt: 1,
            claim: Uuid::new_v4().to_string(),
            after_release: false,
            manifest: Manifest {
                template: "reply.v1".to_owned(),
                model: "demo".to_owned(),
                temperature: 0.7,
                tokens_max: 2_000,
                window_tokens: None,
                texts: vec![TextSource { stream: self.stream.clone(), revision: 0 }],
                request_sha256: "0".repeat(64).into(),
            },
        }
    }
}

fn message(reply_id: &str) -> MessageSent {
    MessageSent {
        message_id: Uuid::new_v4().to_string().into(),
        content: TEXT.to_owned().into(),
        content_json: None,
        mentions: Vec::new(),
        replies: vec![RequestedReply { reply_id: reply_id.into(), advisor_id: ADVISOR.into() }],
    }
}

fn completed(reply_id: &str) -> ReplyCompleted {
    ReplyCompleted {
        reply_id: reply_id.into(),
        attempt: 1,
        content: TEXT.to_owned().into(),
        model: "demo".to_owned(),
        finish_reason: "stop".to_owned(),
        usage: Usage { prompt_tokens: 412, completion_tokens: 30, total_tokens: 442, estimated: true },
        is_demo: true,
    }
}

/// One line of data on stdout.
pub(crate) fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
