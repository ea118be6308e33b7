//! System calls that fail or take their time: strace stands between a process and the kernel.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A running injection; it ends with this, and the process goes on as if nothing had been.
pub(super) struct Strace(Child);

impl Strace {
    /// Attaches to a process with all its threads. `rules` are strace's own: `fdatasync:error=EIO:when=3+20`.
    pub(super) fn attach(pid: u32, rules: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "signal=none", "-o", "/dev/null", "-p", &pid.to_string()]);
        for rule in rules {
            command.args(["-e", &format!("inject={rule}")]);
        }
        let calls: Vec<&str> = rules.iter().map(|rule| rule.split(':').next().unwrap()).collect();
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "strace says {line:?}");
        // It goes on telling of threads: somebody has to listen, or it would stand still.
        std::thread::spawn(move || said.lines().for_each(drop));
        Self(child)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Told to end it lets the process go first.
        drop(Command::new("kill").args(["-INT", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}
