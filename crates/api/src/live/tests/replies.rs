//! The text of running replies: whoever joins when, it is whole, and the row that ends it ends it.

use super::{
    watcher::Watcher,
    world::{asked, complete_reply, conversation, draft, fail_reply, public_advisor, say, start_reply},
};
use crate::test_api::TestApi;
use serde_json::json;
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn who_looks_from_the_beginning_hears_every_word_once() {
    let (mut test, id, reply) = running().await;
    Arc::make_mut(&mut test.api.settings).streams.heartbeat = Duration::from_millis(50);
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&query]).await;
    watcher.next().await.unwrap();
    assert_eq!(watcher.kept[&query].rows["replies"][&reply]["status"], json!("pending"));
    start_reply(&test, &id, &reply, 1).await;
    watcher.until(|watcher| watcher.kept[&query].rows["replies"][&reply]["status"] == json!("streaming")).await;
    say(&test, (&id, &reply), 1, 0, "Well, ").await;
    say(&test, (&id, &reply), 1, 6, "😀 then").await;
    watcher.until(|watcher| watcher.texts.get(&reply).is_some_and(|(_, text)| text == "Well, 😀 then")).await;
    let deltas = watcher.told.iter().filter(|told| told.name == "delta");
    assert!(deltas.clone().all(|delta| delta.id.is_none()));
    let sent: String = deltas.map(|delta| delta.data["text"].as_str().unwrap()).collect();
    assert_eq!(sent, "Well, 😀 then");

    complete_reply(&test, &id, &reply, 1, "Well, 😀 then.").await;
    watcher.until(|watcher| watcher.kept[&query].rows["messages"].contains_key(&reply)).await;
    assert!(watcher.kept[&query].rows["replies"].is_empty());
    // What is said after the end is not passed on.
    say(&test, (&id, &reply), 1, 13, "late").await;
    assert_eq!(watcher.raw().await.unwrap(), ":\n\n", "nothing but a sign of life");
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn who_joins_in_the_middle_gets_the_draft_from_its_beginning_and_what_follows_on_it() {
    let (test, id, reply) = running().await;
    start_reply(&test, &id, &reply, 1).await;
    draft(&test, &id, &reply, 1, "Well, 😀").await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&query]).await;
    let snapshot = watcher.next().await.unwrap();
    assert_eq!(snapshot.data["data"]["replies"][0]["text"], json!("Well, 😀"));
    let first = watcher.next().await.unwrap();
    assert_eq!(first.data["offset"], json!(0));
    assert_eq!(first.data["text"], json!("Well, 😀"));
    assert_eq!(
        (&first.data["replyId"], &first.data["conversationId"], &first.data["attempt"]),
        (&json!(reply), &json!(id), &json!(1))
    );
    // One of the pieces overlaps, another is lost and made good by the draft.
    say(&test, (&id, &reply), 1, 6, "😀 th").await;
    say(&test, (&id, &reply), 1, 13, "is").await;
    draft(&test, &id, &reply, 1, "Well, 😀 then th").await;
    watcher.until(|watcher| watcher.texts[&reply].1 == "Well, 😀 then th").await;
}

#[tokio::test]
async fn deltas_that_are_all_lost_are_made_good_by_the_draft_within_a_second() {
    let (test, id, reply) = running().await;
    start_reply(&test, &id, &reply, 1).await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&query]).await;
    watcher.next().await.unwrap();
    draft(&test, &id, &reply, 1, "quietly written").await;
    watcher.until(|watcher| watcher.texts.get(&reply).is_some_and(|(_, text)| text == "quietly written")).await;
}

#[tokio::test]
async fn a_higher_attempt_begins_anew() {
    let (test, id, reply) = running().await;
    start_reply(&test, &id, &reply, 1).await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&query]).await;
    watcher.next().await.unwrap();
    say(&test, (&id, &reply), 1, 0, "first try").await;
    watcher.until(|watcher| watcher.texts.contains_key(&reply)).await;
    start_reply(&test, &id, &reply, 2).await;
    watcher.until(|watcher| watcher.kept[&query].rows["replies"][&reply]["attempt"] == json!(2)).await;
    say(&test, (&id, &reply), 1, 9, "!").await;
    say(&test, (&id, &reply), 2, 0, "second").await;
    watcher.until(|watcher| watcher.texts[&reply] == (2, "second".to_owned())).await;
    fail_reply(&test, &id, &reply, 2).await;
    watcher.until(|watcher| watcher.kept[&query].rows["replies"][&reply]["status"] == json!("failed")).await;
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn who_comes_back_to_a_running_reply_gets_its_text_from_the_beginning() {
    let (test, id, reply) = running().await;
    start_reply(&test, &id, &reply, 1).await;
    draft(&test, &id, &reply, 1, "so far").await;
    let query = format!("/api/conversations/{id}");
    let mut before = Watcher::of(&test, "ana", &[&query]).await;
    before.until(|watcher| watcher.texts.contains_key(&reply)).await;
    let mut after = Watcher::resumed(&test, "ana", &[&query], before.id.as_deref()).await.with(&before);
    let delta = after.next().await.unwrap();
    assert_eq!((delta.name.as_str(), &delta.data["offset"]), ("delta", &json!(0)));
    assert_eq!(after.texts[&reply].1, "so far");
}

/// A conversation of Ana's, and a reply that Robin was asked for.
async fn running() -> (TestApi, String, String) {
    let test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    let reply = asked(&test, "ana", &id, "robin").await;
    (test, id, reply)
}
