//! What the README says of the scaled set-up: one command starts it, its processes work as one, an order ends it.

use crate::{build::Build, live_client::LiveClient, markdown::fenced, server::Client};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_starts_processes_that_work_as_one_and_an_order_ends_them() {
    let directory = tempfile::tempdir().unwrap();
    // PostgreSQL is somebody else's process, where the tests are root's.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut script = start(directory.path());

    let said = printed(&mut script, promised().len());
    for line in promised() {
        let line = line.replace("/var/tmp/advisor-scaled", &directory.path().to_string_lossy());
        assert!(said.iter().any(|said| without_ports(said) == without_ports(&line)), "{line} is not in {said:#?}");
    }
    let token = Command::new(Build::usual().program)
        .args(["token", "--user", "user_1", "--data-dir"])
        .arg(directory.path().join("api-1"))
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let client = |name: &str| {
        let listens = format!("{name}: listening on ");
        let url = said.iter().find_map(|line| line.strip_prefix(&listens)).expect("an address").to_owned();
        Client { http: reqwest::Client::new(), url, token: token.clone() }
    };
    let (one, two) = (client("api-1"), client("api-2"));

    let started = one.command("StartConversation", &json!({})).await;
    let conversation = started["result"]["conversationId"].as_str().unwrap().to_owned();
    let query = format!("/api/conversations/{conversation}");
    let mut device = LiveClient::connect(&one, std::slice::from_ref(&query), None).await;
    let asked = json!({"conversationId": conversation, "content": "@Nadia what is next?"});
    let sent = two.command("SendMessage", &asked).await;
    let reply = sent["result"]["replies"][0]["replyId"].as_str().unwrap().to_owned();
    device
        .until("the whole reply", |device| {
            let messages = device.data.get(&query).and_then(|shown| shown["messages"].as_array());
            messages.is_some_and(|messages| messages.iter().any(|message| message["id"] == reply.as_str()))
        })
        .await;
    assert_eq!(two.get(&query).await["messages"].as_array().map(Vec::len), Some(2));

    let told = Command::new("kill").args(["-TERM", &script.id().to_string()]).status().unwrap();
    assert!(told.success());
    let ended = tokio::task::spawn_blocking(move || script.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended:?}");
    let left = Command::new("pgrep").args(["-f", &directory.path().to_string_lossy()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "processes that have not ended");
}

/// What the README says that it prints.
fn promised() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = fenced(&readme);
    let command = blocks.iter().position(|block| block.text == "ops/scaled").expect("the README names the command");
    blocks[command + 1].text.lines().map(str::to_owned).collect()
}

fn start(directory: &Path) -> Child {
    Command::new(root().join("ops/scaled"))
        .arg(directory)
        .env("ADVISOR_TEST_BINARY", Build::usual().program)
        .env("ADVISOR_TEST_FREE_PORTS", "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn printed(script: &mut Child, lines: usize) -> Vec<String> {
    let stdout = BufReader::new(script.stdout.take().unwrap());
    stdout.lines().take(lines).map(Result::unwrap).collect()
}

/// A port is made of digits after a colon.
fn without_ports(line: &str) -> String {
    let mut parts = line.split(':');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| format!("{line}:{}", part.trim_start_matches(|c: char| c.is_ascii_digit())))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
