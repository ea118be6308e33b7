//! A title is made once, and never over one that the user has set.

use super::{
    scripted_model::{Play, ScriptedModel},
    world::{World, conversation, options, stream, user},
};
use crate::{Options, make_title::TitleOptions, model::ModelError};
use advisor_commands::ConversationCommand;
use advisor_events::{
    Event,
    conversation::{ConversationEvent, TitleSource},
};
use advisor_projections::conversations;
use std::time::Duration;

#[tokio::test]
async fn after_four_messages_a_title_is_made_once() {
    let world = World::open().await;
    let model = ScriptedModel::new([Play::Says("Title: Seed Round, & \"how to\" raise it now!")]);
    let worker = world.start(&model, making_titles());
    talk(&world).await;
    let row = world
        .seen(
            || conversations::by_id(&user(), &conversation()),
            |row| row.as_ref().is_some_and(|row| row.title_source.is_some()),
        )
        .await
        .unwrap();
    assert_eq!(row.title.as_deref(), Some("Seed Round how to raise"));
    assert!(!row.wants_title);
    worker.shut_down().await;
    assert_eq!(titles(&world).await, [TitleSource::Content]);
    world.close().await;
}

#[tokio::test]
async fn a_title_that_the_user_has_set_stays() {
    let world = World::open().await;
    let model = ScriptedModel::new([Play::Says("Something")]);
    let worker = world.start(&model, making_titles());
    world.send("m0", "Hello?", &[]).await;
    let title = "A title of my own that is much longer than it has to be".to_owned();
    world.command(ConversationCommand::Rename { user_id: user(), title }).await.unwrap();
    talk(&world).await;
    worker.shut_down().await;
    assert_eq!(titles(&world).await, [TitleSource::User]);
    world.close().await;
}

#[tokio::test]
async fn a_model_that_fails_is_asked_for_a_title_a_few_times() {
    let world = World::open().await;
    let failing = || Play::Fails(ModelError::Refused(400));
    let plays = [Play::Says("a"), Play::Says("b"), failing(), Play::Says("..."), Play::Says("Good Title")];
    let model = ScriptedModel::new(plays);
    let worker = world.start(&model, making_titles());
    talk(&world).await;
    world
        .seen(
            || conversations::by_id(&user(), &conversation()),
            |row| row.as_ref().is_some_and(|row| row.title.as_deref() == Some("Good Title")),
        )
        .await;
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_title_that_panics_is_tried_again() {
    let world = World::open().await;
    let model = ScriptedModel::new([Play::Says("a"), Play::Says("b"), Play::Panics, Play::Says("Good Title")]);
    let worker = world.start(&model, making_titles());
    talk(&world).await;
    world
        .seen(
            || conversations::by_id(&user(), &conversation()),
            |row| row.as_ref().is_some_and(|row| row.title.as_deref() == Some("Good Title")),
        )
        .await;
    worker.shut_down().await;
    world.close().await;
}

fn making_titles() -> Options {
    let titles =
        TitleOptions { look: Duration::from_millis(50), pause: Duration::from_millis(10), ..TitleOptions::default() };
    Options { titles, ..options() }
}

/// Two messages and their replies.
async fn talk(world: &World) {
    for message in ["m1", "m2"] {
        world.send(message, "How do I raise a seed round?", &["ada"]).await;
        world.ended(&[&format!("{message}-ada")]).await;
    }
}

async fn titles(world: &World) -> Vec<TitleSource> {
    let renamed = |event| {
        if let Event::Conversation(ConversationEvent::Renamed(event)) = event { Some(event.source) } else { None }
    };
    world.events_of(&stream()).await.into_iter().filter_map(renamed).collect()
}
