//! Read models that are made anew have consumed every event of the log, each once and in order.

use crate::{build::Build, server::Server};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Where the planted faults strike.
const PLACE: &str = "40";

#[tokio::test(flavor = "multi_thread")]
async fn read_models_that_are_made_anew_have_consumed_the_whole_log() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let mut server = Server::start_build(&build, &[("PROOF_POSITION", PLACE)]);
    let user = server.client("user_1", &[]);
    for _ in 0..60 {
        user.command("StartConversation", &json!({})).await;
    }
    tokio::task::block_in_place(|| {
        server.terminate();
        remove_read_models(&server.data_dir());
        server.start_again();
    });
    // It answers when the read side has come so far.
    user.at(&server).command("StartConversation", &json!({})).await;
    let output = server.advisor(&["verify"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let difference = &found["difference"];
    let [kind, position] = ["kind", "position"].map(|field| difference[field].to_string().replace('"', ""));
    if !difference.is_null() {
        let said = String::from_utf8_lossy(&output.stderr);
        let at_once = format!("the read models differ from the log at position {position} ({kind}); ");
        assert!(said.starts_with(&at_once), "it is not said at once: {said}");
    }
    assert!(output.status.success(), "kind: {kind}, at the position {position}");
    assert!(found["consumed"]["events"].as_u64() > Some(60), "{found}");
}

/// What can be made again from the log.
pub(super) fn remove_read_models(data_dir: &Path) {
    for entry in fs::read_dir(data_dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("generation-") {
            fs::remove_file(path).unwrap();
        }
    }
}
