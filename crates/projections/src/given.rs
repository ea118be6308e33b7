//! Stories for tests: events told one after the other, folded in memory or appended to a log.

pub(crate) mod damaged;
pub(crate) mod doors;
pub(crate) mod engine;
pub(crate) mod postgres;
pub(crate) mod read_side;
pub(crate) mod silence;

use crate::{
    projection::{Fact, all},
    rows::{Rows, Writes},
    store::Row,
    table::TableRow,
};
use advisor_eventlog::{EventLog, Expected, Filter, NewEvent, Position, port::PAGE_EVENTS_MAX};
use advisor_events::{
    Actor, Event, KeyError, KeyStore, Metadata, PersonKey, ReplyId, SealContext, StreamName, Timestamp, UserId,
    advisor::{self, AdvisorEvent, Document, Status, Visibility},
    conversation::{self, ConversationEvent, Manifest, ReplyFailure, RequestedReply, TitleSource, Usage},
    log::{LogEvent, Opened},
    user::{self, Profile, UserEvent},
};
use async_trait::async_trait;
use serde_json::json;
use std::{collections::HashMap, sync::Mutex};
use uuid::Uuid;

/// The first event of every log: its identity.
pub(crate) fn opened(identity: &str) -> Story {
    let opened = LogEvent::Opened(Opened { identity: identity.to_owned() });
    Story::default().tell(StreamName::log(), opened.into(), None)
}

/// Nothing has happened yet.
pub(crate) fn story() -> Story {
    Story::default()
}

/// Events in their order; every one is a second later than the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story(Vec<Telling>);

#[derive(Clone, Debug)]
struct Telling {
    stream: StreamName,
    event: Event,
    subject: Option<UserId>,
}

impl Story {
    pub(crate) fn registered(self, user: &str) -> Self {
        let profile = Profile {
            email: Some(format!("{user}@example.org").into()),
            name: Some(user.to_owned().into()),
            image: None,
        };
        let event = user::Registered { user_id: user.into(), profile, plan: "free".into(), told_at: None };
        self.user(user, UserEvent::Registered(event))
    }

    pub(crate) fn user(self, user: &str, event: UserEvent) -> Self {
        let id = UserId::from(user);
        self.tell(StreamName::user(&id), event.into(), Some(id))
    }

    pub(crate) fn user_deleted(self, user: &str) -> Self {
        self.user(user, UserEvent::Deleted(user::Deleted { user_id: user.into() }))
    }

    pub(crate) fn advisor(self, id: &str, owner: Option<&str>, visibility: Visibility) -> Self {
        let event = advisor::Created {
            advisor_id: id.into(),
            owner_id: owner.map(UserId::from),
            visibility,
            status: Status::Active,
            document: document(visibility, "Nadia Okafor"),
        };
        self.advisor_event(id, owner, AdvisorEvent::Created(event))
    }

    pub(crate) fn advisor_event(self, id: &str, owner: Option<&str>, event: AdvisorEvent) -> Self {
        self.tell(StreamName::advisor(&id.into()), event.into(), owner.map(UserId::from))
    }

    pub(crate) fn started(self, conversation: &str, user: &str) -> Self {
        let event = conversation::Started {
            conversation_id: conversation.into(),
            user_id: user.into(),
            title: Some("New Conversation".to_owned().into()),
            active_advisor_id: Some("nadia".into()),
        };
        self.conversation(conversation, user, ConversationEvent::Started(event))
    }

    pub(crate) fn renamed(self, conversation: &str, user: &str, title: &str, source: TitleSource) -> Self {
        let event = conversation::Renamed { title: title.to_owned().into(), source };
        self.conversation(conversation, user, ConversationEvent::Renamed(event))
    }

    /// A message that asks for replies of the advisor `nadia`.
    pub(crate) fn sent(self, at: (&str, &str), message: &str, replies: &[&str]) -> Self {
        let ask = |reply: &&str| RequestedReply { reply_id: (*reply).into(), advisor_id: "nadia".into() };
        let event = conversation::MessageSent {
            message_id: message.into(),
            content: format!("text of {message}").into(),
            content_json: None,
            mentions: vec!["nadia".into()],
            replies: replies.iter().map(ask).collect(),
        };
        self.conversation(at.0, at.1, ConversationEvent::MessageSent(event))
    }

    pub(crate) fn edited(self, at: (&str, &str), message: &str, content: &str) -> Self {
        let event = conversation::MessageEdited { message_id: message.into(), content: content.to_owned().into() };
        self.conversation(at.0, at.1, ConversationEvent::MessageEdited(event))
    }

    pub(crate) fn message_deleted(self, at: (&str, &str), message: &str) -> Self {
        let event = conversation::MessageDeleted { message_id: message.into() };
        self.conversation(at.0, at.1, ConversationEvent::MessageDeleted(event))
    }

    pub(crate) fn reply_started(self, at: (&str, &str), reply: &str, attempt: u32) -> Self {
        let event = conversation::ReplyStarted {
            reply_id: reply.into(),
            attempt,
            claim: format!("claim {attempt}"),
            after_release: attempt == 2,
            manifest: manifest(),
        };
        self.conversation(at.0, at.1, ConversationEvent::ReplyStarted(event))
    }

    pub(crate) fn stop_requested(self, at: (&str, &str), reply: &str) -> Self {
        let event = conversation::ReplyStopRequested { reply_id: reply.into() };
        self.conversation(at.0, at.1, ConversationEvent::ReplyStopRequested(event))
    }

    pub(crate) fn completed(self, at: (&str, &str), reply: &str, content: &str) -> Self {
        let event = conversation::ReplyCompleted {
            reply_id: reply.into(),
            attempt: 1,
            content: content.to_owned().into(),
            model: "a model".into(),
            finish_reason: "stop".into(),
            usage: USAGE,
            is_demo: true,
        };
        self.conversation(at.0, at.1, ConversationEvent::ReplyCompleted(event))
    }

    pub(crate) fn stopped(self, at: (&str, &str), reply: &str, content: &str) -> Self {
        let event = conversation::ReplyStopped {
            reply_id: reply.into(),
            attempt: 1,
            content: content.to_owned().into(),
            model: Some("a model".into()),
            usage: None,
            is_demo: false,
        };
        self.conversation(at.0, at.1, ConversationEvent::ReplyStopped(event))
    }

    pub(crate) fn failed(self, at: (&str, &str), reply: &str, reason: ReplyFailure) -> Self {
        let event = conversation::ReplyFailed { reply_id: ReplyId::from(reply), attempt: 1, reason };
        self.conversation(at.0, at.1, ConversationEvent::ReplyFailed(event))
    }

    pub(crate) fn deleted(self, at: (&str, &str)) -> Self {
        let event = conversation::Deleted { conversation_id: at.0.into() };
        self.conversation(at.0, at.1, ConversationEvent::Deleted(event))
    }

    pub(crate) fn conversation(self, conversation: &str, user: &str, event: ConversationEvent) -> Self {
        self.tell(StreamName::conversation(&conversation.into()), event.into(), Some(user.into()))
    }

    fn tell(mut self, stream: StreamName, event: Event, subject: Option<UserId>) -> Self {
        self.0.push(Telling { stream, event, subject });
        self
    }

    /// The events as projections see them, `stride` positions apart.
    pub(crate) fn facts(&self, stride: u64) -> Vec<Fact> {
        let mut revisions = Revisions::default();
        let fact = |(told, position): (&Telling, u64)| Fact {
            stream: told.stream.clone(),
            revision: revisions.next(&told.stream),
            position: Position(position * stride),
            recorded_at: recorded_at(position),
            event: told.event.clone(),
        };
        self.0.iter().zip(1..).map(fact).collect()
    }

    /// What the projections make of it, one event at a time.
    pub(crate) fn fold(&self) -> Rows {
        self.fold_with_stride(1)
    }

    /// The same, in a log whose positions are not dense.
    pub(crate) fn fold_with_stride(&self, stride: u64) -> Rows {
        let (mut rows, mut writes) = (Rows::default(), Writes::default());
        for fact in self.facts(stride) {
            for projection in all() {
                projection.keys(&fact, &mut rows);
            }
            for table in rows.tables() {
                table.all_loaded();
            }
            for projection in all() {
                projection.apply(&fact, &rows, &mut writes);
            }
            rows.take(&mut writes);
        }
        rows
    }

    /// Appends the events one by one, sealed. A log that already holds some of the story is told the rest.
    pub(crate) async fn append_to(&self, log: &dyn EventLog, keys: &dyn KeyStore) {
        let told = log.read_all(Position::START, &Filter::all(), PAGE_EVENTS_MAX).await.unwrap().events.len();
        let mut revisions = Revisions::default();
        for (event, position) in self.0.iter().zip(1..) {
            let revision = revisions.next(&event.stream);
            if position > told as u64 {
                append(event, revision, position, (log, keys)).await;
            }
        }
    }
}

async fn append(told: &Telling, revision: u64, position: u64, (log, keys): (&dyn EventLog, &dyn KeyStore)) {
    let key = match &told.subject {
        Some(person) => Some(keys.obtain(person).await.unwrap()),
        None => None,
    };
    let id = Uuid::from_u128(u128::from(position) << 64 | 1);
    let metadata = Metadata {
        subject: told.subject.clone(),
        ..Metadata::new(Actor::Worker("test".into()), id.to_string(), recorded_at(position))
    };
    let context = SealContext { stream: &told.stream, event_id: id };
    let encoded = told.event.clone().encode(key.as_ref(), context, &metadata).unwrap();
    let event = NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata };
    let expected = revision.checked_sub(1).map_or(Expected::NoStream, Expected::Exact);
    log.append(&told.stream, expected, vec![event]).await.unwrap();
}

/// The same form as that of `generations::dump`.
pub(crate) fn dump(rows: &Rows) -> String {
    let tables = [
        of_table(&rows.users.all()),
        of_table(&rows.advisors.all()),
        of_table(&rows.conversations.all()),
        of_table(&rows.messages.all()),
        of_table(&rows.replies.all()),
        of_table(&rows.owners.all()),
        of_table(&rows.deletions.all()),
        of_table(&rows.departures.all()),
    ];
    tables.concat()
}

fn of_table<R: TableRow>(rows: &[&R]) -> String {
    let lines = rows.iter().map(|row| crate::generations::line(Row((*row).clone().into_values())));
    std::iter::once(format!("{}\n", R::TABLE.name)).chain(lines).collect()
}

/// Keys in memory, the same in every test.
#[derive(Default)]
pub(crate) struct MemoryKeys(Mutex<HashMap<UserId, PersonKey>>);

impl MemoryKeys {
    /// Another key than the one that the person's words are sealed with.
    pub(crate) fn replace(&self, person: &str) {
        self.0.lock().unwrap().insert(person.into(), PersonKey::from_bytes([8; 32]));
    }
}

#[async_trait]
impl KeyStore for MemoryKeys {
    async fn obtain(&self, person: &UserId) -> Result<PersonKey, KeyError> {
        let mut keys = self.0.lock().unwrap();
        Ok(keys.entry(person.clone()).or_insert_with(|| PersonKey::from_bytes([7; 32])).clone())
    }

    async fn find(&self, person: &UserId) -> Result<Option<PersonKey>, KeyError> {
        Ok(self.0.lock().unwrap().get(person).cloned())
    }

    async fn destroy(&self, person: &UserId) -> Result<(), KeyError> {
        self.0.lock().unwrap().remove(person);
        Ok(())
    }

    async fn scrub(&self) -> Result<(), KeyError> {
        Ok(())
    }
}

/// The revision of each stream's next event.
#[derive(Default)]
struct Revisions(HashMap<StreamName, u64>);

impl Revisions {
    fn next(&mut self, stream: &StreamName) -> u64 {
        let next = self.0.entry(stream.clone()).or_default();
        *next += 1;
        *next - 1
    }
}

pub(crate) const USAGE: Usage = Usage { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, estimated: true };

pub(crate) fn document(visibility: Visibility, name: &str) -> Document {
    let document = json!({"persona": {"name": name, "title": "Coach"}, "unknown": [1, "two"]});
    match visibility {
        Visibility::Public => Document::Public(document),
        Visibility::Private => Document::Private(document.into()),
    }
}

pub(crate) fn recorded_at(position: u64) -> Timestamp {
    Timestamp(1_700_000_000_000).plus_ms(1_000 * i64::try_from(position).unwrap())
}

fn manifest() -> Manifest {
    Manifest {
        template: "reply.v1".into(),
        model: "a model".into(),
        temperature: 0.7,
        tokens_max: 2_000,
        window_tokens: None,
        texts: vec![],
        request_sha256: String::new().into(),
    }
}
