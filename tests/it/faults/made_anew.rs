//! Read models that are made anew from the log cause nothing, and show nothing before they have everything: what is in
//! them on the way, replies that are asked for and have long been given, is nothing to act on.

use super::{
    after::all_events,
    consumption::remove_read_models,
    other_builds::{UNKNOWN, refuses_to_go_on, rename_type},
};
use crate::{
    build::Build,
    faulty_model::{FaultyModel, Gate, Noted, Script},
    server::{Client, PATIENCE, Server},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const REPLIES: usize = 20;
/// What happens while they are all open. Where it is not known, the read models come to it and no further.
const MEANWHILE: &str = "conversation.renamed.v1";
/// Workers look at what is open every second.
const LOOKS: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread")]
async fn read_models_that_are_made_anew_cause_nothing_and_show_nothing_before_they_are_whole() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let model = FaultyModel::start();
    // Event after event, so that what stands before the one that is not known is in them.
    let variables = [("ADVISOR_MODEL_URL", model.url.as_str()), ("ADVISOR_PROJECTION_BATCH_EVENTS_MAX", "1")];
    let mut server = Server::start_build(&build, &variables);
    let renamed = talk(&server.client("user_1", &[]), &model).await;
    let events = all_events(&server);
    assert_eq!(model.requests().len(), REPLIES);

    filled_anew(&mut server, (MEANWHILE, UNKNOWN));
    let user = server.client("user_1", &[]);
    refuses_to_go_on(&server, &user, 0, renamed).await;
    tokio::time::sleep(LOOKS).await;
    assert_eq!(model.requests().len(), REPLIES, "a model was asked for a reply that had been given");
    let (status, list) = user.send(Method::GET, "/api/conversations", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "a part was shown as if it were all: {list}");
    let live = user.request(Method::GET, "/api/live?query=/api/conversations").send().await.unwrap();
    assert_eq!(live.status(), StatusCode::SERVICE_UNAVAILABLE, "a part is shown live as if it were all");

    filled_anew(&mut server, (UNKNOWN, MEANWHILE));
    let user = server.client("user_1", &[]);
    user.until_ready().await;
    assert_eq!(user.get("/api/conversations").await.as_array().unwrap().len(), REPLIES + 1);
    assert_eq!(model.requests().len(), REPLIES, "a model was asked for a reply that had been given");
    assert_eq!(all_events(&server), events, "something was appended");
}

/// Starts it again without read models, the events of a type bearing another name.
fn filled_anew(server: &mut Server, (from, to): (&str, &str)) {
    tokio::task::block_in_place(|| {
        server.terminate();
        remove_read_models(&server.data_dir());
        rename_type(server, from, to);
        server.start_again();
    });
}

/// Asks for replies, renames another conversation, and only then are the replies given; tells where the log stood in
/// between.
async fn talk(user: &Client, model: &FaultyModel) -> u64 {
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
    let rename = json!({"conversationId": start(user).await, "title": "Meanwhile"});
    let renamed = user.command("RenameConversation", &rename).await["position"].as_u64().unwrap();
    gate.open();
    for (id, _) in &asked {
        until_given(user, id).await;
    }
    renamed
}

async fn start(user: &Client) -> Value {
    user.command("StartConversation", &json!({})).await["result"]["conversationId"].clone()
}

async fn until_given(user: &Client, id: &Value) {
    let path = format!("/api/conversations/{}/messages", id.as_str().unwrap());
    let begun = Instant::now();
    while !user.get(&path).await.to_string().contains("Well said.") {
        assert!(begun.elapsed() < PATIENCE, "the reply does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
