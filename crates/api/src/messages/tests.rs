//! Messages and replies through HTTP.

use crate::{
    test_api::TestApi,
    test_talk::{ANA, KIM, LEO, keyed},
};
use advisor_events::conversation::ReplyFailure;
use http::{Request, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_asks_all_who_are_mentioned_and_the_first_becomes_the_active_one() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let body = json!({"conversationId": id, "content": "@Leo and @kim novak?", "contentJson": {"a": [1]}});
    let answer = app.command(ANA, "SendMessage", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let replies = answer.body["result"]["replies"].as_array().unwrap();
    assert_eq!(replies.iter().map(|reply| &reply["advisorId"]).collect::<Vec<_>>(), [LEO, KIM]);
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    assert_eq!(seen["activeAdvisor"]["id"], json!(LEO));
    assert_eq!(seen["messages"][0]["mentions"], json!([LEO, KIM]));
    assert_eq!(seen["messages"][0]["contentJson"], json!({"a": [1]}));
    assert_eq!(seen["replies"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_message_asks_whom_it_names_or_the_active_one_or_nobody() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    for (advisors, asked, active) in [
        (None, json!([KIM]), KIM),
        (Some(json!([LEO])), json!([LEO]), LEO),
        (Some(json!([])), json!([]), LEO),
        (None, json!([LEO]), LEO),
    ] {
        let mut body = json!({"conversationId": id, "content": "Hi"});
        if let Some(advisors) = advisors {
            body["advisorIds"] = advisors;
        }
        let answer = app.command(ANA, "SendMessage", body).await;
        let replies = answer.body["result"]["replies"].as_array().unwrap().iter();
        assert_eq!(replies.map(|reply| reply["advisorId"].clone()).collect::<Value>(), asked);
        let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
        assert_eq!(seen["activeAdvisor"]["id"], json!(active));
    }
}

#[tokio::test]
async fn a_key_that_is_used_in_two_conversations_makes_two_messages() {
    let app = TestApi::with_advisors().await;
    let mut ids = Vec::new();
    for text in ["One", "Two"] {
        let id = app.conversation(ANA).await;
        let body = json!({"conversationId": id, "content": text});
        let sent = app.command_as(ANA, "same", "SendMessage", body).await.body["result"].clone();
        ids.push((sent["messageId"].clone(), sent["replies"][0]["replyId"].clone(), id));
    }
    assert_ne!(ids[0].0, ids[1].0);
    assert_ne!(ids[0].1, ids[1].1);
    let first = app.get(ANA, &format!("/api/conversations/{}", ids[0].2)).await.body;
    assert_eq!((&first["messages"][0]["content"], &first["replies"][0]["replyId"]), (&json!("One"), &ids[0].1));
}

#[tokio::test]
async fn a_message_that_mentions_and_asks_nobody_needs_nothing_of_the_read_side() {
    let app = TestApi::with_advisors().await;
    app.get(ANA, "/api/me").await;
    app.runner.cancel();
    let id = app.conversation(ANA).await;
    let mut body = json!({"conversationId": id, "content": "Hi", "advisorIds": []});
    assert_eq!(app.command(ANA, "SendMessage", body.clone()).await.status, StatusCode::OK);
    // Whereas who is asked by default stands there alone.
    body.as_object_mut().unwrap().remove("advisorIds");
    assert_eq!(app.command(ANA, "SendMessage", body).await.problem(), (503, "POSITION_NOT_REACHED"));
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_refused() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let six: Vec<String> = (0..6).map(|n| format!("a{n}")).collect();
    for (field, value, code) in [
        ("content", json!(""), "VALIDATION_ERROR"),
        ("content", json!(" \n\u{a0}"), "VALIDATION_ERROR"),
        ("content", json!("x".repeat(32_001)), "VALIDATION_ERROR"),
        ("content", json!("a\0b"), "VALIDATION_ERROR"),
        ("content", json!(1), "VALIDATION_ERROR"),
        ("advisorIds", json!(six), "VALIDATION_ERROR"),
        ("advisorIds", json!([LEO, LEO]), "VALIDATION_ERROR"),
        ("advisorIds", json!(["nobody"]), "ADVISOR_NOT_FOUND"),
        ("position", json!(1), "VALIDATION_ERROR"),
    ] {
        let mut body = json!({"conversationId": id, "content": "Hi"});
        body[field] = value;
        assert_eq!(app.command(ANA, "SendMessage", body).await.problem(), (422, code), "{field}");
    }
    let body = json!({"conversationId": id, "content": "😀".repeat(32_000), "advisorIds": []});
    assert_eq!(app.command(ANA, "SendMessage", body).await.status, StatusCode::OK);
    assert_eq!(app.get(ANA, "/api/conversations").await.body[0]["messageCount"], json!(1));
}

#[tokio::test]
async fn text_comes_back_as_it_was_sent() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    for text in
        [" trimmed? \n", "\u{202e}abc\u{200b}", "e\u{301}", "'; DROP TABLE messages; --", "{{7*7}} %s \r\n\tdata: x"]
    {
        app.message(ANA, &id, text).await;
        let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
        assert_eq!(seen["messages"].as_array().unwrap().last().unwrap()["content"], json!(text));
    }
}

#[tokio::test]
async fn a_repeat_tells_the_ids_of_the_first_time() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let body = json!({"conversationId": id, "content": "Hi"});
    let first = app.command_as(ANA, "k", "SendMessage", body.clone()).await;
    app.patch(ANA, &format!("/api/conversations/{id}"), json!({"activeAdvisorId": LEO})).await;
    let again = app.command_as(ANA, "k", "SendMessage", body).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(again.body["result"]["replies"][0]["advisorId"], json!(KIM));
    let other = app.command_as(ANA, "k", "SendMessage", json!({"conversationId": id, "content": "Ho"})).await;
    assert_eq!(other.problem(), (422, "IDEMPOTENCY_KEY_REUSED"));
}

#[tokio::test]
async fn pages_go_back_to_the_first_message() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    for n in 0..5 {
        app.message(ANA, &id, &format!("{n}")).await;
    }
    let mut path = format!("/api/conversations/{id}/messages?limit=2");
    let mut seen = Vec::new();
    loop {
        let page = app.get(ANA, &path).await;
        assert_eq!(page.status, StatusCode::OK);
        let texts = page.body["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["content"].as_str().unwrap().to_owned());
        seen.push(texts.collect::<Vec<_>>().join(","));
        let Some(cursor) = page.body["nextBefore"].as_str() else { break };
        path = format!("/api/conversations/{id}/messages?limit=2&before={cursor}");
    }
    assert_eq!(seen, ["3,4", "1,2", "0"]);
}

#[tokio::test]
async fn a_cursor_of_somewhere_else_and_a_limit_out_of_bounds_are_refused() {
    let app = TestApi::with_advisors().await;
    let (id, other) = (app.conversation(ANA).await, app.conversation(ANA).await);
    for n in 0..3 {
        app.message(ANA, &id, &format!("{n}")).await;
    }
    let page = app.get(ANA, &format!("/api/conversations/{id}/messages?limit=1")).await;
    let cursor = page.body["nextBefore"].as_str().unwrap();
    let path = format!("/api/conversations/{other}/messages?before={cursor}");
    assert_eq!(app.get(ANA, &path).await.problem(), (400, "INVALID_CURSOR"));
    assert_eq!(
        app.get(ANA, &format!("/api/conversations/{id}/messages?before=x{cursor}")).await.problem(),
        (400, "INVALID_CURSOR")
    );
    for limit in ["0", "101", "-1", "1e3"] {
        let path = format!("/api/conversations/{id}/messages?limit={limit}");
        assert_eq!(app.get(ANA, &path).await.problem(), (400, "INVALID_LIMIT"), "{limit}");
    }
}

#[tokio::test]
async fn ones_own_message_is_edited() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let message = app.message(ANA, &id, "Hi").await;
    app.clock.advance(1);
    let answer = app.patch(ANA, &format!("/api/messages/{message}"), json!({"content": "Ho"})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        json!({
            "success": true, "message": "Message updated successfully", "timestamp": "2025-09-16T08:15:31.000Z",
            "updatedMessage": {
                "id": message, "content": "Ho", "createdAt": "2025-09-16T08:15:30.000Z", "conversationId": id,
                "sender": "user"
            }
        })
    );
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    assert_eq!(seen["messages"][0]["content"], json!("Ho"));
    assert_eq!(seen["messages"][0]["editedAt"], json!("2025-09-16T08:15:31.000Z"));
    for content in [json!(""), json!("x".repeat(4_001)), json!(null)] {
        let answer = app.patch(ANA, &format!("/api/messages/{message}"), json!({"content": content})).await;
        assert_eq!(answer.problem(), (400, "VALIDATION_ERROR"));
        let answer = app.command(ANA, "EditMessage", json!({"messageId": message, "content": content})).await;
        assert_eq!(answer.problem(), (422, "VALIDATION_ERROR"));
    }
}

#[tokio::test]
async fn an_advisors_message_is_deleted_and_not_edited() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let reply = app.question(ANA, &id, "Hi").await;
    app.start_reply(&id, &reply, 1).await;
    app.complete_reply(&id, &reply, "Hello").await;
    let edit = app.patch(ANA, &format!("/api/messages/{reply}"), json!({"content": "Ho"})).await;
    assert_eq!(edit.problem(), (400, "INVALID_MESSAGE_TYPE"));
    let edit = app.command(ANA, "EditMessage", json!({"messageId": reply, "content": "Ho"})).await;
    assert_eq!(edit.problem(), (422, "INVALID_MESSAGE_TYPE"));
    let answer = app.delete(ANA, &format!("/api/messages/{reply}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        json!({
            "success": true, "message": "Message deleted successfully", "deletedCount": 1,
            "deletedMessageIds": [reply], "conversationId": id, "timestamp": "2025-09-16T08:15:30.000Z"
        })
    );
    assert_eq!(app.delete(ANA, &format!("/api/messages/{reply}")).await.problem(), (404, "MESSAGE_NOT_FOUND"));
}

#[tokio::test]
async fn a_deletion_that_is_sent_again_is_answered_again() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let message = app.message(ANA, &id, "Hi").await;
    let path = format!("/api/messages/{message}");
    let first = app.ask(ANA, keyed(Request::delete(&path), "k"), None).await;
    app.clock.advance(60);
    let again = app.ask(ANA, keyed(Request::delete(&path), "k"), None).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn an_edit_that_is_sent_again_after_the_message_was_deleted_is_answered_again() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let message = app.message(ANA, &id, "Hi").await;
    let edit = json!({"messageId": message, "content": "Hello"});
    let first = app.command_as(ANA, "k", "EditMessage", edit.clone()).await;
    app.command(ANA, "DeleteMessage", json!({"messageId": message})).await;

    let again = app.command_as(ANA, "k", "EditMessage", edit.clone()).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // Under another key it is a new edit, of a message that is not there.
    let anew = app.command_as(ANA, "another", "EditMessage", edit).await;
    assert_eq!((anew.status, &anew.body["code"]), (StatusCode::NOT_FOUND, &json!("MESSAGE_NOT_FOUND")));
}

#[tokio::test]
async fn deleting_a_message_ends_the_reply_to_it_which_leaves_nothing() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let reply = app.question(ANA, &id, "Hi").await;
    app.start_reply(&id, &reply, 1).await;
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    let message = seen["messages"][0]["id"].as_str().unwrap();
    assert_eq!(app.command(ANA, "DeleteMessage", json!({"messageId": message})).await.status, StatusCode::OK);
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    assert_eq!((&seen["messages"], &seen["replies"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_reply_is_stopped_before_and_while_it_runs_and_not_after() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let pending = app.question(ANA, &id, "One").await;
    let first = app.command_as(ANA, "k", "StopReply", json!({"replyId": pending})).await;
    assert_eq!((first.status, &first.body["result"]), (StatusCode::OK, &json!({})));
    let again = app.command_as(ANA, "k", "StopReply", json!({"replyId": pending})).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));

    let running = app.question(ANA, &id, "Two").await;
    app.start_reply(&id, &running, 1).await;
    for _ in 0..2 {
        assert_eq!(app.command(ANA, "StopReply", json!({"replyId": running})).await.status, StatusCode::OK);
    }
    app.complete_reply(&id, &running, "Some text").await;
    let seen = app.get(ANA, &format!("/api/messages/{running}")).await;
    assert_eq!(seen.status, StatusCode::METHOD_NOT_ALLOWED);
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    assert_eq!(seen["messages"][2]["contentJson"]["finishReason"], json!("stopped"));

    let whole = app.question(ANA, &id, "Three").await;
    app.start_reply(&id, &whole, 1).await;
    app.complete_reply(&id, &whole, "All of it").await;
    assert_eq!(app.command(ANA, "StopReply", json!({"replyId": whole})).await.problem(), (409, "WRONG_STATE"));
}

#[tokio::test]
async fn a_failed_reply_is_shown_until_the_next_message() {
    let app = TestApi::with_advisors().await;
    let id = app.conversation(ANA).await;
    let reply = app.question(ANA, &id, "One").await;
    app.start_reply(&id, &reply, 1).await;
    app.fail_reply(&id, &reply, ReplyFailure::AiApiError).await;
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    assert_eq!(
        (&seen["replies"][0]["status"], &seen["replies"][0]["error"]),
        (&json!("failed"), &json!("AI_API_ERROR"))
    );
    app.message(ANA, &id, "Two").await;
    let seen = app.get(ANA, &format!("/api/conversations/{id}")).await.body;
    assert_eq!(seen["replies"], json!([]));
}

#[tokio::test]
async fn mentions_are_found_among_the_advisors_that_one_sees() {
    let app = TestApi::with_advisors().await;
    let content = "joe@leo.com asks @Kim's friend @leo-li-v1 and @nobody";
    let answer = app.post(ANA, "/api/mentions", json!({"content": content})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        json!({
            "success": true, "content": content,
            "mentions": {
                "advisorIds": [KIM, LEO],
                "advisors": [
                    {"id": KIM, "name": "Kim Novak", "role": "Coach", "metadata": null},
                    {"id": LEO, "name": "Leo Li", "role": "Lawyer", "metadata": null}
                ],
                "count": 2
            },
            "analysis": {
                "hasValidMentions": true, "contentLength": content.chars().count(),
                "processedAt": "2025-09-16T08:15:30.000Z"
            }
        })
    );
    assert_eq!(app.post(ANA, "/api/mentions", json!({"content": ""})).await.problem(), (400, "VALIDATION_ERROR"));
    assert_eq!(app.post(ANA, "/api/mentions", json!({})).await.problem(), (400, "VALIDATION_ERROR"));
    let none = app.post(ANA, "/api/mentions", json!({"content": "hi"})).await.body;
    assert_eq!((&none["mentions"]["count"], &none["analysis"]["hasValidMentions"]), (&json!(0), &json!(false)));
}

#[tokio::test]
async fn what_the_read_side_can_not_know_yet_is_not_said_to_be_missing() {
    let app = TestApi::with_advisors().await;
    let conversation = app.conversation(ANA).await;
    app.stop_reading().await;
    let body = json!({"conversationId": conversation, "content": "Hi", "advisorIds": []});
    let sent = app.command(ANA, "SendMessage", body).await;
    let there = sent.body["result"]["messageId"].as_str().unwrap();
    for id in [there, "never"] {
        for (name, body) in [
            ("EditMessage", json!({"messageId": id, "content": "Hello"})),
            ("DeleteMessage", json!({"messageId": id})),
            ("StopReply", json!({"replyId": id})),
        ] {
            let answer = app.command(ANA, name, body).await;
            assert_eq!(answer.problem(), (503, "POSITION_NOT_REACHED"), "{name}");
            assert!(answer.header("retry-after").is_some(), "{name}");
        }
    }
}
