//! One bit of an event turns on the disk: its stream is parked and says so, the others go on, and once it is mended
//! the stream is what it would be if nothing had happened.

use super::consumption::remove_read_models;
use crate::{
    build::Build,
    live_client::LiveClient,
    server::{Answer, Client, Server},
};
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_bits_have_turned_parks_its_stream_until_it_is_mended() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let mut server = Server::start_build(&build, &[]);
    let user = server.client("user_1", &[]);
    let (broken, whole) = (start(&user, "Before").await, start(&user, "Whole").await);
    let rename = json!({"conversationId": broken, "title": "After"});
    let position = user.command("RenameConversation", &rename).await["position"].as_u64().unwrap();
    say(&user, &broken, "waits").await;

    stopped(&mut server, |server| {
        turn_a_bit(server, position);
        remove_read_models(&server.data_dir());
    });
    assert_parked(&server, &user.at(&server), &broken, position).await;
    assert_others_go_on(&user.at(&server), &whole).await;
    assert_told(&server, position).await;
    // Nobody is shown an altered text, nor that there is nothing.
    let (status, answer) = user.at(&server).send(Method::POST, "/api/commands/RenameConversation", Some(&rename)).await;
    assert!(status.is_server_error(), "{status} {answer}");
    assert!(!answer.to_string().contains("checksum"), "it is for the operator to know: {answer}");
    assert_verified(&server);

    // It is known after a restart, and trying it again in vain changes nothing.
    stopped(&mut server, |_| {});
    assert_parked(&server, &user.at(&server), &broken, position).await;
    assert!(!server.advisor(&["streams", "retry", &format!("conversation-{broken}")]).status.success());
    assert_parked(&server, &user.at(&server), &broken, position).await;

    stopped(&mut server, |server| turn_a_bit(server, position));
    assert_mended(&server, &user.at(&server), &broken).await;
    assert_verified(&server);
}

/// What is shown of it is what was before the event, and says so.
async fn assert_parked(server: &Server, user: &Client, id: &str, position: u64) {
    user.until_ready().await;
    let shown = conversation(user, id).await;
    assert_eq!(shown.header("x-parked"), "true", "an event that can't be read was passed over: {}", shown.text);
    let rows = [&shown.body["title"], &shown.body["messages"]];
    assert_eq!(rows, [&json!("Before"), &json!([])], "what waits behind it was applied");
    let listed = server.advisor(&["streams", "parked"]);
    let parked: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&parked["stream"], &parked["position"]), (&json!(format!("conversation-{id}")), &json!(position)));
    assert_eq!((&parked["reason"], &parked["queued"]), (&json!("checksum"), &json!(1)));
}

async fn assert_others_go_on(user: &Client, id: &str) {
    let position = say(user, id, "goes on").await;
    let path = format!("/api/conversations/{id}?min_position={position}");
    let shown = user.ask(Method::GET, &path, &[], None).await;
    assert_eq!((shown.status, shown.header("x-parked")), (200, ""), "{}", shown.text);
    assert!(shown.text.contains("goes on"), "{}", shown.text);
}

/// An operator sees it in readiness, metrics and the log.
async fn assert_told(server: &Server, position: u64) {
    let read =
        async |path: &str| reqwest::get(format!("{}{path}", server.admin_url)).await.unwrap().text().await.unwrap();
    let ready: Value = serde_json::from_str(&read("/readyz?verbose").await).unwrap();
    let check = ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == "parked streams").unwrap();
    let detail = check["detail"].as_str().unwrap();
    assert!(check["ok"] == true && detail.starts_with("1: ") && detail.contains(&format!("at {position};")), "{check}");
    let metrics = read("/metrics").await;
    assert!(metrics.contains("\nadvisor_parked_streams 1\n"), "{metrics}");
    let log = server.log_text();
    let line = log.lines().find(|line| line.contains("ERROR") && line.contains("its stream is parked")).unwrap();
    let fields = serde_json::from_str::<Value>(line).unwrap()["fields"].clone();
    assert_eq!((&fields["position"], &fields["reason"]), (&json!(position), &json!("checksum")), "{line}");
}

/// It is read on, and those who look at it are told at once.
async fn assert_mended(server: &Server, user: &Client, id: &str) {
    user.until_ready().await;
    assert_eq!(conversation(user, id).await.header("x-parked"), "true", "nobody has tried it again yet");
    let path = format!("/api/conversations/{id}");
    let mut live = LiveClient::connect(user, std::slice::from_ref(&path), None).await;
    live.until("it is shown", |live| live.data.contains_key(&path)).await;

    let output = server.advisor(&["streams", "retry", &format!("conversation-{id}")]);

    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(r#""applied":2,"parked":null"#), "{said}");
    live.until("it is told", |live| live.data[&path]["messages"][0]["content"] == "waits").await;
    let shown = conversation(user, id).await;
    assert_eq!((shown.header("x-parked"), &shown.body["title"]), ("", &json!("After")));
    let told = &live.data[&path];
    assert_eq!((&told["title"], told["messages"].as_array().unwrap().len()), (&json!("After"), 1));
    assert!(server.advisor(&["streams", "parked"]).stdout.is_empty());
}

/// The rows are those that filling the read models anew would make.
fn assert_verified(server: &Server) {
    let output = server.advisor(&["verify"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn conversation(user: &Client, id: &str) -> Answer {
    let shown = user.ask(Method::GET, &format!("/api/conversations/{id}"), &[], None).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    shown
}

async fn start(user: &Client, title: &str) -> String {
    let started = user.command("StartConversation", &json!({"title": title})).await;
    started["result"]["conversationId"].as_str().unwrap().to_owned()
}

/// A message that nobody replies to; its position.
async fn say(user: &Client, id: &str, content: &str) -> Value {
    let body = json!({"conversationId": id, "content": content, "advisorIds": []});
    user.command("SendMessage", &body).await["position"].clone()
}

/// Does something while the server is stopped.
fn stopped(server: &mut Server, meanwhile: impl FnOnce(&Server)) {
    tokio::task::block_in_place(|| {
        server.terminate();
        meanwhile(server);
        server.start_again();
    });
}

/// The lowest bit of a byte in the middle of the event's data; twice, and it is as it was.
fn turn_a_bit(server: &Server, position: u64) {
    let position = i64::try_from(position).unwrap();
    let connection = Connection::open(server.data_dir().join("log.db")).unwrap();
    let mut data: Vec<u8> =
        connection.query_row("SELECT data FROM events WHERE position = ?1", [position], |row| row.get(0)).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    let changed = connection.execute("UPDATE events SET data = ?1 WHERE position = ?2", (data, position)).unwrap();
    assert_eq!(changed, 1);
}
