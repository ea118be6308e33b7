//! Programs in JavaScript that talk to the server: a real browser, and libraries of others.
//! `ops/check` installs what they import, and says by variables where it is.

use crate::server::PATIENCE;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

/// A program of `peers` that goes on beside the test, and speaks with it by lines of JSON. It ends with this.
pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    said: Receiver<String>,
}

/// Begins a program of `peers`.
pub(crate) fn begin(program: &str, arguments: &[&str]) -> Peer {
    let mut child = command(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (sender, said) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line).ok())
    });
    Peer { child, stdin, said }
}

impl Peer {
    /// What it says next.
    pub(crate) fn hear(&self) -> Value {
        let line = self.said.recv_timeout(PATIENCE).expect("the peer says something");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }

    /// Tells it to go on.
    pub(crate) fn go_on(&mut self) {
        writeln!(self.stdin, "go on").unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a program of `peers` to its end; its stdout is JSON.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Value {
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
    command.arg(peer_script(program));
    command
}

/// Where a program of `peers` lies.
pub(crate) fn peer_script(program: &str) -> String {
    format!("{}/peers/{program}", env!("CARGO_MANIFEST_DIR"))
}
