//! What folding a conversation of 1,000 events costs, as the first command after a start does it.

use advisor_commands::{Conversation, Decider};
use advisor_events::conversation::{
    ConversationEvent, Manifest, MessageSent, ReplyCompleted, ReplyStarted, RequestedReply, Started, Usage,
};
use criterion::{Bencher, Criterion, Throughput};
use std::hint::black_box;

/// Events of the conversation: its start, then a message, the beginning and the end of its reply in turn.
const EVENTS: u64 = 1_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("a conversation of 1,000 events", fold);
    group.finish();
    criterion.final_summary();
}

fn fold(bencher: &mut Bencher<'_>) {
    let events: Vec<ConversationEvent> = (0..EVENTS).map(event).collect();
    let nothing = <Conversation as Decider>::State::default();
    bencher.iter(|| black_box(&events).iter().fold(nothing.clone(), Conversation::evolve));
}

fn event(number: u64) -> ConversationEvent {
    let reply = format!("reply {}", number.saturating_sub(1) / 3);
    match number {
        0 => ConversationEvent::Started(Started {
            conversation_id: "a conversation".into(),
            user_id: "ana".into(),
            title: None,
            active_advisor_id: Some("nadia".into()),
        }),
        _ if number % 3 == 1 => ConversationEvent::MessageSent(MessageSent {
            message_id: format!("message {number}").as_str().into(),
            content: "What would you charge for a flat white?".to_owned().into(),
            content_json: None,
            mentions: Vec::new(),
            replies: vec![RequestedReply { reply_id: reply.as_str().into(), advisor_id: "nadia".into() }],
        }),
        _ if number % 3 == 2 => ConversationEvent::ReplyStarted(ReplyStarted {
            reply_id: reply.as_str().into(),
            attempt: 1,
            claim: format!("claim {number}"),
            after_release: false,
            manifest: manifest(),
        }),
        _ => ConversationEvent::ReplyCompleted(ReplyCompleted {
            reply_id: reply.as_str().into(),
            attempt: 1,
            content: "As much as people gladly pay.".to_owned().into(),
            model: "demo".to_owned(),
            finish_reason: "stop".to_owned(),
            usage: Usage { prompt_tokens: 412, completion_tokens: 30, total_tokens: 442, estimated: true },
            is_demo: true,
        }),
    }
}

fn manifest() -> Manifest {
    Manifest {
        template: "reply.v1".to_owned(),
        model: "demo".to_owned(),
        temperature: 0.7,
        tokens_max: 2_000,
        window_tokens: None,
        texts: Vec::new(),
        request_sha256: "0".repeat(64).into(),
    }
}
