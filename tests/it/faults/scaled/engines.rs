//! What processes share: a PostgreSQL database and a NATS server of a test's own.

use crate::server::PATIENCE;
use std::{
    fs::OpenOptions,
    io::Write,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use uuid::Uuid;

/// A database of a test's own in the tests' PostgreSQL; it ends with the test.
pub(super) struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(super) fn make() -> Self {
        let (server, name) = (variable("ADVISOR_TEST_POSTGRES"), format!("it_{}", Uuid::new_v4().simple()));
        sql(&server, &format!("CREATE DATABASE {name}"));
        Self { server, name }
    }

    pub(super) fn url(&self) -> String {
        let (address, _) = self.server.rsplit_once('/').unwrap();
        format!("{address}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        sql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Runs statements, and gives the rows of the last one.
pub(super) fn sql(url: &str, text: &str) -> String {
    let said = Command::new(postgres_program("psql")).args(["-qXAt", url, "-c", text]).output().unwrap();
    assert!(said.status.success(), "{text}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// A PostgreSQL of a test's own, which can go and come back.
pub(super) struct Postgres {
    directory: TempDir,
    address: IpAddr,
    port: u16,
}

impl Postgres {
    pub(super) fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// At an address of this machine, for whoever comes from its network.
    pub(super) fn start_at(address: IpAddr) -> Self {
        let directory = tempfile::Builder::new().prefix("advisor-postgres").tempdir_in("/tmp").unwrap();
        let server = Self { directory, address, port: free_port(address) };
        // PostgreSQL does not run as root: its owner must be able to come here.
        run(Command::new("chmod").arg("777").arg(server.directory.path()));
        run(server.program("initdb").args(["-U", "advisor", "-A", "trust", "-E", "UTF8", "--locale=C"]));
        let let_in = server.directory.path().join("data/pg_hba.conf");
        let mut let_in = OpenOptions::new().append(true).open(let_in).unwrap();
        writeln!(let_in, "host all all samenet trust").unwrap();
        server.run();
        server
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://advisor@{}:{}/postgres", self.address, self.port)
    }

    /// How many sessions there are of clients at an address.
    pub(super) fn sessions_of(&self, address: IpAddr) -> usize {
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE client_addr = '{address}'");
        sql(&self.url(), &count).parse().unwrap()
    }

    /// Ends it as a crash would: nothing is finished, and everything is recovered at the next start.
    pub(super) fn crash(&self) {
        run(self.program("pg_ctl").args(["-m", "immediate", "stop"]));
    }

    /// Runs it, and waits until it takes connections.
    pub(super) fn run(&self) {
        let options = format!("-h {} -p {} -k '' -c max_connections=200", self.address, self.port);
        run(self.program("pg_ctl").args(["-w", "-t", "60", "-l", "log", "-o", &options, "start"]));
    }

    fn program(&self, name: &str) -> Command {
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(postgres_program(name));
            command
        } else {
            Command::new(postgres_program(name))
        };
        command.current_dir(self.directory.path()).arg("-D").arg("data").stdin(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.program("pg_ctl").args(["-m", "immediate", "stop"]).output());
        drop(self.program("pg_ctl").arg("status").output());
    }
}

/// A NATS server of a test's own, which can go and come back.
pub(super) struct Nats {
    address: IpAddr,
    port: u16,
    running: Option<Child>,
}

/// Its login, which is needed beyond loopback.
const NATS_LOGIN: [&str; 2] = ["advisor", "a-password"];

impl Nats {
    pub(super) fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// At an address of this machine.
    pub(super) fn start_at(address: IpAddr) -> Self {
        let mut server = Self { address, port: free_port(address), running: None };
        server.run();
        server
    }

    pub(super) fn url(&self) -> String {
        let [user, password] = NATS_LOGIN;
        format!("nats://{user}:{password}@{}:{}", self.address, self.port)
    }

    /// Runs it, and waits until it takes connections.
    pub(super) fn run(&mut self) {
        let mut command = Command::new(variable("ADVISOR_TEST_NATS_SERVER"));
        let [user, password] = NATS_LOGIN;
        command.args(["-a", &self.address.to_string(), "-p", &self.port.to_string()]);
        command.args(["--user", user, "--pass", password]).stderr(Stdio::null());
        self.running = Some(command.spawn().unwrap());
        let begun = Instant::now();
        while std::net::TcpStream::connect((self.address, self.port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends it a signal: `STOP` freezes it, `CONT` wakes it.
    pub(super) fn signal(&self, name: &str) {
        let process = self.running.as_ref().unwrap().id();
        run(Command::new("kill").arg(format!("-{name}")).arg(process.to_string()));
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(command: &mut Command) {
    // What it starts may keep on: nobody waits for the end of what that says.
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn free_port(address: IpAddr) -> u16 {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

fn postgres_program(name: &str) -> PathBuf {
    PathBuf::from(variable("ADVISOR_TEST_POSTGRES_BIN")).join(name)
}

#[expect(clippy::disallowed_methods, reason = "Where the engines are is told by variables.")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run this by `ops/engines cargo nextest run …`, or by `ops/check`")
    })
}
