//! Who gets a socket, for how long, and by which code it ends.

use super::{
    caller::{Caller, line},
    watcher::Watcher,
    world::{conversation, delete_user, message},
};
use crate::{
    auth::test_issuer::{CLERK, claims_with},
    test_api::TestApi,
};
use advisor_projections::side::revocations::Subject;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::Message;

const AWAY: Option<u16> = Some(1001);
const BROKEN: Option<u16> = Some(1002);
const UNSUPPORTED: Option<u16> = Some(1003);
const NO_TEXT: Option<u16> = Some(1007);
const POLICY: Option<u16> = Some(1008);
const TOO_LARGE: Option<u16> = Some(1009);
const LATER: Option<u16> = Some(1013);

#[tokio::test]
async fn nothing_is_said_to_who_has_not_authenticated() {
    let test = TestApi::start().await;
    for (first, code) in [
        (json!({"type": "subscribe", "id": "a", "query": "/api/advisors"}), "AUTH_REQUIRED"),
        (json!({"type": "unsubscribe", "id": "a"}), "AUTH_REQUIRED"),
        (json!({"type": "resume", "lastEventId": "", "queries": []}), "AUTH_REQUIRED"),
        (json!({"type": "authenticate", "token": ""}), "AUTH_REQUIRED"),
        (json!({"type": "authenticate", "token": "a.b.c"}), "AUTH_REQUIRED"),
        (json!({"type": "authenticate", "token": TestApi::forged_token("ana")}), "AUTH_REQUIRED"),
        (json!({"type": "authenticate", "token": token(json!({"sub": "ana", "exp": 1}))}), "AUTH_REQUIRED"),
        (json!({"type": "authenticate", "token": token(json!({"sub": "ana", "sts": "pending"}))}), "SESSION_PENDING"),
        (json!({"type": "hello"}), "VALIDATION_ERROR"),
        (json!(["authenticate"]), "VALIDATION_ERROR"),
    ] {
        let mut caller = Caller::connect(&test).await;
        caller.say(&first).await;
        // What comes behind it is not looked at.
        caller.subscribe("b", "/api/advisors").await;
        let answer = caller.hear().await.unwrap();
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{first}");
        assert_eq!(caller.end().await, (None, POLICY), "{first}");
    }
}

#[tokio::test]
async fn who_does_not_authenticate_in_time_is_let_go() {
    let mut test = TestApi::start().await;
    Arc::make_mut(&mut test.api.settings).socket.authenticate_timeout = Duration::from_millis(50);
    let mut dripping = Caller::connect(&test).await;
    dripping.send(Message::Ping("still here".into())).await;
    for caller in [Caller::connect(&test).await, dripping] {
        assert_eq!(caller.end().await, (None, POLICY));
    }
}

#[tokio::test]
async fn a_fresh_token_of_the_same_person_carries_the_stream_further() {
    let mut test = TestApi::start().await;
    Arc::make_mut(&mut test.api.settings).streams.heartbeat = Duration::from_millis(20);
    let [mut renewed, mut old] = [Caller::of(&test, Some("ana")).await, Caller::of(&test, Some("ana")).await];
    for caller in [&mut renewed, &mut old] {
        caller.subscribe("me", "/api/me").await;
        caller.wait_for("snapshot").await;
    }
    let fresh = token(json!({"sub": "ana", "sid": "sess_ana", "exp": test_seconds(&test) + 600}));
    renewed.say(&json!({"type": "authenticate", "token": fresh})).await;
    let authenticated = renewed.hear().await.unwrap();
    assert_eq!((&authenticated["type"], &authenticated["userId"]), (&json!("authenticated"), &json!("ana")));
    // An older token, or one that is not valid, takes nothing away.
    renewed.say(&json!({"type": "authenticate", "token": TestApi::token("ana")})).await;
    renewed.wait_for("authenticated").await;
    renewed.say(&json!({"type": "authenticate", "token": "a.b.c"})).await;
    assert_eq!(renewed.hear().await.unwrap()["code"], "AUTH_REQUIRED");

    test.clock.advance(60 + 301);
    let (last, code) = old.end().await;
    assert_eq!((last, code), (Some(json!({"type": "reset", "reason": "session"})), POLICY));
    renewed.subscribe("list", "/api/conversations").await;
    renewed.wait_for("snapshot").await;
    test.clock.advance(600);
    assert_eq!(renewed.end().await.1, POLICY);
}

#[tokio::test]
async fn a_stream_is_not_handed_from_one_person_to_another() {
    let test = TestApi::start().await;
    for (from, to) in [(Some("ana"), Some("bo")), (Some("ana"), None), (None, Some("ana"))] {
        let mut caller = Caller::of(&test, from).await;
        caller.say(&json!({"type": "authenticate", "token": to.map(TestApi::token)})).await;
        caller.subscribe("s", "/api/advisors").await;
        assert_eq!(caller.end().await, (None, POLICY), "from {from:?} to {to:?}");
    }
}

#[tokio::test]
async fn the_sockets_of_a_person_who_is_deleted_end() {
    let test = TestApi::start().await;
    conversation(&test, "ana").await;
    let idle = Caller::of(&test, Some("ana")).await;
    let mut public = Caller::of(&test, Some("ana")).await;
    public.subscribe("a", "/api/advisors").await;
    public.wait_for("snapshot").await;
    delete_user(&test, "ana").await;
    for caller in [idle, public] {
        assert_eq!(caller.end().await, (Some(json!({"type": "reset", "reason": "session"})), POLICY));
    }
}

#[tokio::test]
async fn the_socket_of_a_revoked_session_ends_unless_a_token_of_another_one_carries_it() {
    let test = TestApi::start().await;
    let mut carried = Caller::of(&test, Some("ana")).await;
    let left = Caller::of(&test, Some("ana")).await;
    let other = token(json!({"sub": "ana", "sid": "sess_other"}));
    carried.say(&json!({"type": "authenticate", "token": other})).await;
    carried.wait_for("authenticated").await;
    let session = |id: &str| Subject::Session(id.to_owned());
    test.api.revoked.revoke(session("sess_ana")).await.unwrap();
    assert_eq!(left.end().await, (Some(json!({"type": "reset", "reason": "session"})), POLICY));
    carried.subscribe("me", "/api/me").await;
    carried.wait_for("snapshot").await;
    test.api.revoked.revoke(session("sess_other")).await.unwrap();
    assert_eq!(carried.end().await, (Some(json!({"type": "reset", "reason": "session"})), POLICY));
    let mut again = Caller::connect(&test).await;
    again.say(&json!({"type": "authenticate", "token": TestApi::token("ana")})).await;
    assert_eq!(again.end().await.1, POLICY);
}

#[tokio::test]
async fn what_a_socket_has_of_a_revoked_session_is_not_lent_to_a_token_that_ends_sooner() {
    let test = TestApi::start().await;
    let mut caller = Caller::connect(&test).await;
    for (session, seconds) in [("sess_long", 3_600), ("sess_short", 60)] {
        let claims = json!({"sub": "ana", "sid": session, "exp": test_seconds(&test) + seconds});
        caller.say(&json!({"type": "authenticate", "token": token(claims)})).await;
        caller.wait_for("authenticated").await;
    }
    test.api.revoked.revoke(Subject::Session("sess_long".to_owned())).await.unwrap();
    assert_eq!(caller.end().await, (Some(json!({"type": "reset", "reason": "session"})), POLICY));
}

#[tokio::test]
async fn on_shutdown_sockets_are_told_so() {
    let test = TestApi::start().await;
    let (silent, idle) = (Caller::connect(&test).await, Caller::of(&test, Some("ana")).await);
    test.api.shutdown.cancel();
    assert_eq!(idle.end().await, (Some(json!({"type": "reset", "reason": "shutdown"})), AWAY));
    assert_eq!(silent.end().await, (None, AWAY));
}

#[tokio::test]
async fn streams_and_sockets_of_a_person_are_counted_together() {
    let test = TestApi::start().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Watcher::of(&test, "ana", &["/api/me"]).await);
    }
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(Caller::of(&test, Some("ana")).await);
    }
    let mut one_too_many = Caller::connect(&test).await;
    one_too_many.say(&json!({"type": "authenticate", "token": TestApi::token("ana")})).await;
    let refusal = one_too_many.hear().await.unwrap();
    assert_eq!((&refusal["status"], &refusal["code"]), (&json!(429), &json!("TOO_MANY_STREAMS")));
    assert_eq!(one_too_many.end().await, (None, LATER));
    assert!(Watcher::try_of(&test, "ana", &["/api/me"]).await.is_err());
    // A socket that ends makes room, and a fresh token takes none.
    let mut last = sockets.pop().unwrap();
    last.say(&json!({"type": "authenticate", "token": TestApi::token("ana")})).await;
    last.wait_for("authenticated").await;
    last.send(Message::Close(None)).await;
    last.end().await;
    Watcher::of(&test, "ana", &["/api/me"]).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_dropped_and_one_that_does_stays() {
    let mut test = TestApi::start().await;
    let settings = Arc::make_mut(&mut test.api.settings);
    settings.streams.heartbeat = Duration::from_millis(20);
    settings.socket.silence_timeout = Duration::from_millis(400);
    let mut alive = Caller::of(&test, Some("ana")).await;
    let mut dead = open(&test).await;
    let answering = async {
        // It reads, and by that answers pings, while the other one is dropped.
        let heard = tokio::time::timeout(Duration::from_millis(1_200), alive.hear()).await;
        assert!(heard.is_err(), "{heard:?}");
        alive.subscribe("me", "/api/me").await;
        alive.wait_for("snapshot").await;
    };
    let dropped = async {
        let mut bytes = Vec::new();
        dead.read_to_end(&mut bytes).await.unwrap();
        let pings = bytes.windows(2).filter(|head| *head == [0x89, 0]).count();
        assert!(pings >= 3, "{bytes:?}");
        assert!(!bytes.contains(&0x88), "there is nobody who would hear a last word");
    };
    tokio::join!(answering, dropped);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_told_so_when_it_reads_again() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let mut slow = Caller::of(&test, Some("ana")).await;
    let query = format!("/api/conversations/{id}");
    slow.subscribe("c", &query).await;
    slow.wait_for("snapshot").await;
    // More than the connection takes in while nobody reads.
    for _ in 0..4 {
        message(&test, "ana", &id, &"x".repeat(32_000)).await;
    }
    let read = |test: &TestApi| test.api.reader.position();
    let stood = read(&test);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let (last, code) = slow.end().await;
    assert_eq!((last, code), (Some(json!({"type": "reset", "reason": "slow"})), POLICY));
    assert_eq!(read(&test), stood);
}

#[tokio::test]
async fn what_is_no_message_is_told_so_and_ends_the_conversation() {
    let test = TestApi::start().await;
    for (text, code) in [
        ("", "INVALID_JSON"),
        ("{\"type\"", "INVALID_JSON"),
        ("{\"type\": \"subscribe\", \"type\": \"subscribe\"}", "INVALID_JSON"),
        ("null", "VALIDATION_ERROR"),
        ("{\"type\": \"SUBSCRIBE\", \"id\": \"a\", \"query\": \"/api/me\"}", "VALIDATION_ERROR"),
        ("{\"type\": \"subscribe\", \"id\": \"a\", \"query\": \"/api/me\", \"user\": \"bo\"}", "VALIDATION_ERROR"),
    ] {
        let mut caller = Caller::of(&test, Some("ana")).await;
        caller.send(Message::text(text)).await;
        let (last, end) = caller.end().await;
        assert_eq!((&last.unwrap()["code"], end), (&json!(code), POLICY), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_of_frames_is_let_go_with_the_code_for_it() {
    let test = TestApi::start().await;
    let spaces = |length: usize| frame(0x81, &vec![b' '; length]);
    let flood = |frames: &[Vec<u8>]| frames.concat();
    for (what, bytes, code) in [
        ("a byte more than a message may have", spaces(64 * 1024 + 1), TOO_LARGE),
        ("a length of an exabyte", vec![0x81, 0xff, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], TOO_LARGE),
        (
            "two fragments of too much",
            [frame(0x01, &vec![b' '; 40_000]), frame(0x80, &vec![b' '; 40_000])].concat(),
            TOO_LARGE,
        ),
        ("bytes instead of text", frame(0x82, b"{}"), UNSUPPORTED),
        ("text that is no UTF-8", frame(0x81, b"\"\xff\""), NO_TEXT),
        ("half a character", [frame(0x01, b"\"\xe2\x82"), frame(0x80, b"\"")].concat(), NO_TEXT),
        ("a reserved bit", frame(0xc1, b"{}"), BROKEN),
        ("a frame without mask", vec![0x81, 2, b'{', b'}'], BROKEN),
        ("an opcode that nobody knows", frame(0x83, b"{}"), BROKEN),
        ("a continuation of nothing", frame(0x80, b"{}"), BROKEN),
        ("a ping in fragments", frame(0x09, b""), BROKEN),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), BROKEN),
        ("a message within a message", [frame(0x01, b"{"), frame(0x81, b"{}")].concat(), BROKEN),
        ("a flood of pings", flood(&vec![frame(0x89, b""); 500]), POLICY),
        ("a flood of pongs", flood(&vec![frame(0x8a, b""); 500]), POLICY),
        (
            "a flood of empty fragments",
            flood(&[vec![frame(0x01, b"")], vec![frame(0x00, b""); 5_000]].concat()),
            POLICY,
        ),
        ("a flood of messages", flood(&vec![frame(0x81, b"{\"type\":\"authenticate\"}"); 500]), POLICY),
    ] {
        let mut line = open(&test).await;
        let (mut reading, mut writing) = tokio::io::split(&mut line);
        let mut heard = Vec::new();
        // The server reads what is sent after the end too, until it is closed on both sides.
        let write = async {
            drop(writing.write_all(&bytes).await);
            drop(writing.shutdown().await);
        };
        let (read, ()) = tokio::join!(reading.read_to_end(&mut heard), write);
        read.unwrap();
        assert_eq!(close_code(&heard), code, "{what}: {heard:?}");
    }
    // As much as a message may have is none too much.
    let mut line = open(&test).await;
    line.write_all(&spaces(64 * 1024)).await.unwrap();
    line.shutdown().await.unwrap();
    let mut heard = Vec::new();
    line.read_to_end(&mut heard).await.unwrap();
    assert!(String::from_utf8_lossy(&heard).contains("INVALID_JSON"), "{heard:?}");
}

#[tokio::test]
async fn a_client_that_says_good_bye_is_answered() {
    let test = TestApi::start().await;
    for (payload, answer) in [(&[][..], &[0x88, 0][..]), (b"\x03\xe8bye", b"\x88\x05\x03\xe8bye")] {
        let mut line = open(&test).await;
        line.write_all(&frame(0x88, payload)).await.unwrap();
        let mut heard = Vec::new();
        line.read_to_end(&mut heard).await.unwrap();
        assert!(heard.ends_with(answer), "{heard:?}");
    }
}

#[tokio::test]
async fn a_large_snapshot_goes_out_in_frames_of_64_kib() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    for _ in 0..5 {
        message(&test, "ana", &id, &"é".repeat(32_000)).await;
    }
    let mut line = open(&test).await;
    let subscribe = json!({"type": "subscribe", "id": "c", "query": format!("/api/conversations/{id}")});
    line.write_all(&frame(0x81, subscribe.to_string().as_bytes())).await.unwrap();
    let (mut whole, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let (head, payload) = read_frame(&mut line).await;
        assert_eq!(head & 0x0f, u8::from(whole.is_empty()));
        sizes.push(payload.len());
        whole.extend(payload);
        if head & 0x80 != 0 {
            break;
        }
    }
    assert!(sizes.len() >= 5 && sizes.iter().all(|size| *size <= 64 * 1024), "{sizes:?}");
    let snapshot: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(snapshot["data"]["messages"].as_array().unwrap().len(), 5);
}

fn token(claims: Value) -> String {
    CLERK.token(&claims_with(claims))
}

fn test_seconds(test: &TestApi) -> i64 {
    test.api.clock.now().0 / 1_000
}

/// A connection on which Ana has authenticated, as bytes.
async fn open(test: &TestApi) -> DuplexStream {
    let mut line = line(test);
    let authenticate = json!({"type": "authenticate", "token": TestApi::token("ana")});
    line.write_all(&frame(0x81, authenticate.to_string().as_bytes())).await.unwrap();
    let (_, answer) = read_frame(&mut line).await;
    assert!(answer.starts_with(br#"{"type":"authenticated""#), "{answer:?}");
    line
}

/// A frame of a client. Its mask is zero, which changes nothing.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=125) => bytes.push(0x80 | u8::try_from(short).unwrap()),
        Ok(length) => {
            bytes.push(0x80 | 0x7e);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 0x7f);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A frame of the server: its first byte, and what it carries.
async fn read_frame(line: &mut DuplexStream) -> (u8, Vec<u8>) {
    let head = line.read_u8().await.unwrap();
    let length = match line.read_u8().await.unwrap() {
        126 => u64::from(line.read_u16().await.unwrap()),
        127 => line.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    line.read_exact(&mut payload).await.unwrap();
    (head, payload)
}

/// The code of the close frame that ends these frames.
fn close_code(mut bytes: &[u8]) -> Option<u16> {
    while let [head, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            short => (usize::from(*short), rest),
        };
        if *head == 0x88 {
            assert_eq!(rest.len(), length, "something follows the last word");
            return Some(u16::from_be_bytes([rest[0], rest[1]]));
        }
        bytes = &rest[length..];
    }
    None
}
