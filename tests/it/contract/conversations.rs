//! `/api/conversations`.

use super::{
    assert_details, assert_problem, assert_shape, conversation, item, nobody, said, server, short_card, sparse, texts,
};
use futures::future::join_all;
use serde_json::{Value, json};

#[tokio::test]
async fn a_conversation_begins_with_the_oldest_advisor_unless_another_is_named() {
    let server = server();
    let user = server.client("ann", &[]);
    let begun = user.post("/api/conversations", &json!({})).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    let shape = json!({
        "id": "text", "title": "text", "createdAt": "time", "updatedAt": "time", "activeAdvisor": {"?": short_card()}
    });
    assert_shape(&begun.body, &shape);
    assert_eq!(begun.body["title"], "New Conversation");
    let nadia = json!({"id": "nadia-okafor-v1", "name": "Nadia Okafor", "title": "Product Strategist"});
    assert_eq!(begun.body["activeAdvisor"], nadia);
    assert_eq!(begun.body["createdAt"], begun.body["updatedAt"]);

    let body = json!({"title": " My  title ", "advisorId": "priya-raman-v1", "unknown": true});
    let named = user.post("/api/conversations", &body).await;
    assert_shape(&named.body, &shape);
    assert_eq!(named.body["title"], " My  title ", "text is kept as it came");
    assert_eq!(named.body["activeAdvisor"]["id"], "priya-raman-v1");
    for absent in [json!({"title": null, "advisorId": null}), json!({"title": ""})] {
        let begun = user.post("/api/conversations", &absent).await;
        assert_eq!((begun.status, &begun.body["title"]), (200, &json!("New Conversation")), "{absent}");
    }

    let whole = user.fetch(&format!("/api/conversations/{}", named.body["id"].as_str().unwrap())).await;
    assert_shape(&whole.body, &conversation());
    assert_eq!(whole.body["activeAdvisor"], user.get("/api/advisors").await[2]);
    for (name, value) in [("messages", json!([])), ("replies", json!([])), ("hasMore", json!(false))] {
        assert_eq!(whole.body[name], value);
    }
}

#[tokio::test]
async fn a_conversation_that_can_not_begin_is_refused() {
    let server = server();
    let (user, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    bob.command("CreateAdvisor", &sparse("bobs-own", "Bob")).await;
    let operator = server.client("ops", &["--role", "operator"]);
    operator.command("SetAdvisorStatus", &json!({"advisorId": "henrik-vale-v1", "status": "inactive"})).await;
    for id in ["unknown", "bobs-own", "henrik-vale-v1", ""] {
        let refused = user.post("/api/conversations", &json!({"advisorId": id})).await;
        assert_problem(&refused, 400, "ADVISOR_NOT_FOUND");
    }
    let long = user.post("/api/conversations", &json!({"title": "x".repeat(201)})).await;
    assert_details(&long, 400, &["/title"]);
    assert_details(&user.post("/api/conversations", &json!({"title": 5})).await, 400, &["/title"]);
    assert_details(&user.post("/api/conversations", &json!({"title": "a\0b"})).await, 400, &["/title"]);
    assert_details(&user.post("/api/conversations", &json!({"advisorId": []})).await, 400, &["/advisorId"]);
    assert_eq!(user.get("/api/conversations").await, json!([]));
    let longest = user.post("/api/conversations", &json!({"title": "é".repeat(200)})).await;
    assert_eq!(longest.status, 200);
}

#[tokio::test]
async fn without_any_advisor_a_conversation_has_none() {
    let server = crate::server::Server::start_with(&[("ADVISOR_SEED", "false")]);
    let user = server.client("ann", &[]);
    assert_eq!(nobody(&server).fetch("/api/advisors").await.body, json!([]));
    let begun = user.post("/api/conversations", &json!({})).await;
    assert_eq!((begun.status, &begun.body["activeAdvisor"]), (200, &Value::Null));
    let id = begun.body["id"].as_str().unwrap();
    assert_eq!(user.get(&format!("/api/conversations/{id}")).await["activeAdvisor"], Value::Null);
    assert_eq!(user.get("/api/conversations").await[0]["activeAdvisor"], Value::Null);
    assert_problem(&user.chat(&said("Hi")).await, 400, "NO_ADVISOR_AVAILABLE");
    let message = json!({"conversationId": id, "content": "Is anybody there?"});
    assert_eq!(user.command("SendMessage", &message).await["result"]["replies"], json!([]));
}

#[tokio::test]
async fn the_list_has_the_newest_fifty_with_their_last_message() {
    let server = server();
    let user = server.client("ann", &[]);
    let first = user.conversation().await;
    let made = join_all((0..50).map(|_| user.conversation())).await;
    let listed = user.fetch("/api/conversations").await;
    assert_shape(&listed.body, &json!([item()]));
    assert_eq!(listed.body.as_array().unwrap().len(), 50);
    assert!(!texts(&listed.body, "id").contains(&first.as_str()), "the oldest is the one too many");
    assert_eq!(listed.body[0]["lastMessage"], Value::Null);
    assert_eq!(listed.body[0]["messageCount"], 0);

    // A message brings it to the top.
    let text = "ß".repeat(101);
    user.say(&first, "x").await;
    user.say(&first, &text).await;
    let listed = user.fetch("/api/conversations").await;
    assert_shape(&listed.body, &json!([item()]));
    let top = &listed.body[0];
    assert_eq!((&top["id"], &top["messageCount"]), (&json!(first), &json!(2)));
    let last = [&top["lastMessage"]["content"], &top["lastMessage"]["sender"]];
    assert_eq!(last, [&json!(format!("{}...", "ß".repeat(100))), &json!("user")]);
    let times = texts(&listed.body, "updatedAt");
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    assert_eq!(top["lastMessage"]["createdAt"], top["updatedAt"]);

    user.say(&made[0], &"ß".repeat(100)).await;
    let top = user.get("/api/conversations").await[0].clone();
    assert_eq!((&top["id"], &top["lastMessage"]["content"]), (&json!(made[0]), &json!("ß".repeat(100))));
}

#[tokio::test]
async fn a_conversation_shows_its_messages_with_their_advisors_cards() {
    let server = server();
    let user = server.client("ann", &[]);
    let answered = user.chat(&said("@Priya and @henrik-vale-v1, what is a margin?")).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    let path = format!("/api/conversations/{}", answered.body["conversation"]["id"].as_str().unwrap());
    let whole = user.get(&path).await;
    assert_shape(&whole, &conversation());
    let messages = whole["messages"].as_array().unwrap();
    assert_eq!(texts(&whole["messages"], "sender"), ["user", "advisor"]);
    let [asked, reply] = &messages[..] else { panic!("{whole}") };
    assert_eq!(asked["mentions"], json!(["priya-raman-v1", "henrik-vale-v1"]));
    for absent in ["advisor", "advisorId", "contentJson", "tokensUsed", "editedAt"] {
        assert_eq!(asked[absent], Value::Null, "{absent}");
    }
    assert_eq!((&reply["advisorId"], &reply["mentions"]), (&json!("priya-raman-v1"), &json!([])));
    assert_eq!(reply["advisor"], whole["activeAdvisor"]);
    assert_eq!(reply["advisor"]["name"], "Priya Raman");
    assert_eq!(reply["id"], answered.body["message"]["id"]);
    assert_eq!(reply["tokensUsed"], answered.body["message"]["tokensUsed"]);
    let beside = reply["contentJson"].as_object().unwrap();
    assert_eq!(beside["finishReason"], "stop");
    assert_eq!(beside["isDemo"], true);
    assert!(beside["model"].is_string() && beside["usage"].is_object(), "{reply}");

    // An advisor who is archived later goes on being shown by what it has said.
    let operator = server.client("ops", &["--role", "operator"]);
    operator.delete("/api/advisors/priya-raman-v1").await;
    assert_eq!(user.get(&path).await["messages"][1]["advisor"]["name"], "Priya Raman");
}

#[tokio::test]
async fn a_conversation_is_renamed_and_given_another_advisor() {
    let server = server();
    let user = server.client("ann", &[]);
    let id = user.conversation().await;
    user.say(&id, "One").await;
    let path = format!("/api/conversations/{id}");
    let shape = |updated: Value| {
        json!({
            "success": true,
            "conversation": {
                "id": "text", "title": "text", "activeAdvisorId": "text?", "createdAt": "time", "updatedAt": "time",
                "messageCount": "count"
            },
            "updated": updated
        })
    };
    let both = user.patch(&path, &json!({"title": "Mine", "activeAdvisorId": "priya-raman-v1", "x": 1})).await;
    assert_eq!(both.status, 200, "{}", both.text);
    assert_shape(&both.body, &shape(json!({"title": "text", "activeAdvisorId": "text"})));
    assert_eq!(both.body["updated"], json!({"title": "Mine", "activeAdvisorId": "priya-raman-v1"}));
    let changed = &both.body["conversation"];
    let seen = [&changed["id"], &changed["title"], &changed["activeAdvisorId"], &changed["messageCount"]];
    assert_eq!(seen, [&json!(id), &json!("Mine"), &json!("priya-raman-v1"), &json!(1)]);
    let whole = user.get(&path).await;
    assert_eq!((&whole["title"], &whole["activeAdvisor"]["id"]), (&json!("Mine"), &json!("priya-raman-v1")));
    assert_eq!((&whole["updatedAt"], &whole["createdAt"]), (&changed["updatedAt"], &changed["createdAt"]));

    let title = user.patch(&path, &json!({"title": "Yours"})).await;
    assert_shape(&title.body, &shape(json!({"title": "text"})));
    assert_eq!(title.body["conversation"]["activeAdvisorId"], "priya-raman-v1");
    let advisor = user.patch(&path, &json!({"activeAdvisorId": "henrik-vale-v1"})).await;
    assert_shape(&advisor.body, &shape(json!({"activeAdvisorId": "text"})));
    assert_eq!(advisor.body["conversation"]["title"], "Yours");
    let nothing = user.patch(&path, &json!({})).await;
    assert_eq!(nothing.status, 200);
    assert_shape(&nothing.body, &shape(json!({})));
}

#[tokio::test]
async fn a_change_of_a_conversation_that_can_not_be_is_refused_and_changes_nothing() {
    let server = server();
    let user = server.client("ann", &[]);
    let operator = server.client("ops", &["--role", "operator"]);
    operator.delete("/api/advisors/henrik-vale-v1").await;
    let id = user.conversation().await;
    let path = format!("/api/conversations/{id}");
    for advisor in ["unknown", "henrik-vale-v1"] {
        let body = json!({"title": "Changed", "activeAdvisorId": advisor});
        assert_problem(&user.patch(&path, &body).await, 400, "ADVISOR_NOT_FOUND");
    }
    for (body, pointer) in [
        (json!({"title": ""}), "/title"),
        (json!({"title": "x".repeat(201)}), "/title"),
        (json!({"title": ["x"]}), "/title"),
        (json!({"activeAdvisorId": 5}), "/activeAdvisorId"),
    ] {
        assert_details(&user.patch(&path, &body).await, 400, &[pointer]);
    }
    assert_details(&user.patch(&path, &json!([])).await, 400, &[""]);
    let unknown = user.patch("/api/conversations/unknown", &json!({"title": "x"})).await;
    assert_problem(&unknown, 404, "CONVERSATION_NOT_FOUND");
    let whole = user.get(&path).await;
    assert_eq!(
        (&whole["title"], &whole["activeAdvisor"]["id"]),
        (&json!("New Conversation"), &json!("nadia-okafor-v1"))
    );
    assert_eq!(whole["createdAt"], whole["updatedAt"]);
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_with_all_that_was_in_it() {
    let server = server();
    let user = server.client("ann", &[]);
    let id = user.conversation().await;
    let message = user.say(&id, "One").await;
    let path = format!("/api/conversations/{id}");
    let gone = user.delete(&path).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(user.get("/api/conversations").await, json!([]));
    for answer in [
        user.delete(&path).await,
        user.fetch(&path).await,
        user.fetch(&format!("{path}/messages")).await,
        user.patch(&path, &json!({"title": "x"})).await,
        user.order("DeleteConversation", &json!({"conversationId": id})).await,
        user.order("RenameConversation", &json!({"conversationId": id, "title": "x"})).await,
        user.order("AssignAdvisor", &json!({"conversationId": id, "advisorId": "priya-raman-v1"})).await,
        user.order("SendMessage", &json!({"conversationId": id, "content": "x"})).await,
        user.chat(&json!({"conversationId": id, "messages": [{"role": "user", "content": "x"}]})).await,
    ] {
        assert_problem(&answer, 404, "CONVERSATION_NOT_FOUND");
    }
    assert_problem(&user.delete(&format!("/api/messages/{message}")).await, 404, "MESSAGE_NOT_FOUND");
    let edit = json!({"content": "x"});
    assert_problem(&user.patch(&format!("/api/messages/{message}"), &edit).await, 404, "MESSAGE_NOT_FOUND");
    for id in ["%20", "a%2Fb", "%00", "ö", &"x".repeat(129)] {
        assert_problem(&user.delete(&format!("/api/conversations/{id}")).await, 400, "INVALID_ID");
    }
}
