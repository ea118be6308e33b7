//! Files that do not belong together, or are not whole: a start refuses them, or finds a log that once was.

use super::consumption::remove_read_models;
use crate::{
    build::Build,
    server::{PATIENCE, Server},
};
use serde_json::json;
use std::{fs, io::Read, path::Path, process::Stdio, time::Instant};

#[tokio::test(flavor = "multi_thread")]
async fn an_older_log_under_newer_read_models_is_refused_and_new_ones_are_made_of_it() {
    older_log(Build::usual()).await;
}

pub(super) async fn older_log(build: Build) {
    let mut server = Server::start_build(&build, &[]);
    let user = server.client("user_1", &[]);
    let before = user.command("StartConversation", &json!({"title": "Before"})).await;
    tokio::task::block_in_place(|| server.terminate());
    let kept = tempfile::tempdir().unwrap();
    copy_log(&server.data_dir(), kept.path());
    tokio::task::block_in_place(|| server.start_again());
    let user = user.at(&server);
    user.command("StartConversation", &json!({"title": "After"})).await;
    tokio::task::block_in_place(|| server.terminate());
    copy_log(kept.path(), &server.data_dir());

    let said = tokio::task::block_in_place(|| refused_start(&server));
    assert!(said.contains("ahead of the event log"), "an older log is taken: {said}");

    // What can be made again is made again.
    remove_read_models(&server.data_dir());
    tokio::task::block_in_place(|| server.start_again());
    let user = user.at(&server);
    // They are filled beside the first answers.
    let list = user.get(&format!("/api/conversations?min_position={}", before["position"])).await;
    let titles: Vec<&str> = list.as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_short_is_refused_or_begins_as_it_did() {
    let mut server = Server::start();
    let user = server.client("user_1", &[]);
    for number in 0..200 {
        user.command("StartConversation", &json!({"title": format!("{number}")})).await;
    }
    tokio::task::block_in_place(|| server.terminate());
    let log = server.data_dir().join("log.db");
    let whole = fs::read(&log).unwrap();
    for tenth in 1..10 {
        fs::write(&log, &whole[..whole.len() * tenth / 10]).unwrap();
        let said = tokio::task::block_in_place(|| refused_start(&server));
        assert!(!said.is_empty(), "cut to {tenth} tenths it is taken");
    }
    fs::write(&log, &whole).unwrap();
    tokio::task::block_in_place(|| server.start_again());
    assert_eq!(user.at(&server).get("/api/conversations").await.as_array().unwrap().len(), 50);
}

/// Starts a server that must not run; gives the sentence that it ends with.
fn refused_start(server: &Server) -> String {
    let mut serve = server.command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let mut child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE / 4 {
            drop(child.kill());
            drop(child.wait());
            return String::new();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!status.success(), "{said}");
    said
}

fn copy_log(from: &Path, to: &Path) {
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        drop(fs::remove_file(to.join(name)));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}
