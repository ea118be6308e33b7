//! Arbitrary events: every type, every optional field there or not, and a canary in every person's words.

use advisor_events::{
    Actor, AdvisorId, Event, Metadata, Personal, StreamName, Timestamp, UserId,
    advisor::{self, AdvisorEvent, Document, Status, Visibility},
    conversation::{self, ConversationEvent, Manifest, ReplyFailure, RequestedReply, TextSource, TitleSource, Usage},
    log::{self, LogEvent},
    user::{self, Profile, UserEvent},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

/// Stands in all personal text and nowhere else.
pub(crate) const CANARY: &str = "canary";

pub(crate) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        log().prop_map(Event::from),
        user().prop_map(Event::from),
        advisor().prop_map(Event::from),
        conversation().prop_map(Event::from),
        reply().prop_map(Event::from),
    ]
}

pub(crate) fn metadata() -> impl Strategy<Value = Metadata> {
    let actor = prop_oneof![
        id().prop_map(|id| Actor::User(id.into())),
        id().prop_map(|id| Actor::Operator(id.into())),
        id().prop_map(Actor::Worker),
        id().prop_map(Actor::Import),
        id().prop_map(Actor::Webhook),
    ];
    let chain = (option::of(id()), option::of(id()), option::of(id()));
    (moment(), actor, id(), id(), id(), chain).prop_map(
        |(recorded_at, actor, subject, command_id, body_hash, (correlation_id, causation_id, trace_context))| {
            let subject = Some(UserId::from(subject));
            let checksum = String::new();
            Metadata {
                recorded_at,
                actor,
                subject,
                command_id,
                body_hash,
                correlation_id,
                causation_id,
                trace_context,
                checksum,
            }
        },
    )
}

fn log() -> impl Strategy<Value = LogEvent> {
    prop_oneof![
        id().prop_map(|identity| LogEvent::Opened(log::Opened { identity })),
        any::<u32>().prop_map(|advisors| LogEvent::Seeded(log::Seeded { advisors })),
    ]
}

fn user() -> impl Strategy<Value = UserEvent> {
    prop_oneof![
        (id(), profile(), id(), option::of(moment())).prop_map(|(user_id, profile, plan, told_at)| {
            UserEvent::Registered(user::Registered { user_id: user_id.into(), profile, plan, told_at })
        }),
        (profile(), option::of(moment()))
            .prop_map(|(profile, told_at)| UserEvent::ProfileChanged(user::ProfileChanged { profile, told_at })),
        (id(), option::of(moment()))
            .prop_map(|(plan, told_at)| UserEvent::PlanChanged(user::PlanChanged { plan, told_at })),
        id().prop_map(|user_id| UserEvent::Deleted(user::Deleted { user_id: user_id.into() })),
    ]
}

fn profile() -> impl Strategy<Value = Profile> {
    (option::of(words()), option::of(words()), option::of(words())).prop_map(|(email, name, image)| Profile {
        email,
        name,
        image,
    })
}

fn advisor() -> impl Strategy<Value = AdvisorEvent> {
    let status = || select(vec![Status::Active, Status::Inactive, Status::Archived]);
    let visibility = || select(vec![Visibility::Private, Visibility::Public]);
    prop_oneof![
        (id(), option::of(id()), visibility(), status(), document()).prop_map(
            |(advisor_id, owner_id, visibility, status, document)| {
                let (advisor_id, owner_id) = (advisor_id.into(), owner_id.map(UserId::from));
                AdvisorEvent::Created(advisor::Created { advisor_id, owner_id, visibility, status, document })
            }
        ),
        document().prop_map(|document| AdvisorEvent::Revised(advisor::Revised { document })),
        status().prop_map(|status| AdvisorEvent::StatusChanged(advisor::StatusChanged { status })),
        (visibility(), document()).prop_map(|(visibility, document)| {
            AdvisorEvent::VisibilityChanged(advisor::VisibilityChanged { visibility, document })
        }),
    ]
}

fn document() -> impl Strategy<Value = Document> {
    prop_oneof![
        json().prop_map(Document::Public),
        json().prop_map(|value| Document::Private(Personal::Known(json!({ CANARY: value })))),
    ]
}

fn conversation() -> impl Strategy<Value = ConversationEvent> {
    let request = || {
        (id(), id()).prop_map(|(reply_id, advisor_id)| RequestedReply {
            reply_id: reply_id.into(),
            advisor_id: advisor_id.into(),
        })
    };
    let content_json = json().prop_map(|value| Personal::Known(json!([CANARY, value])));
    prop_oneof![
        (id(), id(), option::of(words()), option::of(id())).prop_map(|(conversation_id, user_id, title, advisor)| {
            let (conversation_id, user_id) = (conversation_id.into(), user_id.into());
            let active_advisor_id = advisor.map(AdvisorId::from);
            let started = conversation::Started { conversation_id, user_id, title, active_advisor_id };
            ConversationEvent::Started(started)
        }),
        (words(), select(vec![TitleSource::User, TitleSource::Content]))
            .prop_map(|(title, source)| ConversationEvent::Renamed(conversation::Renamed { title, source })),
        id().prop_map(|advisor| ConversationEvent::AdvisorAssigned(conversation::AdvisorAssigned {
            advisor_id: advisor.into()
        })),
        (id(), words(), option::of(content_json), vec(id(), 0..3), vec(request(), 0..3)).prop_map(
            |(message_id, content, content_json, mentions, replies)| {
                let mentions = mentions.into_iter().map(AdvisorId::from).collect();
                let message_id = message_id.into();
                let sent = conversation::MessageSent { message_id, content, content_json, mentions, replies };
                ConversationEvent::MessageSent(sent)
            }
        ),
        (id(), words()).prop_map(|(message_id, content)| {
            ConversationEvent::MessageEdited(conversation::MessageEdited { message_id: message_id.into(), content })
        }),
        id().prop_map(|message| ConversationEvent::MessageDeleted(conversation::MessageDeleted {
            message_id: message.into()
        })),
        id().prop_map(|conversation| ConversationEvent::Deleted(conversation::Deleted {
            conversation_id: conversation.into()
        })),
    ]
}

fn reply() -> impl Strategy<Value = ConversationEvent> {
    let failure = select(vec![
        ReplyFailure::AiApiError,
        ReplyFailure::NoAiResponse,
        ReplyFailure::AdvisorNotFound,
        ReplyFailure::AttemptsExhausted,
        ReplyFailure::MessageDeleted,
    ]);
    prop_oneof![
        (id(), any::<u32>(), id(), any::<bool>(), manifest()).prop_map(
            |(reply_id, attempt, claim, after_release, manifest)| {
                let reply_id = reply_id.into();
                let started = conversation::ReplyStarted { reply_id, attempt, claim, after_release, manifest };
                ConversationEvent::ReplyStarted(started)
            }
        ),
        id().prop_map(|reply| ConversationEvent::ReplyStopRequested(conversation::ReplyStopRequested {
            reply_id: reply.into()
        })),
        (id(), any::<u32>(), words(), id(), id(), usage(), any::<bool>()).prop_map(
            |(reply_id, attempt, content, model, finish_reason, usage, is_demo)| {
                let reply_id = reply_id.into();
                ConversationEvent::ReplyCompleted(conversation::ReplyCompleted {
                    reply_id,
                    attempt,
                    content,
                    model,
                    finish_reason,
                    usage,
                    is_demo,
                })
            }
        ),
        (id(), any::<u32>(), failure).prop_map(|(reply_id, attempt, reason)| {
            ConversationEvent::ReplyFailed(conversation::ReplyFailed { reply_id: reply_id.into(), attempt, reason })
        }),
        (id(), any::<u32>(), words(), option::of(id()), option::of(usage()), any::<bool>()).prop_map(
            |(reply_id, attempt, content, model, usage, is_demo)| {
                let reply_id = reply_id.into();
                let stopped = conversation::ReplyStopped { reply_id, attempt, content, model, usage, is_demo };
                ConversationEvent::ReplyStopped(stopped)
            }
        ),
    ]
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let source = (id(), any::<u64>())
        .prop_map(|(stream, revision)| TextSource { stream: StreamName::from_text(stream), revision });
    let names = (id(), id(), id());
    (names, finite(), any::<u32>(), option::of(any::<u32>()), vec(source, 0..3)).prop_map(
        |((template, model, request_sha256), temperature, tokens_max, window_tokens, texts)| Manifest {
            template,
            model,
            temperature,
            tokens_max,
            window_tokens,
            texts,
            request_sha256: Personal::Known(request_sha256),
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    (any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>()).prop_map(
        |(prompt_tokens, completion_tokens, total_tokens, estimated)| Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            estimated,
        },
    )
}

/// What a person wrote: any characters, NUL and quotes among them.
fn words() -> impl Strategy<Value = Personal<String>> {
    any::<String>().prop_map(|text| Personal::Known(format!("{CANARY}{text}")))
}

/// Ids, model names and the like; nothing promises that they are ASCII.
fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z0-9_.-]{1,24}", "[^aA]{0,8}"]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_000_i64..=253_402_300_799_999).prop_map(Timestamp)
}

fn finite() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO
}

/// Any JSON, with numbers to the last digit.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        finite().prop_map(Value::from),
        "[^a]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[b-z]{0,4}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}
