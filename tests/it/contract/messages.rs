//! `/api/messages`, `/api/mentions`, `/api/me`, `/api/health`.

use super::{assert_details, assert_problem, assert_shape, conversation, message, nobody, said, server, sparse, texts};
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_of_ones_own_is_edited() {
    let server = server();
    let user = server.client("ann", &[]);
    let answered = user.chat(&said("One")).await;
    let conversation_id = &answered.body["conversation"]["id"];
    let path = format!("/api/conversations/{}", conversation_id.as_str().unwrap());
    let before = user.get(&path).await;
    let (own, reply) = (&before["messages"][0], &before["messages"][1]);
    let url = format!("/api/messages/{}", own["id"].as_str().unwrap());

    let edited = user.patch(&url, &json!({"content": " Two ", "x": 1})).await;
    assert_eq!(edited.status, 200, "{}", edited.text);
    assert_shape(
        &edited.body,
        &json!({
            "success": true, "message": "text",
            "updatedMessage":
                {"id": "text", "content": "text", "createdAt": "time", "conversationId": "text", "sender": "text"},
            "timestamp": "time"
        }),
    );
    let expected = json!({
        "id": own["id"], "content": " Two ", "createdAt": own["createdAt"], "conversationId": conversation_id,
        "sender": "user"
    });
    assert_eq!(edited.body["updatedMessage"], expected);
    let after = user.get(&path).await;
    assert_shape(&after, &conversation());
    let seen = &after["messages"][0];
    assert_eq!((&seen["content"], &seen["editedAt"]), (&json!(" Two "), &edited.body["timestamp"]));
    assert_eq!(after["updatedAt"], edited.body["timestamp"]);
    assert_eq!(after["messages"][1], *reply, "editing asks nothing anew");

    assert_eq!(user.patch(&url, &json!({"content": "é".repeat(4_000)})).await.status, 200);
    for body in [
        json!({"content": ""}),
        json!({"content": "é".repeat(4_001)}),
        json!({}),
        json!({"content": null}),
        json!({"content": 5}),
        json!({"content": "a\0"}),
    ] {
        assert_details(&user.patch(&url, &body).await, 400, &["/content"]);
    }
    let of_the_advisor = format!("/api/messages/{}", reply["id"].as_str().unwrap());
    let edit = json!({"content": "x"});
    assert_problem(&user.patch(&of_the_advisor, &edit).await, 400, "INVALID_MESSAGE_TYPE");
    let command = json!({"messageId": reply["id"], "content": "x"});
    assert_problem(&user.order("EditMessage", &command).await, 422, "INVALID_MESSAGE_TYPE");
    assert_problem(&user.patch("/api/messages/unknown", &edit).await, 404, "MESSAGE_NOT_FOUND");
}

#[tokio::test]
async fn messages_are_deleted_ones_own_and_an_advisors() {
    let server = server();
    let user = server.client("ann", &[]);
    let answered = user.chat(&said("One")).await;
    let conversation_id = answered.body["conversation"]["id"].clone();
    let path = format!("/api/conversations/{}", conversation_id.as_str().unwrap());
    for left in [1, 0] {
        let last = user.get(&path).await["messages"].as_array().unwrap().last().unwrap().clone();
        let url = format!("/api/messages/{}", last["id"].as_str().unwrap());
        let deleted = user.delete(&url).await;
        assert_eq!(deleted.status, 200, "{}", deleted.text);
        assert_shape(
            &deleted.body,
            &json!({
                "success": true, "message": "text", "deletedCount": 1, "deletedMessageIds": ["text"],
                "conversationId": "text", "timestamp": "time"
            }),
        );
        assert_eq!(deleted.body["deletedMessageIds"], json!([last["id"]]));
        assert_eq!(deleted.body["conversationId"], conversation_id);
        assert_problem(&user.delete(&url).await, 404, "MESSAGE_NOT_FOUND");
        let listed = user.get("/api/conversations").await[0].clone();
        assert_eq!(listed["messageCount"], left);
        assert_eq!(listed["updatedAt"], deleted.body["timestamp"]);
        let content = if left == 1 { json!("One") } else { Value::Null };
        assert_eq!(listed["lastMessage"]["content"], content);
        assert_eq!(listed["lastMessage"].is_null(), left == 0);
    }
}

#[tokio::test]
async fn older_messages_come_in_pages() {
    let server = server();
    let (user, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    let id = user.conversation().await;
    for number in 1..=7 {
        user.say(&id, &number.to_string()).await;
    }
    let path = format!("/api/conversations/{id}/messages");
    let all = user.fetch(&path).await;
    assert_shape(&all.body, &json!({"messages": [message()], "nextBefore": null}));
    assert_eq!(texts(&all.body["messages"], "content"), ["1", "2", "3", "4", "5", "6", "7"]);
    assert!(!all.header("x-position").is_empty());

    let mut url = format!("{path}?limit=3");
    for expected in [&["5", "6", "7"][..], &["2", "3", "4"], &["1"]] {
        let page = user.fetch(&url).await;
        assert_shape(&page.body, &json!({"messages": [message()], "nextBefore": "text?"}));
        assert_eq!(texts(&page.body["messages"], "content"), expected);
        assert_eq!(page.body["nextBefore"].is_null(), expected.len() == 1);
        if let Some(cursor) = page.body["nextBefore"].as_str() {
            url = format!("{path}?limit=3&before={cursor}");
        }
    }
    let cursor = url.rsplit('=').next().unwrap();
    assert_problem(&user.fetch(&format!("{path}?before={cursor}x")).await, 400, "INVALID_CURSOR");
    assert_problem(&user.fetch(&format!("{path}?before=")).await, 400, "INVALID_CURSOR");
    let other = user.conversation().await;
    let elsewhere = format!("/api/conversations/{other}/messages?before={cursor}");
    assert_problem(&user.fetch(&elsewhere).await, 400, "INVALID_CURSOR");
    for limit in ["0", "101", "-1", "ten", "1.5", ""] {
        assert_problem(&user.fetch(&format!("{path}?limit={limit}")).await, 400, "INVALID_LIMIT");
    }
    assert_eq!(user.fetch(&format!("{path}?limit=100")).await.status, 200);
    assert_problem(&bob.fetch(&path).await, 404, "CONVERSATION_NOT_FOUND");
    let live = user.ask(reqwest::Method::GET, &url, &[("accept", "text/event-stream")], None).await;
    assert_problem(&live, 406, "NOT_ACCEPTABLE");
}

#[tokio::test]
async fn mentions_are_found_in_the_order_of_their_appearance() {
    let server = server();
    let (user, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    bob.command("CreateAdvisor", &sparse("bobs-own", "Berta Brecht")).await;
    user.command("CreateAdvisor", &sparse("nadia-two", "Nadia Two")).await;
    let content =
        "Hi @priya, @NADIA's plan; @Tomás  Lindqvist @nadia-two @priya-raman-v1 @Berta @bobs-own me@henrik.com";
    let found = user.post("/api/mentions", &json!({"content": content})).await;
    assert_eq!(found.status, 200, "{}", found.text);
    assert_shape(
        &found.body,
        &json!({
            "success": true, "content": "text",
            "mentions": {
                "advisorIds": ["text"],
                "advisors": [{"id": "text", "name": "text", "role": "text", "metadata": "any"}], "count": "count"
            },
            "analysis": {"hasValidMentions": true, "contentLength": "count", "processedAt": "time"}
        }),
    );
    assert_eq!(found.body["content"], content);
    let ids = json!(["priya-raman-v1", "nadia-okafor-v1", "tomas-lindqvist-v1", "nadia-two"]);
    let mentions = &found.body["mentions"];
    assert_eq!((&mentions["advisorIds"], &mentions["count"]), (&ids, &json!(4)));
    assert_eq!(json!(texts(&mentions["advisors"], "id")), ids);
    let priya = &mentions["advisors"][0];
    assert_eq!((&priya["name"], &priya["role"]), (&json!("Priya Raman"), &json!("Finance Advisor")));
    assert_eq!(found.body["analysis"]["contentLength"], content.chars().count());

    let none = user.post("/api/mentions", &json!({"content": "nobody@nadia.com"})).await;
    assert_eq!(none.body["mentions"], json!({"advisorIds": [], "advisors": [], "count": 0}));
    assert_eq!(none.body["analysis"]["hasValidMentions"], false);
    for body in [json!({"content": ""}), json!({}), json!({"content": 5})] {
        assert_details(&user.post("/api/mentions", &body).await, 400, &["/content"]);
    }
}

#[tokio::test]
async fn a_person_sees_who_they_are() {
    let server = server();
    for (plan, tier) in
        [("free", "free"), ("base", "base"), ("pro", "base"), ("premium", "premium"), ("enterprise", "premium")]
    {
        let user = server.client(&format!("user_{plan}"), &["--plan", plan]);
        let me = user.fetch("/api/me").await;
        assert_eq!(me.status, 200, "{}", me.text);
        assert_shape(
            &me.body,
            &json!({
                "id": "text", "email": "text?", "name": "text?", "image": "text?", "plan": "text", "tier": "text",
                "roles": ["text"], "createdAt": "time", "updatedAt": "time"
            }),
        );
        let seen = [&me.body["id"], &me.body["plan"], &me.body["tier"], &me.body["roles"]];
        assert_eq!(seen, [&json!(format!("user_{plan}")), &json!(plan), &json!(tier), &json!(["user"])]);
    }
    let operator = server.client("ops", &["--role", "operator"]).get("/api/me").await;
    assert_eq!((&operator["roles"], &operator["plan"]), (&json!(["user", "operator"]), &json!("free")));
}

#[tokio::test]
async fn health_needs_nobody_and_tells_more_when_asked() {
    let server = server();
    let anybody = nobody(&server);
    let health = anybody.fetch("/api/health").await;
    assert_eq!(health.status, 200);
    assert_shape(&health.body, &json!({"status": "text", "timestamp": "time", "version": "text"}));
    assert_eq!(health.body["status"], "healthy");
    let detailed = anybody.fetch("/api/health?detailed=true").await;
    assert_eq!(detailed.body["status"], "healthy");
    assert_shape(&detailed.body["checks"], &json!([{"name": "text", "ok": true, "detail": "text"}]));
}
