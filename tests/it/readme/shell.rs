//! One bash in a directory of its own, as a checkout after its build, that runs block after block.

use crate::{build::Build, server::PATIENCE};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};
use tempfile::TempDir;

/// Where the README's server listens.
const DOCUMENTED: [&str; 2] = ["127.0.0.1:8080", "127.0.0.1:8081"];
/// How the README starts it, and how it is started here.
const START: (&str, &str) =
    ("cargo run --release -- serve", "target/release/advisor serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0");
/// Stands alone in a line after each block, with the block's status.
const END: &str = "-- end of the block: ";

/// The shell; what it began ends with it.
pub(super) struct Shell {
    directory: TempDir,
    bash: Child,
    commands: ChildStdin,
    printed: Receiver<String>,
    /// Where the server really listens, once it does.
    addresses: Vec<String>,
    blocks: usize,
}

/// A block that goes on beside the others. It ends with this.
pub(super) struct Background {
    group: String,
    lines: Receiver<String>,
    /// What has come and was not taken in yet.
    printed: Vec<String>,
    is_server: bool,
}

impl Shell {
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("target/release")).unwrap();
        symlink(Build::usual().program, directory.path().join("target/release/advisor")).unwrap();
        let mut bash = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(directory.path())
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/nonexistent"), ("LC_ALL", "C.UTF-8")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(directory.path().join("stderr.txt")).unwrap())
            .spawn()
            .unwrap();
        let (commands, printed) = (bash.stdin.take().unwrap(), lines(bash.stdout.take().unwrap()));
        let mut shell = Self { directory, bash, commands, printed, addresses: vec![], blocks: 0 };
        // Each block in the background gets a process group, by which it is stopped.
        shell.execute("set -m");
        shell
    }

    /// Keeps a file where the blocks run.
    pub(super) fn keep(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// Runs a block to its end, and gives what it printed, or why it failed.
    pub(super) fn run(&mut self, block: &str) -> Result<String, String> {
        let file = self.write(block);
        let (printed, status) = self.execute(&format!(". ./{file}"));
        let printed = self.documented(&printed);
        if status == "0" { Ok(printed) } else { Err(format!("status {status}\n{printed}\n{}", self.complaints())) }
    }

    /// Begins a block that goes on.
    pub(super) fn begin(&mut self, block: &str) -> Background {
        let file = self.write(&block.replace(START.0, START.1));
        let pipe = format!("{file}.out");
        let (group, _) = self.execute(&format!("mkfifo {pipe}; ( . ./{file} ) > {pipe} 2>> stderr.txt & echo $!"));
        let lines = lines(fs::File::open(self.directory.path().join(pipe)).unwrap());
        let group = group.trim().to_owned();
        Background { group, lines, printed: Vec::new(), is_server: block.contains(START.0) }
    }

    /// Waits until the output in the background has come on as it is wanted, and takes in those lines. What was
    /// printed and is not what is wanted is the error.
    pub(super) fn follow(
        &mut self,
        running: &mut Background,
        wanted: impl Fn(&str) -> Result<usize, String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if running.is_server {
                self.addresses = addresses(&running.printed);
            }
            let printed = self.documented(&running.printed.join("\n"));
            if let Ok(lines) = wanted(&printed) {
                running.printed.drain(..lines);
                return Ok(());
            }
            match running.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => running.printed.push(line),
                Err(_) => return Err(printed),
            }
        }
    }

    fn write(&mut self, block: &str) -> String {
        self.blocks += 1;
        let file = format!("block-{}.sh", self.blocks);
        let real = self.pairs().fold(block.to_owned(), |text, (there, here)| text.replace(there, here));
        fs::write(self.directory.path().join(&file), real).unwrap();
        file
    }

    fn documented(&self, text: &str) -> String {
        self.pairs().fold(text.to_owned(), |text, (there, here)| text.replace(here, there))
    }

    fn pairs(&self) -> impl Iterator<Item = (&'static str, &String)> {
        DOCUMENTED.into_iter().zip(&self.addresses)
    }

    /// What it printed, and its status.
    fn execute(&mut self, command: &str) -> (String, String) {
        writeln!(self.commands, "{command} </dev/null; printf '\\n{END}%s\\n' $?").unwrap();
        let mut printed = String::new();
        loop {
            let line =
                self.printed.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{command}: {}", self.complaints()));
            if let Some(status) = line.strip_prefix(END) {
                return (printed, status.to_owned());
            }
            printed += &(line + "\n");
        }
    }

    pub(super) fn complaints(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr.txt")).unwrap()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.bash.kill());
        drop(self.bash.wait());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing of it is left.
        drop(Command::new("kill").args(["-KILL", "--", &format!("-{}", self.group)]).stderr(Stdio::null()).status());
    }
}

/// The lines of a pipe as they come, without their ends.
fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Where a server says that it listens.
fn addresses(printed: &[String]) -> Vec<String> {
    let addresses =
        printed.iter().filter_map(|line| line.strip_prefix("listening on ").or(line.strip_prefix("admin on ")));
    addresses.map(|url| url.trim_start_matches("http://").to_owned()).collect()
}
