//! A log in which every event stands that any build has ever written, byte for byte as it was written
//! (`crates/events/samples`): the program of today reads it, shows it and goes on with it.

use super::after::all_events;
use crate::{
    build::Build,
    server::{Client, PATIENCE, Server},
};
use advisor_eventlog::{Direction, EventLog, Expected, NewEvent, ReadError, SqliteLog, SqliteLogOptions};
use advisor_events::{PersonKey, StreamName};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/events/samples");
/// Whose words they are, and what seals them.
const PERSON: &str = "user_2xKpW9mQvR4tYbNc";
const KEY: [u8; 32] = *b"the samples' key, for tests only";
const CONVERSATION: &str = "5f0c7f3a-6a0e-5d0b-9a44-0d9f3c7b1e21";

/// In an order in which they may have been written.
const KEPT: [&str; 19] = [
    "user.registered.v1",
    "user.registered.v1.2",
    "user.profile_changed.v1",
    "user.profile_changed.v1.2",
    "user.plan_changed.v1",
    "user.plan_changed.v1.2",
    "advisor.created.v1",
    "advisor.visibility_changed.v1",
    "advisor.revised.v1",
    "conversation.started.v1",
    "conversation.renamed.v1",
    "conversation.advisor_assigned.v1",
    "conversation.message_sent.v1",
    "conversation.reply_started.v1",
    "conversation.reply_started.v2",
    "conversation.reply_stop_requested.v1",
    "conversation.reply_failed.v1",
    "conversation.reply_completed.v1",
    "conversation.message_edited.v1",
];
/// And what takes them away again.
const GONE: [&str; 5] = [
    "advisor.status_changed.v1",
    "conversation.reply_stopped.v1",
    "conversation.message_deleted.v1",
    "conversation.deleted.v1",
    "user.deleted.v1",
];
/// A log has these once, from its own beginning.
const OF_THE_LOG: [&str; 2] = ["log.opened.v1", "log.seeded.v1"];

/// A revision above all others.
const END: u64 = i64::MAX.unsigned_abs();

/// An event as it was written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    #[serde(rename = "type")]
    type_name: String,
    stream: StreamName,
    event_id: Uuid,
    data: Box<RawValue>,
    metadata: Box<RawValue>,
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_builds_are_read_shown_and_gone_on_with() {
    trial(Build::usual()).await;
}

#[test]
fn every_sample_is_in_that_log() {
    let files = fs::read_dir(SAMPLES).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let samples: BTreeSet<String> = files.filter_map(|file| file.strip_suffix(".json").map(str::to_owned)).collect();
    let used = KEPT.iter().chain(&GONE).chain(&OF_THE_LOG).map(|name| (*name).to_owned());
    assert_eq!(used.collect::<BTreeSet<_>>(), samples);
}

pub(super) async fn trial(build: Build) {
    let mut server = Server::start_build(&build, &[]);
    stopped(&mut server, async |directory| {
        give_key(directory);
        append(directory, &KEPT).await;
    })
    .await;
    until_filled(&server).await;
    let user = server.client(PERSON, &[]);
    assert_all_is_shown(&user).await;
    let renamed = user.command("RenameConversation", &json!({"conversationId": CONVERSATION, "title": "Today"})).await;
    let list = user.get(&format!("/api/conversations?min_position={}", renamed["position"])).await;
    assert_eq!(list[0]["title"], "Today", "it is gone on with");
    assert_verified(&server);

    stopped(&mut server, async |directory| append(directory, &GONE).await).await;
    until_filled(&server).await;
    let other = server.client("user_1", &[]);
    let head = all_events(&server).len();
    assert_eq!(other.get(&format!("/api/conversations?min_position={head}")).await, json!([]));
    assert_verified(&server);
}

async fn until_filled(server: &Server) {
    let begun = Instant::now();
    loop {
        let ready = reqwest::get(format!("{}/readyz?verbose", server.admin_url)).await.unwrap();
        let (status, said) = (ready.status(), ready.text().await.unwrap());
        assert!(!said.contains("unknown event type"), "what was written once is not read any more: {said}");
        if status == StatusCode::OK {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn assert_all_is_shown(user: &Client) {
    let conversation = user.get(&format!("/api/conversations/{CONVERSATION}")).await;
    assert_eq!(conversation["title"], "Raising Café Prices");
    let messages = conversation["messages"].as_array().unwrap();
    let said: Vec<&str> = messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
    let asked = "What would you charge for a flat white in Porto?";
    assert_eq!(said, [asked, "Three euros twenty, and I would say why on the board."]);
    let advisors = user.get("/api/advisors").await.to_string();
    assert!(advisors.contains("Inês Duarte"), "{advisors}");
}

fn assert_verified(server: &Server) {
    let verified = server.advisor(&["verify"]);
    assert!(verified.status.success(), "verify: {}", String::from_utf8_lossy(&verified.stdout));
    assert!(server.advisor(&["streams", "parked"]).stdout.is_empty(), "something could not be read");
}

/// Does something to the data of a server while it is stopped.
async fn stopped(server: &mut Server, meanwhile: impl AsyncFnOnce(&Path)) {
    tokio::task::block_in_place(|| server.terminate());
    meanwhile(&server.data_dir()).await;
    tokio::task::block_in_place(|| server.start_again());
}

/// The person has the key that seals the samples.
fn give_key(directory: &Path) {
    let master = STANDARD.decode(fs::read_to_string(directory.join("master.key")).unwrap().trim()).unwrap();
    let master = PersonKey::from_bytes(master.try_into().unwrap());
    let wrapped = master.seal(&KEY, PERSON.as_bytes()).unwrap();
    let keys = Connection::open(directory.join("keys.db")).unwrap();
    let inserted = keys.execute("INSERT INTO keys (person, wrapped) VALUES (?1, ?2)", (PERSON, wrapped)).unwrap();
    assert_eq!(inserted, 1);
}

async fn append(directory: &Path, names: &[&str]) {
    let log = SqliteLog::open(SqliteLogOptions::at(directory.join("log.db"))).unwrap();
    for name in names {
        let text = fs::read_to_string(format!("{SAMPLES}/{name}.json")).unwrap();
        let sample: Sample = serde_json::from_str(&text).unwrap();
        let event = NewEvent {
            id: sample.event_id,
            type_name: sample.type_name,
            data: sample.data.get().as_bytes().to_vec(),
            metadata: sample.metadata.get().as_bytes().to_vec(),
        };
        let expected = match log.read_stream(&sample.stream, END, Direction::Backward, 1).await {
            Ok(last) => Expected::Exact(last.first().unwrap().revision),
            Err(ReadError::NoSuchStream) => Expected::NoStream,
            Err(error) => panic!("{error}"),
        };
        log.append(&sample.stream, expected, vec![event]).await.unwrap();
    }
    log.close().await;
}
