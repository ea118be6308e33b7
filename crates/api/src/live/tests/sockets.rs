//! Live queries over sockets: subscriptions come and go, and all of them stand at one position.

use super::{
    caller::Caller,
    changes,
    watcher::Watcher,
    world::{asked, command, complete_reply, conversation, message, public_advisor, revise, say, start_reply},
};
use crate::{live::Hub, test_api::TestApi};
use http::Request;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn a_socket_shows_what_it_is_asked_for_and_then_each_change_of_it() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    let mut ana = Caller::of(&test, Some("ana")).await;
    ana.subscribe("chat", &query).await;
    let snapshot = ana.hear().await.unwrap();
    let answer = test.ask("ana", Request::get(&query), None).await;
    assert_eq!(
        (&snapshot["type"], &snapshot["id"], &snapshot["query"], &snapshot["data"]),
        (&json!("snapshot"), &json!("chat"), &json!(query), &answer.body)
    );
    assert!(snapshot["eventId"].is_string());
    let message_id = message(&test, "ana", &id, "hello").await;
    let change = ana.hear().await.unwrap();
    assert_eq!(change["type"], "change");
    assert!(change["position"].as_u64() > snapshot["position"].as_u64() && change["eventId"].is_string());
    let named: Vec<_> = change["changes"].as_array().unwrap().iter().map(|change| &change["id"]).collect();
    assert_eq!(named, ["chat", "chat"]);
    assert_eq!(changes(&change), [("conversation", "upsert", id.as_str()), ("messages", "upsert", &message_id)]);
}

#[tokio::test]
async fn a_subscription_may_be_a_number() {
    let test = TestApi::start().await;
    let mut ana = Caller::of(&test, Some("ana")).await;
    ana.say(&json!({"type": "subscribe", "id": 7, "query": "/api/me"})).await;
    assert_eq!(ana.hear().await.unwrap()["id"], json!(7));
    ana.say(&json!({"type": "unsubscribe", "id": 7})).await;
    let answer = ana.hear().await.unwrap();
    assert_eq!((&answer["type"], &answer["id"]), (&json!("unsubscribed"), &json!(7)));
}

#[tokio::test]
async fn a_query_that_is_added_brings_the_others_to_its_position() {
    let mut test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    // This hub tells nobody anything: what is added moves the connection, and nothing else does.
    test.api.live = Hub::new(test.api.reader.clone(), Arc::clone(&test.api.bus));
    let mut ana = Watcher::on_socket(&test, "ana", &["/api/conversations", "/api/advisors"], None).await;
    ana.until(|ana| ana.kept.len() == 2).await;
    message(&test, "ana", &id, "hello").await;
    revise(&test, "robin", "Chef").await;

    ana.say(&json!({"type": "subscribe", "id": query, "query": query})).await;
    let (snapshot, change) = (ana.next().await.unwrap(), ana.next().await.unwrap());
    assert_eq!((snapshot.name.as_str(), &snapshot.data["query"], snapshot.id), ("snapshot", &json!(query), None));
    assert_eq!((change.name.as_str(), &change.data["position"]), ("change", &snapshot.data["position"]));
    let moved: Vec<&Value> = change.data["changes"].as_array().unwrap().iter().map(|change| &change["query"]).collect();
    assert!(moved.contains(&&json!("/api/conversations")) && moved.contains(&&json!("/api/advisors")), "{moved:?}");
    assert!(change.id.is_some());
    ana.agree(&test, "ana").await;
}

#[tokio::test]
async fn what_was_deleted_since_the_client_was_told_last_was_never_there_for_a_new_subscription() {
    let mut test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    test.api.live = Hub::new(test.api.reader.clone(), Arc::clone(&test.api.bus));
    let mut ana = Watcher::on_socket(&test, "ana", &["/api/conversations"], None).await;
    ana.next().await.unwrap();
    command(&test, "ana", "DeleteConversation", json!({"conversationId": id})).await;
    ana.say(&json!({"type": "subscribe", "id": "c", "query": format!("/api/conversations/{id}")})).await;
    let refusal = ana.next_said().await;
    assert_eq!((&refusal["type"], &refusal["code"]), (&json!("error"), &json!("CONVERSATION_NOT_FOUND")));
}

#[tokio::test]
async fn what_is_no_longer_subscribed_to_is_not_told_of() {
    let test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    let reply = asked(&test, "ana", &id, "robin").await;
    start_reply(&test, &id, &reply, 1).await;
    let query = format!("/api/conversations/{id}");
    let mut ana = Watcher::on_socket(&test, "ana", &[&query, "/api/conversations"], None).await;
    ana.until(|ana| ana.kept.len() == 2).await;
    say(&test, (&id, &reply), 1, 0, "Well").await;
    ana.until(|ana| ana.texts.contains_key(&reply)).await;
    ana.say(&json!({"type": "unsubscribe", "id": query})).await;
    ana.until(|ana| ana.names().contains(&"unsubscribed")).await;

    say(&test, (&id, &reply), 1, 4, " then").await;
    complete_reply(&test, &id, &reply, 1, "Well then").await;
    let told = ana.next().await.unwrap();
    assert_eq!(changes(&told.data), [("conversations", "upsert", id.as_str())]);
    // The place that it was told of is one of the queries that are left.
    let mut back = Watcher::on_socket(&test, "ana", &["/api/conversations"], ana.id.as_deref()).await.with(&ana);
    message(&test, "ana", &id, "more").await;
    assert_eq!(back.next().await.unwrap().name, "change");
}

#[tokio::test]
async fn the_text_of_running_replies_comes_over_a_socket_too() {
    let test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    let reply = asked(&test, "ana", &id, "robin").await;
    start_reply(&test, &id, &reply, 1).await;
    let query = format!("/api/conversations/{id}");
    let mut ana = Watcher::on_socket(&test, "ana", &[&query], None).await;
    ana.next().await.unwrap();
    say(&test, (&id, &reply), 1, 0, "Well, ").await;
    say(&test, (&id, &reply), 1, 6, "😀 then").await;
    ana.until(|ana| ana.texts.get(&reply).is_some_and(|(_, text)| text == "Well, 😀 then")).await;
    assert!(ana.told.iter().filter(|told| told.name == "delta").all(|delta| delta.id.is_none()));
    complete_reply(&test, &id, &reply, 1, "Well, 😀 then.").await;
    ana.until(|ana| ana.kept[&query].rows["messages"].contains_key(&reply)).await;
    ana.agree(&test, "ana").await;
}

#[tokio::test]
async fn what_is_not_there_and_what_is_somebody_elses_are_refused_alike_and_nothing_else_suffers() {
    let test = TestApi::start().await;
    let of_ana = conversation(&test, "ana").await;
    let mut bo = Caller::of(&test, Some("bo")).await;
    bo.subscribe("me", "/api/me").await;
    bo.wait_for("snapshot").await;
    let mut refusals = Vec::new();
    for query in [format!("/api/conversations/{of_ana}"), "/api/conversations/none".to_owned()] {
        bo.subscribe("s", &query).await;
        refusals.push(bo.hear().await.unwrap().to_string());
    }
    assert_eq!(refusals[0], refusals[1]);
    let refusal: Value = serde_json::from_str(&refusals[0]).unwrap();
    assert_eq!(
        refusal,
        json!({
            "type": "error", "id": "s", "status": 404, "code": "CONVERSATION_NOT_FOUND",
            "message": "Conversation not found"
        })
    );
    for query in ["/api/nothing", "*", ">", "/api/conversations?q=x", "/api/live", "https://example.com/api/me", ""] {
        bo.subscribe("s", query).await;
        let refusal = bo.hear().await.unwrap();
        assert_eq!((&refusal["type"], &refusal["status"]), (&json!("error"), &json!(404)), "{query}");
    }
    // The id is free, and the subscription before it goes on.
    bo.subscribe("s", "/api/conversations").await;
    assert_eq!(bo.hear().await.unwrap()["type"], "snapshot");
}

#[tokio::test]
async fn who_is_signed_out_subscribes_to_advisors_and_to_nothing_else() {
    let test = TestApi::start().await;
    let mut nobody = Caller::of(&test, None).await;
    nobody.subscribe("me", "/api/me").await;
    let refusal = nobody.hear().await.unwrap();
    assert_eq!((&refusal["id"], &refusal["code"]), (&json!("me"), &json!("AUTH_REQUIRED")));
    nobody.subscribe("advisors", "/api/advisors").await;
    nobody.wait_for("snapshot").await;
    public_advisor(&test, "robin", "Coach").await;
    assert_eq!(changes(&nobody.hear().await.unwrap()), [("advisors", "upsert", "robin")]);
}

#[tokio::test]
async fn an_id_and_a_query_are_subscribed_to_once_and_twenty_at_most() {
    let test = TestApi::start().await;
    let mut ana = Caller::of(&test, Some("ana")).await;
    let id = conversation(&test, "ana").await;
    ana.subscribe("me", "/api/me").await;
    ana.wait_for("snapshot").await;
    let messages = |limit: usize| format!("/api/conversations/{id}/messages?limit={limit}");
    for (id, query, pointer) in [
        ("me", "/api/conversations", "/id"),
        ("again", "/api/me", "/query"),
        ("", "/api/conversations", "/id"),
        (&"x".repeat(129), "/api/conversations", "/id"),
    ] {
        ana.subscribe(id, query).await;
        let refusal = ana.hear().await.unwrap();
        assert_eq!((&refusal["type"], &refusal["code"]), (&json!("error"), &json!("VALIDATION_ERROR")), "{refusal}");
        assert_eq!(refusal["details"][0]["pointer"], pointer);
        assert!(refusal.to_string().len() < 400, "it says no long id again");
    }
    for limit in 1..20 {
        ana.subscribe(&limit.to_string(), &messages(limit)).await;
        ana.wait_for("snapshot").await;
    }
    ana.subscribe("20", &messages(20)).await;
    assert_eq!(ana.hear().await.unwrap()["code"], "VALIDATION_ERROR");
    ana.say(&json!({"type": "unsubscribe", "id": "1"})).await;
    ana.wait_for("unsubscribed").await;
    ana.say(&json!({"type": "unsubscribe", "id": "1"})).await;
    assert_eq!(ana.hear().await.unwrap()["details"][0]["pointer"], "/id");
    ana.subscribe("20", &messages(20)).await;
    assert_eq!(ana.hear().await.unwrap()["type"], "snapshot");
}

#[tokio::test]
async fn a_conversation_that_is_deleted_ends_its_subscriptions_alone() {
    let test = TestApi::start().await;
    let (gone, kept) = (conversation(&test, "ana").await, conversation(&test, "ana").await);
    let queries = [
        format!("/api/conversations/{gone}"),
        format!("/api/conversations/{gone}/messages"),
        format!("/api/conversations/{kept}"),
    ];
    let [first, second, third] = queries.each_ref().map(String::as_str);
    let mut ana = Watcher::on_socket(&test, "ana", &[first, third, second], None).await;
    ana.until(|ana| ana.kept.len() == 3).await;
    command(&test, "ana", "DeleteConversation", json!({"conversationId": gone})).await;
    let change = ana.next().await.unwrap();
    assert_eq!(
        changes(&change.data),
        [("conversation", "remove", gone.as_str()), ("conversation", "remove", gone.as_str())]
    );
    for query in [second, first] {
        let reset = ana.next().await.unwrap();
        assert_eq!((reset.name.as_str(), reset.data), ("reset", json!({"id": query, "reason": "gone"})));
    }
    // What is left goes on, and can be resumed by the place that came with the last of them.
    let mut back = Watcher::on_socket(&test, "ana", &[third], ana.id.as_deref()).await.with(&ana);
    message(&test, "ana", &kept, "hello").await;
    for watcher in [&mut ana, &mut back] {
        assert_eq!(watcher.next().await.unwrap().name, "change");
        watcher.agree(&test, "ana").await;
    }
    ana.say(&json!({"type": "subscribe", "id": "g", "query": first})).await;
    let refusal = ana.next_said().await;
    assert_eq!((&refusal["type"], &refusal["code"]), (&json!("error"), &json!("CONVERSATION_NOT_FOUND")));
}

#[tokio::test]
async fn who_comes_back_to_a_socket_gets_the_net_effect_of_the_absence() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let queries = ["/api/conversations".to_owned(), format!("/api/conversations/{id}")];
    let [list, one] = queries.each_ref().map(String::as_str);
    let mut before = Watcher::on_socket(&test, "ana", &[list, one], None).await;
    before.until(|before| before.kept.len() == 2).await;
    let old = message(&test, "ana", &id, "one").await;
    before.agree(&test, "ana").await;
    let place = before.id.clone().unwrap();
    let gone = message(&test, "ana", &id, "two").await;
    command(&test, "ana", "DeleteMessage", json!({"messageId": gone})).await;
    command(&test, "ana", "EditMessage", json!({"messageId": old, "content": "one and a half"})).await;

    let mut after = Watcher::on_socket(&test, "ana", &[one, list], Some(&place)).await.with(&before);
    after.next().await.unwrap();
    after.agree(&test, "ana").await;
    assert_eq!(after.names(), ["change"], "all of it came at once");
    // The place is the same whatever the transport.
    let mut stream = Watcher::resumed(&test, "ana", &[list, one], Some(&place)).await.with(&before);
    stream.next().await.unwrap();
    stream.agree(&test, "ana").await;
    assert_eq!(stream.names(), ["change"]);
}

#[tokio::test]
async fn what_can_not_be_resumed_is_reset_and_shown_as_a_whole() {
    let test = TestApi::start().await;
    conversation(&test, "ana").await;
    conversation(&test, "bo").await;
    let mut ana = Watcher::on_socket(&test, "ana", &["/api/conversations"], None).await;
    ana.next().await.unwrap();
    let id = ana.id.clone().unwrap();
    let parts: Vec<&str> = id.split(':').collect();
    let place = |generation: &str, position: u64| format!("{generation}:{position}:{}", parts[2]);
    let beyond = test.api.log.head().await.unwrap().0 + 1;
    for (user, queries, id, reason) in [
        ("ana", &["/api/conversations"][..], "abc", "query"),
        ("ana", &["/api/conversations", "/api/me"], &id, "query"),
        ("bo", &["/api/conversations"], &id, "query"),
        ("ana", &["/api/conversations"], &place("9", 1), "generation"),
        ("ana", &["/api/conversations"], &place(parts[0], beyond), "generation"),
        ("ana", &["/api/conversations"], &place(parts[0], 0), "retention"),
    ] {
        let mut watcher = Watcher::on_socket(&test, user, queries, Some(id)).await;
        let reset = watcher.next().await.unwrap();
        assert_eq!((reset.name.as_str(), &reset.data), ("reset", &json!({"reason": reason})), "{id}");
        watcher.until(|watcher| watcher.kept.len() == queries.len()).await;
        watcher.agree(&test, user).await;
    }
}

#[tokio::test]
async fn resuming_comes_first_and_as_a_whole_or_not_at_all() {
    let test = TestApi::start().await;
    let of_bo = conversation(&test, "bo").await;
    let mut ana = Caller::of(&test, Some("ana")).await;
    let resume = |queries: Value| json!({"type": "resume", "lastEventId": "1:2:3", "queries": queries});
    let me = json!({"id": "me", "query": "/api/me"});
    let foreign = json!({"id": "f", "query": format!("/api/conversations/{of_bo}")});
    for (queries, id, code) in [
        (json!([]), Value::Null, "VALIDATION_ERROR"),
        (json!([me, me]), json!("me"), "VALIDATION_ERROR"),
        (json!([me, foreign]), json!("f"), "CONVERSATION_NOT_FOUND"),
        (json!([foreign, me]), json!("f"), "CONVERSATION_NOT_FOUND"),
    ] {
        ana.say(&resume(queries)).await;
        let refusal = ana.hear().await.unwrap();
        assert_eq!(
            (&refusal["type"], &refusal["id"], &refusal["code"]),
            (&json!("error"), &id, &json!(code)),
            "{refusal}"
        );
    }
    ana.say(&resume(json!([me]))).await;
    assert_eq!(ana.hear().await.unwrap(), json!({"type": "reset", "reason": "query"}));
    ana.wait_for("snapshot").await;
    ana.say(&resume(json!([me]))).await;
    assert_eq!(ana.hear().await.unwrap()["code"], "VALIDATION_ERROR");
    // Who was refused before has nothing of what it asked for.
    conversation(&test, "ana").await;
    ana.subscribe("list", "/api/conversations").await;
    assert_eq!(ana.hear().await.unwrap()["id"], "list");
}

#[tokio::test]
async fn what_happens_while_a_client_subscribes_is_not_lost() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    for round in 0..40 {
        let words = format!("round {round}");
        let happening = async {
            // Each round at another moment of the subscribing.
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            message(&test, "ana", &id, &words).await
        };
        let queries = [query.as_str(), "/api/conversations"];
        let watching = async {
            let mut watcher = Watcher::on_socket(&test, "ana", &queries, None).await;
            watcher.until(|watcher| watcher.kept.len() == 2).await;
            watcher
        };
        let (mut watcher, _) = tokio::join!(watching, happening);
        watcher.agree(&test, "ana").await;
    }
}
