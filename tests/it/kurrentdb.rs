//! The binary on an event log in KurrentDB; the server is our double of one.

use crate::{
    main_job::main_job,
    server::{Answer, Client, PATIENCE, Server},
};
use advisor_kurrentdb_double::Double;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_main_job_on_an_event_log_in_kurrentdb() {
    let double = Double::start();

    main_job(&[("ADVISOR_EVENT_LOG_URL", &double.url()), ("ADVISOR_DEMO_DELAY_MS", "15")]).await;

    assert!(!double.stored("advisor.log").is_empty(), "the log's opening stands in the server");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_even_when_others_wrote_last() {
    let double = Double::start();
    let server = Server::start_with(&[("ADVISOR_EVENT_LOG_URL", &double.url())]);
    let user = server.client("user_1", &[]);
    user.command("StartConversation", &json!({})).await;

    double.append_foreign("orders-1", "order-placed");

    let unknown = uuid::Uuid::new_v4();
    let title = json!({"title": "x"});
    for (method, path, body) in [
        (Method::PATCH, format!("/api/conversations/{unknown}"), Some(title)),
        (Method::DELETE, format!("/api/messages/{unknown}"), None),
        (Method::POST, "/api/commands/StopReply".to_owned(), Some(json!({"replyId": unknown}))),
    ] {
        let answer = user.ask(method, &path, &[], body.as_ref()).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
    }
}

/// Who looks after a log in a server that is somebody else's as well waits for nothing that is theirs.
#[tokio::test]
async fn what_others_have_written_is_nothing_to_who_looks_after_the_log() {
    const BEFORE: u64 = 20_000;
    let double = Double::start();
    for _ in 0..BEFORE {
        double.append_foreign("orders-1", "order-placed");
    }
    let server = Server::start_with(&[("ADVISOR_EVENT_LOG_URL", &double.url())]);
    let user = server.client("user_1", &[]);
    user.until_ready().await;
    user.command("StartConversation", &json!({})).await;
    double.append_foreign("orders-1", "order-placed");

    let tail = server.advisor(&["events", "tail"]);
    let verified = server.advisor(&["verify"]);

    let tail = String::from_utf8_lossy(&tail.stdout).into_owned();
    assert!(tail.lines().next().is_some_and(|first| first.contains("log.opened")), "{tail}");
    assert!(tail.lines().last().is_some_and(|last| last.contains("conversation.started")), "{tail}");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let told = double.seen().told_of_all;
    assert!(told < BEFORE, "{told} events were sent");
}

#[tokio::test]
async fn commands_say_that_the_server_is_away_and_heal() {
    let double = Double::start();
    let server = Server::start_with(&[
        ("ADVISOR_EVENT_LOG_URL", &double.url()),
        ("ADVISOR_EVENT_LOG_NAMESPACE", "one."),
        ("ADVISOR_COMMAND_REPEAT_MS", "500"),
    ]);
    let user = server.client("user_1", &[]);
    assert_eq!(start(&user, "before").await.status, 200);

    double.kill();
    for attempt in ["while", "while", "once more"] {
        let answer = start(&user, attempt).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    }
    double.start_again();

    let begun = Instant::now();
    let healed = loop {
        let answer = start(&user, "while").await;
        if answer.status == 200 {
            break answer;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(begun.elapsed() < PATIENCE, "it does not heal: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let again = start(&user, "while").await;
    assert_eq!(again.body["result"], healed.body["result"], "a repeat says the same");
    let id = healed.body["result"]["conversationId"].as_str().unwrap();
    assert_eq!(double.stored(&format!("one.conversation-{id}")).len(), 1);
}

#[tokio::test]
async fn a_log_moves_into_kurrentdb_and_what_lies_beside_it_stays() {
    let double = Double::start();
    let variables = [("ADVISOR_EVENT_LOG_URL", "sqlite:data/log.db"), ("ADVISOR_READ_MODEL_URL", "sqlite:data")];
    let mut server = Server::start_with(&[&variables[..], &[("ADVISOR_EVENT_LOG_NAMESPACE", "one.")]].concat());
    let user = server.client("user_1", &[]);
    user.command("StartConversation", &json!({"title": "On the move"})).await;
    let before = user.get("/api/conversations").await;
    assert_eq!(server.terminate().0, Some(0));

    let copied = server.advisor(&["log", "copy", "--from", "sqlite:data/log.db", "--to", &double.url()]);

    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    assert_eq!(double.stored("one.log").len(), 2, "its opening and the sample advisors' mark");
    server.set("ADVISOR_EVENT_LOG_URL", Some(&double.url()));
    assert!(!server.start_again_or_die(), "read models of other positions are not taken");
    server.wait_for_end();
    std::fs::remove_file(server.data_dir().join("generation-1.db")).unwrap();
    server.start_again();
    let user = user.at(&server);
    // They are filled beside the first answers.
    user.until_ready().await;
    user.command("StartConversation", &json!({"title": "Settled"})).await;
    let after = user.get("/api/conversations").await;
    assert_eq!((&after[0]["title"], &after[1]), (&json!("Settled"), &before[0]));
}

async fn start(user: &Client, key: &str) -> Answer {
    let request = user.request(Method::POST, "/api/commands/StartConversation").json(&json!({}));
    Answer::to(request.header("idempotency-key", format!("key of {key}"))).await
}
