//! Live streams in number, of clients that do not read, and of those that say too much.

use super::{connections::HASTE, siege::Siege, throng};
use crate::server::Client;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

#[tokio::test]
async fn two_hundred_streams_that_nobody_reads_are_cut_off_while_many_changes_happen() {
    let variables = [("ADVISOR_STREAM_SLOW_MS", "2000"), ("ADVISOR_COMMAND_WAIT_MS", "30000")];
    let siege = Siege::begin(&[&HASTE[..], &variables].concat()).await;
    let people: Vec<String> = (0..10).map(|person| format!("reader_{person}")).collect();
    let talkers = futures::future::join_all(people.iter().map(|person| siege.talker(person, 33))).await;
    let opening = talkers.iter().map(|(client, id)| unread_streams(&siege, client, id, 20));
    let unread = siege.under(futures::future::join_all(opening)).await;
    let changes = talkers.iter().map(async |(client, id)| {
        let message = json!({"conversationId": id, "content": "And this?", "advisorIds": []});
        siege.commands(client, "SendMessage", 4, &vec![message; changes() / talkers.len()]).await;
    });
    siege.under(futures::future::join_all(changes)).await;
    siege.under(siege.rest()).await;
    drop(unread);
    println!("unread streams: {}", siege.end().await);
}

/// So many streams of a conversation that nobody reads.
pub(super) async fn unread_streams(siege: &Siege, client: &Client, id: &str, count: usize) -> Vec<TcpStream> {
    let get = format!(
        "GET /api/conversations/{id} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\r\n",
        client.token
    );
    throng::crowd(&siege.server.url, count, get.as_bytes()).await
}

/// How many changes happen while nobody reads.
#[expect(clippy::disallowed_methods, reason = "Who wants more of them says so by a variable.")]
fn changes() -> usize {
    std::env::var("ADVISOR_TEST_FLOOD_CHANGES").map_or(500, |count| count.parse().unwrap())
}

#[tokio::test]
async fn sockets_that_say_too_much_or_are_too_many_are_closed() {
    let siege = Siege::begin(&[]).await;
    let chatty: Vec<Client> = (0..10).map(|person| siege.server.client(&format!("chatty_{person}"), &[])).collect();
    let frames = (0..100).map(async |socket| {
        let mut socket = open(&chatty[socket % 10]).await;
        let mut code = None;
        for id in 0..500 {
            let subscribe = json!({"type": "subscribe", "id": id, "query": "/api/conversations"});
            if socket.send(Message::text(subscribe.to_string())).await.is_err() {
                break;
            }
        }
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                code = frame.map(|frame| u16::from(frame.code));
            }
        }
        code
    });
    let codes = siege.under(futures::future::join_all(frames)).await;
    assert!(codes.iter().all(|code| matches!(code, None | Some(1008))), "{codes:?}");
    assert!(codes.contains(&Some(1008)), "{codes:?}");

    let sockets = (0..400).map(async |_| {
        let mut socket = open(&chatty[0]).await;
        let answer = socket.next().await.and_then(Result::ok).map(|message| message.to_string()).unwrap_or_default();
        (answer.contains("TOO_MANY_STREAMS"), socket)
    });
    let sockets = siege.under(futures::future::join_all(sockets)).await;
    assert_eq!(sockets.iter().filter(|(is_refused, _)| !is_refused).count(), 20, "as many as one person may have");
    drop(sockets);
    println!("sockets: {}", siege.end().await);
}

/// A socket on which this person says who they are.
async fn open(client: &Client) -> tokio_tungstenite::WebSocketStream<TcpStream> {
    let address = client.url.trim_start_matches("http://");
    let stream = throng::connect(&client.url).await;
    let (mut socket, _) = client_async(format!("ws://{address}/api/live"), stream).await.unwrap();
    let authenticate = json!({"type": "authenticate", "token": client.token});
    socket.send(Message::text(authenticate.to_string())).await.unwrap();
    socket
}
