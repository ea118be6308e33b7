//! Places in the PostgreSQL that the tests are given.

use crate::PostgresOptions;
use secrecy::SecretString;
use std::{net::TcpListener, os::unix::fs::MetadataExt, path::Path, process::Command};
use tempfile::TempDir;
use uuid::Uuid;

/// The database that the tests are given.
pub(crate) fn url() -> SecretString {
    let url = variable("ADVISOR_TEST_POSTGRES");
    url.expect("ADVISOR_TEST_POSTGRES says where PostgreSQL is; `ops/engines COMMAND` sets it").into()
}

/// A schema that nobody else uses.
pub(crate) fn options() -> PostgresOptions {
    PostgresOptions::at(url(), schema())
}

/// The name of a schema that nobody else uses.
pub(crate) fn schema() -> String {
    format!("test_{}", Uuid::new_v4().simple())
}

#[expect(clippy::disallowed_methods, reason = "No setting of the program: it tells these tests what they run on.")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A PostgreSQL of a test's own, which it may kill.
pub(crate) struct OwnServer {
    place: TempDir,
    port: u16,
}

impl OwnServer {
    pub(crate) fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { place, port };
        if Self::is_roots() {
            run(Command::new("chown").arg("postgres").arg(server.place.path()));
        }
        server.postgres("initdb", &["-U", "advisor", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        server.start_again();
        server
    }

    pub(crate) fn start_again(&self) {
        let options = format!("-h 127.0.0.1 -p {} -k ''", self.port);
        self.postgres("pg_ctl", &["-w", "-t", "60", "-l", "/dev/null", "-o", &options, "start"]);
    }

    /// As if the machine had lost its power, but for its disk's cache.
    pub(crate) fn kill(&self) {
        self.postgres("pg_ctl", &["-m", "immediate", "stop"]);
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::at(format!("postgres://advisor@127.0.0.1:{}/postgres", self.port).into(), schema())
    }

    fn postgres(&self, program: &str, arguments: &[&str]) {
        let programs = variable("ADVISOR_TEST_POSTGRES_BIN");
        let programs = programs.expect("ADVISOR_TEST_POSTGRES_BIN says where pg_ctl is; `ops/engines COMMAND` sets it");
        let program = Path::new(&programs).join(program);
        // PostgreSQL does not run as root.
        let mut command = if Self::is_roots() { Command::new("runuser") } else { Command::new(&program) };
        if Self::is_roots() {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        run(command.current_dir("/").arg("-D").arg(self.place.path().join("data")).args(arguments));
    }

    fn is_roots() -> bool {
        Path::new("/proc/self").metadata().unwrap().uid() == 0
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Nobody reads what a server that goes on would hold open.
fn run(command: &mut Command) {
    let status = command.stdout(std::process::Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}
