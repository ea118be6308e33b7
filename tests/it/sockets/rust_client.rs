//! A client on the crate `tokio-tungstenite`, which keeps what it is told.

use crate::{
    live_client::{LiveClient, Told},
    server::Client,
};
use futures::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Value, json};
use std::future::ready;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

type Socket = WebSocketStream<TcpStream>;

/// Says what the client wants.
pub(super) struct Sender(SplitSink<Socket, Message>);

impl Sender {
    pub(super) async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }
}

/// A socket on which this person has authenticated.
async fn authenticated(client: &Client) -> Socket {
    let address = client.url.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{address}/api/live"), stream).await.unwrap();
    let authenticate = json!({"type": "authenticate", "token": client.token});
    socket.send(Message::text(authenticate.to_string())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(answer.contains(r#""type":"authenticated""#), "{answer}");
    socket
}

/// The same with these queries, from scratch or from where another connection stood.
pub(super) async fn open(client: &Client, queries: &[String], last_id: Option<&str>) -> (Sender, LiveClient) {
    let (sink, stream) = authenticated(client).await.split();
    let mut sender = Sender(sink);
    let subscriptions = subscriptions(queries);
    if let Some(id) = last_id {
        sender.say(&json!({"type": "resume", "lastEventId": id, "queries": without_type(subscriptions)})).await;
    } else {
        for subscription in &subscriptions {
            sender.say(subscription).await;
        }
    }
    let messages = stream.take_while(|message| ready(message.is_ok()));
    let events = messages.filter_map(|message| ready(message.ok().and_then(told)));
    (sender, LiveClient::of(events.boxed(), last_id))
}

fn told(message: Message) -> Option<Told> {
    // Pings are answered by the crate, and the end says itself.
    let Message::Text(text) = message else { return None };
    let mut data: Value = serde_json::from_str(&text).unwrap();
    let (name, id) = (data["type"].take(), data["eventId"].take());
    assert_ne!(name, "error", "{data}");
    Some(Told { name: name.as_str().unwrap().to_owned(), id: id.as_str().map(str::to_owned), data })
}

/// The same for who only looks on.
pub(super) async fn connect(client: &Client, queries: &[String], last_id: Option<&str>) -> LiveClient {
    open(client, queries, last_id).await.1
}

/// Each query's id is its own text.
pub(super) fn subscriptions(queries: &[String]) -> Vec<Value> {
    queries.iter().map(|query| json!({"type": "subscribe", "id": query, "query": query})).collect()
}

fn without_type(mut subscriptions: Vec<Value>) -> Vec<Value> {
    for subscription in &mut subscriptions {
        subscription.as_object_mut().unwrap().remove("type");
    }
    subscriptions
}
