//! An OpenAI-compatible server that does what a test tells it to, down to the bytes; and that notes who asked it
//! what, and when they went away.

use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Barrier, Condvar, Mutex},
    time::{Duration, Instant},
};

/// What is done with one request.
#[derive(Clone)]
pub(crate) enum Script {
    /// These words as a stream in good form.
    Whole(Vec<String>),
    /// A status with a header line (or none) and a body, not streamed.
    Status(u16, &'static str, String),
    /// Not even a head, until the client goes away.
    Silence,
    /// A body in chunks, of a media type.
    Chunks(&'static str, Vec<Vec<u8>>, End),
    /// The words, once as many requests are there as the barrier waits for.
    Together(Arc<Barrier>, Vec<String>),
    /// The words, once the gate is open.
    Held(Arc<Gate>, Vec<String>),
}

/// What follows the last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The end of the body in good form.
    Good,
    /// The connection is cut.
    Cut,
    /// Nothing, until the client goes away.
    Silence,
    /// The last chunk again and again after this pause, until the client goes away.
    Drip(Duration),
}

/// Something that opens once.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// A request whose last message is this.
    Asked(String),
    /// It was answered to the end of its script.
    Answered(String),
    /// The client went away before.
    Left(String),
}

#[derive(Default)]
struct State {
    scripts: HashMap<String, VecDeque<Script>>,
    noted: Vec<(Instant, Noted)>,
    keys: Vec<String>,
    requests: Vec<Value>,
}

/// The running server; it ends with the test's process.
pub(crate) struct FaultyModel {
    pub(crate) url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl FaultyModel {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { url, state }
    }

    /// What is done, one after another, with requests whose last message is `message`; later ones are answered well.
    pub(crate) fn answer(&self, message: &str, scripts: Vec<Script>) {
        self.state.0.lock().unwrap().scripts.insert(message.to_owned(), scripts.into());
    }

    /// The different `Authorization` headers that were sent.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys = self.state.0.lock().unwrap().keys.clone();
        keys.dedup();
        keys
    }

    /// Everything that it was asked, to the last word.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.state.0.lock().unwrap().requests.clone()
    }

    /// What happened so far.
    pub(crate) fn noted(&self) -> Vec<Noted> {
        self.state.0.lock().unwrap().noted.iter().map(|(_, noted)| noted.clone()).collect()
    }

    /// How often it was asked this.
    pub(crate) fn asked(&self, message: &str) -> usize {
        self.noted().iter().filter(|noted| **noted == Noted::Asked(message.to_owned())).count()
    }

    /// Waits until this has happened; gives when it did. Blocks the thread.
    pub(crate) fn until(&self, wanted: &Noted) -> Instant {
        let (state, changed) = &*self.state;
        let find = |state: &State| state.noted.iter().find(|(_, noted)| noted == wanted).map(|(at, _)| *at);
        let waiting = changed.wait_timeout_while(state.lock().unwrap(), crate::server::PATIENCE, |s| find(s).is_none());
        // The lock is given back before it is taken again to say what happened instead.
        let found = find(&waiting.unwrap().0);
        found.unwrap_or_else(|| panic!("waited in vain for {wanted:?}: {:?}", self.noted()))
    }
}

fn note(state: &(Mutex<State>, Condvar), noted: Noted) {
    state.0.lock().unwrap().noted.push((Instant::now(), noted));
    state.1.notify_all();
}

fn serve(stream: &TcpStream, state: &(Mutex<State>, Condvar)) {
    let Some((key, request)) = read(stream) else { return };
    let messages = request["messages"].as_array().unwrap();
    let message = messages.last().unwrap()["content"].as_str().unwrap().to_owned();
    assert_eq!(request["stream"], true);
    let script = {
        let mut state = state.0.lock().unwrap();
        state.keys.push(key);
        state.requests.push(request);
        state.scripts.get_mut(&message).and_then(VecDeque::pop_front)
    };
    note(state, Noted::Asked(message.clone()));
    let script = script.unwrap_or_else(|| Script::Whole(vec!["Well ".into(), "said.".into()]));
    let ended = if play(stream, script).is_ok() { Noted::Answered(message) } else { Noted::Left(message) };
    note(state, ended);
}

/// The key and the body of a request.
fn read(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut key, mut line) = (0, String::new(), String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some((name, value)) = line.trim().split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => value.clone_into(&mut key),
                _ => {}
            }
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((key, serde_json::from_slice(&body).ok()?))
}

/// Plays a script; an error when the client goes away before its end.
fn play(mut stream: &TcpStream, script: Script) -> std::io::Result<()> {
    match script {
        Script::Whole(words) => chunks(stream, "text/event-stream", &whole(&words), End::Good),
        Script::Status(status, header, body) => {
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} x\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        }
        Script::Silence => until_left(stream),
        Script::Chunks(kind, pieces, end) => chunks(stream, kind, &pieces, end),
        Script::Together(barrier, words) => {
            barrier.wait();
            chunks(stream, "text/event-stream", &whole(&words), End::Good)
        }
        Script::Held(gate, words) => {
            gate.wait();
            chunks(stream, "text/event-stream", &whole(&words), End::Good)
        }
    }
}

fn chunks(mut stream: &TcpStream, kind: &str, pieces: &[Vec<u8>], end: End) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )?;
    let send = |piece: &[u8]| -> std::io::Result<()> {
        let mut stream = stream;
        write!(stream, "{:x}\r\n", piece.len())?;
        stream.write_all(piece)?;
        stream.write_all(b"\r\n")
    };
    for piece in pieces {
        send(piece)?;
    }
    match end {
        End::Good => stream.write_all(b"0\r\n\r\n"),
        End::Cut => Ok(()),
        End::Silence => until_left(stream),
        End::Drip(pause) => loop {
            std::thread::sleep(pause);
            send(pieces.last().unwrap())?;
        },
    }
}

/// Blocks until the client closes the connection: an error, since nothing was answered.
fn until_left(mut stream: &TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 64])? > 0 {}
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

/// A piece with a part of the text.
pub(crate) fn text(part: &str) -> Vec<u8> {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": part}}]})).into_bytes()
}

/// The piece that says why the answer ends.
pub(crate) fn finish() -> Vec<u8> {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})).into_bytes()
}

/// The piece that tells the tokens.
pub(crate) fn usage() -> Vec<u8> {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    format!("data: {}\n\n", json!({"choices": [], "usage": usage})).into_bytes()
}

/// The last line of a stream.
pub(crate) fn done() -> Vec<u8> {
    b"data: [DONE]\n\n".to_vec()
}

fn whole(words: &[String]) -> Vec<Vec<u8>> {
    words.iter().map(|word| text(word)).chain([finish(), usage(), done()]).collect()
}
