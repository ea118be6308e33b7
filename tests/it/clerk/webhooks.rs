//! People as Clerk tells of them: in order, out of order, again and again, and across a crash.

use super::{deleted, listening, person, status, tell};
use crate::server::Server;
use serde_json::{Value, json};

#[tokio::test]
async fn profile_and_plan_follow_the_newest_news_whatever_the_order() {
    let server = listening();
    let news = [
        ("m1", person("user.updated", "ana", 2_000, "Ana", Some("base"))),
        ("m2", person("user.updated", "ana", 5_000, "Ana Maria", Some("premium"))),
        ("m3", person("user.created", "ana", 1_000, "Anna", None)),
        ("m4", person("user.updated", "ana", 4_000, "An", Some("enterprise"))),
    ];
    for _ in 0..3 {
        for (id, event) in &news {
            assert_eq!(tell(&server, id, event).await, 200);
        }
    }
    let ana = server.client("ana", &[]);
    let me = ana.get("/api/me").await;
    assert_eq!(
        [&me["name"], &me["email"], &me["image"], &me["plan"], &me["tier"]],
        ["Ana Maria Brito", "ana@example.org", "https://img.clerk.com/x", "premium", "premium"]
    );
    let events = server.events("user-ana");
    assert_eq!(
        types(&events),
        ["user.registered.v1", "user.profile_changed.v1", "user.plan_changed.v1"],
        "each news once, and old ones not at all"
    );
    assert!(events.iter().all(|event| event["metadata"]["actor"] == json!({"kind": "webhook", "id": "clerk"})));
    assert_eq!(events[1]["metadata"]["commandId"], "m2");

    assert_eq!(tell(&server, "m5", &person("user.updated", "ana", 6_000, "Ana", None)).await, 200);
    assert_eq!(ana.get("/api/me").await["plan"], "free", "no plan is told");
    assert_eq!(tell(&server, "m6", &json!({"type": "organization.created", "data": {}})).await, 200);
}

#[tokio::test]
async fn a_deletion_that_overtakes_everything_keeps_the_person_out_for_ever() {
    let mut server = listening();
    let ana = server.client("ana", &[]);
    assert_eq!(tell(&server, "m9", &deleted("ana")).await, 200);
    assert_eq!(tell(&server, "m1", &person("user.created", "ana", 1_000, "Ana", None)).await, 200);
    assert_eq!(tell(&server, "m2", &person("user.updated", "ana", u64::from(u32::MAX), "Ana", None)).await, 200);
    assert_eq!(status(&ana).await, 401);
    server.kill();
    server.start_again();
    assert_eq!(status(&ana.at(&server)).await, 401);
    assert_eq!(tell(&server, "m3", &person("user.created", "ana", 1_000, "Ana", None)).await, 200);
    assert_eq!(tell(&server, "m9", &deleted("ana")).await, 200);
    assert_eq!(types(&server.events("user-ana")), ["user.deleted.v1"]);
    let slip = server.advisor(&["users", "erase", "anna", "--yes"]);
    assert_eq!(slip.status.code(), Some(1), "an operator erases nobody who was never seen");
}

#[tokio::test]
async fn a_delivery_told_fifty_times_at_once_and_again_after_a_crash_has_one_effect() {
    let mut server = listening();
    let created = person("user.created", "ana", 1_000, "Ana", Some("base"));
    let told = futures::future::join_all((0..50).map(|_| tell(&server, "m1", &created))).await;
    assert!(told.iter().all(|status| *status == 200), "{told:?}");
    for round in 2..6 {
        let update = person("user.updated", "ana", round * 1_000, "Ana", Some("pro"));
        assert_eq!(tell(&server, &format!("m{round}"), &update).await, 200);
        // What was answered is in the log, however the process ends.
        server.kill();
        server.start_again();
        assert_eq!(server.events("user-ana").last().unwrap()["data"]["toldAt"], json!(time(round)));
        for (id, event) in [("m1".to_owned(), &created), (format!("m{round}"), &update)] {
            assert_eq!(tell(&server, &id, event).await, 200);
        }
    }
    let wanted = [
        &["user.registered.v1", "user.profile_changed.v1", "user.plan_changed.v1"][..],
        &["user.profile_changed.v1"; 3],
    ];
    assert_eq!(types(&server.events("user-ana")), wanted.concat());
}

#[tokio::test]
async fn a_webhook_keeps_no_word_in_the_clear() {
    let server: Server = listening();
    let canary = "kanarie-0170";
    tell(&server, "m1", &person("user.created", "ana", 1_000, canary, None)).await;
    tell(&server, "m2", &json!({"type": "user.updated", "data": {"id": "", "first_name": canary}})).await;
    assert_eq!(server.client("ana", &[]).get("/api/me").await["name"], format!("{canary} Brito"));
    let events = Value::Array(server.events("user-ana")).to_string();
    assert!(!events.contains(canary) && !server.log_text().contains(canary));
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn time(seconds: u64) -> String {
    format!("1970-01-01T00:00:{seconds:02}.000Z")
}
