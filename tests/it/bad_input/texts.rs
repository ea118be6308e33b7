//! Texts and numbers that are right and odd: they are kept to the last byte, and carry nothing with them.

use super::{JSON, check_problem};
use crate::{
    faulty_model::{End, FaultyModel, Script, text},
    live_client::LiveClient,
    server::Server,
};
use serde_json::{Value, json};

/// What would be several events, and an end, if somebody wrote it into a stream as it stands.
const STREAM_CONTROL: &str = "a\r\n\r\ndata: {}\n\nevent: reset\ndata: {\"reason\":\"gone\"}\nid: 1:1:x\nretry: 1\n\n: c\rdata: [DONE]\n\n\u{2028}b";

#[tokio::test]
async fn text_that_looks_like_a_stream_of_events_is_one_text_in_one_event() {
    let model = FaultyModel::start();
    // It is stopped when all of it has been heard: the whole would overtake the last pieces.
    let pieces = vec![text(STREAM_CONTROL), text(STREAM_CONTROL)];
    model.answer(STREAM_CONTROL, vec![Script::Chunks("text/event-stream", pieces, End::Silence)]);
    let server = Server::start_with(&[("ADVISOR_MODEL_URL", model.url.as_str())]);
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({"title": STREAM_CONTROL.trim()})).await;
    let path = format!("/api/conversations/{}", started["result"]["conversationId"].as_str().unwrap());
    let mut device = LiveClient::connect(&user, std::slice::from_ref(&path), None).await;
    let body = json!({"conversationId": started["result"]["conversationId"], "content": STREAM_CONTROL});
    let sent = user.command("SendMessage", &body).await;
    let reply = sent["result"]["replies"][0]["replyId"].as_str().unwrap();
    let whole = STREAM_CONTROL.repeat(2);
    device.until("all deltas", |device| device.drafts.get(reply).is_some_and(|draft| draft.1 == whole)).await;
    user.command("StopReply", &json!({"replyId": reply})).await;
    device.until("the reply", |device| messages(device, &path).len() == 2).await;
    let again = LiveClient::connect(&user, std::slice::from_ref(&path), None);
    let mut again = again.await;
    again.until("the snapshot", |device| !messages(device, &path).is_empty()).await;
    for device in [&device, &again] {
        assert_eq!(messages(device, &path)[0]["content"], STREAM_CONTROL);
        assert_eq!(messages(device, &path)[1]["content"], json!(whole));
        assert_eq!(device.resets, [""; 0]);
    }
    let body = json!({"messages": [{"role": "user", "content": STREAM_CONTROL}]});
    let answer = user.ask(reqwest::Method::POST, "/api/chat", &[("accept", "text/plain")], Some(&body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        user.get("/api/conversations").await[0]["title"],
        json!(STREAM_CONTROL.chars().take(50).collect::<String>() + "...")
    );
}

#[tokio::test]
async fn text_of_every_script_is_measured_in_characters_and_kept_to_the_last_byte() {
    let server = Server::start();
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({})).await["result"]["conversationId"].clone();
    let path = format!("/api/conversations/{}", started.as_str().unwrap());
    for (what, content) in [
        ("bidirectional overrides", "\u{202e}evil\u{202c}\u{2066}x\u{2069} \u{200f}שלום\u{200e}".to_owned()),
        ("zero width", "a\u{200b}b\u{200c}c\u{200d}d\u{feff}e\u{2060}".to_owned()),
        ("from right to left", "مرحبا بالعالم".to_owned()),
        ("families", "👩‍👩‍👧‍👦🏳️‍🌈".repeat(100)),
        ("not composed, and composed", "e\u{301}é \u{1100}\u{1161}가 ﬁ Å \u{212b}".to_owned()),
        ("64 kB of combining marks", format!("e{}", "\u{301}".repeat(31_999))),
        ("as long as it may be", "😀".repeat(32_000)),
        ("noncharacters", "\u{fffe}\u{ffff}\u{10ffff}\u{fdd0}".to_owned()),
        ("control characters", "\u{1}\u{7f}\u{85}\u{1b}[31m\u{8}".to_owned()),
        ("white space around", " \t x \n ".to_owned()),
    ] {
        let body = json!({"conversationId": started, "content": content, "advisorIds": []});
        user.command("SendMessage", &body).await;
        let stored = user.get(&path).await;
        let kept = stored["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
        assert!(kept == content, "{what}: {} bytes became {}", content.len(), kept.len());
    }
    for (what, body) in [
        ("one character too many", json!({"conversationId": started, "content": "😀".repeat(32_001)})),
        ("nothing but white space", json!({"conversationId": started, "content": " \u{a0}\u{2003}\n"})),
    ] {
        let answer = user.raw("POST /api/commands/SendMessage", &[JSON], body.to_string().as_bytes()).await;
        check_problem(&answer, 422, "VALIDATION_ERROR", what);
    }
    for (characters, status) in [(200, 200), (201, 422)] {
        let body = json!({"conversationId": started, "title": "\u{1f468}".repeat(characters)}).to_string();
        assert_eq!(user.raw("POST /api/commands/RenameConversation", &[JSON], body.as_bytes()).await.status, status);
    }
}

#[tokio::test]
async fn a_number_is_kept_as_it_stands_or_refused_and_never_rounded() {
    let server = Server::start();
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({})).await["result"]["conversationId"].clone();
    let started = started.as_str().unwrap();
    let send = async |number: &str| {
        let body =
            format!(r#"{{"conversationId":"{started}","content":"x","advisorIds":[],"contentJson":{{"n":{number}}}}}"#);
        user.raw("POST /api/commands/SendMessage", &[JSON], body.as_bytes()).await
    };
    let path = format!("/api/conversations/{started}/messages?limit=1");
    for number in [
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "-9223372036854775808",
        "-1",
        "0.1",
        "1.7976931348623157e308",
        "0.30000000000000004",
        "5e-324",
    ] {
        assert_eq!(send(number).await.status, 200, "{number}");
        let kept = user.ask(reqwest::Method::GET, &path, &[], None).await;
        let kept = kept.text.split_once(r#"{"n":"#).unwrap().1.split('}').next().unwrap();
        // A power of ten may be written in another way; the value may not change.
        let same = kept == number
            || (number.contains('e')
                && kept.parse::<f64>().unwrap().to_bits() == number.parse::<f64>().unwrap().to_bits());
        assert!(same, "{number} became {kept}");
    }
    for number in ["18446744073709551616", "-9223372036854775809", "1e400", "3.141592653589793238462643", "1e-400"] {
        check_problem(&send(number).await, 422, "VALIDATION_ERROR", number);
    }
    // A number is no text, and a text no number.
    for title in ["1", "1.0", "true", "null_", "[\"x\"]"] {
        let body = format!(r#"{{"title":{}}}"#, title.replace("null_", "{}"));
        let answer = user.raw("POST /api/commands/StartConversation", &[JSON], body.as_bytes()).await;
        check_problem(&answer, 422, "VALIDATION_ERROR", title);
    }
}

fn messages<'a>(device: &'a LiveClient, path: &str) -> &'a [Value] {
    device.data.get(path).and_then(|data| data["messages"].as_array()).map_or(&[], Vec::as_slice)
}
