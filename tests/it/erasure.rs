//! Of an erased person nothing can be read anywhere, and nobody else notices.

use crate::{
    faulty_model::{FaultyModel, Gate, Script},
    live_client::LiveClient,
    server::{Client, PATIENCE, Server},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc, time::Duration};

/// Stands in everything that the person wrote, and that was written to them.
const CANARY: &str = "kanarie-58c1";

/// Words are looked for in files, whatever the tests run on.
const FILES: (&str, &str) = ("ADVISOR_READ_MODEL_URL", "sqlite:data");

#[tokio::test]
async fn of_an_erased_person_nothing_is_left_and_everybody_elses_answers_are_the_same_bytes() {
    let (model, gate) = (FaultyModel::start(), Arc::new(Gate::default()));
    let mut server = Server::start_with(&[FILES, ("ADVISOR_MODEL_URL", model.url.as_str())]);
    let (ana, ben) = (server.client("ana", &[]), server.client("ben", &[]));
    let conversation = write_everywhere(&ana, &model).await;
    let bens = write_everywhere(&ben, &model).await;
    // A reply is running, and ana looks on, when she is erased.
    model.answer(&format!("wait {CANARY}"), vec![Script::Held(Arc::clone(&gate), vec![CANARY.to_owned()])]);
    ana.command("SendMessage", &json!({"conversationId": conversation, "content": format!("wait {CANARY}")})).await;
    let mut looking = LiveClient::connect(&ana, &[format!("/api/conversations/{conversation}")], None).await;
    looking.until("a running reply", |state| state.resets.is_empty() && !state.data.is_empty()).await;
    let others = answers(&ben, &bens).await;
    assert!(places(&server.data_dir(), CANARY).iter().any(|place| place.starts_with("generation-")));

    let erased = server.advisor(&["users", "erase", "ana", "--yes"]);

    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let answer: Value = serde_json::from_slice(&erased.stdout).unwrap();
    assert_eq!(answer["userId"], "ana");
    assert!(answer["erasedAt"].is_string() && answer["position"].as_u64() > Some(0), "{answer}");
    gate.open();
    // The test has stood still for so long that the server may have closed the connection before.
    let ben = Client { http: reqwest::Client::new(), ..ben };
    check_nothing_is_left(&server, &bens, &ben).await;
    assert_eq!(answers(&ben, &bens).await, others);

    // The same after a restart, and in read models that are made anew from the log.
    server.kill();
    for generation in files(&server.data_dir()).iter().filter(|file| name(file).starts_with("generation-")) {
        fs::remove_file(generation).unwrap();
    }
    server.start_again();
    let ben = ben.at(&server);
    ben.until_ready().await;
    assert_eq!(answers(&ben, &bens).await, others);
    check_nothing_is_left(&server, &bens, &ben).await;
    let again = server.advisor(&["users", "erase", "ana", "--yes"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again, answer, "it was done already");
    server.terminate();
    assert_eq!(places(&server.data_dir(), CANARY_OF_ANA), Vec::<String>::new());
}

#[tokio::test]
async fn only_who_runs_the_system_erases_people_and_nobody_is_erased_by_a_slip() {
    let server = Server::start();
    let ana = server.client("ana", &[]);
    ana.command("StartConversation", &json!({"title": "Mine"})).await;
    let nobody = Client { token: String::new(), ..ana.clone() };
    let analyst = server.client("analyst", &["--role", "analyst"]);
    for (client, status) in [(&nobody, 401), (&ana, 403), (&analyst, 403)] {
        let admin = Client { url: server.admin_url.clone(), ..client.clone() };
        assert_eq!(admin.ask(Method::DELETE, "/admin/users/ana", &[], None).await.status, status);
        assert_eq!(client.ask(Method::DELETE, "/admin/users/ana", &[], None).await.status, 404, "not in public");
    }
    let unconfirmed = server.advisor(&["users", "erase", "ana"]);
    assert_eq!(unconfirmed.status.code(), Some(2), "wrong usage");
    let unknown = server.advisor(&["users", "erase", "anna", "--yes"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("404"));
    assert_eq!(ana.get("/api/conversations").await[0]["title"], "Mine");

    let operator = server.client("op", &["--role", "operator"]);
    let admin = Client { url: server.admin_url.clone(), ..operator };
    let answer = admin.ask(Method::DELETE, "/admin/users/ana", &[], None).await;
    assert_eq!((answer.status, answer.body["userId"].as_str()), (200, Some("ana")), "{}", answer.text);
    let deleted = server.events("user-ana").pop().unwrap();
    assert_eq!((&deleted["type"], &deleted["metadata"]["actor"]["id"]), (&json!("user.deleted.v1"), &json!("op")));
}

#[tokio::test]
async fn an_erasure_that_the_server_died_in_is_carried_out_by_the_next_start() {
    for kill_after in [0, 20, 100, 400, 1_500].map(Duration::from_millis) {
        let mut server = Server::start_with(&[FILES]);
        let ana = server.client("ana", &[]);
        ana.command("StartConversation", &json!({"title": CANARY})).await;
        let mut erasing = server.begin(&["users", "erase", "ana", "--yes"]);
        tokio::time::sleep(kill_after).await;
        server.kill();
        erasing.wait().unwrap();
        server.start_again();
        ana.at(&server).until_ready().await;
        // The deletion may not have been written yet; what was written is carried out.
        let is_deleted = server.events("user-ana").iter().any(|event| event["type"] == "user.deleted.v1");
        if is_deleted {
            let gone = async {
                while !places(&server.data_dir(), CANARY).is_empty() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(PATIENCE, gone).await.expect("it is erased without being asked again");
        } else {
            assert_eq!(ana.at(&server).get("/api/conversations").await[0]["title"], CANARY);
        }
    }
}

/// What only ana wrote: ben's words hold the plain canary too.
const CANARY_OF_ANA: &str = "kanarie-58c1-ana";

/// Words in every place that takes some; gives the conversation.
async fn write_everywhere(client: &Client, model: &FaultyModel) -> String {
    let person = if client.get("/api/me").await["id"] == "ana" { "ana" } else { "ben" };
    let word = |place: &str| format!("{CANARY}-{person}-{place}");
    let document = json!({"persona": {"name": "Kim Reyes", "title": word("advisor"), "bio": word("bio")}});
    let advisor = client.command("CreateAdvisor", &document).await["result"]["advisorId"].clone();
    let start = json!({"title": word("title"), "advisorId": advisor});
    let conversation = client.command("StartConversation", &start).await["result"]["conversationId"].clone();
    let conversation = conversation.as_str().unwrap().to_owned();
    model.answer(&word("message"), vec![Script::Whole(vec![word("reply")])]);
    for number in 0..40 {
        // Of many sizes and many at a time, so that rows move in the files.
        let filling = "x".repeat(number * 97 % 2_000);
        let content = format!("{}-{filling}", word("filling"));
        let body = json!({"conversationId": conversation, "content": content, "contentJson": {"k": word("json")}, "advisorIds": []});
        client.command("SendMessage", &body).await;
    }
    let body = json!({"messages": [{"role": "user", "content": word("message")}], "conversationId": conversation});
    let (status, answer) = client.send(Method::POST, "/api/chat", Some(&body)).await;
    assert_eq!((status, &answer["message"]["content"]), (StatusCode::OK, &json!(word("reply"))), "{answer}");
    let messages = client.get(&format!("/api/conversations/{conversation}")).await;
    let first = &messages["messages"][0]["id"];
    client.command("EditMessage", &json!({"messageId": first, "content": word("edited")})).await;
    conversation
}

/// Everything that a person can ask about their own, as it comes.
pub(crate) async fn answers(client: &Client, conversation: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for path in [
        "/api/me",
        "/api/advisors",
        "/api/conversations",
        &format!("/api/conversations/{conversation}"),
        &format!("/api/conversations/{conversation}/messages?limit=100"),
    ] {
        let answer = client.ask(Method::GET, path, &[], None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answers.push(answer.text);
    }
    answers
}

/// In no file, no log line, no event that an operator opens.
async fn check_nothing_is_left(server: &Server, bens: &str, ben: &Client) {
    assert_eq!(places(&server.data_dir(), CANARY_OF_ANA), Vec::<String>::new());
    assert!(!server.log_text().contains(CANARY), "in the log");
    let opened = server.advisor(&["events", "tail", "--open"]);
    let opened = String::from_utf8(opened.stdout).unwrap();
    assert!(!opened.contains(CANARY_OF_ANA) && opened.contains("kanarie-58c1-ben"), "others' words do open");
    assert!(opened.contains(r#"{"erased":true}"#));
    let theirs = ben.get(&format!("/api/conversations/{bens}")).await;
    assert!(theirs.to_string().contains("kanarie-58c1-ben"), "who is not erased keeps everything");
}

/// The files of the data directory in which a word stands.
fn places(directory: &Path, word: &str) -> Vec<String> {
    let holds = |file: &std::path::PathBuf| {
        // A write-ahead log may go while one looks.
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    };
    files(directory).iter().filter(|file| holds(file)).map(|file| name(file)).collect()
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_str().unwrap().to_owned()
}
