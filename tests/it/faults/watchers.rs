//! Clients that look on while everything breaks: each follows its person's conversations, comes back to wherever the
//! server is now, and in the end must have the very state that the queries answer.

use super::{
    fold::Conversation,
    load::{Load, Url},
};
use crate::{live_client::LiveClient, server::Client};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const LIST: &str = "/api/conversations";
/// How long the state may take to come, once nothing happens any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// Everybody who looks on.
pub(super) struct Watchers {
    at_work: JoinSet<Watcher>,
    ending: CancellationToken,
}

/// One who looks on.
struct Watcher {
    client: Client,
    url: Url,
    queries: Vec<String>,
    live: LiveClient,
    connected: usize,
}

impl Watchers {
    /// One for each person, who follows the list and two conversations.
    pub(super) async fn begin(load: &Load) -> Self {
        let ending = CancellationToken::new();
        let mut at_work = JoinSet::new();
        for (number, mut client) in load.people().into_iter().enumerate() {
            let url = load.url(number);
            client.url = url.borrow().clone().unwrap();
            let mut queries = vec![LIST.to_owned()];
            let list = client.get(LIST).await;
            let ids = list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap());
            queries.extend(ids.take(2).map(|id| format!("{LIST}/{id}")));
            let live = LiveClient::connect(&client, &queries, None).await;
            let watcher = Watcher { client, url, queries, live, connected: 1 };
            at_work.spawn(watcher.watch(ending.clone()));
        }
        Self { at_work, ending }
    }

    /// Nothing happens any more: compares everybody's state with the queries, and what they heard of replies with
    /// what the log says of them; gives a short account.
    pub(super) async fn end(self, events: &[Value]) -> String {
        let attempts = last_attempts(events);
        self.ending.cancel();
        let (mut watchers, mut connected, mut resets) = (0, 0, Vec::new());
        for watcher in self.at_work.join_all().await {
            watchers += 1;
            connected += watcher.connected;
            resets.extend(watcher.settle(&attempts).await);
        }
        format!("{watchers} watchers connected {connected} times, with the resets {resets:?}")
    }
}

impl Watcher {
    async fn watch(mut self, ending: CancellationToken) -> Self {
        loop {
            let is_there = tokio::select! {
                biased;
                () = ending.cancelled() => return self,
                is_there = self.live.next() => is_there,
            };
            if !is_there && ending.run_until_cancelled(self.come_back()).await.is_none() {
                return self;
            }
        }
    }

    async fn come_back(&mut self) {
        loop {
            let url = self.url.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            self.client.url = url;
            match LiveClient::try_connect(&self.client, &self.queries, self.live.last_id.as_deref()).await {
                Ok(again) => {
                    self.live.go_on(again);
                    self.connected += 1;
                    return;
                }
                Err(error) if error.status().is_some_and(|status| status != 503) => panic!("{error}"),
                // It may be gone already, or be so busy with its start that it does not listen yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Takes in what is still on its way until the state is that of the queries; gives the resets it was sent.
    async fn settle(mut self, attempts: &BTreeMap<String, u64>) -> Vec<String> {
        let client = Client { url: self.url.borrow().clone().unwrap(), ..self.client.clone() };
        if client.url != self.client.url {
            self.come_back().await;
        }
        let mut wanted = Vec::new();
        for query in &self.queries {
            wanted.push(client.get(query).await);
        }
        let coming = async {
            while self.difference(&wanted).is_some() {
                if !self.live.next().await {
                    self.come_back().await;
                }
            }
        };
        let in_time = tokio::time::timeout(SETTLED_WITHIN, coming).await.is_ok();
        let difference = self.difference(&wanted);
        assert!(in_time, "a watcher has another state than the queries answer: {}", difference.unwrap_or_default());
        self.check_streamed_text(&wanted, attempts);
        self.live.resets
    }

    fn difference(&self, wanted: &[Value]) -> Option<String> {
        let state = |query: &str| self.live.data.get(query).cloned().unwrap_or_default();
        let (list, seen_list) = (&wanted[0], state(LIST));
        // Of those that changed in the same millisecond a client does not know which came first.
        let order = |list: &Value| {
            let row = |item: &Value| (item["updatedAt"].to_string(), item["id"].to_string());
            let mut rows: Vec<_> = list.as_array().unwrap().iter().map(row).collect();
            rows.sort();
            rows
        };
        if order(list) != order(&seen_list) {
            return Some(format!("the list is {:?}, not {:?}", order(&seen_list), order(list)));
        }
        self.queries.iter().zip(wanted).skip(1).find_map(|(query, whole)| {
            let item =
                |list: &Value| list.as_array().unwrap().iter().find(|item| item["id"] == whole["id"]).cloned().unwrap();
            let wanted = Conversation::read(&item(list), whole);
            let whole = state(query);
            let seen =
                (item(&seen_list)["title"] == whole["title"]).then(|| Conversation::read(&item(&seen_list), &whole));
            (seen.as_ref() != Some(&wanted)).then(|| format!("{query} is {seen:?}, not {wanted:?}"))
        })
    }

    /// What was streamed of a reply's last attempt is how its text begins, for the whole may overtake the last pieces
    /// or all of them; or goes beyond it, where the reply was stopped, its writer died, and the draft was some pieces
    /// behind.
    fn check_streamed_text(&self, wanted: &[Value], attempts: &BTreeMap<String, u64>) {
        for message in wanted.iter().skip(1).flat_map(|whole| whole["messages"].as_array().unwrap()) {
            let id = message["id"].as_str().unwrap();
            if let Some((attempt, streamed)) = self.live.drafts.get(id)
                && attempts.get(id) == Some(attempt)
            {
                let content = message["content"].as_str().unwrap();
                let agrees = content.starts_with(streamed.as_str()) || streamed.starts_with(content);
                assert!(agrees, "{streamed:?} was streamed of {content:?}");
            }
        }
    }
}

/// The last attempt at each reply, as the log has it.
fn last_attempts(events: &[Value]) -> BTreeMap<String, u64> {
    let started = events.iter().filter(|event| event["type"] == "conversation.reply_started.v2");
    let attempt = |event: &Value| {
        let data = &event["data"];
        (data["replyId"].as_str().unwrap().to_owned(), data["attempt"].as_u64().unwrap())
    };
    started.map(attempt).collect()
}
