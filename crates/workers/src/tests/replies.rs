//! Every reply has exactly one end, whatever happens to models, workers and users on the way.

use super::{
    scripted_model::{Play, ScriptedModel},
    world::{World, attempts, conversation, document, ends, options, patiently, stream, user},
};
use crate::{
    Options,
    model::ModelError,
    prompt::rebuild,
    reply_to_message::{ReplyOptions, TakeOver},
};
use advisor_bus::{BusMessage, Topic};
use advisor_commands::ConversationCommand;
use advisor_events::{
    Event, ReplyId, StreamName,
    conversation::{ConversationEvent, Manifest, ReplyCompleted, ReplyFailure, ReplyStopped},
};
use advisor_projections::{messages, replies};
use futures::FutureExt;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_reply_is_streamed_and_ends_once_as_a_message() {
    let world = World::open().await;
    let model = ScriptedModel::new([Play::Says("Hello, I am 👋 Ada.")]);
    let mut listener = world.bus.listen(&Topic::Reply("m1-ada".into())).await.unwrap();
    let worker = world.start(&model, options());

    world.send("m1", "Who are you?", &["ada"]).await;
    let events = world.ended(&["m1-ada"]).await;

    let completed = completed(&events, "m1-ada");
    assert_eq!(completed.content.known().unwrap(), "Hello, I am 👋 Ada.");
    assert_eq!((completed.model.as_str(), completed.finish_reason.as_str()), ("free-model", "stop"));
    assert!(completed.usage.estimated && completed.usage.prompt_tokens > 0);
    assert_eq!(completed.usage.completion_tokens, 5);
    assert!(!completed.is_demo);
    assert_eq!(attempts(&events, "m1-ada"), [(1, false)]);
    assert_eq!(model.asked().len(), 1);

    let page = world.seen(|| messages::newest(&user(), &conversation(), 10), |page| page.messages.len() == 2).await;
    assert_eq!(page.messages[1].content, "Hello, I am 👋 Ada.");
    let mut told = Vec::new();
    while let Some(Some(BusMessage::Delta(delta))) = listener.next().now_or_never() {
        assert_eq!(usize::try_from(delta.offset).unwrap(), told.len());
        told.extend(delta.text.encode_utf16());
    }
    assert_eq!(String::from_utf16(&told).unwrap(), "Hello, I am 👋 Ada.");
    world.draft("m1-ada", |draft| draft.is_none()).await;
    worker.shut_down().await;
    assert_eq!(ends(&world.conversation_events().await, "m1-ada").len(), 1);
    world.close().await;
}

#[tokio::test]
async fn the_manifest_makes_the_same_request_again_also_after_an_edit() {
    let world = World::open().await;
    let model = ScriptedModel::new([Play::Says("Good day.")]);
    let worker = world.start(&model, options());
    world.send("m1", "Hello", &["ada"]).await;
    world.ended(&["m1-ada"]).await;
    world.send("m2", "What is a loop?", &["ada"]).await;
    let edit = ConversationCommand::EditMessage { user_id: user(), message_id: "m1".into(), content: "Bye".into() };
    let events = world.ended(&["m2-ada"]).await;
    world.command(edit).await.unwrap();

    let manifest = manifest(&events, "m2-ada");
    let texts: Vec<_> = manifest.texts.iter().map(|text| text.stream.as_str()).collect();
    assert_eq!(texts, ["advisor-ada", "conversation-c1", "conversation-c1", "conversation-c1"]);
    let rebuilt = rebuild(&manifest, &texts_of(&world, &manifest).await).unwrap();
    assert_eq!(rebuilt, model.asked()[1]);
    let body: Value = serde_json::from_slice(&rebuilt).unwrap();
    let said: Vec<_> = body["messages"].as_array().unwrap()[1..].iter().map(|turn| &turn["content"]).collect();
    assert_eq!(said, ["Hello", "Good day.", "What is a loop?"]);
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn of_two_workers_one_gives_the_reply() {
    let world = World::open().await;
    let (gate, model) = gated("Hello");
    let workers = [world.start(&model, options()), world.start(&model, options())];
    for number in 0..10 {
        world.send(&format!("m{number}"), "Hello?", &["ada", "ben"]).await;
        gate.add_permits(2);
    }
    let all: Vec<String> = (0..10).flat_map(|n| [format!("m{n}-ada"), format!("m{n}-ben")]).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let events = world.ended(&all).await;
    for reply in all {
        assert_eq!(attempts(&events, reply), [(1, false)], "{reply}");
        assert_eq!(ends(&events, reply).len(), 1);
    }
    assert_eq!(model.asked().len(), 20);
    for worker in workers {
        worker.shut_down().await;
    }
    world.close().await;
}

#[tokio::test]
async fn what_a_dead_worker_began_is_taken_over_once_its_beat_stands_still() {
    let world = World::open().await;
    world.send("m1", "Hello?", &["ada"]).await;
    world.die_with("m1-ada", 1, Some("Half a repl")).await;
    let model = ScriptedModel::new([Play::Says("Hello")]);
    let worker = world.start(&model, taking_over(TakeOver::AfterSilence(Duration::from_millis(200))));
    let events = world.ended(&["m1-ada"]).await;
    assert_eq!(attempts(&events, "m1-ada"), [(1, false), (2, false)]);
    assert_eq!(completed(&events, "m1-ada").content.known().unwrap(), "Hello");
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_worker_that_is_alone_takes_over_at_once() {
    let world = World::open().await;
    world.send("m1", "Hello?", &["ada"]).await;
    world.die_with("m1-ada", 1, None).await;
    let worker = world.start(&ScriptedModel::new([Play::Says("Hello")]), taking_over(TakeOver::AtOnce));
    let events = world.ended(&["m1-ada"]).await;
    assert_eq!(attempts(&events, "m1-ada"), [(1, false), (2, false)]);
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_reply_that_died_three_times_fails_without_another_call() {
    let world = World::open().await;
    world.send("m1", "Hello?", &["ada"]).await;
    for attempt in 1..=3 {
        world.die_with("m1-ada", attempt, None).await;
    }
    let model = ScriptedModel::new([Play::Says("never")]);
    let worker = world.start(&model, taking_over(TakeOver::AtOnce));
    let events = world.ended(&["m1-ada"]).await;
    assert_eq!(failure(&events, "m1-ada"), ReplyFailure::AttemptsExhausted);
    assert!(model.asked().is_empty());
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_worker_that_shuts_down_releases_its_replies_and_the_next_attempt_is_not_counted() {
    let world = World::open().await;
    let dropped = CancellationToken::new();
    let first = world.start(&ScriptedModel::new([Play::Hangs("Half a ", dropped.clone())]), options());
    world.send("m1", "Hello?", &["ada"]).await;
    world.draft("m1-ada", |draft| draft.is_some_and(|draft| draft.text == "Half a ")).await;
    first.shut_down().await;
    assert!(dropped.is_cancelled());
    world.draft("m1-ada", |draft| draft.is_some_and(|draft| draft.released && draft.text == "Half a ")).await;

    let second = world.start(&ScriptedModel::new([Play::Says("Hello")]), options());
    let events = world.ended(&["m1-ada"]).await;
    assert_eq!(attempts(&events, "m1-ada"), [(1, false), (2, true)]);
    second.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_reply_may_end_within_the_grace_of_a_shutdown() {
    let world = World::open().await;
    let (gate, model) = gated("Hello");
    let grace = ReplyOptions { grace: Duration::from_secs(10), ..options().replies };
    let worker = world.start(&model, Options { replies: grace, ..options() });
    world.send("m1", "Hello?", &["ada"]).await;
    patiently(model.asked_times(1)).await;
    let ((), ()) = futures::join!(worker.shut_down(), async { gate.add_permits(1) });
    let events = world.conversation_events().await;
    assert_eq!(completed(&events, "m1-ada").content.known().unwrap(), "Hello");
    world.close().await;
}

#[tokio::test]
async fn a_reply_that_is_stopped_before_it_begins_asks_no_model() {
    let world = World::open().await;
    world.send("m1", "Hello?", &["ada"]).await;
    world.stop("m1-ada").await;
    let model = ScriptedModel::new([Play::Says("Hello")]);
    let worker = world.start(&model, options());
    world.send("m2", "Hello?", &["ben"]).await;
    let events = world.ended(&["m2-ben"]).await;
    assert_eq!(stopped(&events, "m1-ada").content.known().unwrap(), "");
    assert_eq!(model.asked().len(), 1);
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_running_reply_that_is_stopped_keeps_what_it_said_and_closes_the_call() {
    let world = World::open().await;
    let dropped = CancellationToken::new();
    let worker = world.start(&ScriptedModel::new([Play::Hangs("Half a ", dropped.clone())]), options());
    world.send("m1", "Hello?", &["ada"]).await;
    world.draft("m1-ada", |draft| draft.is_some_and(|draft| draft.text == "Half a ")).await;

    world.stop("m1-ada").await;

    let events = world.ended(&["m1-ada"]).await;
    let stopped = stopped(&events, "m1-ada");
    assert_eq!(stopped.content.known().unwrap(), "Half a ");
    assert_eq!(stopped.model.as_deref(), Some("free-model"));
    assert!(stopped.usage.unwrap().estimated);
    assert!(dropped.is_cancelled());
    world.draft("m1-ada", |draft| draft.is_none()).await;
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_stop_that_nobody_is_left_to_carry_out_ends_the_reply_with_its_draft() {
    let world = World::open().await;
    world.send("m1", "Hello?", &["ada"]).await;
    world.die_with("m1-ada", 1, Some("Half a repl")).await;
    world.stop("m1-ada").await;
    let model = ScriptedModel::new([Play::Says("never")]);
    let worker = world.start(&model, taking_over(TakeOver::AtOnce));
    let events = world.ended(&["m1-ada"]).await;
    assert_eq!(stopped(&events, "m1-ada").content.known().unwrap(), "Half a repl");
    assert!(model.asked().is_empty());
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn replies_to_one_message_run_in_parallel_and_those_to_the_next_wait_for_them() {
    let world = World::open().await;
    let (gate, model) = gated("Hello");
    let worker = world.start(&model, options());
    world.send("m1", "Hello?", &["ada", "ben"]).await;
    world.send("m2", "And now?", &["ada"]).await;
    patiently(model.asked_times(2)).await;
    assert_eq!(attempts(&world.conversation_events().await, "m2-ada"), []);

    gate.add_permits(3);

    let events = world.ended(&["m1-ada", "m1-ben", "m2-ada"]).await;
    let begun = events.iter().position(
        |event| matches!(event, ConversationEvent::ReplyStarted(event) if event.reply_id.as_str() == "m2-ada"),
    );
    let ended = events.iter().rposition(
        |event| matches!(event, ConversationEvent::ReplyCompleted(event) if event.reply_id.as_str().starts_with("m1")),
    );
    assert!(begun > ended);
    let heard: Value = serde_json::from_slice(&model.asked()[2]).unwrap();
    let roles: Vec<_> =
        heard["messages"].as_array().unwrap().iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "assistant", "user"]);
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_reply_does_not_hear_an_earlier_one_to_the_same_message() {
    let world = World::open().await;
    let model = ScriptedModel::new([Play::Says("Hello")]);
    let one_by_one = ReplyOptions { parallel_max: 1, ..options().replies };
    let worker = world.start(&model, Options { replies: one_by_one, ..options() });
    world.send("m1", "Hello?", &["ada", "ben"]).await;
    world.ended(&["m1-ada", "m1-ben"]).await;
    for body in model.asked() {
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["messages"].as_array().unwrap().len(), 2);
    }
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn an_attempt_that_breaks_off_is_followed_by_another_and_the_third_is_the_last() {
    let world = World::open().await;
    let broken = || Play::Breaks("Half a ", ModelError::Broken("x"));
    let model = ScriptedModel::new([broken(), Play::Says("Hello")]);
    let worker = world.start(&model, options());
    world.send("m1", "Hello?", &["ada"]).await;
    let events = world.ended(&["m1-ada"]).await;
    assert_eq!(attempts(&events, "m1-ada"), [(1, false), (2, false)]);
    assert_eq!(completed(&events, "m1-ada").content.known().unwrap(), "Hello");
    worker.shut_down().await;

    let model = ScriptedModel::new([broken()]);
    let worker = world.start(&model, options());
    world.send("m2", "Hello?", &["ada"]).await;
    let events = world.ended(&["m2-ada"]).await;
    assert_eq!(attempts(&events, "m2-ada").len(), 3);
    assert_eq!(failure(&events, "m2-ada"), ReplyFailure::AiApiError);
    assert_eq!(model.asked().len(), 3);
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_model_that_does_not_answer_fails_the_reply_and_what_it_has_not_said_is_no_answer() {
    let world = World::open().await;
    for (number, (play, reason)) in [
        (Play::Fails(ModelError::Unavailable("x")), ReplyFailure::AiApiError),
        (Play::Fails(ModelError::Refused(401)), ReplyFailure::AiApiError),
        (Play::Empty, ReplyFailure::NoAiResponse),
        (Play::Says(" "), ReplyFailure::NoAiResponse),
    ]
    .into_iter()
    .enumerate()
    {
        let worker = world.start(&ScriptedModel::new([play]), options());
        let (message, reply) = (format!("m{number}"), format!("m{number}-ada"));
        world.send(&message, "Hello?", &["ada"]).await;
        let events = world.ended(&[&reply]).await;
        assert_eq!(failure(&events, &reply), reason);
        worker.shut_down().await;
    }
    let rows = world.seen(|| replies::open(10), Vec::is_empty).await;
    assert!(rows.is_empty());
    world.close().await;
}

#[tokio::test]
async fn an_advisor_who_is_archived_or_unknown_fails_the_reply() {
    let world = World::open().await;
    world.archive_advisor("ada").await;
    let model = ScriptedModel::new([Play::Says("never")]);
    let worker = world.start(&model, options());
    world.send("m1", "Hello?", &["ada", "nobody"]).await;
    let events = world.ended(&["m1-ada", "m1-nobody"]).await;
    assert_eq!(failure(&events, "m1-ada"), ReplyFailure::AdvisorNotFound);
    assert_eq!(failure(&events, "m1-nobody"), ReplyFailure::AdvisorNotFound);
    assert!(model.asked().is_empty());
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_message_that_is_deleted_takes_its_running_reply_with_it() {
    let world = World::open().await;
    let (gate, model) = gated("Hello");
    let worker = world.start(&model, options());
    world.send("m1", "Hello?", &["ada"]).await;
    patiently(model.asked_times(1)).await;
    let delete = ConversationCommand::DeleteMessage { user_id: user(), message_id: "m1".into() };
    world.command(delete).await.unwrap();
    gate.add_permits(2);

    world.send("m2", "Hello?", &["ada"]).await;
    let events = world.ended(&["m1-ada", "m2-ada"]).await;
    assert_eq!(failure(&events, "m1-ada"), ReplyFailure::MessageDeleted);
    assert_eq!(ends(&events, "m1-ada").len(), 1);
    world.draft("m1-ada", |draft| draft.is_none()).await;
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn nobody_listens_to_a_model_any_more_once_the_message_is_deleted() {
    let world = World::open().await;
    let left = CancellationToken::new();
    let worker = world.start(&ScriptedModel::new([Play::Hangs("Half ", left.clone())]), options());
    world.send("m1", "Hello?", &["ada"]).await;
    world.draft("m1-ada", |draft| draft.is_some_and(|draft| draft.text == "Half ")).await;

    let delete = ConversationCommand::DeleteMessage { user_id: user(), message_id: "m1".into() };
    world.command(delete).await.unwrap();

    patiently(left.cancelled()).await;
    world.draft("m1-ada", |draft| draft.is_none()).await;
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn what_a_model_must_not_say_is_stored_as_inert_text() {
    let world = World::open().await;
    let said = "a\u{0}b \u{1b}[2J <script>alert(1)</script>\n\ndata: [DONE]\n\nevent: reset ![x](http://evil)";
    let worker = world.start(&ScriptedModel::new([Play::Says(said)]), options());
    world.send("m1", "Hello?", &["ada"]).await;
    let events = world.ended(&["m1-ada"]).await;
    let inert = said.replace(['\u{0}', '\u{1b}'], "\u{fffd}");
    assert_eq!(completed(&events, "m1-ada").content.known().unwrap(), &inert);
    worker.shut_down().await;
    world.close().await;
}

fn taking_over(take_over: TakeOver) -> Options {
    Options { replies: ReplyOptions { take_over, ..options().replies }, ..options() }
}

/// A model that speaks when the semaphore lets it.
fn gated(said: &'static str) -> (Arc<Semaphore>, ScriptedModel) {
    let gate = Arc::new(Semaphore::new(0));
    (Arc::clone(&gate), ScriptedModel::new([Play::Waits(gate, said)]))
}

fn completed<'a>(events: &'a [ConversationEvent], reply: &str) -> &'a ReplyCompleted {
    match ends(events, reply).as_slice() {
        [ConversationEvent::ReplyCompleted(event)] => event,
        other => panic!("{other:?}"),
    }
}

fn stopped<'a>(events: &'a [ConversationEvent], reply: &str) -> &'a ReplyStopped {
    match ends(events, reply).as_slice() {
        [ConversationEvent::ReplyStopped(event)] => event,
        other => panic!("{other:?}"),
    }
}

fn failure(events: &[ConversationEvent], reply: &str) -> ReplyFailure {
    match ends(events, reply).as_slice() {
        [ConversationEvent::ReplyFailed(event)] => event.reason,
        other => panic!("{other:?}"),
    }
}

fn manifest(events: &[ConversationEvent], reply: &str) -> Manifest {
    let started = events.iter().find_map(|event| {
        if let ConversationEvent::ReplyStarted(event) = event { Some(event) } else { None }
            .filter(|event| event.reply_id == ReplyId::from(reply))
    });
    started.unwrap().manifest.clone()
}

/// The events that a manifest names.
async fn texts_of(world: &World, manifest: &Manifest) -> Vec<Event> {
    let conversation = world.events_of(&stream()).await;
    let advisor = world.events_of(&StreamName::from_text("advisor-ada")).await;
    assert_eq!(document("Ada Byron")["persona"]["name"], "Ada Byron");
    let of = |name: &StreamName| if *name == stream() { &conversation } else { &advisor };
    manifest.texts.iter().map(|text| of(&text.stream)[usize::try_from(text.revision).unwrap()].clone()).collect()
}
