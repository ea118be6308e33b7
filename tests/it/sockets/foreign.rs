//! A client on the npm package `ws`, as a process of its own. `ops/check` installs the package.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// The running client; it ends with this.
pub(super) struct ForeignClient {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What the client tells of its connection.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Open,
    Refused(u64),
    Message(Value),
    Closed(u64),
}

impl ForeignClient {
    /// Connects to the server at this URL, from a page of this origin.
    #[expect(clippy::disallowed_methods, reason = "The check script says by a variable where the packages are.")]
    pub(super) fn connect(url: &str, origin: Option<&str>) -> Self {
        let peers = std::env::var("ADVISOR_TEST_NODE_PEERS")
            .expect("ADVISOR_TEST_NODE_PEERS names a directory with node_modules; ops/check makes it");
        let mut child = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/socket_client.mjs"))
            .arg(format!("{}/api/live", url.replace("http://", "ws://")))
            .args(origin)
            .env("ADVISOR_TEST_NODE_PEERS", peers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    pub(super) fn say(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }

    /// What happens next, pings left out.
    pub(super) fn hear(&mut self) -> Heard {
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            let mut told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
            if told.get("ping").is_some() {
                continue;
            }
            return match (&told["open"], &told["refused"], &told["close"]) {
                // No extension is agreed on.
                (Value::String(extensions), ..) if extensions.is_empty() => Heard::Open,
                (_, Value::Number(status), _) => Heard::Refused(status.as_u64().unwrap()),
                (_, _, Value::Number(code)) => Heard::Closed(code.as_u64().unwrap()),
                _ if told["isBinary"] == false => Heard::Message(told["message"].take()),
                _ => panic!("{told}"),
            };
        }
    }

    /// The next message.
    pub(super) fn message(&mut self) -> Value {
        match self.hear() {
            Heard::Message(message) => message,
            other @ (Heard::Open | Heard::Refused(_) | Heard::Closed(_)) => panic!("{other:?}"),
        }
    }
}

impl Drop for ForeignClient {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
