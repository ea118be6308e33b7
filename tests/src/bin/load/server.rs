//! The server under load: one of our own, or one that runs.

use crate::client::Door;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::HeaderValue;
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// A day is the longest that there is.
const TOKEN_LIFE: &str = "24h";

/// Nobody counts how often one person or one address asks.
pub(crate) const NO_RATES: &[(&str, &str)] = &[
    ("ADVISOR_COMMANDS_PER_MINUTE", "0"),
    ("ADVISOR_QUERIES_PER_MINUTE", "0"),
    ("ADVISOR_REPLIES_PER_MINUTE", "0"),
    ("ADVISOR_REFUSED_SIGN_INS_PER_MINUTE", "0"),
    ("ADVISOR_ANONYMOUS_PER_MINUTE", "0"),
    ("ADVISOR_CONNECTIONS_PER_ADDRESS_PER_MINUTE", "0"),
];

/// What is loaded.
#[derive(Args)]
pub(crate) struct Target {
    /// The program; the one beside this one unless named.
    #[arg(long, global = true, value_name = "PATH")]
    advisor: Option<PathBuf>,
    /// Address of a server that runs already, such as `127.0.0.1:8080`.
    #[arg(long, global = true, value_name = "ADDRESS", requires = "data_dir")]
    server: Option<SocketAddr>,
    /// Its data directory: tokens are made there.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Give the servers the first half of the cores and this program the others, so that it takes nothing from them.
    #[arg(long, global = true)]
    apart: bool,
}

impl Target {
    fn program(&self) -> Result<PathBuf> {
        let program = match &self.advisor {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("advisor"),
        };
        program.canonicalize().with_context(|| format!("{} is not there: name it with --advisor", program.display()))
    }

    /// Whether servers and this program have cores of their own.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart
    }

    /// Leaves the servers' cores to them: servers that are begun from now on, and all threads of this program.
    pub(crate) fn keep_apart(&mut self) -> Result<()> {
        self.apart = true;
        let (_, ours) = halves()?;
        for thread in fs::read_dir("/proc/self/task")? {
            let thread = thread?.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
            sched_setaffinity(thread, &ours)?;
        }
        Ok(())
    }

    /// Begins a process on the servers' cores.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        if !self.apart {
            return Ok(command.spawn()?);
        }
        let (servers, ours) = halves()?;
        // It takes over the cores of the thread that begins it.
        sched_setaffinity(None, &servers)?;
        let child = command.spawn();
        sched_setaffinity(None, &ours)?;
        Ok(child?)
    }
}

/// The first half of all cores, and the others.
fn halves() -> Result<(CpuSet, CpuSet)> {
    let cores = fs::read_to_string("/proc/cpuinfo")?.lines().filter(|line| line.starts_with("processor")).count();
    ensure!(cores >= 2, "one core can't be shared out");
    let set = |cores: Range<usize>| {
        let mut set = CpuSet::new();
        cores.for_each(|core| set.set(core));
        set
    };
    Ok((set(0..cores / 2), set(cores / 2..cores)))
}

/// A server, and where it keeps its data. One of our own ends with this.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    program: PathBuf,
    data_dir: PathBuf,
    own: Option<Own>,
}

/// The process ends before its directory goes.
struct Own {
    process: Process,
    variables: Vec<(String, String)>,
    directory: TempDir,
}

struct Process {
    child: Child,
    /// What it prints is not read, but has somewhere to go.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// The server that runs, or one with these variables.
    pub(crate) fn reach(target: &Target, variables: &[(&str, &str)]) -> Result<Self> {
        match (target.server, &target.data_dir) {
            (Some(address), Some(data_dir)) => {
                Ok(Self { address, program: target.program()?, data_dir: data_dir.clone(), own: None })
            }
            _ => Self::start(target, variables),
        }
    }

    /// One of our own, where the scenario needs it.
    pub(crate) fn start(target: &Target, variables: &[(&str, &str)]) -> Result<Self> {
        ensure!(target.server.is_none(), "this scenario needs a server of its own: leave --server out");
        let directory = tempfile::tempdir()?;
        let program = target.program()?;
        let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (process, address) = Process::begin(target, &program, &variables, directory.path())?;
        let data_dir = data_dir(directory.path());
        Ok(Self { address, program, data_dir, own: Some(Own { process, variables, directory }) })
    }

    /// Kills it without a word, and starts it again on the same data, if it is ours.
    pub(crate) fn crash(&mut self, target: &Target) -> Result<Restart> {
        let Some(Own { process, variables, directory }) = self.own.take() else { return Ok(Restart::NotOurs) };
        drop(process);
        let (process, address) = Process::begin(target, &self.program, &variables, directory.path())?;
        (self.own, self.address) = (Some(Own { process, variables, directory }), address);
        Ok(Restart::Done)
    }

    /// Where it lets clients in.
    pub(crate) fn door(&self) -> Door {
        Door { address: self.address, from: None }
    }

    /// What a person signs in with; `more` as `advisor token` takes it.
    pub(crate) fn token(&self, person: &str, more: &[&str]) -> Result<HeaderValue> {
        let output = Command::new(&self.program)
            .env_clear()
            .args(["token", "--user", person, "--ttl", TOKEN_LIFE, "--data-dir"])
            .arg(&self.data_dir)
            .args(more)
            .output()?;
        ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
        Ok(HeaderValue::from_str(&format!("Bearer {}", String::from_utf8(output.stdout)?.trim()))?)
    }

    /// What it has of the memory at this moment, in KiB.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.own.as_ref()?.process.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

/// Whether a server could be killed and started again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Done,
    NotOurs,
}

impl Process {
    fn begin(
        target: &Target,
        program: &Path,
        variables: &[(String, String)],
        directory: &Path,
    ) -> Result<(Self, SocketAddr)> {
        let log = directory.join("stderr.log");
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir(directory))
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut child = target.spawn(&mut command)?;
        let mut stdout = BufReader::new(child.stdout.take().context("the server has no output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let process = Self { child, _stdout: stdout };
        let address = line.trim().strip_prefix("listening on http://").map(str::parse);
        match address {
            Some(address) => Ok((process, address?)),
            None => bail!("the server did not start: {}", fs::read_to_string(log)?),
        }
    }
}

fn data_dir(directory: &Path) -> PathBuf {
    directory.join("data")
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data goes too, or is to stand this: it need not end in good order.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
