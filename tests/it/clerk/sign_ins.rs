//! Sign-ins that end before their tokens do: at once, in streams that are open, and after a restart.

use super::{deleted, in_time, is_signed_out_soon, listening, session_event, session_of, status, tell};
use crate::{
    live_client::LiveClient,
    server::{Client, Server},
};
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

#[tokio::test]
async fn a_session_that_ends_is_signed_out_and_its_streams_end_and_no_other_ones() {
    let mut server = listening();
    for kind in ["session.ended", "session.removed", "session.revoked"] {
        let (phone, laptop) = (server.client("ana", &[]), server.client("ana", &[]));
        let mut on_phone = watching(&phone).await;
        let mut on_laptop = watching(&laptop).await;
        let told_at = Instant::now();
        assert_eq!(tell(&server, kind, &session_event(kind, &session_of(&phone), "ana")).await, 200);
        assert_eq!((status(&phone).await, status(&laptop).await), (401, 200), "{kind}");
        ends(&mut on_phone).await;
        assert!(told_at.elapsed() < super::SOON, "{:?}", told_at.elapsed());
        laptop.command("StartConversation", &json!({"title": kind})).await;
        on_laptop.until("news after that", |state| state.data["/api/conversations"][0]["title"] == kind).await;

        server.kill();
        server.start_again();
        assert_eq!((status(&phone.at(&server)).await, status(&laptop.at(&server)).await), (401, 200), "{kind}");
    }
}

#[tokio::test]
async fn a_deleted_person_is_signed_out_by_a_webhook_and_by_an_operator() {
    let mut server = listening();
    let (ana, ben, cy) = (server.client("ana", &[]), server.client("ben", &[]), server.client("cy", &[]));
    let (mut anas, mut bens, mut cys) = (watching(&ana).await, public(&ben).await, public(&cy).await);

    assert_eq!(tell(&server, "m1", &deleted("ana")).await, 200);
    assert_eq!(status(&ana).await, 401, "at once");
    in_time(ends(&mut anas)).await;

    let begun = Instant::now();
    let erased = server.begin(&["users", "erase", "ben", "--yes"]);
    is_signed_out_soon(&ben).await;
    ends(&mut bens).await;
    assert!(begun.elapsed() < super::SOON, "{:?}", begun.elapsed());
    assert!(erased.wait_with_output().unwrap().status.success());

    assert_eq!(status(&cy).await, 200);
    server.kill();
    server.start_again();
    for (client, wanted) in [(&ana, 401), (&ben, 401), (&cy, 200)] {
        assert_eq!(status(&client.at(&server)).await, wanted);
    }
    assert!(!cys.next().await || cys.resets.is_empty(), "it was the crash that ended it");
}

#[tokio::test]
async fn who_follows_the_log_is_cut_off_when_their_session_ends() {
    let server = listening();
    let analyst = server.client("analyst", &["--role", "analyst"]);
    let admin = Client { url: server.admin_url.clone(), ..analyst.clone() };
    let response = admin.request(Method::GET, "/admin/events?follow=true").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut lines = response.bytes_stream();
    assert!(lines.next().await.is_some());
    let begun = Instant::now();
    assert_eq!(tell(&server, "m1", &session_event("session.revoked", &session_of(&analyst), "analyst")).await, 200);
    in_time(async { while lines.next().await.is_some() {} }).await;
    assert!(begun.elapsed() < super::SOON, "{:?}", begun.elapsed());
    let again = admin.ask(Method::GET, "/admin/events", &[], None).await;
    assert_eq!(again.status, 401);
}

#[tokio::test]
async fn a_chat_that_waits_is_signed_out_with_its_session_and_its_reply_comes_all_the_same() {
    let variables = [("CLERK_WEBHOOK_SECRET", super::SECRET), ("ADVISOR_DEMO_DELAY_MS", "150")];
    let server = Server::start_with(&variables);
    let (phone, laptop) = (server.client("ana", &[]), server.client("ana", &[]));
    let mut watching = watching(&laptop).await;
    let body = json!({"messages": [{"role": "user", "content": "How do I begin?"}]});
    let key = [("idempotency-key", "k")];
    let chat = phone.ask(Method::POST, "/api/chat", &key, Some(&body));
    let sign_out = async {
        watching.until("the message", |state| state.data["/api/conversations"][0]["messageCount"] == 1).await;
        assert_eq!(tell(&server, "m1", &session_event("session.ended", &session_of(&phone), "ana")).await, 200);
    };
    let (answer, ()) = tokio::join!(chat, sign_out);
    assert_eq!((answer.status, answer.body["error"].as_str()), (401, Some("AUTH_REQUIRED")), "{}", answer.text);
    assert_eq!(answer.body["commandId"], "k");
    let waited_on = laptop.ask(Method::POST, "/api/chat", &key, Some(&body)).await;
    assert_eq!((waited_on.status, waited_on.header("idempotency-replayed")), (200, "true"), "{}", waited_on.text);
    assert_eq!(waited_on.body["conversation"]["id"], answer.body["conversationId"]);
}

/// A stream of what is a person's own.
async fn watching(client: &Client) -> LiveClient {
    connected(client, "/api/conversations").await
}

/// A stream of what everybody sees: nothing in it tells that the person is gone.
async fn public(client: &Client) -> LiveClient {
    connected(client, "/api/advisors").await
}

async fn connected(client: &Client, query: &str) -> LiveClient {
    let mut stream = LiveClient::connect(client, &[query.to_owned()], None).await;
    stream.until("a snapshot", |state| !state.data.is_empty()).await;
    stream
}

/// The stream ends, and says that the session did.
async fn ends(stream: &mut LiveClient) {
    in_time(async { while stream.next().await {} }).await;
    assert_eq!(stream.resets, ["session"]);
}
