//! What a command is answered, the first time and again.

use super::*;
use advisor_eventlog::{Expected, Filter};
use advisor_events::{Event, Metadata, Personal, conversation::AdvisorAssigned};
use doubles::encode;

#[tokio::test]
async fn a_command_is_appended_and_answered_with_its_events() {
    let world = World::with_conversation().await;
    let outcome = world.handler().execute(&world.stream, send("m1"), by_ana("k")).await.unwrap();
    assert_eq!((outcome.revision, outcome.position, outcome.replayed), (2, Position(3), false));
    assert_eq!(outcome.stream, world.stream);
    let [ConversationEvent::AdvisorAssigned(_), ConversationEvent::MessageSent(sent)] = &outcome.events[..] else {
        panic!("{:?}", outcome.events)
    };
    assert_eq!(sent.content, Personal::Known("What now?".into()));
}

#[tokio::test]
async fn what_stands_beside_an_event_tells_where_it_comes_from() {
    let world = World::with_conversation().await;
    let context = CommandContext {
        correlation_id: Some("correlation".into()),
        causation_id: Some("causation".into()),
        trace_context: Some("trace".into()),
        ..by_ana("k")
    };
    world.handler().execute(&world.stream, send("m1"), context).await.unwrap();
    let [_, assigned, sent] = &metadata(&world).await[..] else { panic!("three events") };
    assert_eq!(assigned.subject, None, "nothing in it is personal");
    assert_eq!(sent.subject, Some("ana".into()));
    for metadata in [assigned, sent] {
        assert_eq!(metadata.actor, Actor::User("ana".into()));
        assert_eq!(metadata.command_id, "k");
        assert_eq!(metadata.recorded_at, Timestamp(1_758_010_530_123));
        assert_eq!(metadata.correlation_id.as_deref(), Some("correlation"));
        assert_eq!(metadata.causation_id.as_deref(), Some("causation"));
        assert_eq!(metadata.trace_context.as_deref(), Some("trace"));
    }
}

#[tokio::test]
async fn no_words_stand_in_the_log_in_the_clear() {
    let world = World::with_conversation().await;
    world.handler().execute(&world.stream, send("m1"), by_ana("k")).await.unwrap();
    for recorded in world.recorded().await {
        let text =
            format!("{}{}", String::from_utf8_lossy(&recorded.data), String::from_utf8_lossy(&recorded.metadata));
        assert!(!text.contains("What now?") && !text.contains("Hello"), "{text}");
    }
}

#[tokio::test]
async fn a_body_is_hashed_with_the_key_of_who_asks_else_of_the_one_concerned() {
    let world = World::with_conversation().await;
    world.handler().execute(&world.stream, make_title(), by_worker("k")).await.unwrap();
    let metadata = metadata(&world).await;
    let hash = world.keys.obtain(&"ana".into()).await.unwrap().body_hash(b"{}");
    assert_eq!(metadata[0].body_hash, hash, "she asks");
    assert_eq!(metadata[1].body_hash, hash, "a worker asks, in her conversation");
}

#[tokio::test]
async fn where_nobody_is_concerned_the_hash_is_plain() {
    let world = World::new();
    let handler: Handler<Advisor> =
        Handler::new(Arc::clone(&world.log) as _, Arc::clone(&world.keys) as _, HandlerLimits::default());
    let stream = StreamName::advisor(&"alex".into());
    let command = crate::AdvisorCommand::Create {
        advisor_id: "alex".into(),
        owner_id: None,
        visibility: advisor_events::advisor::Visibility::Public,
        status: advisor_events::advisor::Status::Active,
        document: serde_json::json!({"persona": {"name": "Alex"}}),
    };
    let context = by(Actor::Import("seed".into()), "seed-alex");
    let first = handler.execute(&stream, command.clone(), context.clone()).await.unwrap();
    let again = handler.execute(&stream, command, context).await.unwrap();
    assert_eq!(again, Outcome { replayed: true, ..first });
    let page = world.log.read_all(Position::START, &Filter::all(), 10).await.unwrap();
    let (_, metadata) =
        Event::decode(&page.events[0].type_name, &page.events[0].data, &page.events[0].metadata).unwrap();
    assert_eq!(metadata.body_hash, "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o", "SHA-256 of {{}}");
    assert_eq!(metadata.subject, None);
}

#[tokio::test]
async fn the_next_command_of_a_stream_reads_nothing_and_appends_once() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    handler.execute(&world.stream, rename("a"), by_ana("k1")).await.unwrap();
    let before = (world.log.reads(), world.log.appends());
    let outcome = handler.execute(&world.stream, rename("b"), by_ana("k2")).await.unwrap();
    assert_eq!((world.log.reads(), world.log.appends()), (before.0, before.1 + 1));
    assert_eq!(outcome.revision, 2);
}

#[tokio::test]
async fn asked_again_a_command_gives_the_same_answer_and_appends_nothing() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    let first = handler.execute(&world.stream, send("m1"), by_ana("k")).await.unwrap();
    handler.execute(&world.stream, rename("later"), by_ana("k2")).await.unwrap();
    let later = CommandContext { now: Timestamp(1_758_010_999_999), ..by_ana("k") };
    let again = handler.execute(&world.stream, send("m1"), later).await.unwrap();
    assert_eq!(again, Outcome { replayed: true, ..first });
    assert_eq!((world.log.appends(), world.recorded().await.len()), (3, 4));
}

#[tokio::test]
async fn asked_again_after_a_restart_it_gives_the_same_answer_and_appends_nothing() {
    let world = World::with_conversation().await;
    let first = world.handler().execute(&world.stream, send("m1"), by_ana("k")).await.unwrap();
    let again = world.handler().execute(&world.stream, send("m1"), by_ana("k")).await.unwrap();
    assert_eq!(again, Outcome { replayed: true, ..first });
    assert_eq!((world.log.appends(), world.recorded().await.len()), (2, 3));
}

#[tokio::test]
async fn what_was_done_is_answered_though_the_rules_would_refuse_it_now() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    let first = handler.execute(&world.stream, delete(), by_ana("k")).await.unwrap();
    let again = handler.execute(&world.stream, delete(), by_ana("k")).await.unwrap();
    assert_eq!(again, Outcome { replayed: true, ..first });
    let anew = handler.execute(&world.stream, delete(), by_ana("k2")).await;
    assert_eq!(refusal(anew), ConversationRefusal::NotFound);
}

#[tokio::test]
async fn what_was_done_is_answered_though_the_facts_that_come_with_it_have_changed() {
    let world = World::with_conversation().await;
    let first = world.handler().execute(&world.stream, assign("bea"), by_ana("k")).await.unwrap();
    let again = world.handler().execute(&world.stream, assign("cy"), by_ana("k")).await.unwrap();
    assert_eq!(again.events, first.events);
}

#[tokio::test]
async fn a_command_id_is_not_used_for_another_body() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    handler.execute(&world.stream, rename("a"), by_ana("k")).await.unwrap();
    let other = CommandContext { body: b"other".to_vec(), ..by_ana("k") };
    for handler in [handler, world.handler()] {
        let answer = handler.execute(&world.stream, rename("b"), other.clone()).await;
        assert!(matches!(answer, Err(CommandError::KeyReused)), "{answer:?}");
    }
    assert_eq!(world.recorded().await.len(), 2);
}

#[tokio::test]
async fn two_actors_may_use_the_same_command_id() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    handler.execute(&world.stream, send("m1"), by_ana("k")).await.unwrap();
    let outcome = handler.execute(&world.stream, make_title(), by_worker("k")).await.unwrap();
    assert!(!outcome.replayed);
}

#[tokio::test]
async fn a_refused_command_leaves_nothing_and_is_decided_anew() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    let answer = handler.execute(&world.stream, edit("m1"), by_ana("k")).await;
    assert_eq!(refusal(answer), ConversationRefusal::MessageNotFound);
    assert_eq!((world.log.appends(), world.recorded().await.len()), (1, 1));
    handler.execute(&world.stream, send("m1"), by_ana("k2")).await.unwrap();
    let outcome = handler.execute(&world.stream, edit("m1"), by_ana("k")).await.unwrap();
    assert!(!outcome.replayed);
}

#[tokio::test]
async fn where_nothing_has_to_happen_the_answer_is_the_streams_last_event() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    let last = handler.execute(&world.stream, rename("a"), by_ana("k1")).await.unwrap();
    for handler in [handler, world.handler()] {
        let outcome = handler.execute(&world.stream, assign("alex"), by_ana("k2")).await.unwrap();
        assert_eq!((outcome.revision, outcome.position), (last.revision, last.position));
        assert_eq!((outcome.events, outcome.replayed), (Vec::new(), false));
    }
    assert_eq!(world.recorded().await.len(), 2);
}

#[tokio::test]
async fn what_the_caller_has_seen_must_be_the_streams_last_event() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    let seen = |position| CommandContext { if_match: Some(position), ..by_ana("k") };
    for position in [0, 2] {
        let answer = handler.execute(&world.stream, rename("a"), seen(position)).await;
        assert!(matches!(answer, Err(CommandError::PreconditionFailed)), "{answer:?}");
    }
    handler.execute(&world.stream, rename("a"), seen(1)).await.unwrap();
    let again = handler.execute(&world.stream, rename("a"), seen(1)).await.unwrap();
    assert!(again.replayed, "it was done when what the caller had seen was the last event");
}

#[tokio::test]
async fn what_the_rules_refuse_is_refused_whatever_the_caller_has_seen() {
    let world = World::with_conversation().await;
    let foreign = ConversationCommand::Rename { user_id: "ben".into(), title: "mine".into() };
    let context = CommandContext { if_match: Some(7), ..by(Actor::User("ben".into()), "k") };
    let answer = world.handler().execute(&world.stream, foreign, context).await;
    assert_eq!(refusal(answer), ConversationRefusal::NotFound);
}

#[tokio::test]
async fn nothing_is_done_for_a_person_who_was_erased() {
    let world = World::with_conversation().await;
    world.keys.destroy(&"ana".into()).await.unwrap();
    for context in [by_ana("k"), by_worker("k")] {
        let answer = world.handler().execute(&world.stream, make_title(), context).await;
        assert!(matches!(answer, Err(CommandError::KeyDestroyed)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_long_stream_is_read_to_its_end() {
    let world = World::with_conversation().await;
    let from_its_beginning = world.handler();
    from_its_beginning.execute(&world.stream, assign("alex"), by_ana("k0")).await.unwrap();
    for page in 0..3 {
        let batch = (1..=500).map(|number| {
            let advisor_id = format!("advisor-{number}").into();
            let event = ConversationEvent::AdvisorAssigned(AdvisorAssigned { advisor_id });
            encode(event.into(), &world.stream, page * 500 + number)
        });
        world.log.append(&world.stream, Expected::Exact(page * 500), batch.collect()).await.unwrap();
    }
    for handler in [from_its_beginning, world.handler()] {
        let outcome = handler.execute(&world.stream, assign("advisor-500"), by_ana("k1")).await.unwrap();
        assert_eq!((outcome.revision, outcome.events.len()), (1_500, 0));
    }
}

#[tokio::test]
async fn an_event_that_this_build_does_not_know_stops_the_stream() {
    let world = World::with_conversation().await;
    let mut event = encode(
        ConversationEvent::AdvisorAssigned(AdvisorAssigned { advisor_id: "bea".into() }).into(),
        &world.stream,
        1,
    );
    event.type_name = "conversation.sung.v1".into();
    world.log.append(&world.stream, Expected::Exact(0), vec![event]).await.unwrap();
    let answer = world.handler().execute(&world.stream, rename("a"), by_ana("k")).await;
    assert!(matches!(answer, Err(CommandError::UnknownEvent(_))), "{answer:?}");
}

#[tokio::test]
async fn another_aggregates_event_stops_the_stream() {
    let world = World::with_conversation().await;
    let event = advisor_events::user::UserEvent::Deleted(advisor_events::user::Deleted { user_id: "ana".into() });
    let event = encode(event.into(), &world.stream, 1);
    world.log.append(&world.stream, Expected::Exact(0), vec![event]).await.unwrap();
    let answer = world.handler().execute(&world.stream, rename("a"), by_ana("k")).await;
    assert!(matches!(answer, Err(CommandError::Broken(_))), "{answer:?}");
}

async fn metadata(world: &World) -> Vec<Metadata> {
    let recorded = world.recorded().await;
    recorded.iter().map(|event| Event::decode(&event.type_name, &event.data, &event.metadata).unwrap().1).collect()
}
