//! Clients that send commands, and write down what they sent and what they heard.

use crate::{
    dice::Dice,
    server::{Client, PATIENCE, Server},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where the server is, if it is anywhere.
pub(super) type Url = watch::Receiver<Option<String>>;

/// Some of those that every server has from its first start.
const ADVISORS: [&str; 2] = ["nadia-okafor-v1", "tomas-lindqvist-v1"];
const CLIENTS: usize = 16;
const USERS: usize = 8;
const CONVERSATIONS_EACH: usize = 4;
/// Most that a client has, in trials that go on for long: a person has two clients, and the list shows 50.
const CONVERSATIONS_MAX: usize = CONVERSATIONS_EACH + 20;

/// One command and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) user: String,
    pub(super) name: &'static str,
    pub(super) key: String,
    pub(super) body: Value,
    pub(super) outcome: Outcome,
    /// How often it was sent: again only when nobody knew whether it had been done.
    pub(super) tries: u32,
}

/// What a client knows in the end.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// 200, with this answer.
    Done(Value),
    /// A problem with this status.
    Refused(u16),
}

/// Clients at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    /// Where each part of the clients looks for the server.
    doors: Vec<watch::Sender<Option<String>>>,
    clients: TaskTracker,
}

struct Shared {
    history: Mutex<Vec<Entry>>,
    answers: watch::Sender<usize>,
    in_flight: AtomicUsize,
    stopping: CancellationToken,
    people: BTreeMap<String, Client>,
}

impl Load {
    /// Starts conversations, and sixteen clients of eight people who write in them.
    pub(super) async fn begin(server: &Server) -> Self {
        Self::begin_at(&[server]).await
    }

    /// The same at several servers of one system, which share the clients between them.
    pub(super) async fn begin_at(servers: &[&Server]) -> Self {
        let server = servers[0];
        let names = (0..USERS).map(|number| format!("user_{number}"));
        let shared = Arc::new(Shared {
            history: Mutex::default(),
            answers: watch::Sender::new(0),
            in_flight: AtomicUsize::new(0),
            stopping: CancellationToken::new(),
            people: names.map(|name| (name.clone(), server.client(&name, &[]))).collect(),
        });
        let doors: Vec<_> = servers.iter().map(|server| watch::Sender::new(Some(server.url.clone()))).collect();
        let mut conversations: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (number, name) in shared.people.keys().enumerate() {
            let mut writer = Writer::new(&shared, name, CLIENTS + number, doors[number % doors.len()].subscribe());
            for _ in 0..CONVERSATIONS_EACH {
                writer.start_conversation().await;
            }
            conversations.insert(name.clone(), writer.conversations);
        }
        let clients = TaskTracker::new();
        for number in 0..CLIENTS {
            let name = format!("user_{}", number % USERS);
            let mut writer = Writer::new(&shared, &name, number, doors[number / USERS % doors.len()].subscribe());
            writer.conversations.clone_from(&conversations[&name]);
            clients.spawn(async move { writer.write().await });
        }
        Self { shared, doors, clients }
    }

    /// Waits until so many more commands are answered.
    pub(super) async fn answers(&self, more: usize) {
        let mut answers = self.shared.answers.subscribe();
        let wanted = *answers.borrow() + more;
        let waiting = tokio::time::timeout(PATIENCE, answers.wait_for(|answers| *answers >= wanted));
        drop(waiting.await.expect("the clients are answered no more").unwrap());
    }

    /// Commands that were sent and are not answered at this moment.
    pub(super) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// The server is gone.
    pub(super) fn gone(&self) {
        self.doors.iter().for_each(|door| drop(door.send_replace(None)));
    }

    /// The server is here now.
    pub(super) fn serve(&self, url: &str) {
        (0..self.doors.len()).for_each(|door| self.serve_at(door, url));
    }

    /// For this part of the clients the server is here now.
    pub(super) fn serve_at(&self, door: usize, url: &str) {
        self.doors[door].send_replace(Some(url.to_owned()));
    }

    /// Where the client of this number looks for the server.
    pub(super) fn url(&self, number: usize) -> Url {
        self.doors[number % self.doors.len()].subscribe()
    }

    /// Everybody who has conversations.
    pub(super) fn people(&self) -> Vec<Client> {
        self.shared.people.values().cloned().collect()
    }

    /// Lets every client come to know what became of its last command; gives the history, and the people.
    pub(super) async fn end(self, server: &Server) -> (Vec<Entry>, Vec<Client>) {
        self.shared.stopping.cancel();
        self.clients.close();
        tokio::time::timeout(PATIENCE, self.clients.wait()).await.expect("a client does not come to an end");
        let history = std::mem::take(&mut *self.shared.history.lock().unwrap());
        (history, self.shared.people.values().map(|client| client.at(server)).collect())
    }
}

/// What a message is sent for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Reply,
    NoReply,
}

/// One client: a person's device.
struct Writer {
    shared: Arc<Shared>,
    name: String,
    client: Client,
    number: usize,
    sent: usize,
    url: Url,
    conversations: Vec<Value>,
    messages: Vec<Value>,
    replies: Vec<Value>,
    dice: Dice,
}

impl Writer {
    fn new(shared: &Arc<Shared>, name: &str, number: usize, url: Url) -> Self {
        Self {
            shared: Arc::clone(shared),
            name: name.to_owned(),
            client: shared.people[name].clone(),
            number,
            sent: 0,
            url,
            conversations: Vec::new(),
            messages: Vec::new(),
            replies: Vec::new(),
            dice: Dice(number as u64),
        }
    }

    async fn write(&mut self) {
        while !self.shared.stopping.is_cancelled() {
            match self.dice.roll(100) {
                0 if self.conversations.len() < CONVERSATIONS_MAX => self.start_conversation().await,
                1..=9 => {
                    let body = json!({"conversationId": self.conversation(), "title": self.words()});
                    self.send("RenameConversation", body).await;
                }
                10..=24 if !self.messages.is_empty() => {
                    let body = json!({"messageId": self.message(), "content": self.words()});
                    self.send("EditMessage", body).await;
                }
                25..=32 if !self.messages.is_empty() => {
                    let body = json!({"messageId": self.message()});
                    self.send("DeleteMessage", body).await;
                }
                33..=38 if !self.replies.is_empty() => {
                    let at = self.dice.roll(self.replies.len());
                    let reply = self.replies.swap_remove(at);
                    self.send("StopReply", json!({"replyId": reply})).await;
                }
                39..=45 => self.send_message(Wanted::Reply).await,
                _ => self.send_message(Wanted::NoReply).await,
            }
        }
    }

    async fn start_conversation(&mut self) {
        let title = self.words();
        if let Some(answer) = self.send("StartConversation", json!({"title": title})).await {
            self.conversations.push(answer["result"]["conversationId"].clone());
        }
    }

    async fn send_message(&mut self, wanted: Wanted) {
        let mut body = json!({"conversationId": self.conversation(), "content": self.words()});
        // Another advisor than the last one is assigned by the same command: two events.
        body["advisorIds"] = match wanted {
            Wanted::Reply => json!([ADVISORS[self.dice.roll(ADVISORS.len())]]),
            Wanted::NoReply => json!([]),
        };
        if let Some(answer) = self.send("SendMessage", body).await {
            self.messages.push(answer["result"]["messageId"].clone());
            let replies = answer["result"]["replies"].as_array().unwrap();
            self.replies.extend(replies.iter().map(|reply| reply["replyId"].clone()));
        }
    }

    /// Words that nobody else sends.
    fn words(&self) -> String {
        format!("words {} of {}", self.sent, self.number)
    }

    fn conversation(&mut self) -> Value {
        self.conversations[self.dice.roll(self.conversations.len())].clone()
    }

    fn message(&mut self) -> Value {
        self.messages[self.dice.roll(self.messages.len())].clone()
    }

    /// Sends a command until it is known what became of it, and writes that down; gives the answer if it was done.
    async fn send(&mut self, name: &'static str, body: Value) -> Option<Value> {
        let key = format!("{}-{}", self.number, self.sent);
        self.sent += 1;
        let (mut tries, mut url) = (0, String::new());
        let outcome = loop {
            // After an error the server is most likely somewhere else soon; if not, it is asked again.
            let moved = self.url.wait_for(|now| now.as_ref().is_some_and(|now| *now != url));
            if tokio::time::timeout(Duration::from_secs(2), moved).await.is_err() && self.url.borrow().is_none() {
                continue;
            }
            url = self.url.borrow().clone().unwrap_or_default();
            tries += 1;
            self.shared.in_flight.fetch_add(1, Ordering::SeqCst);
            let outcome = self.ask(&url, name, &key, &body).await;
            self.shared.in_flight.fetch_sub(1, Ordering::SeqCst);
            if let Some(outcome) = outcome {
                break outcome;
            }
        };
        let answer = match &outcome {
            Outcome::Done(answer) => Some(answer.clone()),
            Outcome::Refused(_) => None,
        };
        let entry = Entry { user: self.name.clone(), name, key, body, outcome, tries };
        self.shared.history.lock().unwrap().push(entry);
        self.shared.answers.send_modify(|answers| *answers += 1);
        answer
    }

    /// Sends a command once; `None` when it is not known what became of it.
    async fn ask(&self, url: &str, name: &str, key: &str, body: &Value) -> Option<Outcome> {
        let request = self.client.http.request(Method::POST, format!("{url}/api/commands/{name}"));
        let request = request.bearer_auth(&self.client.token).header("idempotency-key", key).json(body);
        // Some do not wait for the read side: what they are told, the log alone vouches for.
        let request = if key.ends_with(['0', '1', '2']) { request.header("prefer", "respond-async") } else { request };
        let response = request.timeout(Duration::from_secs(20)).send().await.ok()?;
        let status = response.status().as_u16();
        let answer = response.json::<Value>().await.ok()?;
        match status {
            200 | 202 => Some(Outcome::Done(answer)),
            503 => None,
            400..500 => Some(Outcome::Refused(status)),
            _ => panic!("{name} is answered {status}: {answer}"),
        }
    }
}
