//! Live queries over sockets: clients that others wrote, state that stays true through cuts and restarts, and
//! clients that mean no good.

mod attacks;
mod foreign;
mod rust_client;

use crate::{
    dice::Dice,
    live_client::LiveClient,
    server::{Client, PATIENCE, Server},
};
use foreign::{ForeignClient, Heard};
use rust_client::{connect, subscriptions};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::task::TaskTracker;

const CUTS: usize = 25;

#[tokio::test]
async fn a_client_that_others_wrote_follows_a_conversation_until_the_server_ends() {
    let mut server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "5")]);
    let user = server.client("user_1", &[]);
    let conversation = started(&user).await;
    let query = format!("/api/conversations/{conversation}");
    // The page of the front end may open a socket.
    let mut client = ForeignClient::connect(&server.url, Some("http://localhost:3000"));
    assert_eq!(client.hear(), Heard::Open);
    client.say(&json!({"type": "authenticate", "token": user.token}));
    assert_eq!(client.message()["userId"], "user_1");
    client.say(&json!({"type": "subscribe", "id": "chat", "query": query}));
    let snapshot = client.message();
    assert_eq!((&snapshot["type"], &snapshot["id"]), (&json!("snapshot"), &json!("chat")));
    assert_eq!(snapshot["data"], user.get(&query).await);

    let sent = user.command("SendMessage", &json!({"conversationId": conversation, "content": "Hello?"})).await;
    let reply = sent["result"]["replies"][0]["replyId"].as_str().unwrap().to_owned();
    let (mut streamed, mut whole) = (String::new(), Value::Null);
    while whole.is_null() {
        let message = client.message();
        if message["type"] == "delta" {
            assert_eq!((&message["replyId"], &message["conversationId"]), (&json!(reply), &json!(conversation)));
            streamed.push_str(message["text"].as_str().unwrap());
        }
        let changes = message["changes"].as_array().into_iter().flatten();
        if let Some(change) =
            changes.into_iter().find(|change| change["key"] == json!(reply) && change["set"] == "messages")
        {
            assert_eq!(change["id"], "chat");
            whole = change["row"]["content"].clone();
        }
    }
    assert!(!streamed.is_empty() && whole.as_str().unwrap().starts_with(&streamed), "{streamed:?} of {whole}");

    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let mut last = client.message();
    while last["type"] != "reset" {
        last = client.message();
    }
    assert_eq!(last, json!({"type": "reset", "reason": "shutdown"}));
    assert_eq!(client.hear(), Heard::Closed(1001));
}

#[tokio::test]
async fn pages_of_other_origins_open_no_socket_whatever_client_they_use() {
    let server = Server::start_with(&[("ADVISOR_ALLOWED_ORIGINS", "https://app.example.com")]);
    for (origin, is_open) in [
        (None, true),
        (Some("https://app.example.com"), true),
        (Some("https://app.example.com.evil.com"), false),
        (Some("https://evil.com"), false),
        (Some("null"), false),
    ] {
        let mut client = ForeignClient::connect(&server.url, origin);
        assert_eq!(client.hear(), if is_open { Heard::Open } else { Heard::Refused(403) }, "{origin:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_cut_the_state_built_from_a_socket_is_what_the_queries_answer() {
    let mut server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "2")]);
    let user = server.client("user_1", &[]);
    let conversation = started(&user).await;
    let queries = [
        "/api/me".to_owned(),
        "/api/advisors".to_owned(),
        "/api/conversations".to_owned(),
        format!("/api/conversations/{conversation}"),
    ];
    let mut dice = Dice(7);
    let mut device = connect(&user, &queries, None).await;
    for cut in 0..CUTS {
        let writing = TaskTracker::new();
        writing.spawn(write(user.at(&server), conversation.clone(), Dice(cut as u64)));
        writing.close();
        for _ in 0..dice.roll(12) {
            tokio::select! {
                is_told = device.next() => assert!(is_told),
                () = writing.wait() => break,
            }
        }
        // The connection is cut in the middle of whatever is on its way, and the client comes back.
        let (data, drafts) = (std::mem::take(&mut device.data), std::mem::take(&mut device.drafts));
        let (place, position) = (device.last_id.take(), device.position);
        drop(device);
        writing.wait().await;
        if cut % 10 == 9 {
            tokio::task::block_in_place(|| {
                server.kill();
                server.start_again();
            });
        }
        device = connect(&user.at(&server), &queries, place.as_deref()).await;
        (device.data, device.drafts, device.position) = (data, drafts, position);
    }
    for query in &queries {
        agree(&user.at(&server), &mut device, query).await;
    }
    assert_eq!(device.resets, Vec::<String>::new());
}

#[tokio::test]
async fn a_subscription_that_comes_while_commands_run_is_true_at_the_position_of_the_others() {
    let server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "2")]);
    let user = server.client("user_1", &[]);
    let conversation = started(&user).await;
    let list = "/api/conversations".to_owned();
    let one = format!("/api/conversations/{conversation}");
    let (mut sender, mut device) = rust_client::open(&user, std::slice::from_ref(&list), None).await;
    device.until("the list", |device| device.data.contains_key(&list)).await;
    let writing = TaskTracker::new();
    writing.spawn(write(user.clone(), conversation.clone(), Dice(3)));
    writing.close();
    for _ in 0..10 {
        sender.say(&subscriptions(std::slice::from_ref(&one))[0]).await;
        device.until("the conversation", |device| device.data.contains_key(&one)).await;
        sender.say(&json!({"type": "unsubscribe", "id": one})).await;
        device.until("nothing of it", |device| !device.data.contains_key(&one)).await;
    }
    sender.say(&subscriptions(std::slice::from_ref(&one))[0]).await;
    writing.wait().await;
    for query in [&list, &one] {
        agree(&user, &mut device, query).await;
    }
}

/// Takes in events until what is kept is what the query answers. As long as replies run, the answer moves too.
async fn agree(user: &Client, device: &mut LiveClient, query: &str) {
    loop {
        let answer = shown(&user.get(query).await);
        let kept = device.data.get(query).map(shown).unwrap_or_default();
        if kept == answer && answer["replies"].as_array().is_none_or(Vec::is_empty) {
            return;
        }
        let next = tokio::time::timeout(PATIENCE, device.next()).await;
        assert_eq!(next, Ok(true), "{query}\nkept {kept:#}\nanswered {answer:#}");
    }
}

async fn started(user: &Client) -> String {
    let answer = user.command("StartConversation", &json!({})).await;
    answer["result"]["conversationId"].as_str().unwrap().to_owned()
}

/// Some commands of the same person, from another device.
async fn write(user: Client, conversation: String, mut dice: Dice) {
    for number in 0..4 + dice.roll(6) {
        // Nobody replies to a note.
        let note = json!({"conversationId": conversation, "content": format!("note {number}"), "advisorIds": []});
        match dice.roll(6) {
            0 => drop(user.command("StartConversation", &json!({"title": format!("Talk {number}")})).await),
            1 => {
                let body = json!({"conversationId": conversation, "title": format!("Title {number}")});
                user.command("RenameConversation", &body).await;
            }
            2 => {
                let answer = user.command("SendMessage", &note).await;
                user.command("DeleteMessage", &json!({"messageId": answer["result"]["messageId"]})).await;
            }
            3 => {
                let answer = user.command("SendMessage", &note).await;
                let body = json!({"messageId": answer["result"]["messageId"], "content": format!("better {number}")});
                user.command("EditMessage", &body).await;
            }
            4 => drop(user.command("SendMessage", &note).await),
            _ => {
                let body = json!({"conversationId": conversation, "content": format!("question {number}")});
                user.command("SendMessage", &body).await;
            }
        }
    }
}

/// What stands in a query's JSON and in its changes alike: no embedded cards, and no text that deltas bring.
fn shown(data: &Value) -> Value {
    match data {
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Object(members) => {
            let mut members = members.clone();
            members.remove("advisor");
            if let Some(card) = members.remove("activeAdvisor") {
                members.entry("activeAdvisorId").or_insert_with(|| card["id"].clone());
            }
            members.into_iter().map(|(name, value)| (name, shown(&value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => data.clone(),
    }
}
