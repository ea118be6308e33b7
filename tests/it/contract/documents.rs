//! The two real advisor documents, through `CreateAdvisor` and `ReviseAdvisor`.

use super::{assert_details, assert_problem, nobody, server, sparse, texts};
use crate::main_job::documents;
use serde_json::{Value, json};

/// The documents of the first application.
pub(super) fn real_documents() -> Vec<Value> {
    let read = |file| serde_json::from_slice(&std::fs::read(documents().join(file)).unwrap()).unwrap();
    ["alex-reyes-v3.json", "amara-johnson-v2.json"].map(read).to_vec()
}

/// The card of a document: the fields that the contract names, from where it says.
pub(super) fn card_of(id: &Value, document: &Value) -> Value {
    let mut card = json!({
        "id": id, "mission": document["roleDefinition"]["mission"], "tags": document["metadata"]["tags"],
        "modelHint": null
    });
    for name in [
        "name",
        "title",
        "image",
        "oneLiner",
        "archetype",
        "bio",
        "detailedBackground",
        "experience",
        "specialties",
        "personalInterests",
        "communicationStyle",
        "location",
        "adviceDelivery",
    ] {
        card[name] = document["persona"][name].clone();
    }
    card
}

#[tokio::test]
async fn the_two_real_documents_show_as_their_cards_and_are_kept_whole() {
    let server = server();
    let operator = server.client("ops", &["--role", "operator"]);
    for mut document in real_documents() {
        document["notInAnySchema"] = json!({"kept": [1, 2.5, "é"]});
        document["persona"]["favouriteColour"] = json!("green");
        let id = document["advisorId"].clone();
        let made = operator.command("CreateAdvisor", &document).await;
        assert_eq!(made["result"], json!({"advisorId": id}));
        let path = format!("/api/advisors/{}", id.as_str().unwrap());
        let mut page = card_of(&id, &document);
        page["status"] = json!("active");
        page["visibility"] = json!("public");
        assert_eq!(nobody(&server).fetch(&path).await.body, page);
        let stream = made["stream"].as_str().unwrap();
        assert_eq!(server.events(stream)[0]["data"]["document"]["public"], document);

        document["persona"]["title"] = json!("Somebody else");
        document["modelHint"] = json!("some/model");
        document["tags"] = json!(["own"]);
        document.as_object_mut().unwrap().remove("localization");
        let body = json!({"advisorId": id, "document": document});
        assert_eq!(operator.command("ReviseAdvisor", &body).await["result"], json!({}));
        let seen = operator.get(&path).await;
        let shown = [&seen["title"], &seen["modelHint"], &seen["tags"]];
        assert_eq!(shown, [&json!("Somebody else"), &json!("some/model"), &json!(["own"])]);
        assert_eq!(server.events(stream)[1]["data"]["document"]["public"], document);
    }
    let known = nobody(&server).fetch("/api/advisors").await;
    assert_eq!(texts(&known.body, "id")[4..], ["alex-reyes-v3", "amara-johnson-v2"]);
}

#[tokio::test]
async fn a_taken_id_is_refused_where_it_is_seen_and_gets_a_suffix_where_it_is_not() {
    let server = server();
    let (ann, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    let operator = server.client("ops", &["--role", "operator"]);
    let coach = sparse("My Coach", "Coach");
    assert_eq!(ann.made("CreateAdvisor", &coach, "advisorId").await, "my-coach");
    assert_problem(&ann.order("CreateAdvisor", &coach).await, 409, "ADVISOR_EXISTS");
    for who in [&bob, &operator] {
        let other = who.made("CreateAdvisor", &coach, "advisorId").await;
        assert!(other.starts_with("my-coach-") && other.len() == "my-coach-".len() + 13, "{other}");
        assert_eq!(who.get(&format!("/api/advisors/{other}")).await["id"], json!(other));
    }
    assert_problem(&bob.order("CreateAdvisor", &sparse("nadia-okafor-v1", "N")).await, 409, "ADVISOR_EXISTS");
    assert_problem(&operator.order("CreateAdvisor", &sparse("nadia-okafor-v1", "N")).await, 409, "ADVISOR_EXISTS");

    // Without an id it is made of the name.
    let made = bob.made("CreateAdvisor", &json!({"persona": {"name": "Łukasz Ño", "title": "T"}}), "advisorId").await;
    assert!(made.starts_with("lukasz-no-"), "{made}");
    let asleep = json!({"advisorId": "asleep", "status": "inactive", "persona": {"name": "A", "title": "T"}});
    bob.command("CreateAdvisor", &asleep).await;
    assert_eq!(bob.get("/api/advisors/asleep").await["status"], "inactive");
    assert!(!bob.fetch("/api/advisors").await.text.contains("asleep"));
}

#[tokio::test]
async fn a_document_needs_a_name_and_a_title_and_no_more() {
    let server = server();
    let user = server.client("ann", &[]);
    user.command("CreateAdvisor", &sparse("mine", "Mine")).await;
    for (document, pointer) in [
        (json!({}), "/persona"),
        (json!({"persona": 5}), "/persona"),
        (json!({"persona": {"title": "T"}}), "/persona/name"),
        (json!({"persona": {"name": "", "title": "T"}}), "/persona/name"),
        (json!({"persona": {"name": "N"}}), "/persona/title"),
        (json!({"persona": {"name": "N", "title": "T"}, "status": "asleep"}), "/status"),
        (json!({"persona": {"name": "N", "title": "T"}, "advisorId": 5}), "/advisorId"),
        (json!({"persona": {"name": "N", "title": "T"}, "x": "a\0b"}), "/x"),
    ] {
        assert_details(&user.order("CreateAdvisor", &document).await, 422, &[pointer]);
        let revision = json!({"advisorId": "mine", "document": document});
        assert_details(&user.order("ReviseAdvisor", &revision).await, 422, &[&format!("/document{pointer}")]);
    }
    assert_details(&user.order("CreateAdvisor", &json!([1])).await, 422, &[""]);
}

#[tokio::test]
async fn operators_alone_set_status_and_visibility() {
    let server = server();
    let (ann, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    let operator = server.client("ops", &["--role", "operator"]);
    ann.command("CreateAdvisor", &sparse("mine", "Mine")).await;
    let status = |id: &str| json!({"advisorId": id, "status": "inactive"});
    let visibility = |id: &str| json!({"advisorId": id, "visibility": "public"});
    for (name, body) in [("SetAdvisorStatus", &status as &dyn Fn(&str) -> Value), ("SetAdvisorVisibility", &visibility)]
    {
        assert_problem(&bob.order(name, &body("mine")).await, 404, "ADVISOR_NOT_FOUND");
        assert_problem(&bob.order(name, &body("unknown")).await, 404, "ADVISOR_NOT_FOUND");
        assert_problem(&operator.order(name, &body("unknown")).await, 404, "ADVISOR_NOT_FOUND");
        assert_problem(&bob.order(name, &body("nadia-okafor-v1")).await, 403, "FORBIDDEN");
        assert_problem(&ann.order(name, &body("mine")).await, 403, "FORBIDDEN");
        assert_eq!(operator.command(name, &body("mine")).await["result"], json!({}));
    }
    let seen = bob.get("/api/advisors/mine").await;
    assert_eq!((&seen["status"], &seen["visibility"]), (&json!("inactive"), &json!("public")));
    let word = json!({"advisorId": "mine", "status": "asleep"});
    assert_details(&operator.order("SetAdvisorStatus", &word).await, 422, &["/status"]);
    let word = json!({"advisorId": "mine", "visibility": "secret"});
    assert_details(&operator.order("SetAdvisorVisibility", &word).await, 422, &["/visibility"]);
    let private = json!({"advisorId": "nadia-okafor-v1", "visibility": "private"});
    assert_problem(&operator.order("SetAdvisorVisibility", &private).await, 409, "WRONG_STATE");
}
