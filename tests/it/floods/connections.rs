//! Connections in number: silent ones, dripping ones, large heads, bodies that never end, answers that nobody reads.

use super::{siege::Siege, throng};
use crate::{build::Build, server::Server};
use serde_json::json;
use std::time::Duration;

/// How soon the server closes what does not come on.
const SOON: Duration = Duration::from_secs(30);
/// Nobody is waited for as long as usual.
pub(super) const HASTE: [(&str, &str); 3] =
    [("ADVISOR_HEADER_TIMEOUT_MS", "3000"), ("ADVISOR_BODY_TIMEOUT_MS", "3000"), ("ADVISOR_WRITE_TIMEOUT_MS", "3000")];

#[tokio::test]
async fn thousands_of_silent_and_dripping_connections_are_closed_while_others_are_served() {
    let siege = Siege::begin(&HASTE).await;
    let url = &siege.server.url;
    let head = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-large: {}", "a".repeat(15_000));
    let flood = async {
        let silent = throng::crowd(url, 2_000, b"").await;
        // Almost as much as a head may be, and then byte by byte.
        let mut dripping = throng::crowd(url, 2_000, head.as_bytes()).await;
        throng::drip(&mut dripping, Duration::from_secs(2)).await;
        let (silent, dripping) = tokio::join!(throng::closed(silent, SOON), throng::closed(dripping, SOON));
        (silent, dripping)
    };
    let (silent, dripping) = siege.under(flood).await;
    assert_eq!(silent.get(&0), Some(&2_000), "{silent:?}");
    assert!(dripping.keys().all(|status| matches!(status, 0 | 408 | 431)), "{dripping:?}");
    let large = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n", "a".repeat(100_000));
    let large = siege.under(throng::each(url, 1_000, large.as_bytes())).await;
    assert!(large.keys().all(|status| matches!(status, 0 | 431)) && large.contains_key(&431), "{large:?}");
    println!("connections and heads: {}", siege.end().await);
}

#[tokio::test]
async fn bodies_that_never_end_take_no_more_than_their_room() {
    let siege = Siege::begin(&HASTE).await;
    let url = &siege.server.url;
    let chunk = format!("{:x}\r\n{}\r\n", 65_536, " ".repeat(65_536));
    let endless = [post(&siege.server, "transfer-encoding: chunked"), chunk.repeat(160)].concat();
    let endless = siege.under(throng::each(url, 100, endless.as_bytes())).await;
    assert!(endless.keys().all(|status| matches!(status, 0 | 413 | 503)), "{endless:?}");
    assert!(endless.contains_key(&413), "{endless:?}");
    println!("endless bodies: {}", siege.end().await);
}

#[tokio::test]
async fn bodies_that_come_slowly_take_no_more_than_their_room() {
    trial_of_slow_bodies(&Build::usual()).await;
}

/// Half a gigabyte of bodies that lack a few bytes each.
#[expect(clippy::print_stdout, reason = "What was taken is told beside the result.")]
pub(crate) async fn trial_of_slow_bodies(build: &Build) {
    let siege = Siege::begin_build(build, &HASTE).await;
    let url = &siege.server.url;
    let most = [post(&siege.server, "content-length: 1048576"), " ".repeat(1_048_000)].concat();
    let flood = async {
        let mut slow = throng::crowd(url, 500, most.as_bytes()).await;
        throng::drip(&mut slow, Duration::from_secs(2)).await;
        throng::closed(slow, SOON).await
    };
    let slow = siege.under(flood).await;
    assert!(slow.keys().all(|status| matches!(status, 0 | 400 | 408 | 503)), "{slow:?}");
    println!("slow bodies: {}", siege.end().await);
}

/// The head of a request that has a body of this length.
fn post(server: &Server, length: &str) -> String {
    let token = server.token("mallory", &[]);
    format!(
        "POST /api/conversations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\n{length}\r\n\r\n"
    )
}

#[tokio::test]
async fn bodies_of_very_many_values_take_no_more_than_their_room() {
    let siege = Siege::begin(&HASTE).await;
    let url = &siege.server.url;
    let names: Vec<String> = (0..90_000).map(|name| format!("\"{name}\":1")).collect();
    for (what, body) in [
        ("nested", "[".repeat(1_000_000)),
        ("half a million numbers", format!("{{\"title\":[{}1]}}", "1,".repeat(520_000))),
        ("90,000 names", format!("{{{}}}", names.join(","))),
        ("90,000 lists", format!("{{\"a\":[{}0]}}", "[0],".repeat(45_000))),
    ] {
        // This route takes what it does not know, and the body lives as long as the command.
        let request = [post(&siege.server, &format!("content-length: {}", body.len())), body].concat();
        let tally = siege.under(throng::each(url, 200, request.as_bytes())).await;
        assert!(tally.keys().all(|status| matches!(status, 0 | 200 | 400 | 408 | 503)), "{what}: {tally:?}");
    }
    println!("values: {}", siege.end().await);
}

#[tokio::test]
async fn answers_that_nobody_reads_take_no_more_than_their_room() {
    let siege = Siege::begin(&HASTE).await;
    let url = &siege.server.url;
    let (client, id) = siege.talker("mallory", 300).await;
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n", client.token).into_bytes()
    };
    for path in [format!("/api/conversations/{id}"), format!("/api/conversations/{id}/messages?limit=100")] {
        let unread = siege.under(throng::crowd(url, 200, &get(&path))).await;
        // They are cut off though they stay.
        println!("{path}: {}", siege.under(siege.rest()).await);
        drop(unread);
    }
    assert_eq!(client.get(&format!("/api/conversations/{id}")).await["id"], json!(id));
    println!("unread answers: {}", siege.end().await);
}
