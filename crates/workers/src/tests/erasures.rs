//! Of a person who was deleted nothing is left, whenever it happens.

use super::{
    scripted_model::{Play, ScriptedModel},
    world::{World, options, patiently, user},
};
use crate::{Options, erase_person::EraseOptions};
use advisor_events::KeyError;
use advisor_projections::replies;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn who_is_deleted_in_the_middle_of_a_reply_leaves_no_draft_and_no_key_and_nobody_asks_a_model_for_them() {
    let world = World::open().await;
    let left = CancellationToken::new();
    let model = ScriptedModel::new([Play::Hangs("My canary ", left.clone())]);
    let worker = world.start(&model, quickly());
    world.send("m1", "Tell me a secret.", &["ada"]).await;
    world.draft("m1-ada", |draft| draft.is_some_and(|draft| draft.text == "My canary ")).await;

    world.delete_user().await;

    patiently(left.cancelled()).await;
    world.erased().await;
    assert!(world.keys.find(&user()).await.unwrap().is_none());
    assert!(matches!(world.keys.obtain(&user()).await, Err(KeyError::Destroyed)));
    assert_eq!(world.side.drafts().get(&"m1-ada".into()).await.unwrap(), None);
    assert_eq!(world.reader.run(replies::find(&"m1-ada".into())).await.unwrap().value, None);
    assert_eq!(model.asked().len(), 1);
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn a_deletion_that_nobody_has_carried_out_is_carried_out_by_whoever_starts_next() {
    let world = World::open().await;
    world.send("m1", "Tell me a secret.", &["ada"]).await;
    world.die_with("m1-ada", 1, Some("My canary")).await;
    world.delete_user().await;
    assert!(world.keys.find(&user()).await.unwrap().is_some());

    let worker = world.start(&ScriptedModel::new([Play::Empty]), quickly());

    world.erased().await;
    assert!(world.keys.find(&user()).await.unwrap().is_none());
    assert_eq!(world.side.drafts().get(&"m1-ada".into()).await.unwrap(), None);
    worker.shut_down().await;
    world.close().await;
}

#[tokio::test]
async fn other_peoples_drafts_and_keys_stay() {
    let world = World::open().await;
    let model = ScriptedModel::new([Play::Hangs("Still here ", CancellationToken::new())]);
    let worker = world.start(&model, quickly());
    world.send("m1", "Go on.", &["ada"]).await;
    world.draft("m1-ada", |draft| draft.is_some()).await;

    world.delete("somebody else").await;

    world.erased_of("somebody else").await;
    assert!(world.keys.find(&user()).await.unwrap().is_some());
    assert!(world.side.drafts().get(&"m1-ada".into()).await.unwrap().is_some());
    worker.shut_down().await;
    world.close().await;
}

fn quickly() -> Options {
    let erasures = EraseOptions { look: Duration::from_millis(50), settle: Duration::from_millis(300) };
    Options { erasures, ..options() }
}
