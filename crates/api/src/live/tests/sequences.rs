//! Whatever happens in whatever order, and however often the client loses its connection, it has what the
//! queries answer.

use super::{
    watcher::Watcher,
    world::{
        asked, command, complete_reply, conversation, fail_reply, message, public_advisor, revise, set_status,
        start_reply,
    },
};
use crate::test_api::TestApi;
use advisor_events::advisor::Status;
use serde_json::json;

const STEPS: usize = 120;

#[tokio::test]
async fn a_client_has_what_the_queries_answer_whatever_happens() {
    for seed in [1, 2, 3] {
        run(&TestApi::start().await, Transport::Stream, seed).await;
    }
}

#[tokio::test]
async fn a_client_of_a_socket_has_it_too_whatever_it_subscribes_to_meanwhile() {
    for seed in [4, 5, 6] {
        run(&TestApi::start().await, Transport::Socket, seed).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Stream,
    Socket,
}

impl Transport {
    async fn watch(self, test: &TestApi, queries: &[&str], id: Option<&str>) -> Watcher {
        self.watch_as("ana", test, queries, id).await
    }

    pub(super) async fn watch_as(self, user: &str, test: &TestApi, queries: &[&str], id: Option<&str>) -> Watcher {
        match self {
            Self::Stream => Watcher::resumed(test, user, queries, id).await,
            Self::Socket => Watcher::on_socket(test, user, queries, id).await,
        }
    }
}

/// A small generator of chance, so that a failure can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}

/// What is there to happen to.
#[derive(Default)]
struct World {
    conversations: Vec<String>,
    messages: Vec<String>,
    /// Conversation, reply, and attempts that have begun.
    replies: Vec<(String, String, u32)>,
}

/// What may happen happens, by a seed, and the client has what the queries answer.
pub(super) async fn run(test: &TestApi, transport: Transport, seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    for id in ["robin", "kim"] {
        public_advisor(test, id, "Coach").await;
    }
    let kept = conversation(test, "ana").await;
    let queries = [
        "/api/me".to_owned(),
        "/api/advisors".to_owned(),
        "/api/conversations".to_owned(),
        format!("/api/conversations/{kept}"),
        format!("/api/conversations/{kept}/messages?limit=3"),
    ];
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let mut world = World { conversations: vec![kept.clone()], ..World::default() };
    let mut watcher = transport.watch(test, &queries, None).await;
    watcher.until(|watcher| watcher.kept.len() == queries.len()).await;
    for _ in 0..STEPS {
        happen(test, &mut chance, &mut world, &kept).await;
        match chance.below(10) {
            0 => {
                let next = transport.watch(test, &queries, watcher.id.as_deref()).await;
                watcher = next.with(&watcher);
            }
            // Some things happen while nobody is connected.
            1 => {
                let before = watcher;
                let id = before.id.clone();
                for _ in 0..chance.below(5) {
                    happen(test, &mut chance, &mut world, &kept).await;
                }
                watcher = transport.watch(test, &queries, id.as_deref()).await.with(&before);
            }
            2 => {
                watcher = transport.watch(test, &queries, None).await;
                watcher.until(|watcher| watcher.kept.len() == queries.len()).await;
            }
            // Others move on while this one goes and comes back.
            9 if transport == Transport::Socket => {
                let query = *chance.of(&queries).unwrap();
                watcher.say(&json!({"type": "unsubscribe", "id": query})).await;
                watcher.until(|watcher| !watcher.kept.contains_key(query)).await;
                for _ in 0..chance.below(3) {
                    happen(test, &mut chance, &mut world, &kept).await;
                }
                watcher.say(&json!({"type": "subscribe", "id": query, "query": query})).await;
                // The move that brings it is over with the event that has an id.
                let is_whole = |watcher: &Watcher| watcher.told.last().is_some_and(|told| told.id.is_some());
                watcher.until(|watcher| watcher.kept.contains_key(query) && is_whole(watcher)).await;
            }
            3..6 => watcher.agree(test, "ana").await,
            _ => {}
        }
    }
    watcher.agree(test, "ana").await;
    assert!(!watcher.names().contains(&"reset"));
}

async fn happen(test: &TestApi, chance: &mut Chance, world: &mut World, kept: &str) {
    // Seldom, so that tokens do not end.
    if chance.below(5) == 0 {
        test.clock.advance(1);
    }
    match chance.below(14) {
        0 => world.conversations.push(conversation(test, "ana").await),
        1..4 => world.messages.push(message(test, "ana", kept, &format!("words {}", chance.below(99))).await),
        4 => {
            let id = chance.of(&world.conversations).cloned().unwrap();
            message(test, "ana", &id, "elsewhere").await;
        }
        5 => {
            let id = chance.of(&world.conversations).cloned().unwrap();
            command(
                test,
                "ana",
                "RenameConversation",
                json!({"conversationId": id, "title": format!("t{}", chance.below(9))}),
            )
            .await;
        }
        6 => {
            if let Some(id) = chance.of(&world.messages) {
                command(
                    test,
                    "ana",
                    "EditMessage",
                    json!({"messageId": id, "content": format!("new {}", chance.below(99))}),
                )
                .await;
            }
        }
        7 => {
            if !world.messages.is_empty() {
                let id = world.messages.swap_remove(chance.below(world.messages.len()));
                command(test, "ana", "DeleteMessage", json!({"messageId": id})).await;
            }
        }
        8 => {
            if world.conversations.len() > 1 {
                let id = world.conversations.swap_remove(1 + chance.below(world.conversations.len() - 1));
                command(test, "ana", "DeleteConversation", json!({"conversationId": id})).await;
            }
        }
        9 => revise(test, chance.of(&["robin", "kim"]).unwrap(), &format!("Title {}", chance.below(9))).await,
        10 => {
            let bo = conversation(test, "bo").await;
            message(test, "bo", &bo, "of Bo").await;
        }
        11 => {
            set_status(test, "kim", if chance.below(2) == 0 { Status::Inactive } else { Status::Active }).await;
        }
        12 if world.replies.is_empty() => {
            let reply = asked(test, "ana", kept, "robin").await;
            world.replies.push((kept.to_owned(), reply, 0));
        }
        _ => reply_on(test, chance, world).await,
    }
}

/// A worker takes the next step with a reply.
async fn reply_on(test: &TestApi, chance: &mut Chance, world: &mut World) {
    let Some((conversation, reply, attempt)) = world.replies.pop() else { return };
    if attempt == 0 || (attempt < 3 && chance.below(3) == 0) {
        start_reply(test, &conversation, &reply, attempt + 1).await;
        world.replies.push((conversation, reply, attempt + 1));
    } else if chance.below(3) == 0 {
        fail_reply(test, &conversation, &reply, attempt).await;
    } else {
        complete_reply(test, &conversation, &reply, attempt, "an answer").await;
    }
}
