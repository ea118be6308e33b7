//! Read models that are made anew from the log cause nothing, and show nothing before they have everything: what is in
//! them on the way, replies that are asked for and have long been given, is nothing to act on.

use super::{after::all_events, consumption::remove_read_models};
use crate::{
    build::Build,
    faulty_model::{FaultyModel, Gate, Noted, Script},
    server::{Client, PATIENCE, Server},
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Replies that are open for most of the log.
const REPLIES: usize = 20;
/// What happens while they are.
const MEANWHILE: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn read_models_that_are_made_anew_cause_nothing() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let model = FaultyModel::start();
    // Event after event, so that what is open meanwhile can be seen.
    let slowly = [("ADVISOR_PROJECTION_BATCH_EVENTS_MAX", "1"), ("ADVISOR_MODEL_URL", model.url.as_str())];
    let mut server = Server::start_build(&build, &slowly);
    let user = server.client("user_1", &[]);
    talk(&user, &model).await;
    let (events, asked) = (all_events(&server), model.requests().len());
    assert_eq!(asked, REPLIES);
    for _ in 0..3 {
        tokio::task::block_in_place(|| {
            server.terminate();
            remove_read_models(&server.data_dir());
            server.start_again();
        });
        nothing_or_all(&user.at(&server)).await;
        assert_eq!(model.requests().len(), asked, "a model was asked for a reply that had been given");
        assert_eq!(all_events(&server), events, "something was appended");
    }
}

/// Until they have everything, they are not shown at all.
async fn nothing_or_all(user: &Client) {
    let begun = Instant::now();
    loop {
        let ready = user.ask(Method::GET, "/readyz", &[], None).await.status == 200;
        let list = user.ask(Method::GET, "/api/conversations", &[], None).await;
        if list.status == 503 && !ready {
            assert!(!list.header("retry-after").is_empty(), "{:?}", list.headers);
            assert!(begun.elapsed() < PATIENCE, "they are not filled");
        } else {
            let shown = list.body.as_array().unwrap().len();
            assert_eq!(shown, REPLIES + 1, "a part was shown as if it were all");
        }
        if ready {
            return;
        }
    }
}

/// Asks for replies, does other things, and only then are the replies given.
async fn talk(user: &Client, model: &FaultyModel) {
    let gate = Arc::new(Gate::default());
    let words = || vec!["Well ".to_owned(), "said.".to_owned()];
    let mut asked = Vec::new();
    for number in 0..REPLIES {
        let question = format!("Question {number}");
        model.answer(&question, vec![Script::Held(Arc::clone(&gate), words())]);
        let id = start(user).await;
        user.command("SendMessage", &json!({"conversationId": id, "content": question})).await;
        asked.push((id, question));
    }
    tokio::task::block_in_place(|| {
        for (_, question) in &asked {
            model.until(&Noted::Asked(question.clone()));
        }
    });
    let other = start(user).await;
    let renames = (0..16).map(async |turn| {
        for number in 0..MEANWHILE / 16 {
            let title = format!("Title {turn} {number}");
            user.command("RenameConversation", &json!({"conversationId": other, "title": title})).await;
        }
    });
    join_all(renames).await;
    gate.open();
    for (id, _) in &asked {
        until_given(user, id).await;
    }
}

async fn start(user: &Client) -> Value {
    user.command("StartConversation", &json!({})).await["result"]["conversationId"].clone()
}

async fn until_given(user: &Client, id: &Value) {
    let path = format!("/api/conversations/{}/messages", id.as_str().unwrap());
    while user.get(&path).await.to_string().matches("Well said.").count() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
