//! As much of PostgreSQL's protocol as it takes to fall silent in the middle of it.

use super::place::Place;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The protocol's version 3.0.
const VERSION: i32 = 196_608;

/// A client that says only what it is told to.
pub(super) struct Client(TcpStream);

impl Client {
    pub(super) async fn connect(place: &Place) -> Self {
        let server = PgConnectOptions::from_str(&place.options.url).expect("a URL");
        let stream = TcpStream::connect((server.get_host(), server.get_port())).await.expect("a connection");
        let path = format!("-c search_path={}", place.options.schema);
        let database = server.get_database().unwrap_or("postgres");
        let words = ["user", server.get_username(), "database", database, "options", &path, ""];
        let mut body = VERSION.to_be_bytes().to_vec();
        body.extend(words.join("\0").into_bytes());
        body.push(0);
        let mut client = Self(stream);
        client.say(None, &body).await;
        client.hear(b'Z').await;
        client
    }

    /// Has a statement carried out, and says no more.
    pub(super) async fn execute(mut self, statement: &str) -> Self {
        self.say(Some(b'P'), &[b"\0", statement.as_bytes(), b"\0\0\0"].concat()).await;
        self.say(Some(b'B'), &[0; 8]).await;
        self.say(Some(b'E'), &[0; 5]).await;
        self.say(Some(b'H'), &[]).await;
        self.hear(b'C').await;
        self
    }

    async fn say(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = i32::try_from(body.len() + 4).expect("a short message").to_be_bytes();
        let message = [kind.as_slice(), &length, body].concat();
        self.0.write_all(&message).await.expect("a listener");
    }

    /// Passes over what comes, to a message of this kind.
    async fn hear(&mut self, wanted: u8) {
        loop {
            let kind = self.0.read_u8().await.expect("an answer");
            let length = self.0.read_i32().await.expect("a length") - 4;
            let mut body = vec![0; usize::try_from(length).expect("a length")];
            self.0.read_exact(&mut body).await.expect("a body");
            assert_ne!(kind, b'E', "{}", String::from_utf8_lossy(&body));
            if kind == wanted {
                return;
            }
        }
    }
}
