//! The main job, on real input: an operator brings the advisors, a user talks with one of them while
//! another device looks on, a title is made, and a server that is killed in the middle of a reply
//! leaves exactly one whole reply to each message.

use crate::{
    live_client::LiveClient,
    model_server::{KEY, ModelServer},
    server::{Client, Server},
};
use serde_json::{Value, json};
use std::{collections::HashMap, path::PathBuf};

#[tokio::test]
async fn the_main_job_with_the_demo_model() {
    main_job(&[("ADVISOR_DEMO_DELAY_MS", "15")]).await;
}

#[tokio::test]
async fn the_main_job_with_a_real_model_server() {
    let model = ModelServer::start();
    let variables = [
        ("ADVISOR_MODEL_URL", model.url.as_str()),
        ("ADVISOR_MODEL_API_KEY", KEY),
        ("ADVISOR_MODEL_OUTPUT_TOKENS_MAX", "60"),
    ];
    main_job(&variables).await;
}

/// With these variables, on whichever engines they name.
pub(crate) async fn main_job(variables: &[(&str, &str)]) {
    let mut server = Server::start_with(variables);
    let operator = server.client("ops", &["--role", "operator"]);
    bring_advisors(&operator).await;

    let user = server.client("user_1", &[]);
    let conversation = start_conversation(&user).await;
    let queries = queries(&conversation);
    let mut phone = LiveClient::connect(&user, &queries, None).await;
    let mut laptop = LiveClient::connect(&user, &queries, None).await;

    // The first exchange streams to both devices, and the list moves by itself.
    let reply = send(&user, &conversation, "@Alex what would make you invest?").await;
    for device in [&mut phone, &mut laptop] {
        device.until("some of the reply's text", |device| device.drafts.contains_key(&reply)).await;
        device.until("the whole reply", |device| message(device, &conversation, &reply).is_some()).await;
        let whole = message(device, &conversation, &reply).unwrap();
        assert_eq!(whole["sender"], "advisor");
        assert_eq!(whole["advisorId"], "alex-reyes-v3");
        // The whole may overtake the last pieces: it replaces them.
        let (content, streamed) = (whole["content"].as_str().unwrap(), &device.drafts[&reply].1);
        assert!(content.starts_with(streamed.as_str()), "{streamed:?} was streamed, {content:?} is kept");
        device.until("the list", |device| listed(device, &conversation)["messageCount"] == 2).await;
        assert_eq!(listed(device, &conversation)["activeAdvisorId"], "alex-reyes-v3");
    }

    // After a second exchange the title is made.
    let reply = send(&user, &conversation, "And what would make you walk away?").await;
    for device in [&mut phone, &mut laptop] {
        device.until("the second reply", |device| message(device, &conversation, &reply).is_some()).await;
        device.until("the title", |device| listed(device, &conversation)["title"] != "New Conversation").await;
        let title = listed(device, &conversation)["title"].as_str().unwrap().to_owned();
        assert!((1..=5).contains(&title.split_whitespace().count()), "{title}");
        assert!(title.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '-'), "{title}");
    }

    // In the third reply the server is killed, and started again.
    let reply = send(&user, &conversation, "Then give me three questions to answer before we meet again.").await;
    phone.until("the third reply to begin", |device| device.drafts.contains_key(&reply)).await;
    server.kill();
    while phone.next().await {}
    server.start_again();
    let user = user.at(&server);
    let mut phone_again = LiveClient::connect(&user, &queries, phone.last_id.as_deref()).await;
    phone_again.data = phone.data;
    phone_again.until("the third reply", |device| message(device, &conversation, &reply).is_some()).await;
    check_end(&server, &user, &conversation, &mut phone_again).await;
}

/// The two real documents where they are, documents of the same shape elsewhere.
async fn bring_advisors(operator: &Client) {
    for file in ["alex-reyes-v3.json", "amara-johnson-v2.json"] {
        let document: Value = serde_json::from_slice(&std::fs::read(documents().join(file)).unwrap()).unwrap();
        let answer = operator.command("CreateAdvisor", &document).await;
        assert_eq!(answer["result"]["advisorId"], document["advisorId"]);
    }
    let listed = operator.get("/api/advisors").await;
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|card| card["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 6, "four sample advisors and two real ones: {names:?}");
    assert!(names.contains(&"Alex Reyes") && names.contains(&"Amara Johnson"));
}

#[expect(clippy::disallowed_methods, reason = "The check script says by a variable where the real documents are.")]
pub(crate) fn documents() -> PathBuf {
    match std::env::var("ADVISOR_TEST_DATA") {
        Ok(data) => PathBuf::from(data).join("advisors"),
        Err(_) => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/documents")),
    }
}

async fn start_conversation(user: &Client) -> String {
    let answer = user.command("StartConversation", &json!({})).await;
    answer["result"]["conversationId"].as_str().unwrap().to_owned()
}

/// Sends a message that one advisor replies to; gives the reply's id.
async fn send(user: &Client, conversation: &str, content: &str) -> String {
    let body = json!({"conversationId": conversation, "content": content});
    let answer = user.command("SendMessage", &body).await;
    let replies = answer["result"]["replies"].as_array().unwrap();
    assert_eq!(replies.len(), 1, "{answer}");
    assert_eq!(replies[0]["advisorId"], "alex-reyes-v3");
    replies[0]["replyId"].as_str().unwrap().to_owned()
}

fn queries(conversation: &str) -> [String; 2] {
    ["/api/conversations".to_owned(), format!("/api/conversations/{conversation}")]
}

fn message<'a>(device: &'a LiveClient, conversation: &str, id: &str) -> Option<&'a Value> {
    let messages = device.data.get(&format!("/api/conversations/{conversation}"))?["messages"].as_array()?;
    messages.iter().find(|message| message["id"] == id)
}

fn listed<'a>(device: &'a LiveClient, conversation: &str) -> &'a Value {
    let list = device.data["/api/conversations"].as_array().unwrap();
    list.iter().find(|item| item["id"] == conversation).unwrap()
}

async fn check_end(server: &Server, user: &Client, conversation: &str, device: &mut LiveClient) {
    let path = format!("/api/conversations/{conversation}");
    let stored = user.get(&path).await;
    let messages = stored["messages"].as_array().unwrap();
    let senders: Vec<&str> = messages.iter().map(|message| message["sender"].as_str().unwrap()).collect();
    assert_eq!(senders, ["user", "advisor", "user", "advisor", "user", "advisor"]);
    assert!(messages.iter().all(|message| !message["content"].as_str().unwrap().is_empty()));
    assert_eq!(stored["replies"], json!([]));

    // The device that was cut off in the middle sees the same.
    device.until("all messages", |device| device.data[&path]["messages"].as_array().unwrap().len() == 6).await;
    for (seen, stored) in device.data[&path]["messages"].as_array().unwrap().iter().zip(messages) {
        assert_eq!((&seen["id"], &seen["content"]), (&stored["id"], &stored["content"]));
    }

    // And the log holds exactly one end to each reply.
    let mut ends: HashMap<String, Vec<String>> = HashMap::new();
    for event in server.events(&format!("conversation-{conversation}")) {
        let kind = event["type"].as_str().unwrap();
        if matches!(
            kind,
            "conversation.reply_completed.v1" | "conversation.reply_failed.v1" | "conversation.reply_stopped.v1"
        ) {
            ends.entry(event["data"]["replyId"].as_str().unwrap().to_owned()).or_default().push(kind.to_owned());
        }
        assert!(!event.to_string().contains("walk away"), "words stand sealed in the log");
    }
    assert_eq!(ends.len(), 3);
    assert!(ends.values().all(|ends| ends == &["conversation.reply_completed.v1"]), "{ends:?}");
}
