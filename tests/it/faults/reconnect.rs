//! Everybody's live stream ends at the same moment, and everybody comes back at once.

use super::rounds;
use crate::{
    build::Build,
    live_client::LiveClient,
    open_files,
    server::{Client, PATIENCE, Server},
};
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LIST: &str = "/api/conversations";
/// As many streams as one person may have.
const STREAMS_EACH: usize = 20;
/// How many connect at a time when nothing is wrong yet.
const CONNECTING_MAX: usize = 100;

/// A person, a conversation of theirs, and their devices.
struct Person {
    client: Client,
    conversation: Value,
    live: Vec<LiveClient>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_live_streams_that_end_at_once_come_back_without_a_gap() {
    open_files::raise();
    let streams = rounds("ADVISOR_TEST_STREAMS", 600);
    let mut server = Server::start_build(&Build::usual(), &[]);
    let mut people = Vec::new();
    for number in 0..streams.div_ceil(STREAMS_EACH) {
        people.push(Person::arrive(&server, &format!("user_{number}")).await);
    }
    connect_all(&mut people, streams).await;
    rename_all(&people, "Before").await;
    all_see(&mut people, "Before").await;

    tokio::task::block_in_place(|| {
        server.kill();
        server.start_again_in_place();
    });
    let begun = Instant::now();
    // While everybody comes back, something happens to each of them; and it does not wait for all to be back.
    let renaming = rename_all(&people, "After");
    let positions: Vec<_> = people.iter().map(|person| person.live.iter().map(|live| live.last_id.clone())).collect();
    let coming =
        people.iter().zip(positions).map(|(person, ids)| join_all(ids.map(|id| come_back(&person.client, id))));
    let (slowest, back) = futures::join!(renaming, join_all(coming));
    let back_within = begun.elapsed();
    for (person, back) in people.iter_mut().zip(back) {
        person.live.iter_mut().zip(back).for_each(|(live, again)| live.go_on(again));
    }
    all_see(&mut people, "After").await;
    println!(
        "{streams} streams came back within {back_within:?}; the slowest of {} commands meanwhile took {slowest:?}",
        people.len()
    );
    let resets: Vec<&String> = people.iter().flat_map(|person| &person.live).flat_map(|live| &live.resets).collect();
    assert!(resets.is_empty(), "{} streams had to begin anew: {:?}", resets.len(), resets[0]);
}

impl Person {
    async fn arrive(server: &Server, name: &str) -> Self {
        let client = server.client(name, &[]);
        let started = client.command("StartConversation", &json!({"title": "New"})).await;
        Self { client, conversation: started["result"]["conversationId"].clone(), live: Vec::new() }
    }

    async fn rename(&self, title: &str) -> Duration {
        let begun = Instant::now();
        self.client.command("RenameConversation", &json!({"conversationId": self.conversation, "title": title})).await;
        begun.elapsed()
    }
}

async fn connect_all(people: &mut [Person], streams: usize) {
    let clients: Vec<Client> = people.iter().map(|person| person.client.clone()).collect();
    let numbers: Vec<usize> = (0..streams).collect();
    for numbers in numbers.chunks(CONNECTING_MAX) {
        let connecting = numbers.iter().map(|number| come_back(&clients[number / STREAMS_EACH], None));
        for (number, live) in numbers.iter().zip(join_all(connecting).await) {
            people[number / STREAMS_EACH].live.push(live);
        }
    }
}

/// Each one's conversation gets this title, one after the other, so that each is a change by itself; gives how long the
/// slowest of these commands took.
async fn rename_all(people: &[Person], title: &str) -> Duration {
    let mut slowest = Duration::ZERO;
    for person in people {
        slowest = slowest.max(person.rename(title).await);
    }
    slowest
}

async fn all_see(people: &mut [Person], title: &str) {
    let lives = people.iter_mut().flat_map(|person| &mut person.live);
    join_all(lives.map(async |live| {
        live.until(title, |live| live.data.get(LIST).is_some_and(|list| list[0]["title"] == title)).await;
    }))
    .await;
}

/// Connects from where a connection stood; again where the server has no room just now.
async fn come_back(client: &Client, last_id: Option<String>) -> LiveClient {
    let begun = Instant::now();
    loop {
        match LiveClient::try_connect(client, &[LIST.to_owned()], last_id.as_deref()).await {
            Ok(live) => return live,
            Err(error) if error.status().is_some_and(|status| status != StatusCode::SERVICE_UNAVAILABLE) => {
                panic!("{error}")
            }
            Err(error) => assert!(begun.elapsed() < PATIENCE, "not back yet: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
