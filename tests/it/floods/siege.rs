//! A server under a flood: who uses it as they should meanwhile, and what it takes of the machine.

use crate::{
    build::Build,
    open_files,
    server::{Client, PATIENCE, Server},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{fmt, pin::pin, time::Duration};
use tokio::time::Instant;

/// What no flood may take a server beyond.
pub(super) const MEMORY_MAX_MIB: usize = 400;
/// Descriptors that a server may have more after a flood than before it: files that it opened meanwhile.
const DESCRIPTORS_MORE: usize = 16;

/// The rates that the server has by itself, which other tests turn off.
pub(super) const RATES: [(&str, &str); 6] = [
    ("ADVISOR_COMMANDS_PER_MINUTE", "30000"),
    ("ADVISOR_QUERIES_PER_MINUTE", "60000"),
    ("ADVISOR_REPLIES_PER_MINUTE", "300"),
    ("ADVISOR_REFUSED_SIGN_INS_PER_MINUTE", "600"),
    ("ADVISOR_ANONYMOUS_PER_MINUTE", "60000"),
    ("ADVISOR_CONNECTIONS_PER_ADDRESS_PER_MINUTE", "60000"),
];

/// A server, and a guest of it who must be served whatever comes.
pub(super) struct Siege {
    pub(super) server: Server,
    guest: Guest,
    at_rest: Footprint,
}

/// Somebody who uses the server as they should.
struct Guest {
    client: Client,
    conversation: String,
}

/// What a server takes of the machine.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    peak_mib: usize,
    descriptors: usize,
    streams: usize,
}

/// What a flood has come to.
#[derive(Debug)]
pub(super) struct Withstood {
    at_rest: Footprint,
    after: Footprint,
}

impl Siege {
    pub(super) async fn begin(variables: &[(&str, &str)]) -> Self {
        Self::begin_build(&Build::usual(), variables).await
    }

    pub(super) async fn begin_build(build: &Build, variables: &[(&str, &str)]) -> Self {
        open_files::raise();
        let server = Server::start_build(build, variables);
        let client = server.client("guest", &[]);
        let started = client.command("StartConversation", &json!({"title": "Calm"})).await;
        let conversation = started["result"]["conversationId"].as_str().unwrap().to_owned();
        let guest = Guest { client, conversation };
        guest.visit().await;
        let at_rest = Footprint::of(&server).await;
        Self { server, guest, at_rest }
    }

    /// What the server took of memory before any flood.
    pub(super) fn taken_mib(&self) -> usize {
        self.at_rest.peak_mib
    }

    /// Lets a flood come while the guest goes on, each of whose requests must succeed.
    pub(super) async fn under<T>(&self, flood: impl Future<Output = T>) -> T {
        let mut flood = pin!(flood);
        let come = loop {
            tokio::select! {
                come = flood.as_mut() => break come,
                () = self.guest.visit() => {}
            }
        };
        self.guest.visit().await;
        come
    }

    /// Returns when everything that was taken has been given back.
    pub(super) async fn rest(&self) -> Withstood {
        let since = Instant::now();
        loop {
            let withstood = Withstood { at_rest: self.at_rest, after: Footprint::of(&self.server).await };
            if withstood.is_over() {
                return withstood;
            }
            assert!(since.elapsed() < PATIENCE, "not given back: {withstood:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything is as it was before, and never was too much taken.
    pub(super) async fn end(&self) -> Withstood {
        self.guest.visit().await;
        let withstood = self.rest().await;
        assert!(withstood.after.peak_mib <= MEMORY_MAX_MIB, "too much memory: {withstood}");
        withstood
    }

    /// Commands of this person, as many at a time as there are lists of them.
    pub(super) async fn commands(&self, client: &Client, name: &str, at_once: usize, bodies: &[Value]) {
        let some = bodies.chunks(bodies.len().div_ceil(at_once)).map(async |bodies| {
            for body in bodies {
                client.command(name, body).await;
            }
        });
        futures::future::join_all(some).await;
    }

    /// A person with a conversation of so many messages of 32,000 characters.
    pub(super) async fn talker(&self, user: &str, messages: usize) -> (Client, String) {
        let client = self.server.client(user, &[]);
        let started = client.command("StartConversation", &json!({})).await;
        let id = started["result"]["conversationId"].as_str().unwrap().to_owned();
        let text = "x".repeat(32_000);
        let message = json!({"conversationId": id, "content": text, "advisorIds": []});
        self.commands(&client, "SendMessage", 8, &vec![message; messages]).await;
        (client, id)
    }
}

impl Guest {
    async fn visit(&self) {
        let message = json!({"conversationId": self.conversation, "content": "How are you?", "advisorIds": []});
        self.client.command("SendMessage", &message).await;
        let list = self.client.get("/api/conversations").await;
        assert_eq!(list[0]["id"], self.conversation.as_str(), "{list}");
        let (status, ready) = self.client.send(Method::GET, "/readyz", None).await;
        assert_eq!(status, StatusCode::OK, "{ready}");
    }
}

impl Footprint {
    async fn of(server: &Server) -> Self {
        let metrics = reqwest::get(format!("{}/metrics", server.admin_url)).await.unwrap().text().await.unwrap();
        let streams = metrics.lines().find_map(|line| line.strip_prefix("advisor_live_streams "));
        Self {
            peak_mib: server.peak_kib().div_ceil(1_024),
            descriptors: std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count(),
            streams: streams.map_or(0, |count| count.parse().unwrap()),
        }
    }
}

impl Withstood {
    fn is_over(&self) -> bool {
        let Self { at_rest, after } = self;
        after.descriptors <= at_rest.descriptors + DESCRIPTORS_MORE && after.streams <= at_rest.streams
    }
}

impl fmt::Display for Withstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB at rest, {} MiB at the peak", self.at_rest.peak_mib, self.after.peak_mib)
    }
}
