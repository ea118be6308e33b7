//! Which deliveries are taken: what Svix's own library signs is, and what it refuses is not.

use super::{KEY, PATH, SECRET, listening, now, person, send, signed};
use crate::{node, raw_http, server::Server};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;

#[tokio::test]
async fn what_svix_accepts_is_accepted_and_what_it_refuses_is_refused() {
    let server = listening();
    let other = format!("whsec_{}", STANDARD.encode(&KEY[..24]));
    let body = person("user.created", "ana", 1, "Ana", None).to_string();

    let judged = node::run("svix_deliveries.mjs", &[SECRET, &other, &body]);

    let judged = judged.as_array().unwrap();
    assert!(judged.len() > 20);
    for delivery in judged {
        let headers = delivery["headers"].as_object().unwrap().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap().to_owned())).collect();
        let status = send(&server, &headers, delivery["body"].as_str().unwrap().to_owned()).await;
        let wanted: &[u16] = if delivery["accepted"] == true { &[200] } else { &[400, 401] };
        assert!(wanted.contains(&status), "{}: {status}", delivery["name"]);
    }
    assert_eq!(judged.iter().filter(|delivery| delivery["accepted"] == true).count(), 7);
    assert_eq!(server.events("user-ana").len(), 1, "all of them tell the same");
}

#[tokio::test]
async fn without_a_secret_there_is_no_such_route_and_a_wrong_one_does_not_start() {
    let server = Server::start();
    let body = person("user.created", "ana", 1, "Ana", None).to_string();
    assert_eq!(send(&server, &signed("m1", now(), &body), body.clone()).await, 404);
    for wrong in ["MDEyMzQ1Njc4OWFiY2RlZg==", "whsec_*", "whsec_"] {
        let variables = [("CLERK_WEBHOOK_SECRET".to_owned(), wrong.to_owned())];
        let output = crate::server::advisor(server.data_dir().parent().unwrap(), &variables, &["serve"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("clerk_webhook_secret"), "{text}");
        assert!(text.contains("whsec_` and base64") && !text.contains("MDEy"), "{text}");
    }
}

#[tokio::test]
async fn floods_and_oversized_bodies_are_refused_early_and_leave_nothing() {
    let server = listening();
    let large = format!("{{\"type\": \"{}\"}}", "x".repeat(5 * 1024 * 1024));
    let head: Vec<String> =
        signed("m1", now(), &large).iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut head: Vec<&str> = head.iter().map(String::as_str).collect();
    let length = format!("content-length: {}", large.len());
    head.push(&length);
    // The body is never sent: what it says of its length is enough.
    let answer =
        raw_http::exchange(&server.url, &raw_http::request(&format!("POST {PATH}"), &head, b"")).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));

    let unsigned = ["svix-id: m1", &length];
    let answer = raw_http::request(&format!("POST {PATH}"), &unsigned, b"");
    assert_eq!(raw_http::exchange(&server.url, &answer).await.unwrap().status, 400, "without a look at the body");

    let event = person("user.created", "ana", 1, "Ana", None).to_string();
    let many: String = "v1,AAAA ".repeat(1_900);
    let headers = [("svix-id", "m1".to_owned()), ("svix-timestamp", now().to_string()), ("svix-signature", many)];
    assert_eq!(send(&server, &headers, event.clone()).await, 400);
    let requests = (0..1_000).map(|number| {
        let forged = [
            ("svix-id", format!("m{number}")),
            ("svix-timestamp", now().to_string()),
            ("svix-signature", format!("v1,{}", STANDARD.encode([7; 32]))),
        ];
        let (server, event) = (&server, event.clone());
        async move { send(server, if number % 2 == 0 { &forged } else { &[] }, event).await }
    });
    let statuses: Vec<u16> = futures::stream::iter(requests).buffered(50).collect().await;
    assert!(statuses.iter().all(|status| [400, 401].contains(status)));
    let log = server.advisor(&["events", "tail"]);
    assert!(!String::from_utf8_lossy(&log.stdout).contains("\"user-"), "nothing is known of anybody");
    assert!(!server.log_text().contains("MDEy"), "the secret is in no log");
}
