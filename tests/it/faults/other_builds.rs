//! Builds that take turns on the same data: one whose read models are laid out otherwise, and one that does not know
//! an event which a newer one wrote.

use super::{after::all_events, rounds};
use crate::{
    build::Build,
    server::{Client, PATIENCE, Server},
};
use reqwest::{Method, StatusCode};
use rusqlite::Connection;
use serde_json::json;
use std::{fs, path::PathBuf, time::Instant};

/// What the newer build writes, and how an older one that does not know it sees it.
const KNOWN: &str = "conversation.deleted.v1";
pub(super) const UNKNOWN: &str = "conversation.painted.v1";

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_take_turns_refuse_or_work_and_spoil_nothing() {
    let mut server = Server::start_build(&Build::usual(), &[]);
    let user = server.client("user_1", &[]);
    for turn in 0..rounds("ADVISOR_TEST_TURNS", 3) {
        let user = user.at(&server);
        let gone = start(&user, &format!("Gone in {turn}")).await;
        start(&user, &format!("Kept in {turn}")).await;
        let deleted = user.command("DeleteConversation", &json!({"conversationId": gone})).await;
        let position = deleted["position"].as_u64().unwrap();
        let events = all_events(&server).len();

        // A build before this one: it lays its read models out otherwise, and does not know the event.
        tokio::task::block_in_place(|| server.terminate());
        lay_out_otherwise(&server);
        rename_type(&server, KNOWN, UNKNOWN);
        tokio::task::block_in_place(|| server.start_again());
        let user = user.at(&server);
        refuses_to_go_on(&server, &user, turn, position).await;
        assert_eq!(user.send(Method::DELETE, &format!("/api/conversations/{gone}"), None).await.0.as_u16() / 100, 5);

        // This one again.
        tokio::task::block_in_place(|| server.terminate());
        lay_out_otherwise(&server);
        rename_type(&server, UNKNOWN, KNOWN);
        tokio::task::block_in_place(|| server.start_again());
        let user = user.at(&server);
        let seen = user.get(&format!("/api/conversations?min_position={position}")).await;
        let titles: Vec<String> = seen.as_array().unwrap().iter().map(|item| item["title"].to_string()).collect();
        let kept: Vec<String> = (0..=turn).rev().map(|turn| format!("\"Kept in {turn}\"")).collect();
        assert_eq!(titles, kept);
        assert_eq!(all_events(&server).len(), events, "a build that could not go on has written");
        let verified = server.advisor(&["verify"]);
        assert!(verified.status.success(), "verify: {}", String::from_utf8_lossy(&verified.stdout));
    }
}

async fn start(user: &Client, title: &str) -> String {
    let started = user.command("StartConversation", &json!({"title": title})).await;
    started["result"]["conversationId"].as_str().unwrap().to_owned()
}

/// Says which event it does not know, is not ready, and shows nothing as if there were no more.
pub(super) async fn refuses_to_go_on(server: &Server, user: &Client, turn: usize, position: u64) {
    let begun = Instant::now();
    let reason = format!("unknown event type {UNKNOWN}");
    let mut said = String::new();
    while !said.contains(&reason) {
        assert!(begun.elapsed() < PATIENCE, "it goes on past an event that it does not know: {said}");
        said = reqwest::get(format!("{}/readyz?verbose", server.admin_url)).await.unwrap().text().await.unwrap();
    }
    let (status, ready) = user.send(Method::GET, "/readyz", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "turn {turn}: {ready}");
    let (status, answer) = user.send(Method::GET, &format!("/api/conversations?min_position={position}"), None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "turn {turn}: {answer}");
}

/// The read models say that another build has laid them out.
fn lay_out_otherwise(server: &Server) {
    let files: Vec<PathBuf> = fs::read_dir(server.data_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let is_generation = |path: &&PathBuf| {
        let is_of_one = path.file_name().unwrap().to_str().unwrap().starts_with("generation-");
        is_of_one && path.extension().is_some_and(|extension| extension == "db")
    };
    let [generation] = files.iter().filter(is_generation).collect::<Vec<_>>()[..] else {
        panic!("one set of read models, and not {files:?}")
    };
    let connection = Connection::open(generation).unwrap();
    assert_eq!(connection.execute("UPDATE checkpoint SET layout = 'of another build'", []).unwrap(), 1);
}

/// The events of a type bear another name.
pub(super) fn rename_type(server: &Server, from: &str, to: &str) {
    let connection = Connection::open(server.data_dir().join("log.db")).unwrap();
    let renamed = connection.execute("UPDATE types SET name = ?2 WHERE name = ?1", [from, to]).unwrap();
    assert_eq!(renamed, 1, "{from} is a type of the log");
}
