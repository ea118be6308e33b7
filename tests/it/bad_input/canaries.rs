//! Words of a person and secrets of an operator, and the places where they must not stand.

use crate::{
    faulty_model::{FaultyModel, Script},
    server::Server,
};
use reqwest::Method;
use serde_json::json;
use std::{fs, path::Path};

#[tokio::test]
async fn no_word_and_no_secret_stands_in_a_log_and_no_word_stands_open_in_the_event_log() {
    const MESSAGE: &str = "kanarie-message-4711";
    const TITLE: &str = "kanarie-title-4711";
    const NAME: &str = "Kanarie Vierelf";
    const REPLY: &str = "kanarie-reply-4711";
    const KEY: &str = "sk-kanarie-4711";
    const JSON: &str = "kanarie-json-4711";
    let model = FaultyModel::start();
    model.answer(MESSAGE, vec![Script::Whole(vec![REPLY.to_owned()])]);
    let mut server = Server::start_with(&[
        ("ADVISOR_EVENT_LOG_URL", "sqlite:data/log.db"),
        ("ADVISOR_READ_MODEL_URL", "sqlite:data"),
        ("RUST_LOG", "trace"),
        ("ADVISOR_MODEL_URL", model.url.as_str()),
        ("ADVISOR_MODEL_API_KEY", KEY),
    ]);
    let user = server.client("user_1", &[]);
    let document = json!({"persona": {"name": NAME, "title": "Tester"}});
    let advisor = user.command("CreateAdvisor", &document).await["result"]["advisorId"].clone();
    let body = json!({"title": TITLE, "advisorId": advisor});
    let started = user.command("StartConversation", &body).await["result"]["conversationId"].clone();
    let body = json!({"conversationId": started, "content": JSON, "contentJson": {"k": JSON}, "advisorIds": []});
    user.command("SendMessage", &body).await;
    let body = json!({"messages": [{"role": "user", "content": MESSAGE}], "conversationId": started});
    let (status, answer) = user.send(Method::POST, "/api/chat", Some(&body)).await;
    assert_eq!((status.as_u16(), &answer["message"]["content"]), (200, &json!(REPLY)), "{answer}");
    assert_eq!(model.keys(), [format!("Bearer {KEY}")], "the key was used");
    // Refusals log something too: of broken bodies, wrong tokens, failing models.
    user.raw("POST /api/chat", &["content-type: application/json"], format!("{{\"{MESSAGE}").as_bytes()).await;
    user.raw(
        "POST /api/commands/SendMessage",
        &["content-type: application/json"],
        format!("{{\"{JSON}\":1}}").as_bytes(),
    )
    .await;
    user.raw(&format!("GET /api/conversations/x?{MESSAGE}={TITLE}"), &[], b"").await;
    model.answer(MESSAGE, vec![Script::Status(500, "", format!("{REPLY} {KEY}")); 4]);
    let (status, _) = user.send(Method::POST, "/api/chat", Some(&body)).await;
    assert_eq!(status, 502);
    server.terminate();

    let log = server.log_text();
    assert!(log.len() > 10_000 && log.contains("TRACE"), "tracing was on");
    let signature = user.token.rsplit('.').next().unwrap();
    for word in [MESSAGE, TITLE, NAME, "Kanarie", REPLY, KEY, JSON, user.token.as_str(), signature] {
        let line = log.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "{word} stands in {line:?}");
    }
    let (mut sealed, mut open) = (Vec::new(), Vec::new());
    for file in files(&server.data_dir()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&file).unwrap();
        for word in [MESSAGE, TITLE, NAME, REPLY, JSON] {
            if bytes.windows(word.len()).any(|window| window == word.as_bytes()) {
                let place = if name.starts_with("generation-") || name.starts_with("side.db") {
                    &mut open
                } else {
                    &mut sealed
                };
                place.push(format!("{word} in {name}"));
            }
        }
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the model's key in {name}");
    }
    assert_eq!(sealed, [""; 0], "words stand open where they must be sealed");
    assert!(
        open.iter().any(|place| place.starts_with(MESSAGE)),
        "read models hold clear text, so one sees it: {open:?}"
    );
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}
