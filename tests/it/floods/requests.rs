//! Requests in number: bad tokens, guessed ids, one person's commands, unsigned webhooks.

use super::{
    siege::{RATES, Siege},
    throng::{self, Tally},
};
use crate::server::Client;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn floods_of_bad_tokens_and_unsigned_webhooks_are_refused_at_little_cost() {
    let secret = ("CLERK_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let siege = Siege::begin(&[&RATES[..], &[secret]].concat()).await;
    let url = &siege.server.url;
    let token = siege.server.token("mallory", &[]);
    let (head, claims) = token.rsplit_once('.').unwrap().0.split_once('.').unwrap();

    let bad_tokens = throng::ask(url, 64, 2_000, |number| {
        // Another signature each time: none is remembered.
        let token = format!("{head}.{claims}.{}{number:08}", "A".repeat(70));
        request("GET /api/me", &token, None)
    });
    let tally = siege.under(bad_tokens).await;
    assert_eq!(statuses(&tally), [401, 429], "{tally:?}");

    let unsigned = throng::ask(url, 64, 2_000, |number| {
        let signature = format!("v1,{}", "A".repeat(43) + "=");
        let head = format!("svix-id: m{number}\r\nsvix-timestamp: 1\r\nsvix-signature: {signature}\r\n");
        post("/api/webhooks/clerk", &head, &json!({"type": "user.updated", "data": "x".repeat(10_000)}))
    });
    let tally = siege.under(unsigned).await;
    assert!(tally.contains_key(&400), "{tally:?}");
    assert!(statuses(&tally).iter().all(|status| matches!(status, 400 | 429 | 503)), "{tally:?}");

    let mut large = post("/api/webhooks/clerk", "", &json!("x".repeat(5_000_000)));
    let tally = siege.under(throng::each(url, 100, &large)).await;
    // It is refused by its headers, whatever is wrong with them.
    assert!(statuses(&tally).iter().all(|status| matches!(status, 0 | 400 | 413)), "{tally:?}");
    // Who does not say how large it is is cut off on the way.
    large = format!("POST /api/webhooks/clerk HTTP/1.1\r\nhost: a\r\n{JSON}transfer-encoding: chunked\r\n\r\n").into();
    large.extend(format!("{:x}\r\n{}\r\n", 65_536, "x".repeat(65_536)).repeat(80).into_bytes());
    let tally = siege.under(throng::each(url, 100, &large)).await;
    assert!(statuses(&tally).iter().all(|status| matches!(status, 0 | 400 | 413 | 503)), "{tally:?}");
    println!("bad tokens and webhooks: {}", siege.end().await);
}

#[tokio::test]
async fn floods_of_guessed_ids_and_of_one_persons_commands_end_at_their_rate() {
    let rates = [
        ("ADVISOR_COMMANDS_PER_MINUTE", "600"),
        ("ADVISOR_COMMANDS_BURST", "300"),
        ("ADVISOR_QUERIES_PER_MINUTE", "600"),
        ("ADVISOR_QUERIES_BURST", "300"),
    ];
    let siege = Siege::begin(&[&RATES[..], &rates].concat()).await;
    let url = &siege.server.url;

    let guesser = siege.server.client("guesser", &[]);
    let attempts = throng::ask(url, 64, 2_000, |number| {
        let id = Uuid::from_u128(0x0198_c2b2_7f0e_7c4e_9b1f_0000_0000_0000 + number as u128);
        match number % 3 {
            0 => request(&format!("GET /api/conversations/{id}"), &guesser.token, None),
            1 => request(&format!("DELETE /api/conversations/{id}"), &guesser.token, None),
            _ => send_message(&guesser, &id.to_string()),
        }
    });
    let tally = siege.under(attempts).await;
    assert_eq!(statuses(&tally), [404, 429], "{tally:?}");

    let busy = siege.server.client("busy", &[]);
    let started = busy.command("StartConversation", &json!({})).await;
    let id = started["result"]["conversationId"].as_str().unwrap();
    let mut tally = siege.under(throng::ask(url, 64, 2_000, |_| send_message(&busy, id))).await;
    // Whose turn does not come in time on a slow machine is told to come again.
    tally.remove(&409);
    assert_eq!(statuses(&tally), [200, 429], "{tally:?}");
    println!("guessed ids and commands: {}", siege.end().await);
}

/// Conversations and messages up to what one person may keep.
#[tokio::test]
async fn a_flood_of_conversations_and_messages_ends_at_what_one_person_may_keep() {
    let siege = Siege::begin(&[
        ("ADVISOR_CONVERSATIONS_PER_PERSON_MAX", "300"),
        ("ADVISOR_MESSAGES_PER_CONVERSATION_MAX", "300"),
    ])
    .await;
    let url = &siege.server.url;
    let hoarder = siege.server.client("hoarder", &[]);
    let start = |_| request("POST /api/commands/StartConversation", &hoarder.token, Some(&json!({})));
    let tally = siege.under(throng::ask(url, 32, 400, start)).await;
    assert_eq!(statuses(&tally), [200, 422], "{tally:?}");
    // Those that were on their way when it was reached.
    assert!((300..332).contains(&tally[&200]), "{tally:?}");

    let list = hoarder.get("/api/conversations").await;
    let id = list[0]["id"].as_str().unwrap();
    let mut tally = siege.under(throng::ask(url, 32, 600, |_| send_message(&hoarder, id))).await;
    // Whose turn does not come in time on a slow machine is told to come again.
    tally.remove(&409);
    assert_eq!(tally.get(&200), Some(&300), "{tally:?}");
    assert_eq!(statuses(&tally), [200, 422], "{tally:?}");
    println!("conversations and messages: {}", siege.end().await);
}

const JSON: &str = "content-type: application/json\r\n";

fn send_message(client: &Client, id: &str) -> Vec<u8> {
    let body = json!({"conversationId": id, "content": "Hello?", "advisorIds": []});
    request("POST /api/commands/SendMessage", &client.token, Some(&body))
}

fn request(line: &str, token: &str, body: Option<&Value>) -> Vec<u8> {
    let head = format!("authorization: Bearer {token}\r\n");
    match (body, line.split_once(' ')) {
        (Some(body), Some((_, path))) => post(path, &head, body),
        _ => format!("{line} HTTP/1.1\r\nhost: a\r\n{head}\r\n").into_bytes(),
    }
}

fn post(path: &str, head: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("POST {path} HTTP/1.1\r\nhost: a\r\n{JSON}{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn statuses(tally: &Tally) -> Vec<u16> {
    tally.keys().copied().collect()
}
