//! Where a client stands: who comes back gets what changed in between, once, and nothing else.

use super::{
    watcher::Watcher,
    world::{command, conversation, message, public_advisor, revise},
};
use crate::{live::Hub, test_api::TestApi};
use advisor_projections::changes::PUBLIC;
use serde_json::json;
use std::{collections::HashSet, sync::Arc};

#[tokio::test]
async fn who_comes_back_gets_the_net_effect_of_the_absence_in_one_change() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let queries = ["/api/conversations", &format!("/api/conversations/{id}")];
    let mut before = Watcher::of(&test, "ana", &queries).await;
    before.until(|watcher| watcher.kept.len() == 2).await;
    let old = message(&test, "ana", &id, "one").await;
    before.until(|watcher| watcher.names().contains(&"change")).await;
    before.agree(&test, "ana").await;
    let last = before.id.clone().unwrap();
    // Nobody listens while this happens.
    let gone = message(&test, "ana", &id, "two").await;
    command(&test, "ana", "DeleteMessage", json!({"messageId": gone})).await;
    command(&test, "ana", "EditMessage", json!({"messageId": old, "content": "one and a half"})).await;
    let fleeting = conversation(&test, "ana").await;
    command(&test, "ana", "DeleteConversation", json!({"conversationId": fleeting})).await;

    // The order in which the queries are named does not matter.
    let reversed: Vec<&str> = queries.iter().rev().copied().collect();
    let mut after = Watcher::resumed(&test, "ana", &reversed, Some(&last)).await.with(&before);
    after.next().await.unwrap();
    assert_eq!(after.names(), ["change"]);
    after.agree(&test, "ana").await;
    assert_eq!(after.told.len(), 1, "all of it came at once");
}

#[tokio::test]
async fn what_happens_while_a_client_connects_is_not_lost() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    for round in 0..60 {
        let words = format!("round {round}");
        let happening = async {
            // Each round at another moment of the connecting.
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            message(&test, "ana", &id, &words).await
        };
        let queries = [query.as_str(), "/api/conversations"];
        let (mut watcher, _) = tokio::join!(Watcher::of(&test, "ana", &queries), happening);
        watcher.until(|watcher| watcher.kept.len() == 2).await;
        watcher.agree(&test, "ana").await;
    }
}

#[tokio::test]
async fn what_is_ones_own_is_not_lost_behind_what_is_public() {
    let mut test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    // This hub is told what moved by the test alone.
    let hub = Hub::new(test.api.reader.clone(), Arc::clone(&test.api.bus));
    test.api.live = Arc::clone(&hub);
    let mut watcher = Watcher::of(&test, "ana", &["/api/advisors", "/api/conversations"]).await;
    watcher.until(|watcher| watcher.kept.len() == 2).await;
    revise(&test, "robin", "Chef").await;
    let public = test.api.reader.position();
    message(&test, "ana", &id, "hello").await;
    let own = test.api.reader.position();
    let telling = async {
        hub.tell(&HashSet::from([PUBLIC]), public);
        // The stream reads what is public, and finds the read side further than what was told.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        hub.tell(&HashSet::from(["ana"]), own);
    };
    tokio::join!(telling, watcher.agree(&test, "ana"));
}

#[tokio::test]
async fn who_comes_back_and_has_missed_nothing_is_told_nothing() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let queries = ["/api/conversations"];
    let mut before = Watcher::of(&test, "ana", &queries).await;
    before.next().await.unwrap();
    message(&test, "ana", &id, "one").await;
    before.next().await.unwrap();
    let last = before.id.clone();
    let mut after = Watcher::resumed(&test, "ana", &queries, last.as_deref()).await.with(&before);
    // Were the last event told again, it would come before this one.
    message(&test, "ana", &id, "two").await;
    let change = after.next().await.unwrap();
    assert_eq!(change.data["changes"][0]["row"]["messageCount"], json!(2));
    assert_eq!(after.names(), ["change"]);
}

#[tokio::test]
async fn an_id_that_is_not_of_this_stream_is_answered_by_a_reset_and_the_whole() {
    let test = TestApi::start().await;
    conversation(&test, "ana").await;
    conversation(&test, "bo").await;
    let mut of_ana = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    of_ana.next().await.unwrap();
    let id = of_ana.id.clone().unwrap();
    let parts: Vec<&str> = id.split(':').collect();
    let head = test.api.log.head().await.unwrap();
    let (of_others, beyond) =
        (format!("9:{}:{}", parts[1], parts[2]), format!("{}:{}:{}", parts[0], head.0 + 1, parts[2]));
    let far = format!("{}:{}:{}", parts[0], i64::MAX, parts[2]);
    let tampered = format!("{}:{}:{}", parts[0], parts[1], parts[2].replace(|c: char| c.is_ascii_digit(), "0"));
    for (user, queries, id, reason) in [
        ("ana", vec!["/api/conversations"], "abc", "query"),
        ("ana", vec!["/api/conversations"], "-1", "query"),
        ("ana", vec!["/api/conversations"], tampered.as_str(), "query"),
        ("ana", vec!["/api/conversations", "/api/me"], id.as_str(), "query"),
        ("bo", vec!["/api/conversations"], id.as_str(), "query"),
        ("ana", vec!["/api/conversations"], of_others.as_str(), "generation"),
        ("ana", vec!["/api/conversations"], beyond.as_str(), "generation"),
        ("ana", vec!["/api/conversations"], far.as_str(), "generation"),
    ] {
        let mut watcher = Watcher::resumed(&test, user, &queries, Some(id)).await;
        let reset = watcher.next().await.unwrap();
        assert_eq!((reset.name.as_str(), &reset.data), ("reset", &json!({"reason": reason})), "{id}");
        watcher.until(|watcher| watcher.kept.len() == queries.len()).await;
        watcher.agree(&test, user).await;
    }
}

#[tokio::test]
async fn an_id_older_than_the_changes_that_are_kept_is_answered_by_a_reset() {
    let test = TestApi::start().await;
    conversation(&test, "ana").await;
    let mut watcher = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    watcher.next().await.unwrap();
    let id = watcher.id.clone().unwrap();
    let parts: Vec<&str> = id.split(':').collect();
    // Changes are kept from where the read models had caught up for the first time: nothing is before that.
    let mut watcher =
        Watcher::resumed(&test, "ana", &["/api/conversations"], Some(&format!("{}:0:{}", parts[0], parts[2]))).await;
    assert_eq!(watcher.next().await.unwrap().data, json!({"reason": "retention"}));
    watcher.next().await.unwrap();
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn a_conversation_that_was_deleted_in_the_meantime_is_removed_and_the_stream_ends() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    let mut before = Watcher::of(&test, "ana", &[&query]).await;
    before.next().await.unwrap();
    command(&test, "ana", "DeleteConversation", json!({"conversationId": id})).await;
    let mut after = Watcher::resumed(&test, "ana", &[&query], before.id.as_deref()).await.with(&before);
    assert_eq!(after.next().await.unwrap().data["changes"][0]["op"], json!("remove"));
    assert_eq!(after.end().await, "gone");
}

#[tokio::test]
async fn the_position_moves_on_where_nothing_changes_for_the_client() {
    let mut test = TestApi::start().await;
    Arc::make_mut(&mut test.api.settings).streams.heartbeat = std::time::Duration::from_millis(20);
    conversation(&test, "ana").await;
    let mut ana = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    ana.next().await.unwrap();
    let stood = ana.position;
    let of_bo = conversation(&test, "bo").await;
    message(&test, "bo", &of_bo, "hello").await;
    // A comment shows that the stream has looked in the meantime.
    assert_eq!(ana.raw().await.unwrap(), ":\n\n");
    let own = conversation(&test, "ana").await;
    let change = ana.next().await.unwrap();
    assert_eq!(change.data["changes"][0]["key"], json!(own));
    assert!(ana.position > stood);
}
