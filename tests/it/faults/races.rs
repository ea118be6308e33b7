//! Fifty who all want to change the same thing, each as it was when they looked.

use crate::{build::Build, server::Server};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

const RACERS: usize = 50;
const RACES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_who_expect_the_same_revision_one_wins() {
    trial(Build::usual()).await;
}

pub(super) async fn trial(build: Build) {
    let server = Server::start_build(&build, &[]);
    let user = server.client("user_1", &[]);
    let conversation = user.command("StartConversation", &json!({})).await;
    let path = format!("/api/conversations/{}", conversation["result"]["conversationId"].as_str().unwrap());
    for race in 0..RACES {
        let seen = user.ask(Method::GET, &path, &[], None).await;
        let tag = seen.header("etag").to_owned();
        let racers = (0..RACERS).map(|racer| {
            let (user, path, tag) = (&user, &path, &tag);
            async move {
                let body = json!({"title": format!("{race} {racer}")});
                user.ask(Method::PATCH, path, &[("if-match", tag.as_str())], Some(&body)).await.status
            }
        });
        let statuses = join_all(racers).await;
        let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((of(200), of(412)), (1, RACERS - 1), "not one of the racers alone has won: {statuses:?}");
    }
}
