//! The client's end of a socket, on a connection in memory.

use super::watcher::Told;
use crate::{live::socket, test_api::TestApi, traffic::Meter};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use tokio_util::task::TaskTracker;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the server.
pub(crate) struct Caller {
    pub(crate) socket: WebSocketStream<DuplexStream>,
    /// The code that the server closed with.
    pub(crate) code: Option<u16>,
}

impl Caller {
    /// Nothing was said yet.
    pub(crate) async fn connect(test: &TestApi) -> Self {
        Self { socket: WebSocketStream::from_raw_socket(line(test), Role::Client, None).await, code: None }
    }

    /// This person has authenticated, or somebody who is signed out.
    pub(crate) async fn of(test: &TestApi, user: Option<&str>) -> Self {
        let mut caller = Self::connect(test).await;
        caller.say(&json!({"type": "authenticate", "token": user.map(TestApi::token)})).await;
        let answer = caller.hear().await.unwrap();
        assert_eq!((&answer["type"], &answer["userId"]), (&json!("authenticated"), &json!(user)), "{answer}");
        caller
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends anything; a server that has closed the connection does not hear it.
    pub(crate) async fn send(&mut self, message: Message) {
        drop(self.socket.send(message).await);
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(&json!({"type": "subscribe", "id": id, "query": query})).await;
    }

    /// The server's next message; `None` at the end.
    pub(crate) async fn hear(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("nothing comes");
            match next? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(frame)) => self.code = frame.map(|frame| frame.code.into()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other) => panic!("a server says nothing like {other:?}"),
                // The server may be gone before the end of its last word is answered.
                Err(_) => return None,
            }
        }
    }

    /// The next message that is of this type.
    pub(crate) async fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear().await.unwrap_or_else(|| panic!("closed with {:?} before {kind}", self.code));
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Hears everything up to the end; gives the last message and the code of the end.
    pub(crate) async fn end(mut self) -> (Option<Value>, Option<u16>) {
        let mut last = None;
        while let Some(message) = self.hear().await {
            last = Some(message);
        }
        (last, self.code)
    }

    /// The next message as an event.
    pub(crate) async fn event(&mut self) -> Option<Told> {
        let mut data = self.hear().await?;
        let members = data.as_object_mut().unwrap();
        let (name, id) = (members.remove("type").unwrap(), members.remove("eventId"));
        let (name, id) = (name.as_str().unwrap().to_owned(), id.map(|id| id.as_str().unwrap().to_owned()));
        Some(Told { name, id, data })
    }
}

/// A connection to the server as bytes. The server's task ends with it.
pub(crate) fn line(test: &TestApi) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let api = test.api.clone();
    TaskTracker::new().spawn(async move { socket::serve(&api, &Meter::off(), server).await });
    client
}
