//! Whoever names a position is never shown an older state.

use crate::{build::Build, server::Server};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_read_that_names_a_position_shows_at_least_that() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let server = Server::start_build(&build, &[]);
    let user = server.client("user_1", &[]);
    let conversation = user.command("StartConversation", &json!({})).await["result"]["conversationId"].clone();
    let path = format!("/api/conversations/{}/messages", conversation.as_str().unwrap());
    for number in 0..300 {
        // The answer does not wait for the read side.
        let body = json!({"conversationId": conversation, "content": format!("{number}"), "advisorIds": []});
        let headers = [("prefer", "respond-async")];
        let sent = user.ask(Method::POST, "/api/commands/SendMessage", &headers, Some(&body)).await;
        assert_eq!(sent.status, 202, "{}", sent.text);
        let position = &sent.body["position"];
        let read = user.ask(Method::GET, &format!("{path}?min_position={position}&limit=1"), &[], None).await;
        assert_eq!(read.status, 200, "{}", read.text);
        let shown = read.header("x-position").parse::<u64>().unwrap();
        assert!(shown >= position.as_u64().unwrap(), "an older state was shown: {shown}, not {position}");
        assert!(shows(&read.body, number), "the message is not there: {}", read.text);
    }
}

fn shows(page: &Value, number: usize) -> bool {
    page.to_string().contains(&format!("\"content\":\"{number}\""))
}
