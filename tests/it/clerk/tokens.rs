//! Tokens of an issuer that this project did not write, and what Clerk's own backend says to the same tokens.

use super::in_time;
use crate::{
    node,
    server::{Client, Server},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

const PARTY: &str = "https://app.example.com";

#[tokio::test]
async fn an_issuer_of_others_is_followed_through_a_rotation_and_while_it_is_down() {
    let mut issuer = Issuer::start();
    issuer.order(&json!({"do": "add_key", "kid": "first"}));
    let place = issuer.order(&json!({"do": "start"}));
    let server = Server::start_with(&[
        ("CLERK_ISSUER", place["url"].as_str().unwrap()),
        ("CLERK_JWKS_URL", place["keys"].as_str().unwrap()),
        ("CLERK_AUTHORIZED_PARTIES", PARTY),
    ]);
    assert_eq!(issuer.me(&server, "first", "user_1").await, (200, json!("user_1")));

    issuer.order(&json!({"do": "add_key", "kid": "second"}));
    assert_eq!(issuer.me(&server, "second", "user_2").await, (200, json!("user_2")), "a new key is fetched");
    assert_eq!(issuer.me(&server, "first", "user_3").await, (200, json!("user_3")), "the old one is there still");

    issuer.order(&json!({"do": "stop"}));
    for kid in ["first", "second"] {
        assert_eq!(issuer.me(&server, kid, "user_4").await, (200, json!("user_4")), "{kid} is known");
    }
    issuer.order(&json!({"do": "add_key", "kid": "third"}));
    assert_eq!(issuer.me(&server, "third", "user_5").await.0, 401, "nobody can tell whose it is");

    issuer.order(&json!({"do": "start"}));
    assert_eq!(issuer.me(&server, "second", "user_5").await, (200, json!("user_5")));
    let foreign = json!({"sub": "user_6", "sid": "sess_1", "azp": "https://evil.example"});
    let token = issuer.order(&json!({"do": "token", "kid": "first", "claims": foreign}))["token"].clone();
    assert_eq!(me(&server, token.as_str().unwrap()).await.0, 401);
}

#[tokio::test]
async fn a_server_that_starts_while_the_issuer_is_down_lets_nobody_in_until_it_is_back() {
    let mut issuer = Issuer::start();
    issuer.order(&json!({"do": "add_key", "kid": "first"}));
    let place = issuer.order(&json!({"do": "start"}));
    issuer.order(&json!({"do": "stop"}));
    let server = Server::start_with(&[
        ("CLERK_ISSUER", place["url"].as_str().unwrap()),
        ("CLERK_JWKS_URL", place["keys"].as_str().unwrap()),
    ]);
    assert_eq!(issuer.me(&server, "first", "user_1").await.0, 503);
    issuer.order(&json!({"do": "start"}));
    in_time(async {
        while issuer.me(&server, "first", "user_1").await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_clerk_refuses_is_refused_and_what_it_accepts_is_accepted_but_where_we_are_stricter() {
    let issuer = "https://clerk.example.com";
    let made = node::run("clerk_tokens.mjs", &["make", issuer, PARTY]);
    let server = Server::start_with(&[
        ("CLERK_ISSUER", issuer),
        ("CLERK_JWT_KEY", made["pem"].as_str().unwrap()),
        ("CLERK_AUTHORIZED_PARTIES", PARTY),
    ]);
    let tokens = made["tokens"].as_array().unwrap();
    assert!(tokens.len() > 30);
    for token in tokens {
        let name = token["name"].as_str().unwrap();
        let (status, _) = me(&server, token["token"].as_str().unwrap()).await;
        let stricter = name.starts_with("stricter: ");
        assert!(!stricter || token["accepted"] == true, "{name}: Clerk is as strict");
        let wanted = if token["accepted"] == true && !stricter { 200 } else { 401 };
        assert_eq!(status, wanted, "{name}");
        assert_eq!(token["accepted"] == true, stricter || name.starts_with("good"), "{name}");
    }
}

#[tokio::test]
async fn clerks_backend_accepts_the_servers_own_tokens_by_their_key() {
    let server = Server::start();
    let (token, plain) = (server.token("user_ana", &["--plan", "premium"]), server.token("ana", &[]));
    let key = std::fs::read_to_string(server.data_dir().join("issuer.pem")).unwrap();
    let other = Server::start();
    let foreign = other.token("user_ana", &[]);

    let verdicts = node::run("clerk_tokens.mjs", &["judge", &key, &token, &plain, &foreign, "x.y.z"]);

    assert_eq!(verdicts, json!([true, true, false, false]));
    for (token, status) in [(&token, 200), (&plain, 200), (&foreign, 401), (&"x.y.z".to_owned(), 401)] {
        assert_eq!(me(&server, token).await.0, status);
    }
}

async fn me(server: &Server, token: &str) -> (u16, Value) {
    let client = Client { http: reqwest::Client::new(), url: server.url.clone(), token: token.to_owned() };
    let answer = client.ask(reqwest::Method::GET, "/api/me", &[], None).await;
    (answer.status, answer.body["id"].clone())
}

/// An issuer as a process of its own, which ends with it.
struct Issuer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    sessions: u32,
}

impl Issuer {
    fn start() -> Self {
        let mut child = node::command("oauth_issuer.mjs").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, orders, answers, sessions: 0 }
    }

    fn order(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{order}: {answer:?}"))
    }

    /// What the server says to somebody with a new token of this key.
    async fn me(&mut self, server: &Server, kid: &str, user: &str) -> (u16, Value) {
        self.sessions += 1;
        let claims = json!({"sub": user, "sid": format!("sess_{}", self.sessions), "azp": PARTY, "v": 2});
        let token = self.order(&json!({"do": "token", "kid": kid, "claims": claims}))["token"].clone();
        me(server, token.as_str().unwrap()).await
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
