//! What the samples say once they are opened: an event per wire name, with every field that it can have.

use advisor_events::{
    Actor, Event, Metadata, PersonKey, Personal, StreamName, Timestamp, UserId,
    advisor::{self, AdvisorEvent, Document, Status, Visibility},
    conversation::{self, ConversationEvent, Manifest, ReplyFailure, RequestedReply, TextSource, TitleSource, Usage},
    log::{self, LogEvent},
    user::{self, Profile, UserEvent},
};
use serde_json::{Value, json};

const PERSON: &str = "user_2xKpW9mQvR4tYbNc";
const ADVISOR: &str = "nadia-okafor-v1";
const PRIVATE_ADVISOR: &str = "ines-duarte-1758010530123";
const CONVERSATION: &str = "5f0c7f3a-6a0e-5d0b-9a44-0d9f3c7b1e21";
const MESSAGE: &str = "b7a1c5e2-43c4-5f58-8e06-2f0f5a9d7c10";
const REPLY: &str = "0d3b6c9e-1a58-5c7f-b3d9-6b1f0e2a4c88";

/// Samples of versions that gained optional fields after their first sample was written.
pub(crate) const FURTHER_EDITIONS: [&str; 3] =
    ["user.registered.v1.2", "user.profile_changed.v1.2", "user.plan_changed.v1.2"];

/// The key that seals all samples; it seals nothing else.
pub(crate) fn key() -> PersonKey {
    PersonKey::from_bytes(*b"the samples' key, for tests only")
}

pub(crate) fn event(name: &str) -> Event {
    match name.split('.').next() {
        Some("log") => log_event(name).into(),
        Some("user") => user_event(name).into(),
        Some("advisor") => advisor_event(name).into(),
        Some("conversation") => conversation_event(name),
        _ => panic!("{name}: say here what its sample holds"),
    }
}

pub(crate) fn stream(name: &str) -> StreamName {
    match name.split('.').next() {
        Some("log") => StreamName::log(),
        Some("user") => StreamName::user(&PERSON.into()),
        Some("advisor") if sealed(name) => StreamName::advisor(&PRIVATE_ADVISOR.into()),
        Some("advisor") => StreamName::advisor(&ADVISOR.into()),
        _ => StreamName::conversation(&CONVERSATION.into()),
    }
}

pub(crate) fn metadata(name: &str) -> Metadata {
    let person = UserId::from(PERSON);
    Metadata {
        recorded_at: Timestamp(1_758_010_530_123),
        actor: actor(name),
        subject: Some(person).filter(|_| sealed(name)),
        command_id: "4b4b8a1e-6d0c-4f4e-9d51-0a2b8e0c7f33".to_owned(),
        body_hash: key().body_hash(name.as_bytes()),
        correlation_id: Some("9f1c6a52-0c53-4e7b-a2f7-5d1f4c9b8e70".to_owned()),
        causation_id: Some("4b4b8a1e-6d0c-4f4e-9d51-0a2b8e0c7f33".to_owned()),
        trace_context: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        checksum: String::new(),
    }
}

fn actor(name: &str) -> Actor {
    match name {
        "log.opened.v1" => Actor::Worker("log-opening".to_owned()),
        "log.seeded.v1" => Actor::Import("seed".to_owned()),
        "advisor.status_changed.v1" | "advisor.revised.v1" => Actor::Operator("user_2operator".into()),
        "conversation.reply_started.v1"
        | "conversation.reply_started.v2"
        | "conversation.reply_completed.v1"
        | "conversation.reply_failed.v1"
        | "conversation.reply_stopped.v1" => Actor::Worker("reply-to-message".to_owned()),
        "user.registered.v1.2" | "user.profile_changed.v1.2" => Actor::Webhook("clerk".to_owned()),
        _ => Actor::User(PERSON.into()),
    }
}

/// Whether the sample holds personal fields.
fn sealed(name: &str) -> bool {
    !event(name).personal_fields().is_empty()
}

fn log_event(name: &str) -> LogEvent {
    match name {
        "log.opened.v1" => {
            LogEvent::Opened(log::Opened { identity: "3e0d7a55-9c1f-4a8e-8a53-7f6f0b2c9d14".to_owned() })
        }
        "log.seeded.v1" => LogEvent::Seeded(log::Seeded { advisors: 4 }),
        _ => panic!("{name}: say here what its sample holds"),
    }
}

fn user_event(name: &str) -> UserEvent {
    let profile = || Profile {
        email: Some(known("zoë.lindqvist@example.org")),
        name: Some(known("Zoë Lindqvist")),
        image: Some(known("https://img.example.org/zoë.png")),
    };
    let told_at = Some(Timestamp(1_758_010_529_456)).filter(|_| FURTHER_EDITIONS.contains(&name));
    match name {
        "user.registered.v1" | "user.registered.v1.2" => UserEvent::Registered(user::Registered {
            user_id: PERSON.into(),
            profile: profile(),
            plan: "free".to_owned(),
            told_at,
        }),
        "user.profile_changed.v1" | "user.profile_changed.v1.2" => {
            UserEvent::ProfileChanged(user::ProfileChanged { profile: profile(), told_at })
        }
        "user.plan_changed.v1" | "user.plan_changed.v1.2" => {
            UserEvent::PlanChanged(user::PlanChanged { plan: "enterprise".to_owned(), told_at })
        }
        "user.deleted.v1" => UserEvent::Deleted(user::Deleted { user_id: PERSON.into() }),
        _ => panic!("{name}: say here what its sample holds"),
    }
}

fn advisor_event(name: &str) -> AdvisorEvent {
    match name {
        "advisor.created.v1" => AdvisorEvent::Created(advisor::Created {
            advisor_id: PRIVATE_ADVISOR.into(),
            owner_id: Some(PERSON.into()),
            visibility: Visibility::Private,
            status: Status::Active,
            document: Document::Private(Personal::Known(document("Inês Duarte"))),
        }),
        "advisor.revised.v1" => {
            AdvisorEvent::Revised(advisor::Revised { document: Document::Public(document("Nadia Okafor")) })
        }
        "advisor.status_changed.v1" => AdvisorEvent::StatusChanged(advisor::StatusChanged { status: Status::Archived }),
        "advisor.visibility_changed.v1" => AdvisorEvent::VisibilityChanged(advisor::VisibilityChanged {
            visibility: Visibility::Public,
            document: Document::Public(document("Nadia Okafor")),
        }),
        _ => panic!("{name}: say here what its sample holds"),
    }
}

fn document(name: &str) -> Value {
    json!({
        "advisorSchemaVersion": "1.1-base",
        "persona": {
            "name": name,
            "title": "Pricing adviser",
            "specialties": ["pricing", "packaging"],
            "adviceDelivery": {"useEmojis": false, "signOff": "Até já"},
        },
        "roleDefinition": {"mission": "Help small firms to charge what they are worth."},
        "components": [{"id": "scoringEngine", "version": "1", "config": {"weight": 0.725_312_498_113_7}}],
        "aFieldThatNobodyKnows": [1, null, "kept"],
    })
}

fn conversation_event(name: &str) -> Event {
    let event = match name {
        "conversation.started.v1" => ConversationEvent::Started(conversation::Started {
            conversation_id: CONVERSATION.into(),
            user_id: PERSON.into(),
            title: Some(known("Raising prices without losing the café")),
            active_advisor_id: Some(ADVISOR.into()),
        }),
        "conversation.renamed.v1" => ConversationEvent::Renamed(conversation::Renamed {
            title: known("Raising Café Prices"),
            source: TitleSource::Content,
        }),
        "conversation.advisor_assigned.v1" => {
            ConversationEvent::AdvisorAssigned(conversation::AdvisorAssigned { advisor_id: ADVISOR.into() })
        }
        "conversation.message_sent.v1" => ConversationEvent::MessageSent(conversation::MessageSent {
            message_id: MESSAGE.into(),
            content: known("@Nadia what would you charge for a flat white? 🥛\n"),
            content_json: Some(Personal::Known(json!({"draftId": 7, "attachments": []}))),
            mentions: vec![ADVISOR.into()],
            replies: vec![RequestedReply { reply_id: REPLY.into(), advisor_id: ADVISOR.into() }],
        }),
        "conversation.message_edited.v1" => ConversationEvent::MessageEdited(conversation::MessageEdited {
            message_id: MESSAGE.into(),
            content: known("What would you charge for a flat white in Porto?"),
        }),
        "conversation.message_deleted.v1" => {
            ConversationEvent::MessageDeleted(conversation::MessageDeleted { message_id: MESSAGE.into() })
        }
        "conversation.deleted.v1" => {
            ConversationEvent::Deleted(conversation::Deleted { conversation_id: CONVERSATION.into() })
        }
        _ => reply_event(name),
    };
    event.into()
}

fn reply_event(name: &str) -> ConversationEvent {
    let reply_id = || REPLY.into();
    match name {
        "conversation.reply_started.v1" | "conversation.reply_started.v2" => {
            ConversationEvent::ReplyStarted(conversation::ReplyStarted {
                reply_id: reply_id(),
                attempt: 2,
                claim: "6c0a7d1e-52b4-4c3b-8f0e-91d27a3e5b60".to_owned(),
                after_release: true,
                manifest: manifest(),
            })
        }
        "conversation.reply_stop_requested.v1" => {
            ConversationEvent::ReplyStopRequested(conversation::ReplyStopRequested { reply_id: reply_id() })
        }
        "conversation.reply_completed.v1" => ConversationEvent::ReplyCompleted(conversation::ReplyCompleted {
            reply_id: reply_id(),
            attempt: 2,
            content: known("Three euros twenty, and I would say why on the board."),
            model: "openai/gpt-4o-mini".to_owned(),
            finish_reason: "stop".to_owned(),
            usage: usage(),
            is_demo: false,
        }),
        "conversation.reply_failed.v1" => ConversationEvent::ReplyFailed(conversation::ReplyFailed {
            reply_id: reply_id(),
            attempt: 3,
            reason: ReplyFailure::AttemptsExhausted,
        }),
        "conversation.reply_stopped.v1" => ConversationEvent::ReplyStopped(conversation::ReplyStopped {
            reply_id: reply_id(),
            attempt: 1,
            content: known("Three euros twe"),
            model: Some("openai/gpt-4o-mini".to_owned()),
            usage: Some(Usage { estimated: true, ..usage() }),
            is_demo: false,
        }),
        _ => panic!("{name}: say here what its sample holds"),
    }
}

fn manifest() -> Manifest {
    Manifest {
        template: "reply.v1".to_owned(),
        model: "openai/gpt-4o-mini".to_owned(),
        temperature: 0.7,
        tokens_max: 2_000,
        window_tokens: Some(128_000),
        texts: vec![
            TextSource { stream: StreamName::advisor(&ADVISOR.into()), revision: 0 },
            TextSource { stream: StreamName::conversation(&CONVERSATION.into()), revision: 1 },
        ],
        request_sha256: known("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    }
}

fn usage() -> Usage {
    Usage { prompt_tokens: 412, completion_tokens: 14, total_tokens: 426, estimated: false }
}

fn known(text: &str) -> Personal<String> {
    Personal::Known(text.to_owned())
}
