//! The main job, done by several processes together.

use super::{
    cluster::Cluster,
    engines::{Database, Nats},
};
use crate::{
    live_client::LiveClient,
    server::{Client, Server},
};
use serde_json::{Value, json};
use std::collections::HashSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_asked_of_one_process_is_seen_at_another_whichever_worker_does_it() {
    let (database, nats) = (Database::make(), Nats::start());
    let cluster = Cluster::start(&database.url(), &nats, &[("ADVISOR_DEMO_DELAY_MS", "30")]);
    let [one, two] = &cluster.apis;
    let here = one.client("user_1", &[]);
    let there = here.at(two);
    let conversation = begin(&here).await;
    let query = format!("/api/conversations/{conversation}");
    let mut device = LiveClient::connect(&there, std::slice::from_ref(&query), None).await;

    // What one process acknowledges another one shows, if it is asked for the position.
    let (reply, position) = send(&here, &conversation, "Tell me something").await;
    let read = there.get(&format!("{query}?min_position={position}")).await;
    assert_eq!(read["messages"][0]["content"], "Tell me something");

    device.until("some of the reply's text", |device| device.drafts.contains_key(&reply)).await;
    device.until("the whole reply", |device| message(device, &query, &reply).is_some()).await;
    let whole = message(&device, &query, &reply).unwrap()["content"].as_str().unwrap().to_owned();
    assert!(whole.starts_with(device.drafts[&reply].1.as_str()) && !whole.is_empty());

    // Many, so that either worker has some, and each is stopped from where it was not asked for.
    let mut stopped = HashSet::new();
    for number in 0..6 {
        let conversation = begin(&here).await;
        let (reply, _) = send(&here, &conversation, &format!("Question {number}")).await;
        there.command("StopReply", &json!({"replyId": reply})).await;
        stopped.insert((conversation, reply));
    }
    for (conversation, reply) in &stopped {
        wait_for_end(&there, conversation, reply).await;
        let ends = ends(one, conversation);
        assert_eq!(ends, [(reply.clone(), "conversation.reply_stopped.v1".to_owned())]);
    }
    // A repeat at another process is a repeat.
    let body = json!({"conversationId": conversation, "title": "Ours"});
    let headers = [("idempotency-key", "the same")];
    let ask = |client: Client| {
        let body = body.clone();
        async move { client.ask(reqwest::Method::POST, "/api/commands/RenameConversation", &headers, Some(&body)).await }
    };
    let (first, second) = tokio::join!(ask(here.clone()), ask(there.clone()));
    assert_eq!((first.status, second.status, &first.body), (200, 200, &second.body));
    let renamed = one.events(&format!("conversation-{conversation}"));
    let by_user = renamed.iter().filter(|event| event["metadata"]["commandId"] == "the same");
    assert_eq!(by_user.count(), 1);
}

async fn begin(client: &Client) -> String {
    let answer = client.command("StartConversation", &json!({})).await;
    answer["result"]["conversationId"].as_str().unwrap().to_owned()
}

/// Sends a message that one advisor replies to; gives the reply's id, and where the command stands in the log.
async fn send(client: &Client, conversation: &str, content: &str) -> (String, u64) {
    let body = json!({"conversationId": conversation, "content": content, "advisorIds": ["nadia-okafor-v1"]});
    let answer = client.command("SendMessage", &body).await;
    let reply = answer["result"]["replies"][0]["replyId"].as_str().unwrap().to_owned();
    (reply, answer["position"].as_u64().unwrap())
}

fn message<'a>(device: &'a LiveClient, query: &str, id: &str) -> Option<&'a Value> {
    device.data.get(query)?["messages"].as_array()?.iter().find(|message| message["id"] == id)
}

async fn wait_for_end(client: &Client, conversation: &str, reply: &str) {
    let query = format!("/api/conversations/{conversation}");
    let mut device = LiveClient::connect(client, std::slice::from_ref(&query), None).await;
    let open = |device: &LiveClient| {
        device
            .data
            .get(&query)
            .is_none_or(|whole| whole["replies"].as_array().unwrap().iter().any(|open| open["replyId"] == reply))
    };
    device.until("the reply's end", |device| !open(device)).await;
}

/// The ends of replies in a conversation.
fn ends(server: &Server, conversation: &str) -> Vec<(String, String)> {
    let events = server.events(&format!("conversation-{conversation}"));
    let ends = events.iter().filter(|event| crate::faults::checker::is_end(event));
    ends.map(|event| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["data"]["replyId"]), text(&event["type"]))
    })
    .collect()
}
