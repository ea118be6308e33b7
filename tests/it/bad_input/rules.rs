//! Keys, positions, cursors, limits and media types that break a rule.

use super::{JSON, check_problem};
use crate::server::Server;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_idempotency_key_that_is_none_is_refused() {
    let user = Server::start().client_of("user_1");
    let long = format!("idempotency-key: {}", "k".repeat(129));
    for route in super::WITH_BODY {
        for head in [
            &["idempotency-key:"][..],
            &["idempotency-key:    "],
            &[long.as_str()],
            &["idempotency-key: schlüssel"],
            &["idempotency-key: a\tb"],
            &["idempotency-key: a", "idempotency-key: b"],
        ] {
            let answer = user.raw(route, &[&[JSON], head].concat(), b"{}").await;
            check_problem(&answer, 400, "INVALID_IDEMPOTENCY_KEY", &format!("{route} {head:?}"));
        }
    }
    assert_eq!(user.get("/api/conversations").await, json!([]));
}

#[tokio::test]
async fn a_key_means_one_request_of_one_person() {
    let server = Server::start();
    let (ana, bo) = (server.client("ana", &[]), server.client("bo", &[]));
    let key = [JSON, "idempotency-key: the-key"];
    let first = ana.raw("POST /api/commands/StartConversation", &key, br#"{"title":"One"}"#).await;
    assert_eq!(first.status, 200);

    let again = ana.raw("POST /api/commands/StartConversation", &key, br#" {"title" : "On\u0065"} "#).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    for (route, body) in [
        ("POST /api/commands/StartConversation", br#"{"title":"Two"}"#.as_slice()),
        ("POST /api/commands/StartConversation", b"{}"),
        ("POST /api/conversations", br#"{"title":"One"}"#),
        ("POST /api/chat", br#"{"messages":[{"role":"user","content":"Hi"}]}"#),
    ] {
        let answer = ana.raw(route, &key, body).await;
        check_problem(&answer, 422, "IDEMPOTENCY_KEY_REUSED", route);
        assert_eq!(answer.json()["commandId"], "the-key");
    }
    let of_bo = bo.raw("POST /api/commands/StartConversation", &key, br#"{"title":"Two"}"#).await;
    assert_eq!(of_bo.status, 200);
    assert_ne!(of_bo.json()["result"], first.json()["result"]);
    assert_eq!(ana.get("/api/conversations").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn fifty_at_once_under_one_key_do_it_once() {
    let server = Server::start();
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({})).await;
    let body = json!({"conversationId": started["result"]["conversationId"], "content": "Once", "advisorIds": []});
    let asked = (0..50).map(|_| async {
        let request =
            user.request(Method::POST, "/api/commands/SendMessage").header("idempotency-key", "k").json(&body);
        let response = request.send().await.unwrap();
        let replayed = response.headers().contains_key("idempotency-replayed");
        (response.status().as_u16(), replayed, response.json::<serde_json::Value>().await.unwrap())
    });
    let answers = futures::future::join_all(asked).await;

    assert!(answers.iter().all(|(status, _, answer)| *status == 200 && *answer == answers[0].2), "{answers:#?}");
    assert_eq!(answers.iter().filter(|(_, replayed, _)| !replayed).count(), 1);
    let stream = started["stream"].as_str().unwrap();
    let sent = server.events(stream).into_iter().filter(|event| event["type"] == "conversation.message_sent.v1");
    assert_eq!(sent.count(), 1);
}

#[tokio::test]
async fn a_position_that_is_none_is_refused_at_once() {
    let user = Server::start().client_of("user_1");
    user.command("StartConversation", &json!({})).await;
    for path in ["/api/me", "/api/advisors", "/api/conversations", "/api/live?query=/api/me"] {
        for position in
            ["", "abc", "-1", "+1", "1.0", "1e3", "0x1", "9007199254740992", "9223372036854775807", "9007199254740991"]
        {
            let begun = Instant::now();
            let separator = if path.contains('?') { '&' } else { '?' };
            let line = format!("GET {path}{separator}min_position={position}");
            check_problem(&user.raw(&line, &[], b"").await, 400, "INVALID_POSITION", &line);
            assert!(begun.elapsed() < Duration::from_secs(1), "{line} waits");
        }
    }
}

#[tokio::test]
async fn cursors_and_limits_that_were_not_given_are_refused() {
    let server = Server::start();
    let (ana, bo) = (server.client("ana", &[]), server.client("bo", &[]));
    let mut pages = Vec::new();
    for user in [&ana, &ana, &bo] {
        let started = user.command("StartConversation", &json!({})).await;
        let id = started["result"]["conversationId"].as_str().unwrap().to_owned();
        for content in ["one", "two", "three"] {
            let body = json!({"conversationId": id, "content": content, "advisorIds": []});
            user.command("SendMessage", &body).await;
        }
        let page = user.get(&format!("/api/conversations/{id}/messages?limit=1")).await;
        pages.push((id, page["nextBefore"].as_str().unwrap().to_owned()));
    }
    let (id, cursor) = &pages[0];
    let path = format!("GET /api/conversations/{id}/messages");
    let page = ana.raw(&format!("{path}?before={cursor}&limit=100"), &[], b"").await;
    assert_eq!(page.json()["messages"].as_array().unwrap().len(), 2);

    let mut tampered: Vec<String> = (0..cursor.len())
        .map(|at| {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    tampered.extend([String::new(), "2".into(), "%00".into(), format!("{cursor}A"), "A".repeat(5_000)]);
    tampered.extend([pages[1].1.clone(), pages[2].1.clone()]);
    for cursor in tampered {
        let answer = ana.raw(&format!("{path}?before={cursor}"), &[], b"").await;
        check_problem(&answer, 400, "INVALID_CURSOR", &cursor);
    }
    for limit in ["0", "101", "-1", "1e9", "1e3.5", "", "abc", "18446744073709551616", "%31%00"] {
        let answer = ana.raw(&format!("{path}?limit={limit}"), &[], b"").await;
        check_problem(&answer, 400, "INVALID_LIMIT", limit);
    }
}

#[tokio::test]
async fn an_accept_that_a_route_cannot_serve_is_refused_before_anything_is_done() {
    let user = Server::start().client_of("user_1");
    let chat = br#"{"messages":[{"role":"user","content":"Hi"}]}"#;
    for (line, body) in [
        ("GET /api/me", b"".as_slice()),
        ("GET /api/advisors", b""),
        ("GET /api/conversations", b""),
        ("GET /api/live?query=/api/me", b""),
        ("POST /api/chat", chat),
        ("POST /api/conversations", b"{}"),
        ("POST /api/commands/StartConversation", b"{}"),
        ("POST /api/mentions", br#"{"content":"@Alex"}"#),
        ("DELETE /api/conversations/none", b""),
    ] {
        for accept in ["text/html", "application/xml, image/*", "application/json;q=0, text/*;q=0"] {
            let answer = user.raw(line, &[JSON, &format!("accept: {accept}")], body).await;
            check_problem(&answer, 406, "NOT_ACCEPTABLE", &format!("{line} {accept}"));
        }
    }
    assert_eq!(user.get("/api/conversations").await, json!([]));
}
