//! The commands of operators, each as its own process.

use crate::server::{PATIENCE, Server, advisor};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    process::Output,
    time::Duration,
};

#[test]
fn a_token_stands_alone_on_stdout_before_and_after_the_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let output = advisor(directory.path(), &[], &["token", "--user", "user_1"]);
    assert!(output.status.success());
    let token = stdout(&output);
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
    assert_eq!(token.lines().count(), 1);
    assert!(output.stderr.is_empty());
}

#[test]
fn a_wrong_user_id_or_time_to_live_is_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["token", "--user", "a b"][..], 1),
        (&["token", "--user", ""], 1),
        (&["token", "--user", "x", "--ttl", "2d"], 2),
        (&["token", "--user", "x", "--role", "king"], 2),
        (&["token"], 2),
        (&["dance"], 2),
    ] {
        let output = advisor(directory.path(), &[], arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_template_and_the_tables_of_the_documentation_are_what_the_program_prints() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, file) in [
        (&["config", "template"][..], "ops/advisor.toml"),
        (&["config", "template", "--markdown"], "docs/configuration.md"),
        (&["config", "limits"], "docs/limits.md"),
        (&["errors"], "docs/errors.md"),
    ] {
        let printed = stdout(&advisor(directory.path(), &[], arguments));
        let kept = std::fs::read_to_string(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert_eq!(printed, kept, "`advisor {} > {file}` brings it up to date", arguments.join(" "));
    }
}

#[test]
fn the_file_in_ops_checks_as_sound() {
    let directory = tempfile::tempdir().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/advisor.toml");
    let checked = advisor(directory.path(), &[], &["config", "check", "--config", file]);
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn the_configuration_is_shown_with_origins_and_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("OPENROUTER_API_KEY", "geheim"), ("ADVISOR_LISTEN", "127.0.0.1:9")].map(own);
    let shown = stdout(&advisor(directory.path(), &variables, &["config", "show", "--origin"]));
    assert!(shown.contains("listen = \"127.0.0.1:9\"  # environment ADVISOR_LISTEN"), "{shown}");
    assert!(shown.contains("openrouter_api_key = \"********\"  # environment OPENROUTER_API_KEY"), "{shown}");
    assert!(!shown.contains("geheim"));
}

#[test]
fn an_unknown_variable_stops_the_server_before_it_begins() {
    let directory = tempfile::tempdir().unwrap();
    let output = advisor(directory.path(), &[own(("ADVISOR_LISEN", "127.0.0.1:0"))], &["serve"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ADVISOR_LISEN"), "{}", stderr(&output));
}

#[test]
fn events_of_no_server_are_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let output = advisor(directory.path(), &[], &["events", "tail"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("advisor serve"), "{}", stderr(&output));
}

#[tokio::test]
async fn events_are_shown_sealed_and_opened_only_when_asked_for() {
    let server = Server::start();
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({"title": "A canary sings"})).await;
    let stream = started["stream"].as_str().unwrap();

    let events = server.events(stream);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "conversation.started.v1");
    assert_eq!(events[0]["stream"], stream);
    assert_eq!(events[0]["revision"], 0);
    assert_eq!(events[0]["position"], started["position"]);
    assert_eq!(events[0]["metadata"]["commandId"], started["commandId"]);
    assert!(events[0]["data"]["title"]["sealed"].is_string());
    assert!(!events[0].to_string().contains("canary"));

    let opened = stdout(&server.advisor(&["events", "show", stream, "--open"]));
    assert!(opened.contains("A canary sings"), "{opened}");
    let log = std::fs::read_to_string(server.data_dir().join("../stderr.log")).unwrap();
    assert!(log.contains("opened sealed fields"), "whoever opens is logged");
    assert!(!log.contains("canary"));
}

#[tokio::test]
async fn the_tail_of_the_log_begins_after_a_position() {
    let server = Server::start();
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({})).await;
    let all = lines(&stdout(&server.advisor(&["events", "tail"])));
    assert_eq!(all[0]["type"], "log.opened.v1");
    let positions: Vec<u64> = all.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert!(positions.is_sorted_by(|a, b| a < b) && positions[0] >= 1, "{positions:?}");

    let after = started["position"].to_string();
    assert!(stdout(&server.advisor(&["events", "tail", "--after", &after])).is_empty());
}

#[tokio::test]
async fn whoever_follows_the_log_sees_what_is_appended_and_ends_with_the_server() {
    let mut server = Server::start();
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({})).await;
    let after = started["position"].to_string();
    let mut tail = server.begin(&["events", "tail", "--follow", "--after", &after]);
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();

    let conversation = &started["result"]["conversationId"];
    for title in ["One", "Two"] {
        let body = json!({"conversationId": conversation, "title": title});
        let renamed = user.command("RenameConversation", &body).await;
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["position"], renamed["position"]);
        assert_eq!(event["type"], "conversation.renamed.v1");
    }

    server.terminate();
    assert!(lines.next().is_none());
    assert!(tail.wait().unwrap().success());
}

#[test]
fn a_second_server_on_the_same_data_ends_with_a_sentence_and_the_first_goes_on() {
    let server = Server::start();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let second = server.advisor(&arguments);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("in use"), "{}", stderr(&second));
    assert!(server.advisor(&["events", "tail"]).status.success());
}

#[tokio::test]
async fn a_server_is_ready_and_ends_with_0_soon_after_sigterm() {
    // Its files are looked at afterwards.
    let mut server = Server::start_with(&[
        ("ADVISOR_EVENT_LOG_URL", "sqlite:data/log.db"),
        ("ADVISOR_READ_MODEL_URL", "sqlite:data"),
    ]);
    let http = reqwest::Client::new();
    for base in [&server.url, &server.admin_url] {
        for (path, status) in [("/livez", 200), ("/readyz", 200), ("/version", 200)] {
            assert_eq!(http.get(format!("{base}{path}")).send().await.unwrap().status(), status, "{path}");
        }
    }
    let checks: Value = http.get(format!("{}/readyz?verbose", server.url)).send().await.unwrap().json().await.unwrap();
    assert!(checks["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{checks}");
    assert_eq!(http.get(format!("{}/metrics", server.url)).send().await.unwrap().status(), 404);
    assert_eq!(http.get(format!("{}/metrics", server.admin_url)).send().await.unwrap().status(), 200);

    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10).min(PATIENCE), "{took:?}");
    let files: Vec<_> = std::fs::read_dir(server.data_dir()).unwrap().map(|file| file.unwrap().file_name()).collect();
    let open = |name: &std::ffi::OsString| name.to_string_lossy().ends_with("-wal");
    assert!(files.len() > 4 && !files.iter().any(open), "every file is closed: {files:?}");
}

#[tokio::test]
async fn what_the_read_models_have_consumed_is_compared_with_the_log() {
    let mut server = Server::start_with(&[("ADVISOR_EVENT_LOG_URL", "sqlite:data/log.db")]);
    let user = server.client("ana", &[]);
    let renamed = |title: usize| json!({"title": title.to_string()});
    for title in 0..3 {
        user.command("StartConversation", &renamed(title)).await;
    }
    let found: Value = serde_json::from_str(&stdout(&server.advisor(&["verify"]))).unwrap();
    let events = lines(&stdout(&server.advisor(&["events", "tail"])));
    assert_eq!(found["difference"], Value::Null, "{found}");
    assert_eq!(found["consumed"], found["logged"]);
    assert_eq!(found["consumed"]["events"], events.len());
    assert_eq!(found["position"], events.last().unwrap()["position"]);

    assert_eq!(found["rows"]["differences"], json!([]), "{found}");
    assert!(found["rows"]["count"].as_u64() > Some(7), "four advisors, a person, three conversations: {found}");
    let quick: Value = serde_json::from_str(&stdout(&server.advisor(&["verify", "--quick"]))).unwrap();
    assert_eq!((&quick["consumed"], &quick["rows"]), (&found["consumed"], &Value::Null));

    // Somebody takes an event out of the log, below the programs that guard it.
    server.terminate();
    let lost = events[events.len() - 2]["position"].as_u64().unwrap();
    remove_event(&server.data_dir(), lost);
    server.start_again();
    check_that_a_difference_is_told_before_the_rows(&server);
    let output = server.advisor(&["verify"]);
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("differ from the log"), "{}", stderr(&output));
    assert_eq!(found["consumed"]["events"].as_u64().unwrap(), found["logged"]["events"].as_u64().unwrap() + 1);
    let key = format!("conversation-{}", events[events.len() - 2]["data"]["conversationId"].as_str().unwrap());
    let rows = ["conversations", "owners"].map(|table| json!({"table": table, "key": key}));
    assert_eq!(found["rows"]["differences"], json!(rows));
}

/// It is told even where the rows can't be compared at all.
fn check_that_a_difference_is_told_before_the_rows(server: &Server) {
    let in_the_way = server.data_dir().join("scratch-copy.db");
    std::fs::create_dir(&in_the_way).unwrap();
    let output = server.advisor(&["verify"]);
    std::fs::remove_dir(in_the_way).unwrap();
    let said = stderr(&output);
    assert!(said.starts_with("the read models differ from the log at position "), "{said}");
    assert!(said.contains("the server answers 503") && output.stdout.is_empty(), "{said}");
}

/// With Python's SQLite, since nobody else has the file open.
fn remove_event(data_dir: &std::path::Path, position: u64) {
    let program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                   db.execute('delete from events where position = ?', (int(sys.argv[2]),)); db.commit()";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", program]).arg(data_dir.join("log.db")).arg(position.to_string());
    assert!(python.status().unwrap().success());
}

#[test]
fn the_description_and_the_version_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let document: Value = serde_json::from_str(&stdout(&advisor(directory.path(), &[], &["openapi"]))).unwrap();
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    assert!(document["paths"]["/api/conversations"].is_object());
    assert!(stdout(&advisor(directory.path(), &[], &["version"])).starts_with("advisor "));
}

#[test]
fn the_help_begins_with_what_the_program_is() {
    let directory = tempfile::tempdir().unwrap();
    let help = stdout(&advisor(directory.path(), &[], &["--help"]));
    assert_eq!(help.lines().next(), Some("The backend of AI Advisor Chat"));
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
