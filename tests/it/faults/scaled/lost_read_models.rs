//! Read models that an operator has thrown away: they are filled anew, and until they are nobody is told that all is well.

use super::engines::{Database, sql};
use crate::server::{Client, PATIENCE, Server};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use std::time::Instant;

/// Events, one in each transaction: enough for the lock to come between them.
const EVENTS: usize = 1_000;
const IS_THERE: &str = "SELECT to_regclass('advisor_generation_1.conversations') IS NOT NULL";
/// For longer than a server waits before it listens.
const HOLD: &str = "BEGIN; LOCK TABLE advisor_generation_1.conversations IN EXCLUSIVE MODE; SELECT pg_sleep(5); COMMIT";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_read_models_are_gone_is_not_ready_before_they_are_whole_again() {
    let database = Database::make();
    let url = database.url();
    let engines = [("ADVISOR_EVENT_LOG_URL", url.as_str()), ("ADVISOR_READ_MODEL_URL", url.as_str())];
    let mut server = Server::start_with(&engines);
    let user = server.client("user_1", &[]);
    join_all((0..16).map(|_| rename(&user, EVENTS / 16))).await;
    server.set("ADVISOR_PROJECTION_BATCH_EVENTS_MAX", Some("1"));
    // It says of its work that it follows the log, and leaves that behind.
    let holding = tokio::task::block_in_place(|| {
        server.terminate();
        sql(&url, "DROP SCHEMA advisor_generation_1 CASCADE");
        let held = url.clone();
        let holding = std::thread::spawn(move || hold(&held));
        server.start_again();
        holding
    });
    let user = user.at(&server);
    let (begun, mut refused) = (Instant::now(), 0);
    loop {
        let ready = user.ask(Method::GET, "/readyz", &[], None).await.status == 200;
        let list = user.ask(Method::GET, "/api/conversations", &[], None).await;
        if list.status == 200 {
            assert_eq!(list.body.as_array().unwrap().len(), 16, "a part is shown");
            break;
        }
        refused += 1;
        assert!(!ready, "it says that it is ready, and answers {}", list.text);
        assert!(begun.elapsed() < PATIENCE, "they are not filled");
    }
    assert!(refused > 0, "they were whole before anybody could ask");
    user.until_ready().await;
    holding.join().unwrap();
}

/// Holds one of the new tables as soon as it is there.
fn hold(url: &str) {
    while sql(url, IS_THERE) != "t" {}
    sql(url, HOLD);
}

async fn rename(user: &Client, times: usize) {
    let id = user.command("StartConversation", &json!({})).await["result"]["conversationId"].clone();
    for number in 0..times {
        user.command("RenameConversation", &json!({"conversationId": id, "title": format!("{number}")})).await;
    }
}
