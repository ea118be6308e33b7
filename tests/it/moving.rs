//! From one process with its files to PostgreSQL: people find everything as it was, and what was taken away stays so.

use crate::{
    clerk::{SECRET, is_signed_out_soon, session_event, session_of, status, tell},
    database::Database,
    erasure::answers,
    server::{Client, PATIENCE, Server},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Executor, Row};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Output, Stdio},
    time::Duration,
};

/// Where everything lies by itself, named so that it does whatever the tests run on.
const FILES: &[(&str, &str)] =
    &[("ADVISOR_EVENT_LOG_URL", "sqlite:data/log.db"), ("ADVISOR_READ_MODEL_URL", "sqlite:data")];

#[tokio::test]
async fn a_server_that_moves_to_postgresql_answers_as_before_and_gives_nothing_back() {
    let variables = [("CLERK_WEBHOOK_SECRET", SECRET), ("ADVISOR_DEMO_DELAY_MS", "0")];
    let mut server = Server::start_with(&[FILES, &variables].concat());
    let (ana, ben, eve) = (server.client("ana", &[]), server.client("ben", &[]), server.client("eve", &[]));
    let (anas, bens) = (talk(&ana).await, talk(&ben).await);
    talk(&eve).await;
    let lost_phone = server.client("ana", &[]);
    assert_eq!(tell(&server, "m1", &session_event("session.revoked", &session_of(&lost_phone), "ana")).await, 200);
    is_signed_out_soon(&lost_phone).await;
    assert!(server.advisor(&["users", "erase", "eve", "--yes"]).status.success());
    let (ana, ben) = (afresh(&ana), afresh(&ben));
    let before = (answers(&ana, &anas).await, answers(&ben, &bens).await);
    let renamed = rename(&ben, &bens).await;
    let bens_before = answers(&ben, &bens).await;
    assert_ne!(before.1, bens_before);
    assert_eq!(server.terminate().0, Some(0));

    let database = Database::make();
    let url = prepared(&server, &database).await;
    copy_is_cut_off(&mut server, &database, &url).await;
    let copied = copy(&server, &url).output().unwrap();
    assert!(copied.status.success(), "{}", stderr(&copied));
    let told = String::from_utf8_lossy(&copied.stdout);
    assert!(told.contains("0 persons' keys were copied, 3 had been before, 1 of both are destroyed"), "{told}");
    assert!(told.contains("the copy is whole"), "{told}");
    let destroyed = "SELECT person, wrapped IS NULL FROM advisor_keys.keys ORDER BY person";
    let destroyed = database.connect().await.fetch_all(destroyed).await.unwrap();
    let destroyed: Vec<(String, bool)> = destroyed.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(destroyed, [("ana".to_owned(), false), ("ben".to_owned(), false), ("eve".to_owned(), true)]);

    // Nothing of the files but what the machine is known by.
    for file in fs::read_dir(server.data_dir()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.to_str().unwrap().contains(".db") {
            fs::remove_file(file).unwrap();
        }
    }
    server.start_again();
    let (ana, ben, eve) = (ana.at(&server), ben.at(&server), eve.at(&server));
    ana.until_ready().await;
    assert_eq!(answers(&ana, &anas).await, before.0);
    assert_eq!(answers(&ben, &bens).await, bens_before);
    assert_eq!(rename(&ben, &bens).await, renamed, "the same key is answered from what was written before");
    assert_eq!(status(&lost_phone.at(&server)).await, 401);
    assert_eq!(status(&eve).await, 401);
    let erased = server.advisor(&["users", "erase", "eve", "--yes"]);
    assert!(erased.status.success(), "{}", stderr(&erased));
    let opened = server.advisor(&["events", "tail", "--open"]);
    let opened = String::from_utf8(opened.stdout).unwrap();
    assert!(!opened.contains("words of eve") && opened.contains(r#"{"erased":true}"#));
    assert!(opened.contains("words of ana") && opened.contains("words of ben"), "others' do open");
    let verified = server.advisor(&["verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let (ana, ben) = (afresh(&ana), afresh(&ben));
    talk(&ana).await;
    let after = (answers(&ana, &anas).await, answers(&ben, &bens).await);
    assert_eq!(server.terminate().0, Some(0));

    // And back again.
    let back = ["log", "copy", "--from", &url, "--to", "sqlite:data/log.db"];
    let beside = ["--read-models-from", &url, "--read-models-to", "sqlite:data"];
    let back = server.advisor(&[&back[..], &beside].concat());
    assert!(back.status.success(), "{}", stderr(&back));
    server.set("ADVISOR_EVENT_LOG_URL", None);
    server.set("ADVISOR_READ_MODEL_URL", Some("sqlite:data"));
    server.start_again();
    let (ana, ben, eve) = (ana.at(&server), ben.at(&server), eve.at(&server));
    ana.until_ready().await;
    assert_eq!((answers(&ana, &anas).await, answers(&ben, &bens).await), after);
    assert_eq!((status(&lost_phone.at(&server)).await, status(&eve).await), (401, 401));
}

#[tokio::test]
async fn a_log_that_moved_without_its_keys_is_not_served() {
    let mut server = Server::start_with(FILES);
    let ana = server.client("ana", &[]);
    let conversation = talk(&ana).await;
    let before = answers(&ana, &conversation).await;
    let database = Database::make();
    let running = copy(&server, &database.url).output().unwrap();
    assert!(!running.status.success() && stderr(&running).contains("in use"), "{}", stderr(&running));
    server.terminate();

    let copied = server.advisor(&["log", "copy", "--from", "sqlite:data/log.db", "--to", &database.url]);

    assert!(copied.status.success(), "{}", stderr(&copied));
    assert!(String::from_utf8_lossy(&copied.stdout).contains("remove generation-*.db"), "it says what is left");
    move_to(&mut server, &database.url);
    assert!(!server.start_again_or_die());
    server.wait_for_end();
    assert!(server.log_text().contains("the file of their keys is new"), "{}", server.log_text());
    let rest = copy(&server, &database.url).output().unwrap();
    assert!(rest.status.success(), "{}", stderr(&rest));
    server.start_again();
    let ana = ana.at(&server);
    ana.until_ready().await;
    assert_eq!(answers(&ana, &conversation).await, before);
}

/// The same person on another connection: the test has stood still for so long that the server may have closed the one
/// before.
fn afresh(client: &Client) -> Client {
    Client { http: reqwest::Client::new(), ..client.clone() }
}

/// A conversation with a whole reply; gives its id.
async fn talk(client: &Client) -> String {
    let me = client.get("/api/me").await;
    let words = format!("words of {}", me["id"].as_str().or(me["userId"].as_str()).unwrap());
    let started = client.command("StartConversation", &json!({"title": words})).await;
    let conversation = started["result"]["conversationId"].as_str().unwrap().to_owned();
    let body = json!({"conversationId": conversation, "content": format!("@Nadia {words}")});
    let reply = client.command("SendMessage", &body).await["result"]["replies"][0]["replyId"].clone();
    let whole = async {
        loop {
            let shown = client.get(&format!("/api/conversations/{conversation}")).await;
            if shown["messages"].as_array().unwrap().iter().any(|message| message["id"] == reply) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, whole).await.expect("a whole reply");
    conversation
}

/// Renames a conversation, always by the same key; gives the answer but its position.
async fn rename(client: &Client, conversation: &str) -> Value {
    let body = json!({"conversationId": conversation, "title": "Another title"});
    let headers = [("idempotency-key", "rename-once")];
    let mut answer = client.ask(Method::POST, "/api/commands/RenameConversation", &headers, Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body.as_object_mut().unwrap().remove("position").expect("a position");
    answer.body
}

/// Lets a user who may make schemas make them, and gives them to one who may not: whom the server is.
async fn prepared(server: &Server, database: &Database) -> String {
    let deployer = database.url_for("deployer", "GRANT CREATE ON DATABASE DATABASE_NAME TO USER");
    let url = database.url_for("server", "GRANT CONNECT ON DATABASE DATABASE_NAME TO USER");
    for made in ["was made", "is up to date"] {
        let variables = [("ADVISOR_EVENT_LOG_URL", &deployer), ("ADVISOR_READ_MODEL_URL", &deployer)];
        let migrated = server.command(&["migrate"]).envs(variables).output().unwrap();
        assert!(migrated.status.success(), "{}", stderr(&migrated));
        let told = String::from_utf8_lossy(&migrated.stdout);
        assert!(told.contains(made) && told.contains("advisor_generation_1, advisor_side and advisor_keys"), "{told}");
    }
    let user = |url: &str| url.trim_start_matches("postgres://").split('@').next().unwrap().to_owned();
    let reassign = format!("REASSIGN OWNED BY {} TO {}", user(&deployer), user(&url));
    database.connect().await.execute(sqlx::AssertSqlSafe(reassign)).await.unwrap();
    url
}

fn move_to(server: &mut Server, url: &str) {
    server.set("ADVISOR_EVENT_LOG_URL", Some(url));
    server.set("ADVISOR_READ_MODEL_URL", Some(url));
}

fn copy(server: &Server, url: &str) -> std::process::Command {
    let from = ["log", "copy", "--from", "sqlite:data/log.db", "--read-models-from", "sqlite:data"];
    server.command(&[&from[..], &["--to", url, "--read-models-to", url]].concat())
}

/// A copy that dies when the keys are there and the events are not: no server takes that, nor makes a log of its own.
async fn copy_is_cut_off(server: &mut Server, database: &Database, url: &str) {
    let mut holder = database.connect().await;
    holder.execute("BEGIN; LOCK TABLE advisor_log.event IN SHARE MODE").await.unwrap();
    let mut copying = copy(server, url).stdout(Stdio::piped()).spawn().unwrap();
    let mut keys = String::new();
    BufReader::new(copying.stdout.take().unwrap()).read_line(&mut keys).unwrap();
    copying.kill().unwrap();
    copying.wait().unwrap();
    holder.execute("ROLLBACK").await.unwrap();
    assert!(keys.starts_with("3 persons' keys were copied, 0 had been before, 1 of both are destroyed"), "{keys}");
    assert!(keys.ends_with("2 revocations, 0 drafts\n"), "a session and an erased person: {keys}");
    move_to(server, url);
    assert!(!server.start_again_or_die());
    server.wait_for_end();
    let log = server.log_text();
    assert!(log.contains("is not finished: call `advisor log copy` again"), "{log}");
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
