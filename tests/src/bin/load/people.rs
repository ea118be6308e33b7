//! People and their conversations.

use crate::{
    client::{Asked, Client, command, get},
    server::Server,
};
use anyhow::{Context, Result};
use http::HeaderValue;
use serde_json::{Value, json};

/// About 420 bytes: with what stands beside it an event is about 600.
const SENTENCE: &str = "The lease allows a sublet only with consent. ";
const SENTENCES: usize = 9;

/// Somebody who is signed in.
pub(crate) struct Person {
    pub(crate) token: HeaderValue,
    pub(crate) conversations: Vec<String>,
}

/// So many people, each with so many conversations.
pub(crate) async fn people(server: &Server, count: usize, conversations: usize) -> Result<Vec<Person>> {
    let mut client = Client::connect(server.door()).await?;
    let mut people = Vec::with_capacity(count);
    for number in 0..count {
        let token = server.token(&format!("person_{number}"), &[])?;
        let mut person = Person { token, conversations: Vec::new() };
        for _ in 0..conversations {
            let answer = client.json(command("StartConversation", &person.token, &json!({}))?).await?;
            person.conversations.push(text(answer.pointer("/result/conversationId"))?);
        }
        people.push(person);
    }
    Ok(people)
}

/// The words of a message.
pub(crate) fn words() -> String {
    SENTENCE.repeat(SENTENCES)
}

/// A message that nobody replies to.
pub(crate) fn message(token: &HeaderValue, conversation: &str, words: &str) -> Result<Asked> {
    let body = json!({"conversationId": conversation, "content": words, "advisorIds": []});
    command("SendMessage", token, &body)
}

/// Such a message to each conversation, to one of everybody's before the next one of anybody's.
pub(crate) fn messages(people: &[Person]) -> Result<Vec<Asked>> {
    let most = people.iter().map(|person| person.conversations.len()).max().unwrap_or_default();
    let places =
        (0..most).flat_map(|at| people.iter().filter_map(move |person| Some((person, person.conversations.get(at)?))));
    places.map(|(person, conversation)| message(&person.token, conversation, &words())).collect()
}

/// How many messages all conversations of these people have, as their lists say.
pub(crate) async fn messages_listed(server: &Server, people: &[Person]) -> Result<u64> {
    let mut client = Client::connect(server.door()).await?;
    let mut count = 0;
    for person in people {
        let list = client.json(get("/api/conversations", Some(&person.token))?).await?;
        let list = list.as_array().context("the conversations are no list")?;
        count += list.iter().filter_map(|item| item["messageCount"].as_u64()).sum::<u64>();
    }
    Ok(count)
}

/// A text of an answer.
pub(crate) fn text(value: Option<&Value>) -> Result<String> {
    Ok(value.and_then(Value::as_str).context("an answer is not as expected")?.to_owned())
}
