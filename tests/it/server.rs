//! The binary as a child process in a directory of its own, and clients of it.

use crate::{build::Build, engines::Engines};
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{AUTHORIZATION, HeaderMap},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Tests ask as often as they like, unless they are about that.
const NO_RATES: [(&str, &str); 6] = [
    ("ADVISOR_COMMANDS_PER_MINUTE", "0"),
    ("ADVISOR_QUERIES_PER_MINUTE", "0"),
    ("ADVISOR_REPLIES_PER_MINUTE", "0"),
    ("ADVISOR_REFUSED_SIGN_INS_PER_MINUTE", "0"),
    ("ADVISOR_ANONYMOUS_PER_MINUTE", "0"),
    ("ADVISOR_CONNECTIONS_PER_ADDRESS_PER_MINUTE", "0"),
];

/// Where a server runs.
#[derive(Clone)]
pub(crate) struct Place {
    /// The words that its program is started by.
    pub(crate) through: Vec<String>,
    /// Where it listens; the operators' port is another one of the same address.
    pub(crate) listen: SocketAddr,
}

impl Place {
    /// Beside the tests.
    pub(crate) fn here() -> Self {
        Self { through: Vec::new(), listen: (Ipv4Addr::LOCALHOST, 0).into() }
    }
}

/// A running server and its data directory; both end with it.
pub(crate) struct Server {
    directory: TempDir,
    place: Place,
    program: PathBuf,
    variables: Vec<(String, String)>,
    child: Child,
    stdout: BufReader<ChildStdout>,
    _engines: Engines,
    pub(crate) url: String,
    pub(crate) admin_url: String,
}

impl Server {
    /// A server with the defaults on free ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with more variables in its environment.
    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_build(&Build::usual(), variables)
    }

    /// A server of another build, which has orders of its own.
    pub(crate) fn start_build(build: &Build, variables: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), build, variables)
    }

    /// The same in a directory where something may lie already.
    pub(crate) fn start_in(directory: TempDir, build: &Build, variables: &[(&str, &str)]) -> Self {
        Self::start_at(Place::here(), directory, build, variables)
    }

    /// The same in a place of its own.
    pub(crate) fn start_at(place: Place, directory: TempDir, build: &Build, variables: &[(&str, &str)]) -> Self {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut variables: Vec<_> = given.chain(build.orders.iter().cloned()).collect();
        let engines = Engines::unless_named(&variables);
        variables.extend_from_slice(&engines.variables);
        let (child, stdout, url, admin_url) = spawn(&place, &build.program, directory.path(), &variables);
        let program = build.program.clone();
        Self { directory, place, program, variables, child, stdout, _engines: engines, url, admin_url }
    }

    /// Changes a variable of its environment for the next start; `None` takes it away.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Most memory that it has ever taken, in KiB.
    pub(crate) fn peak_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends it a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.unwrap().success(), "{name} was not sent");
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the process without a word, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same data, on other ports.
    pub(crate) fn start_again(&mut self) {
        let (child, stdout, url, admin_url) = spawn(&self.place, &self.program, self.directory.path(), &self.variables);
        (self.child, self.stdout, self.url, self.admin_url) = (child, stdout, url, admin_url);
    }

    /// The same, where it may die while it starts: then it has ended, and this is false.
    pub(crate) fn start_again_or_die(&mut self) -> bool {
        match try_spawn(&self.place, &self.program, self.directory.path(), &self.variables) {
            Started::Listens(child, stdout, url, admin_url) => {
                (self.child, self.stdout, self.url, self.admin_url) = (child, stdout, url, admin_url);
                true
            }
            Started::Died(child) => {
                self.child = child;
                false
            }
        }
    }

    /// Starts it again on the same data, at the same address.
    pub(crate) fn start_again_in_place(&mut self) {
        let listen = self.url.trim_start_matches("http://").parse().unwrap();
        let place = Place { listen, ..self.place.clone() };
        let (child, stdout, url, admin_url) = spawn(&place, &self.program, self.directory.path(), &self.variables);
        (self.child, self.stdout, self.url, self.admin_url) = (child, stdout, url, admin_url);
    }

    /// Asks it to end as an operator would, and gives its exit code and how long it took.
    pub(crate) fn terminate(&mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        self.signal("TERM");
        (self.child.wait().unwrap().code(), begun.elapsed())
    }

    /// A token of the server's own issuer.
    pub(crate) fn token(&self, user: &str, more: &[&str]) -> String {
        let output = self.advisor(&[&["token", "--user", user], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A signed-in client.
    pub(crate) fn client(&self, user: &str, more: &[&str]) -> Client {
        Client { http: reqwest::Client::new(), url: self.url.clone(), token: self.token(user, more) }
    }

    /// An operator command on this server's data directory.
    pub(crate) fn advisor(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// An operator command that goes on beside the test.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// An operator command that has not begun.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program, self.directory.path(), &self.variables);
        command.args(arguments);
        command
    }

    /// The events of a stream, as an operator sees them.
    pub(crate) fn events(&self, stream: &str) -> Vec<Value> {
        let output = self.advisor(&["events", "show", stream]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Everything that the server has logged, over all its starts.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("stderr.log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already; either way nothing of it is left.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a command of the binary in a clean environment.
pub(crate) fn advisor(directory: &Path, variables: &[(String, String)], arguments: &[&str]) -> Output {
    command(&Build::usual().program, directory, variables).args(arguments).output().unwrap()
}

fn command(program: &Path, directory: &Path, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear().env("ADVISOR_DATA_DIR", directory.join("data"));
    command.envs(NO_RATES);
    command.envs(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    command
}

fn spawn(
    place: &Place,
    program: &Path,
    directory: &Path,
    variables: &[(String, String)],
) -> (Child, BufReader<ChildStdout>, String, String) {
    match try_spawn(place, program, directory, variables) {
        Started::Listens(child, stdout, url, admin_url) => (child, stdout, url, admin_url),
        Started::Died(_) => {
            let stderr = std::fs::read_to_string(directory.join("stderr.log")).unwrap_or_default();
            panic!("the server does not start\n{stderr}")
        }
    }
}

/// What became of a start.
enum Started {
    Listens(Child, BufReader<ChildStdout>, String, String),
    Died(Child),
}

fn try_spawn(place: &Place, program: &Path, directory: &Path, variables: &[(String, String)]) -> Started {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("stderr.log")).unwrap();
    let (listen, admin_listen) = (place.listen.to_string(), SocketAddr::new(place.listen.ip(), 0).to_string());
    let words: Vec<_> = place.through.iter().map(Path::new).chain([program]).collect();
    let mut child = command(words[0], directory, variables)
        .args(&words[1..])
        .args(["serve", "--listen", &listen, "--admin-listen", &admin_listen])
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    let first = line();
    // A worker listens to operators alone.
    let (url, admin) = match first.strip_prefix("listening on ") {
        Some(url) => (url.to_owned(), line()),
        None => (String::new(), first),
    };
    match admin.strip_prefix("admin on ") {
        Some(admin_url) => Started::Listens(child, stdout, url, admin_url.to_owned()),
        None => Started::Died(child),
    }
}

/// One signed-in device.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Client {
    /// The same person after the server has moved.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { url: server.url.clone(), ..self.clone() }
    }

    /// Waits until the server is ready: its read models are filled.
    pub(crate) async fn until_ready(&self) {
        let ready = async {
            while self.http.get(format!("{}/readyz", self.url)).send().await.unwrap().status() != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("the server is ready");
    }

    /// A request with the token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// A command that must succeed; gives its answer.
    pub(crate) async fn command(&self, name: &str, body: &Value) -> Value {
        let (status, answer) = self.send(Method::POST, &format!("/api/commands/{name}"), Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{name}: {answer}");
        answer
    }

    /// A query that must succeed.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// A request with more headers, and its whole answer. Without a token where the client has none.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::to(request).await
    }

    /// Any request; gives the status and the body, which is null where there is none.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        let bytes = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body as JSON; null where it is none.
    pub(crate) body: Value,
}

impl Answer {
    /// The answer to a request.
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, body }
    }

    /// A header's text; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
