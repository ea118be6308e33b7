//! Proves that events come back from their bytes as they went in, that a person's words never leave in
//! the clear, and that each way in which bytes can be wrong is told from the others.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "A test that can't go on says where and ends.")]

mod arbitrary;
mod fuzz;

use advisor_events::{
    Actor, DecodeError, EncodeError, Encoded, Event, Metadata, PersonKey, SealContext, StreamName, Timestamp,
    advisor::{Document, Revised},
    conversation::{AdvisorAssigned, ConversationEvent, MessageEdited},
};
use arbitrary::CANARY;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;
use uuid::Uuid;

proptest! {
    #[test]
    fn an_event_comes_back_as_it_went_in(event in arbitrary::event(), metadata in arbitrary::metadata()) {
        let encoded = encode(event.clone(), &metadata);

        let (mut back, its_metadata) = decode(&encoded);
        back.open(Some(&key()), here());

        prop_assert_eq!(back, event);
        let checksum = its_metadata.checksum.clone();
        prop_assert_eq!(its_metadata, Metadata { checksum, ..metadata });
    }

    #[test]
    fn no_word_of_a_person_leaves_in_the_clear(event in arbitrary::event()) {
        let encoded = encode(event, &metadata());

        prop_assert!(!String::from_utf8(encoded.data).unwrap().contains(CANARY));
        prop_assert!(!String::from_utf8(encoded.metadata).unwrap().contains(CANARY));
    }

    #[test]
    fn no_word_of_a_person_is_shown_by_debugging(event in arbitrary::event()) {
        let shown = format!("{event:?}");

        prop_assert!(!shown.contains(CANARY));
    }

    #[test]
    fn without_the_key_all_that_is_personal_is_erased_and_nothing_else(event in arbitrary::event()) {
        let (mut erased, _) = decode(&encode(event.clone(), &metadata()));

        erased.open(None, here());

        prop_assert_eq!(format!("{erased:?}"), format!("{event:?}").replace("Known(…)", "Erased"));
    }

    #[test]
    fn a_box_that_was_moved_does_not_open(event in arbitrary::event()) {
        let encoded = encode(event, &metadata());
        let (mut erased, _) = decode(&encoded);
        erased.open(None, here());
        let elsewhere = StreamName::from_text("conversation-elsewhere");

        for context in [
            SealContext { event_id: Uuid::from_u128(8), ..here() },
            SealContext { stream: &elsewhere, ..here() },
        ] {
            let (mut moved, _) = decode(&encoded);
            moved.open(Some(&key()), context);
            prop_assert_eq!(&moved, &erased);
        }
        let (mut under_another_key, _) = decode(&encoded);
        under_another_key.open(Some(&PersonKey::from_bytes([8; 32])), here());
        prop_assert_eq!(&under_another_key, &erased);
    }

    #[test]
    fn a_flipped_bit_is_told_by_the_checksum(event in arbitrary::event(), place in any::<prop::sample::Index>()) {
        let mut encoded = encode(event, &metadata());
        let bit = place.index(encoded.data.len() * 8);
        encoded.data[bit / 8] ^= 1 << (bit % 8);

        prop_assert!(matches!(refusal(&encoded), DecodeError::Checksum));
    }

    #[test]
    fn a_type_that_nobody_knows_is_told_by_its_name(name in "(log|user|advisor|conversation|[a-z]{0,8})[._a-z]{0,9}") {
        let encoded = stored(&name, "{}");

        prop_assert!(matches!(refusal(&encoded), DecodeError::UnknownType(unknown) if unknown == name));
    }

    #[test]
    fn a_field_that_a_newer_build_has_added_is_passed_over(event in arbitrary::event()) {
        let encoded = encode(event.clone(), &metadata());
        let mut data: Value = serde_json::from_slice(&encoded.data).unwrap();
        data["aFieldOfTomorrow"] = json!({"sealed": false});

        let (mut back, _) = decode(&stored(&encoded.type_name, &data.to_string()));

        back.open(Some(&key()), here());
        prop_assert_eq!(back, event);
    }
}

#[test]
fn a_version_that_nobody_knows_is_told_from_broken_data() {
    for name in ["conversation.message_sent.v2", "advisor.created.v99", "user.registered", "log", "", "conversation."] {
        let refusal = refusal(&stored(name, "not even JSON"));
        assert!(matches!(&refusal, DecodeError::UnknownType(unknown) if unknown == name), "{name}: {refusal:?}");
    }
}

#[test]
fn an_unknown_type_is_told_even_when_its_metadata_are_newer_than_this_build() {
    let newer = br#"{"recordedAt":"2025-09-16T08:15:30.123Z","actor":{"kind":"schedule"},"checksum":7}"#;

    let unknown = Event::decode("conversation.message_sent.v2", b"{}", newer).unwrap_err();
    let known = Event::decode("conversation.deleted.v1", br#"{"conversationId":"c"}"#, newer).unwrap_err();

    assert!(matches!(unknown, DecodeError::UnknownType(_)), "{unknown:?}");
    assert!(matches!(known, DecodeError::Shape(_)), "{known:?}");
}

#[test]
fn data_of_another_shape_is_told_from_a_wrong_checksum() {
    for (name, data) in [
        ("conversation.deleted.v1", ""),
        ("conversation.deleted.v1", "{}"),
        ("conversation.deleted.v1", "[]"),
        ("conversation.deleted.v1", r#"{"conversationId":7}"#),
        ("conversation.deleted.v1", r#"{"conversationId":"c"} "and more""#),
        ("conversation.message_edited.v1", r#"{"messageId":"m","content":"in the clear"}"#),
        ("conversation.message_edited.v1", r#"{"messageId":"m","content":{"sealed":"not base64"}}"#),
        ("conversation.message_edited.v1", r#"{"messageId":"m","content":null}"#),
        ("advisor.status_changed.v1", r#"{"status":"asleep"}"#),
        ("advisor.revised.v1", r#"{"document":{"persona":{}}}"#),
    ] {
        let refusal = refusal(&stored(name, data));
        assert!(matches!(refusal, DecodeError::Shape(_)), "{name} {data}: {refusal:?}");
    }
}

#[test]
fn an_event_with_words_is_not_written_without_a_key_and_a_subject() {
    let without_key = words().encode(None, here(), &metadata());
    let without_subject = words().encode(Some(&key()), here(), &Metadata { subject: None, ..metadata() });

    assert!(matches!(without_key, Err(EncodeError::NoKey)));
    assert!(matches!(without_subject, Err(EncodeError::NoKey)));
}

#[test]
fn an_event_without_words_is_written_without_a_key() {
    let assigned = ConversationEvent::AdvisorAssigned(AdvisorAssigned { advisor_id: "a".into() });
    let revised = advisor_events::advisor::AdvisorEvent::Revised(Revised { document: Document::Public(json!({})) });
    let nobody = Metadata { subject: None, ..metadata() };

    for event in [Event::from(assigned), Event::from(revised)] {
        assert!(event.encode(None, here(), &nobody).is_ok());
    }
}

#[test]
fn an_erased_event_is_not_written_again() {
    let (mut erased, metadata) = decode(&encode(words(), &metadata()));
    erased.open(None, here());

    assert!(matches!(erased.encode(Some(&key()), here(), &metadata), Err(EncodeError::Json(_))));
}

#[test]
fn a_refusal_tells_no_word() {
    let refusal = refusal(&stored("conversation.message_edited.v1", r#"{"messageId":"m","content":"canary"}"#));

    assert!(!refusal.to_string().contains("canary"));
}

fn words() -> Event {
    let edited = MessageEdited { message_id: "m".into(), content: CANARY.to_owned().into() };
    ConversationEvent::MessageEdited(edited).into()
}

fn key() -> PersonKey {
    PersonKey::from_bytes([7; 32])
}

fn here() -> SealContext<'static> {
    static STREAM: LazyLock<StreamName> = LazyLock::new(|| StreamName::from_text("conversation-here"));
    SealContext { stream: &STREAM, event_id: Uuid::from_u128(7) }
}

fn metadata() -> Metadata {
    Metadata {
        recorded_at: Timestamp(1_758_010_530_123),
        actor: Actor::User("user_a".into()),
        subject: Some("user_a".into()),
        command_id: "key".to_owned(),
        body_hash: "hash".to_owned(),
        correlation_id: None,
        causation_id: None,
        trace_context: None,
        checksum: String::new(),
    }
}

fn encode(event: Event, metadata: &Metadata) -> Encoded {
    event.encode(Some(&key()), here(), metadata).unwrap()
}

fn decode(encoded: &Encoded) -> (Event, Metadata) {
    Event::decode(&encoded.type_name, &encoded.data, &encoded.metadata).unwrap()
}

fn refusal(encoded: &Encoded) -> DecodeError {
    Event::decode(&encoded.type_name, &encoded.data, &encoded.metadata).unwrap_err()
}

/// Any data under any name, with the checksum that it would have.
fn stored(type_name: &str, data: &str) -> Encoded {
    let metadata = Metadata { checksum: format!("{:08x}", crc32fast::hash(data.as_bytes())), ..metadata() };
    Encoded {
        type_name: type_name.to_owned(),
        data: data.as_bytes().to_vec(),
        metadata: serde_json::to_vec(&metadata).unwrap(),
    }
}
