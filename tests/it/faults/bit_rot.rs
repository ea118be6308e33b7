//! One bit of an event turns on the disk: it is noticed, told, and never passed over.

use super::consumption::remove_read_models;
use crate::{build::Build, server::Server};
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_bits_have_turned_is_named_and_never_skipped() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let mut server = Server::start_build(&build, &[]);
    let user = server.client("user_1", &[]);
    let broken = user.command("StartConversation", &json!({"title": "Broken"})).await;
    user.command("StartConversation", &json!({"title": "Whole"})).await;
    tokio::task::block_in_place(|| server.terminate());
    let position = broken["position"].as_u64().unwrap();
    turn_a_bit(&server, position);
    remove_read_models(&server.data_dir());
    tokio::task::block_in_place(|| server.start_again());
    let user = user.at(&server);

    // Not ready, and it says which event.
    let not_ready = |text: &str| text.contains(&format!("event {position} of stream"));
    let begun = std::time::Instant::now();
    let mut said = String::new();
    while !not_ready(&said) && begun.elapsed() < crate::server::PATIENCE / 6 {
        said = reqwest::get(format!("{}/readyz?verbose", server.admin_url)).await.unwrap().text().await.unwrap();
    }
    assert!(not_ready(&said), "an event that can't be read was passed over: {said}");
    // Nobody is shown an altered text, nor that there is nothing.
    let id = broken["result"]["conversationId"].as_str().unwrap();
    let rename = json!({"conversationId": id, "title": "Changed"});
    let (status, answer) = user.send(Method::POST, "/api/commands/RenameConversation", Some(&rename)).await;
    assert!(status.is_server_error(), "{status} {answer}");
    assert!(!answer.to_string().contains("checksum"), "it is for the operator to know: {answer}");
}

/// The lowest bit of a byte in the middle of the event's data.
fn turn_a_bit(server: &Server, position: u64) {
    let position = i64::try_from(position).unwrap();
    let connection = Connection::open(server.data_dir().join("log.db")).unwrap();
    let mut data: Vec<u8> =
        connection.query_row("SELECT data FROM events WHERE position = ?1", [position], |row| row.get(0)).unwrap();
    let event: Value = serde_json::from_slice(&data).unwrap();
    assert!(event["title"]["sealed"].is_string(), "{event}");
    let middle = data.len() / 2;
    data[middle] ^= 1;
    let changed = connection.execute("UPDATE events SET data = ?1 WHERE position = ?2", (data, position)).unwrap();
    assert_eq!(changed, 1);
}
