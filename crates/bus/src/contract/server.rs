//! A real NATS server for tests, which can be killed and started again at the same place.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

/// The login that the server asks for.
pub const LOGIN: &str = "advisor:a-pass%20word";

/// A server of its own on loopback. It ends with this.
pub struct NatsServer {
    port: u16,
    configuration: TempDir,
    running: Option<Child>,
}

impl NatsServer {
    /// A server that asks for [`LOGIN`], running.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more in its configuration, which may have another `authorization`.
    pub fn start_with(more: &str) -> Self {
        let mut server = Self::prepare(more);
        server.run();
        server
    }

    /// The same, not running yet.
    pub fn prepare(more: &str) -> Self {
        let port = free_port();
        let configuration = tempfile::tempdir().expect("a directory");
        let login = if more.contains("authorization") || more.contains("operator") {
            ""
        } else {
            "authorization { user: advisor, password: \"a-pass word\" }\n"
        };
        let text = format!("listen: \"127.0.0.1:{port}\"\n{login}{more}\n");
        std::fs::write(configuration.path().join("nats.conf"), text).expect("its configuration");
        Self { port, configuration, running: None }
    }

    /// Runs it, and waits until it takes connections.
    pub fn run(&mut self) {
        let mut child = Command::new(program())
            .arg("-c")
            .arg(self.configuration.path().join("nats.conf"))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("nats-server");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let mut log = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("nats-server has ended:\n{log}") };
            if line.contains("Server is ready") {
                break;
            }
            log.push_str(&line);
            log.push('\n');
        }
        // Somebody has to read what it says, or it would wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        self.running = Some(child);
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    /// Sends it a signal: `STOP` freezes it, `CONT` wakes it.
    pub fn signal(&self, name: &str) {
        let process = self.running.as_ref().expect("it runs").id();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
        assert!(sent.expect("kill").success(), "it can be sent {name}");
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL with the login.
    pub fn url(&self) -> String {
        url(self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The URL of a port on loopback, with the login.
pub fn url(port: u16) -> String {
    format!("nats://{LOGIN}@127.0.0.1:{port}")
}

/// A port that nobody uses, outside of the range from which connections take theirs: it stays free while a server
/// is away.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id().wrapping_mul(7).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(next % 12_000).expect("a small number");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "where a test finds its tools is told it by the environment")]
fn program() -> String {
    std::env::var("ADVISOR_TEST_NATS_SERVER").expect(
        "ADVISOR_TEST_NATS_SERVER is not set: run the tests by `ops/engines cargo nextest run …`, or by `ops/check`",
    )
}
