//! `POST /api/commands/{Name}`: conversations, messages and replies.

use super::{assert_details, assert_problem, assert_shape, reply, said, server, slow_server, sparse, texts};
use crate::{live_client::LiveClient, server::Answer};
use serde_json::{Value, json};

#[tokio::test]
async fn a_command_answers_with_its_id_its_stream_and_where_it_stands() {
    let server = server();
    let user = server.client("ann", &[]);
    let started = user.order("StartConversation", &json!({})).await;
    check(&started, &json!({"conversationId": "text"}));
    let id = started.body["result"]["conversationId"].as_str().unwrap();
    assert_eq!(started.body["stream"], json!(format!("conversation-{id}")));
    assert_eq!(started.body["revision"], 0);
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().to_string(), id);
    assert!(!started.body["commandId"].as_str().unwrap().is_empty());

    let body = json!({"conversationId": id, "title": " x "});
    let renamed = user.order("RenameConversation", &body).await;
    check(&renamed, &json!({}));
    assert_eq!(renamed.body["revision"], 1);
    let before = started.body["position"].as_u64().unwrap();
    let position = renamed.body["position"].as_u64().unwrap();
    assert!(before >= 1 && before < position && position < 1 << 53);
    assert!(renamed.header("x-position").parse::<u64>().unwrap() >= position);
    assert_eq!(user.get(&format!("/api/conversations/{id}")).await["title"], " x ");

    // What changes nothing answers with where the stream stands.
    let assigned = json!({"conversationId": id, "advisorId": "nadia-okafor-v1"});
    let again = user.order("AssignAdvisor", &assigned).await;
    check(&again, &json!({}));
    assert_eq!((&again.body["revision"], &again.body["position"]), (&json!(1), &json!(position)));
    let other = json!({"conversationId": id, "advisorId": "priya-raman-v1"});
    assert_eq!(user.command("AssignAdvisor", &other).await["revision"], 2);
    let deleted = user.order("DeleteConversation", &json!({"conversationId": id})).await;
    check(&deleted, &json!({}));
    let types: Vec<Value> =
        server.events(&format!("conversation-{id}")).into_iter().map(|event| event["type"].clone()).collect();
    assert_eq!(
        types,
        [
            "conversation.started.v1",
            "conversation.renamed.v1",
            "conversation.advisor_assigned.v1",
            "conversation.deleted.v1"
        ]
    );

    let headers = [("prefer", "respond-async")];
    let path = "/api/commands/StartConversation";
    let async_answer = user.ask(reqwest::Method::POST, path, &headers, Some(&json!({}))).await;
    assert_eq!(async_answer.status, 202);
    assert!(async_answer.body["result"]["conversationId"].is_string());
}

#[tokio::test]
async fn a_command_that_breaks_a_rule_is_told_where() {
    let server = server();
    let user = server.client("ann", &[]);
    let id = user.conversation().await;
    let message = user.say(&id, "One").await;
    let content = |content: Value| json!({"conversationId": id, "content": content, "advisorIds": []});
    for (name, body, pointer) in [
        ("StartConversation", json!({"title": ""}), "/title"),
        ("StartConversation", json!({"title": "x".repeat(201)}), "/title"),
        ("StartConversation", json!({"title": "a\0"}), "/title"),
        ("StartConversation", json!({"titel": "x"}), "/titel"),
        ("RenameConversation", json!({"conversationId": id, "title": ""}), "/title"),
        ("RenameConversation", json!({"conversationId": id, "title": "x".repeat(201)}), "/title"),
        ("RenameConversation", json!({"conversationId": id}), "/title"),
        ("RenameConversation", json!({"title": "x"}), "/conversationId"),
        ("RenameConversation", json!({"conversationId": 5, "title": "x"}), "/conversationId"),
        ("AssignAdvisor", json!({"conversationId": id}), "/advisorId"),
        ("AssignAdvisor", json!({"conversationId": id, "advisorId": "x", "more": 1}), "/more"),
        ("DeleteConversation", json!({}), "/conversationId"),
        ("DeleteConversation", json!({"conversationId": id, "really": true}), "/really"),
        ("SendMessage", content(json!("")), "/content"),
        ("SendMessage", content(json!(" \t\n")), "/content"),
        ("SendMessage", content(json!("x".repeat(32_001))), "/content"),
        ("SendMessage", content(json!("a\0b")), "/content"),
        ("SendMessage", json!({"conversationId": id, "content": "x", "advisorIds": vec!["x"; 6]}), "/advisorIds"),
        ("SendMessage", json!({"conversationId": id, "content": "x", "advisorIds": "x"}), "/advisorIds"),
        ("SendMessage", json!({"conversationId": id, "content": "x", "advisorId": "x"}), "/advisorId"),
        ("EditMessage", json!({"messageId": message, "content": ""}), "/content"),
        ("EditMessage", json!({"messageId": message, "content": "x".repeat(4_001)}), "/content"),
        ("EditMessage", json!({"messageId": message, "content": "x", "x": 1}), "/x"),
        ("DeleteMessage", json!({}), "/messageId"),
        ("DeleteMessage", json!({"messageId": message, "x": 1}), "/x"),
        ("StopReply", json!({"replyid": "x"}), "/replyid"),
        ("ReviseAdvisor", json!({"advisorId": "x", "document": {}, "x": 1}), "/x"),
        ("SetAdvisorStatus", json!({"advisorId": "x", "status": "active", "x": 1}), "/x"),
        ("SetAdvisorVisibility", json!({"advisorId": "x"}), "/visibility"),
    ] {
        assert_details(&user.order(name, &body).await, 422, &[pointer]);
    }
    let nadia = "nadia-okafor-v1";
    let twice = json!({"conversationId": id, "content": "x", "advisorIds": [nadia, nadia]});
    assert_details(&user.order("SendMessage", &twice).await, 422, &["/advisorIds"]);
    for body in [json!([]), json!("x"), json!(null)] {
        assert_details(&user.order("StartConversation", &body).await, 422, &[""]);
    }
    for name in ["startConversation", "Nothing", "StartConversation%20"] {
        assert_problem(&user.order(name, &json!({})).await, 404, "UNKNOWN_COMMAND");
    }
    let whole = user.get(&format!("/api/conversations/{id}")).await;
    assert_eq!(texts(&whole["messages"], "content"), ["One"]);
    assert_eq!(whole["title"], "New Conversation");
}

#[tokio::test]
async fn texts_are_kept_as_they_came_up_to_their_limits() {
    let server = server();
    let user = server.client("ann", &[]);
    let started = user.made("StartConversation", &json!({"title": "👩‍👩‍👧 e\u{301} ".repeat(22)}), "conversationId").await;
    let title = "👩‍👩‍👧 e\u{301} ".repeat(22);
    assert!(title.chars().count() <= 200);
    let path = format!("/api/conversations/{started}");
    assert_eq!(user.get(&path).await["title"], title);
    let texts_sent = [" \u{feff}x\r\n".to_owned(), "😀".repeat(32_000), "\u{7f}\u{202e}\u{ffff}".to_owned()];
    for text in &texts_sent {
        user.say(&started, text).await;
    }
    let whole = user.get(&path).await;
    assert_eq!(texts(&whole["messages"], "content"), texts_sent);
    let id = &whole["messages"][0]["id"];
    user.command("EditMessage", &json!({"messageId": id, "content": "😀".repeat(4_000)})).await;
    user.command("EditMessage", &json!({"messageId": id, "content": " "})).await;
    assert_eq!(user.get(&path).await["messages"][0]["content"], " ");

    let beside = json!({"parts": [{"type": "text", "n": 1.5, "big": 9_007_199_254_740_991_u64}], "nothing": null});
    let body = json!({"conversationId": started, "content": "x", "contentJson": beside, "advisorIds": []});
    user.command("SendMessage", &body).await;
    assert_eq!(user.get(&path).await["messages"][3]["contentJson"], beside);
}

#[tokio::test]
async fn who_replies_is_who_is_named_else_mentioned_else_active() {
    let server = slow_server();
    let (user, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    bob.command("CreateAdvisor", &sparse("bobs-own", "Berta")).await;
    let id = user.conversation().await;
    let send = async |content: &str, advisors: Value| {
        let mut body = json!({"conversationId": id, "content": content});
        if !advisors.is_null() {
            body["advisorIds"] = advisors;
        }
        let sent = user.order("SendMessage", &body).await;
        check(&sent, &json!({"messageId": "text", "replies": [{"replyId": "text", "advisorId": "text"}]}));
        let whole = user.get(&format!("/api/conversations/{id}")).await;
        let replies = sent.body["result"]["replies"].clone();
        let ids: Vec<String> = texts(&replies, "advisorId").into_iter().map(str::to_owned).collect();
        (ids, whole["activeAdvisor"]["id"].as_str().unwrap().to_owned())
    };
    let (nadia, priya, henrik) = ("nadia-okafor-v1", "priya-raman-v1", "henrik-vale-v1");
    assert_eq!(send("Hi", Value::Null).await, (vec![nadia.to_owned()], nadia.to_owned()));
    assert_eq!(send("Hi @Priya", json!([])).await, (vec![], nadia.to_owned()));
    let both = vec![priya.to_owned(), henrik.to_owned()];
    assert_eq!(send("@Priya and @Henrik", Value::Null).await, (both, priya.to_owned()));
    assert_eq!(send("@Priya?", json!([henrik])).await, (vec![henrik.to_owned()], henrik.to_owned()));
    assert_eq!(send("And?", Value::Null).await, (vec![henrik.to_owned()], henrik.to_owned()));
    for unknown in ["unknown", "bobs-own"] {
        let body = json!({"conversationId": id, "content": "x", "advisorIds": [nadia, unknown]});
        assert_problem(&user.order("SendMessage", &body).await, 422, "ADVISOR_NOT_FOUND");
        let body = json!({"conversationId": id, "advisorId": unknown});
        assert_problem(&user.order("AssignAdvisor", &body).await, 422, "ADVISOR_NOT_FOUND");
        let body = json!({"advisorId": unknown});
        assert_problem(&user.order("StartConversation", &body).await, 422, "ADVISOR_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_reply_runs_in_replies_and_stops_when_asked() {
    let server = slow_server();
    let user = server.client("ann", &[]);
    let id = user.conversation().await;
    let path = format!("/api/conversations/{id}");
    let body = json!({"conversationId": id, "content": "Hi", "advisorIds": ["nadia-okafor-v1", "priya-raman-v1"]});
    let sent = user.command("SendMessage", &body).await["result"].clone();
    let whole = user.get(&path).await;
    assert_shape(&whole["replies"], &json!([reply()]));
    assert_eq!(texts(&whole["messages"], "id"), [sent["messageId"].as_str().unwrap()]);
    for (shown, asked) in whole["replies"].as_array().unwrap().iter().zip(sent["replies"].as_array().unwrap()) {
        assert_eq!((&shown["replyId"], &shown["advisorId"]), (&asked["replyId"], &asked["advisorId"]));
        assert_eq!(shown["messageId"], sent["messageId"]);
        assert!(["pending", "streaming"].contains(&shown["status"].as_str().unwrap()), "{shown}");
    }

    let mut device = LiveClient::connect(&user, std::slice::from_ref(&path), None).await;
    let stopped = json!({"replyId": sent["replies"][0]["replyId"]});
    check(&user.order("StopReply", &stopped).await, &json!({}));
    let left = |device: &LiveClient, count| {
        device.data.get(&path).is_some_and(|data| data["replies"].as_array().unwrap().len() == count)
    };
    device.until("the first to stop", |device| left(device, 1)).await;
    assert_eq!(device.data[&path]["messages"].as_array().unwrap().len(), 1, "it had said nothing");
    // Whoever asks again changes nothing.
    check(&user.order("StopReply", &stopped).await, &json!({}));

    // Deleting the message stops the other, which leaves nothing.
    user.command("DeleteMessage", &json!({"messageId": sent["messageId"]})).await;
    device.until("the second to stop", |device| left(device, 0)).await;
    assert_eq!(user.get(&path).await["messages"], json!([]));
    assert_problem(&user.order("StopReply", &json!({"replyId": "unknown"})).await, 404, "REPLY_NOT_FOUND");
}

#[tokio::test]
async fn a_stopped_reply_keeps_what_it_has_said_and_a_whole_one_can_not_be_stopped() {
    let server = crate::server::Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "100")]);
    let user = server.client("ann", &[]);
    let id = user.conversation().await;
    let path = format!("/api/conversations/{id}");
    let mut device = LiveClient::connect(&user, std::slice::from_ref(&path), None).await;
    let sent = user.command("SendMessage", &json!({"conversationId": id, "content": "Hi"})).await;
    let reply = sent["result"]["replies"][0]["replyId"].as_str().unwrap().to_owned();
    device.until("its first words", |device| device.drafts.contains_key(&reply)).await;
    user.command("StopReply", &json!({"replyId": reply})).await;
    device.until("it as a message", |device| device.data[&path]["messages"][1]["id"] == json!(reply)).await;
    let message = user.get(&path).await["messages"][1].clone();
    assert!(message["content"].as_str().unwrap().starts_with("This"), "{message}");
    assert_eq!(message["contentJson"]["finishReason"], "stopped");
    assert_eq!(message["advisorId"], "nadia-okafor-v1");

    let server = super::server();
    let user = server.client("ann", &[]);
    let answered = user.chat(&said("Hi")).await;
    let ended = json!({"replyId": answered.body["message"]["id"]});
    assert_problem(&user.order("StopReply", &ended).await, 409, "WRONG_STATE");
}

#[track_caller]
fn check(answer: &Answer, result: &Value) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_shape(
        &answer.body,
        &json!({"commandId": "text", "stream": "text", "revision": "count", "position": "count", "result": result}),
    );
}
