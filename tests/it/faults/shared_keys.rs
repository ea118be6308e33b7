//! Idempotency keys are each person's own: whoever uses the same ones has effects and answers of their own.

use crate::{
    build::Build,
    server::{Client, Server},
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// Everybody's keys.
const KEYS: [&str; 3] = ["1", "2", "3"];

#[tokio::test]
async fn people_who_use_the_same_keys_do_not_meet() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let server = Server::start_build(&build, &[]);
    let people: Vec<Client> = (0..16).map(|number| server.client(&format!("user_{number}"), &[])).collect();
    let first = join_all(people.iter().enumerate().map(|(number, person)| begin(person, number))).await;
    let again = join_all(people.iter().enumerate().map(|(number, person)| begin(person, number))).await;
    assert_eq!(first, again, "who asks again is given their own answer");
    for (number, (person, begun)) in people.iter().zip(&first).enumerate() {
        let shown = person.get("/api/conversations").await;
        let mut titles: Vec<&str> =
            shown.as_array().unwrap().iter().map(|row| row["title"].as_str().unwrap()).collect();
        titles.sort_unstable();
        assert_eq!(titles, KEYS.map(|key| title(number, key)), "everybody has what they began");
        assert_eq!(begun.len(), KEYS.len());
    }
}

/// Starts a conversation under each key; gives what they are answered.
async fn begin(person: &Client, number: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    for key in KEYS {
        let (headers, body) = ([("idempotency-key", key)], json!({"title": title(number, key)}));
        let answer = person.ask(Method::POST, "/api/commands/StartConversation", &headers, Some(&body)).await;
        assert_eq!(answer.status, 200, "two people's keys meet: {}", answer.text);
        answers.push(answer.body);
    }
    answers
}

fn title(number: usize, key: &str) -> String {
    format!("{key} of user_{number}")
}
