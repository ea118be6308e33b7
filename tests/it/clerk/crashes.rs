//! A server that is killed again and again while Clerk tells it of people. Each delivery is told until it is taken,
//! and some once more, as Svix does.

use super::{PATH, deleted, in_time, listening, now, person, signed, status};
use crate::{dice::Dice, server::Client};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

const PEOPLE: usize = 6;
/// The first of them are deleted.
const DELETED: usize = 2;
const NEWS: u64 = 20;
const KILLS: usize = 8;
/// Deliveries on their way at a time.
const TELLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_during_deliveries_keeps_the_newest_news_and_every_deletion() {
    let mut server = listening();
    let clients: Vec<_> = (0..PEOPLE).map(|number| server.client(&name(number), &[])).collect();
    let clerk = Arc::new(Clerk::new(format!("{}{PATH}", server.url)));
    let tellers = TaskTracker::new();
    for _ in 0..TELLERS {
        tellers.spawn(Arc::clone(&clerk).tell_all());
    }
    let (mut dice, mut taken, mut on_their_way) = (Dice(7), clerk.taken.subscribe(), 0);
    for kill in 1..=KILLS {
        drop(in_time(taken.wait_for(|taken| *taken >= kill * 10)).await.unwrap());
        // The moment within a delivery is left to chance: nothing tells when one is half taken in.
        tokio::time::sleep(Duration::from_micros(dice.roll(10_000) as u64)).await;
        on_their_way += clerk.on_their_way.load(Ordering::SeqCst);
        tokio::task::block_in_place(|| server.kill());
        tokio::task::block_in_place(|| server.start_again_in_place());
    }
    tellers.close();
    in_time(tellers.wait()).await;
    assert!(on_their_way >= KILLS, "kills have to hit deliveries: {on_their_way}");

    for (number, client) in clients.iter().enumerate() {
        let events = server.events(&format!("user-{}", name(number)));
        let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        if number < DELETED {
            assert_eq!(status(client).await, 401, "{kinds:?}");
            assert_eq!(kinds.iter().position(|kind| *kind == "user.deleted.v1"), Some(kinds.len() - 1), "{kinds:?}");
        } else {
            let me = in_time(shown_at(client, &events.last().unwrap()["position"])).await;
            let newest = (json!(format!("News {NEWS} Brito")), json!(plan(NEWS)));
            assert_eq!((me["name"].clone(), me["plan"].clone()), newest, "{kinds:?}");
        }
        let effects: HashSet<_> = events
            .iter()
            .map(|event| (event["metadata"]["commandId"].to_string(), event["type"].to_string()))
            .collect();
        assert_eq!(effects.len(), events.len(), "a delivery had an effect twice: {events:#?}");
    }
}

/// The person as of a position. After a kill the read side may stand still until its lease is taken over.
async fn shown_at(client: &Client, position: &Value) -> Value {
    let path = format!("/api/me?min_position={position}");
    loop {
        match client.ask(Method::GET, &path, &[], None).await {
            answer if answer.status == 503 => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => return answer.body,
        }
    }
}

/// Who tells everything until it is taken.
struct Clerk {
    url: String,
    http: reqwest::Client,
    left: Mutex<VecDeque<(String, Value)>>,
    on_their_way: AtomicUsize,
    taken: watch::Sender<usize>,
}

impl Clerk {
    /// With all news of everybody, in any order.
    fn new(url: String) -> Self {
        let mut dice = Dice(19);
        let news = (0..PEOPLE).flat_map(|number| {
            let told = (1..=NEWS).map(move |at| {
                let kind = if at == 1 { "user.created" } else { "user.updated" };
                let event = person(kind, &name(number), at * 1_000, &format!("News {at}"), Some(plan(at)));
                (format!("{}-{at}", name(number)), event)
            });
            let deletion = (number < DELETED).then(|| (format!("{}-end", name(number)), deleted(&name(number))));
            told.chain(deletion)
        });
        let mut left: Vec<_> = news.collect();
        for place in (1..left.len()).rev() {
            left.swap(place, dice.roll(place + 1));
        }
        // Every third is told once more when all have been told.
        let again: Vec<_> = left.iter().step_by(3).cloned().collect();
        Self {
            url,
            http: reqwest::Client::new(),
            left: Mutex::new(left.into_iter().chain(again).collect()),
            on_their_way: AtomicUsize::new(0),
            taken: watch::Sender::new(0),
        }
    }

    async fn tell_all(self: Arc<Self>) {
        loop {
            let Some((id, event)) = self.left.lock().unwrap().pop_front() else { return };
            while !self.is_taken(&id, &event.to_string()).await {
                // The server is away, and comes back.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.taken.send_modify(|taken| *taken += 1);
        }
    }

    async fn is_taken(&self, id: &str, body: &str) -> bool {
        let request = signed(id, now(), body)
            .into_iter()
            .fold(self.http.post(&self.url), |request, (name, value)| request.header(name, value));
        self.on_their_way.fetch_add(1, Ordering::SeqCst);
        let answer = request.header("content-type", "application/json").body(body.to_owned()).send().await;
        self.on_their_way.fetch_sub(1, Ordering::SeqCst);
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(200) => true,
            Ok(503) | Err(_) => false,
            Ok(status) => panic!("{id} is answered {status}"),
        }
    }
}

fn name(number: usize) -> String {
    format!("person_{number}")
}

fn plan(at: u64) -> &'static str {
    ["free", "base", "premium"][usize::try_from(at % 3).unwrap()]
}
