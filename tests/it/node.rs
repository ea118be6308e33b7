//! Programs in JavaScript that talk to the server: a real browser, and libraries of others.
//! `ops/check` installs what they import, and says by variables where it is.

use std::process::{Command, Output};

/// Runs a program of `peers` to its end; its stdout is JSON.
pub(crate) fn run(program: &str, arguments: &[&str]) -> serde_json::Value {
    let Output { status, stdout, stderr } = command(program).args(arguments).output().unwrap();
    assert!(status.success(), "{program}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap_or_else(|_| panic!("{program}: {}", String::from_utf8_lossy(&stdout)))
}

/// A program of `peers`, not yet started.
pub(crate) fn command(program: &str) -> Command {
    for name in ["ADVISOR_TEST_NODE_PEERS", "ADVISOR_TEST_CHROMIUM"] {
        assert!(std::env::var_os(name).is_some(), "{name} says where the peers are; ops/check installs them");
    }
    let mut command = Command::new("node");
    command.arg(format!("{}/peers/{program}", env!("CARGO_MANIFEST_DIR")));
    command
}
