//! Everything that comes in for one person, kept to the last byte.

use crate::server::{Answer, Client};
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use std::{sync::Mutex, time::Duration};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

/// A stream that says nothing for so long has said what it had to say for now.
const SILENCE: Duration = Duration::from_millis(300);

#[derive(Default)]
pub(super) struct Ears(Mutex<Vec<u8>>);

impl Ears {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    fn keep(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
        self.0.lock().unwrap().push(b'\n');
    }

    /// One request and its whole answer.
    pub(super) async fn hear(
        &self,
        client: &Client,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let answer = client.ask(method, path, headers, body).await;
        self.keep(format!("{:?}", answer.headers).as_bytes());
        self.keep(answer.text.as_bytes());
        answer
    }

    /// A live query, for as long as it has something to say.
    pub(super) async fn hear_a_while(&self, client: &Client, path: &str, headers: &[(&str, &str)]) {
        let mut request = client.request(Method::GET, path).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut bytes = request.send().await.unwrap().bytes_stream();
        while let Ok(Some(Ok(bytes))) = tokio::time::timeout(SILENCE, bytes.next()).await {
            self.keep(&bytes);
        }
    }

    /// The id of the first event of a live query that has one.
    pub(super) async fn first_event_id(&self, client: &Client, path: &str) -> String {
        let request = client.request(Method::GET, path).header("accept", "text/event-stream");
        let mut stream = request.send().await.unwrap().bytes_stream();
        let mut heard = String::new();
        loop {
            if let Some((_, rest)) = heard.split_once("\nid: ").filter(|(_, rest)| rest.contains('\n')) {
                return rest.lines().next().unwrap().to_owned();
            }
            let bytes = stream.next().await.expect("a live query gives an id").unwrap();
            self.keep(&bytes);
            heard.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Follows everything that is live, over both kinds of stream, until the others are done.
    pub(super) async fn listen(&self, client: &Client, done: &CancellationToken) {
        futures::join!(self.listen_to_events(client, done), self.listen_on_a_socket(client, done));
    }

    async fn listen_to_events(&self, client: &Client, done: &CancellationToken) {
        let path = "/api/live?query=/api/me&query=/api/conversations&query=/api/advisors";
        let request = client.request(Method::GET, path).header("accept", "text/event-stream");
        let mut stream = request.send().await.unwrap().bytes_stream();
        while let Some(Some(bytes)) = done.run_until_cancelled(stream.next()).await {
            self.keep(&bytes.unwrap());
        }
    }

    /// Subscribes to each conversation as it comes.
    async fn listen_on_a_socket(&self, client: &Client, done: &CancellationToken) {
        let address = client.url.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(format!("ws://{address}/api/live"), stream).await.unwrap();
        let say = |message: Value| Message::text(message.to_string());
        socket.send(say(json!({"type": "authenticate", "token": client.token}))).await.unwrap();
        for query in ["/api/conversations", "/api/advisors"] {
            socket.send(say(json!({"type": "subscribe", "id": query, "query": query}))).await.unwrap();
        }
        let mut followed = Vec::new();
        while let Some(Some(message)) = done.run_until_cancelled(socket.next()).await {
            let Message::Text(text) = message.unwrap() else { continue };
            self.keep(text.as_bytes());
            let heard: Value = serde_json::from_str(&text).unwrap();
            let changes = heard["changes"].as_array().into_iter().flatten();
            for change in changes.filter(|change| change["set"] == "conversations") {
                let query = format!("/api/conversations/{}", change["key"].as_str().unwrap());
                if !followed.contains(&query) {
                    socket.send(say(json!({"type": "subscribe", "id": query, "query": query}))).await.unwrap();
                    followed.push(query);
                }
            }
        }
    }
}
