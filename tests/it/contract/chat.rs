//! `POST /api/chat` with the demo model.

use super::{assert_details, assert_problem, assert_shape, nobody, said, server, slow_server, sparse, texts};
use crate::{
    live_client::LiveClient,
    server::{Answer, Client},
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_chat_answers_with_the_reply_and_its_conversation() {
    let server = server();
    let user = server.client("ann", &[]);
    let content = "é".repeat(51);
    let answer = user.chat(&said(&content)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_shape(&answer.body, &answer_shape());
    let message = &answer.body["message"];
    assert_eq!((&message["sender"], &message["advisorId"]), (&json!("advisor"), &json!("nadia-okafor-v1")));
    assert!(message["content"].as_str().unwrap().contains("Nadia Okafor"), "the demo speaks in its own name");
    let conversation = &answer.body["conversation"];
    assert_eq!(conversation["title"], json!(format!("{}...", "é".repeat(50))));
    assert_eq!(conversation["activeAdvisorId"], "nadia-okafor-v1");
    let usage = &answer.body["usage"];
    let [prompt, completion, total] =
        ["prompt_tokens", "completion_tokens", "total_tokens"].map(|name| usage[name].as_u64().unwrap());
    assert_eq!((prompt + completion, &message["tokensUsed"]), (total, &usage["total_tokens"]));

    let stored = user.get(&format!("/api/conversations/{}", conversation["id"].as_str().unwrap())).await;
    assert_eq!(stored["title"], conversation["title"]);
    let messages = &stored["messages"];
    assert_eq!(texts(messages, "content"), [content.as_str(), message["content"].as_str().unwrap()]);
    assert_eq!((&messages[1]["id"], &messages[1]["createdAt"]), (&message["id"], &message["createdAt"]));

    let short = user.chat(&said(&"é".repeat(50))).await;
    assert_eq!(short.body["conversation"]["title"], json!("é".repeat(50)));
}

#[tokio::test]
async fn the_advisor_is_the_mentioned_one_then_the_named_then_the_active_then_the_oldest() {
    let server = server();
    let user = server.client("ann", &[]);
    let chat = async |content: &str, conversation: &Value, advisor: Value| {
        let mut body = said(content);
        body["conversationId"] = conversation.clone();
        body["advisorId"] = advisor;
        let answer = user.chat(&body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body["message"]["advisorId"], answer.body["conversation"]["activeAdvisorId"]);
        let listed = user.get("/api/conversations").await[0].clone();
        assert_eq!(listed["id"], answer.body["conversation"]["id"]);
        assert_eq!(listed["activeAdvisor"]["id"], answer.body["message"]["advisorId"]);
        (answer.body["message"]["advisorId"].clone(), answer.body["conversation"]["id"].clone())
    };
    let (advisor, first) = chat("Hi", &Value::Null, Value::Null).await;
    assert_eq!(advisor, "nadia-okafor-v1");
    assert_eq!(chat("@Priya, then @Henrik", &first, json!("tomas-lindqvist-v1")).await.0, "priya-raman-v1");
    assert_eq!(chat("And?", &first, Value::Null).await, (json!("priya-raman-v1"), first.clone()));
    assert_eq!(chat("And?", &first, json!("tomas-lindqvist-v1")).await.0, "tomas-lindqvist-v1");
    assert_eq!(chat("And?", &first, Value::Null).await.0, "tomas-lindqvist-v1");
    let (advisor, second) = chat("New", &Value::Null, json!("henrik-vale-v1")).await;
    assert_eq!(advisor, "henrik-vale-v1");
    assert_ne!(first, second);

    // An active advisor who was archived does not answer any more.
    let operator = server.client("ops", &["--role", "operator"]);
    operator.delete("/api/advisors/henrik-vale-v1").await;
    assert_eq!(chat("And?", &second, Value::Null).await.0, "nadia-okafor-v1");
}

#[tokio::test]
async fn a_private_advisor_answers_its_owner_alone() {
    let server = server();
    let (ann, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    ann.command("CreateAdvisor", &sparse("anns-own", "Berta Brecht")).await;
    let answer = ann.chat(&said("@Berta, hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["message"]["advisorId"], "anns-own");
    assert!(answer.body["message"]["content"].as_str().unwrap().contains("Berta Brecht, Coach"));
    let path = format!("/api/conversations/{}", answer.body["conversation"]["id"].as_str().unwrap());
    assert_eq!(ann.get(&path).await["messages"][1]["advisor"]["name"], "Berta Brecht");
    assert_eq!(bob.get("/api/conversations").await, json!([]));
    for mention in ["@Berta", "@Berta Brecht", "@anns-own"] {
        let answer = bob.chat(&said(mention)).await;
        assert_eq!(answer.body["message"]["advisorId"], "nadia-okafor-v1", "{mention}");
    }

    // While it was public others have talked with it; afterwards they see what it said, and not who it is.
    let operator = server.client("ops", &["--role", "operator"]);
    operator.command("SetAdvisorVisibility", &json!({"advisorId": "anns-own", "visibility": "public"})).await;
    let answer = bob.chat(&said("@Berta, hello")).await;
    operator.command("SetAdvisorVisibility", &json!({"advisorId": "anns-own", "visibility": "private"})).await;
    let path = format!("/api/conversations/{}", answer.body["conversation"]["id"].as_str().unwrap());
    let seen = bob.get(&path).await;
    assert_eq!(seen["messages"][1]["content"], answer.body["message"]["content"]);
    assert_eq!((&seen["messages"][1]["advisor"], &seen["activeAdvisor"]), (&Value::Null, &Value::Null));
    assert_eq!(bob.get("/api/conversations").await[0]["activeAdvisor"], Value::Null);
}

#[tokio::test]
async fn a_chat_that_can_not_be_is_refused_and_leaves_nothing() {
    let server = server();
    let (user, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    let foreign = bob.conversation().await;
    bob.command("CreateAdvisor", &sparse("bobs-own", "Berta")).await;
    let with = |name: &str, value: Value| {
        let mut body = said("Hi");
        body[name] = value;
        body
    };
    for (body, status, error) in [
        (json!({"messages": []}), 400, "NO_USER_MESSAGE"),
        (json!({"messages": [{"role": "assistant", "content": "x"}]}), 400, "NO_USER_MESSAGE"),
        (with("conversationId", json!("unknown")), 404, "CONVERSATION_NOT_FOUND"),
        (with("conversationId", json!(foreign)), 404, "CONVERSATION_NOT_FOUND"),
        (with("advisorId", json!("unknown")), 400, "ADVISOR_NOT_FOUND"),
        (with("advisorId", json!("bobs-own")), 400, "ADVISOR_NOT_FOUND"),
    ] {
        assert_problem(&user.chat(&body).await, status, error);
    }
    for content in [json!(""), json!(" \n\u{a0}"), json!("x".repeat(32_001)), json!(5), json!(null)] {
        let body = json!({"messages": [{"role": "user", "content": content}]});
        assert_details(&user.chat(&body).await, 400, &["/messages"]);
    }
    assert_details(&user.chat(&json!({})).await, 400, &["/messages"]);
    assert_details(&user.chat(&json!({"messages": "Hi"})).await, 400, &["/messages"]);
    assert_eq!(user.get("/api/conversations").await, json!([]));
    assert_problem(&nobody(&server).chat(&said("Hi")).await, 401, "AUTH_REQUIRED");
}

#[tokio::test]
async fn a_chat_as_text_says_where_it_belongs_in_headers() {
    let server = server();
    let user = server.client("ann", &[]);
    let accept = [("accept", "text/plain")];
    let answer = user.ask(Method::POST, "/api/chat", &accept, Some(&said("@Priya: Grüße 😀"))).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-active-advisor"), "priya-raman-v1");
    let conversation = user.get(&format!("/api/conversations/{}", answer.header("x-conversation-id"))).await;
    assert_eq!(conversation["messages"][1]["content"], json!(answer.text));
    assert_eq!(conversation["title"], "@Priya: Grüße 😀");

    let refused = user.ask(Method::POST, "/api/chat", &accept, Some(&json!({"messages": []}))).await;
    assert_problem(&refused, 400, "NO_USER_MESSAGE");
    let image = user.ask(Method::POST, "/api/chat", &[("accept", "image/png")], Some(&said("Hi"))).await;
    assert_problem(&image, 406, "NOT_ACCEPTABLE");
    let anything = [("accept", "text/html, */*;q=0.8")];
    let json = user.ask(Method::POST, "/api/chat", &anything, Some(&said("Hi"))).await;
    assert_shape(&json.body, &answer_shape());
}

#[tokio::test]
async fn the_same_key_joins_a_running_chat_and_answers_again_after_it() {
    let server = crate::server::Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "20")]);
    let user = server.client("ann", &[]);
    let body = said("Hi");
    let asked = |accept: &'static str| {
        let (user, body) = (user.clone(), body.clone());
        async move {
            let headers = [("idempotency-key", "one"), ("accept", accept)];
            user.ask(Method::POST, "/api/chat", &headers, Some(&body)).await
        }
    };
    let answers: Vec<Answer> = join_all((0..5).map(|_| asked("application/json"))).await;
    let text = asked("text/plain").await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body), "{}", answer.text);
    }
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count(), 1);
    assert_eq!(answers[0].body["message"]["content"], json!(text.text));
    assert_eq!(text.header("idempotency-replayed"), "true");
    let listed = user.get("/api/conversations").await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["messageCount"]), (1, &json!(2)));
    let other = user.ask(Method::POST, "/api/chat", &[("idempotency-key", "one")], Some(&said("Ho"))).await;
    assert_problem(&other, 422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_reply_running() {
    let server = crate::server::Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "20")]);
    let user = server.client("ann", &[]);
    let mut device = LiveClient::connect(&user, &["/api/conversations".to_owned()], None).await;
    let begun = |device: &LiveClient| device.data.get("/api/conversations").is_some_and(|list| !list[0].is_null());
    let body = said("Hi");
    tokio::select! {
        answer = user.chat(&body) => panic!("answered before anything was seen: {}", answer.text),
        () = device.until("the conversation", begun) => {}
    }
    device.until("the reply", |device| device.data["/api/conversations"][0]["messageCount"] == 2).await;
    let last = &device.data["/api/conversations"][0]["lastMessage"];
    assert_eq!(last["sender"], "advisor");
}

#[tokio::test]
async fn a_stopped_reply_answers_a_waiting_chat() {
    let server = slow_server();
    let user = server.client("ann", &[]);
    let mut device = LiveClient::connect(&user, &["/api/conversations".to_owned()], None).await;
    let stopping = async {
        device
            .until("the conversation", |device| {
                device.data.get("/api/conversations").is_some_and(|list| !list[0].is_null())
            })
            .await;
        let id = device.data["/api/conversations"][0]["id"].as_str().unwrap().to_owned();
        let replies = user.get(&format!("/api/conversations/{id}")).await["replies"].clone();
        user.command("StopReply", &json!({"replyId": replies[0]["replyId"]})).await;
        id
    };
    let body = said("Hi");
    let (answer, id) = tokio::join!(user.chat(&body), stopping);
    assert_problem(&answer, 409, "WRONG_STATE");
    assert_eq!(answer.body["conversationId"], json!(id));
    let conversation = user.get(&format!("/api/conversations/{id}")).await;
    assert_eq!(texts(&conversation["messages"], "content"), ["Hi"]);
    assert_eq!(conversation["replies"], json!([]));
}

#[tokio::test]
async fn a_title_is_made_after_four_messages_unless_the_user_has_set_one() {
    let server = server();
    let user = server.client("ann", &[]);
    let long = "How do I find the very first customers for my bakery? Really!";
    let own = talk(&user, long, None).await;
    let set_by_the_user = "My very own title, which is longer than thirty characters";
    user.patch(&format!("/api/conversations/{own}"), &json!({"title": set_by_the_user})).await;
    talk(&user, "And then?", Some(&own)).await;
    let short = talk(&user, "Bread", None).await;
    talk(&user, "And then?", Some(&short)).await;
    let made = talk(&user, long, None).await;
    assert_eq!(user.get(&format!("/api/conversations/{made}")).await["title"], json!(format!("{}...", &long[..50])));
    talk(&user, "And then?", Some(&made)).await;

    let mut device = LiveClient::connect(&user, &[format!("/api/conversations/{made}")], None).await;
    let first = format!("{}...", &long[..50]);
    let path = format!("/api/conversations/{made}");
    device.until("a title", |device| device.data.get(&path).is_some_and(|data| data["title"] != first)).await;
    let title = device.data[&path]["title"].as_str().unwrap();
    assert!((1..=5).contains(&title.split(' ').count()), "{title}");
    assert!(title.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '-'), "{title}");
    assert_eq!(user.get(&format!("/api/conversations/{own}")).await["title"], set_by_the_user);
    assert_eq!(user.get(&format!("/api/conversations/{short}")).await["title"], "Bread");
}

/// One question and its answer; gives the conversation.
async fn talk(user: &Client, content: &str, conversation: Option<&str>) -> String {
    let mut body = said(content);
    body["conversationId"] = json!(conversation);
    let answer = user.chat(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["conversation"]["id"].as_str().unwrap().to_owned()
}

fn answer_shape() -> Value {
    json!({
        "success": true,
        "message": {
            "id": "text", "content": "text", "sender": "text", "advisorId": "text", "createdAt": "time",
            "tokensUsed": "count"
        },
        "conversation": {"id": "text", "activeAdvisorId": "text", "title": "text"},
        "usage": {"prompt_tokens": "count", "completion_tokens": "count", "total_tokens": "count"},
        "isDemo": true
    })
}
