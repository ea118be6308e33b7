//! `/api/advisors`.

use super::{
    assert_problem, assert_shape, card,
    documents::{card_of, real_documents},
    nobody, server, sparse, texts,
};
use crate::server::Client;
use serde_json::{Value, json};

#[tokio::test]
async fn advisors_are_listed_signed_out_as_cards_the_oldest_first() {
    let server = server();
    let listed = nobody(&server).fetch("/api/advisors").await;
    assert_eq!((listed.status, listed.header("content-type")), (200, "application/json"));
    assert_shape(&listed.body, &json!([card()]));
    let sample = ["nadia-okafor-v1", "tomas-lindqvist-v1", "priya-raman-v1", "henrik-vale-v1"];
    assert_eq!(texts(&listed.body, "id"), sample);

    let operator = server.client("ops", &["--role", "operator"]);
    operator.command("CreateAdvisor", &sparse("aaa-first-by-name", "Aaa First")).await;
    operator.command("SetAdvisorStatus", &json!({"advisorId": sample[1], "status": "inactive"})).await;
    assert_eq!(operator.delete(&format!("/api/advisors/{}", sample[2])).await.status, 200);
    let left = nobody(&server).fetch("/api/advisors").await;
    assert_eq!(texts(&left.body, "id"), [sample[0], sample[3], "aaa-first-by-name"]);
    operator.command("SetAdvisorStatus", &json!({"advisorId": sample[1], "status": "active"})).await;
    let back = nobody(&server).fetch("/api/advisors").await;
    assert_eq!(texts(&back.body, "id"), [sample[0], sample[1], sample[3], "aaa-first-by-name"]);
}

#[tokio::test]
async fn an_advisor_is_made_by_the_form_changed_and_archived() {
    let server = server();
    let (ann, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    let form = form(&json!({"persona": {"bio": "Rows."}, "metadata": {"tags": ["rowing"]}}));
    let made = ann.post("/api/advisors", &form).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_shape(&made.body, &card());
    let id = made.body["id"].as_str().unwrap();
    let digits = id.strip_prefix("zoe-noel-").unwrap();
    assert!(digits.len() == 13 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    assert_eq!(
        (&made.body["name"], &made.body["title"], &made.body["bio"], &made.body["tags"], &made.body["image"]),
        (&json!("Zoë Noël"), &json!("Rower"), &json!("Rows."), &json!(["rowing"]), &json!("https://example.com/z.png"))
    );
    let path = format!("/api/advisors/{id}");
    let page = ann.fetch(&path).await;
    let mut whole = made.body.clone();
    whole["status"] = json!("active");
    whole["visibility"] = json!("private");
    assert_eq!(page.body, whole);
    assert_eq!(texts(&ann.get("/api/advisors").await, "id").last(), Some(&id));
    assert!(!bob.fetch("/api/advisors").await.text.contains(id));

    let changed = json!({
        "firstName": "Zoë", "lastName": "Noël", "title": "Coach",
        "jsonConfiguration": json!({"persona": {"name": "Dr Zoë", "image": "https://example.com/own.png"}}).to_string()
    });
    let patched = ann.patch(&path, &changed).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_shape(&patched.body, &card());
    let seen = [&patched.body["id"], &patched.body["name"], &patched.body["title"], &patched.body["image"]];
    assert_eq!(seen, [id, "Dr Zoë", "Coach", "https://example.com/own.png"]);
    assert_eq!((&patched.body["bio"], &patched.body["tags"]), (&Value::Null, &json!([])), "it replaces");
    assert_eq!(ann.get(&path).await["name"], "Dr Zoë");

    let archived = ann.delete(&path).await;
    assert_eq!(archived.status, 200);
    assert_shape(&archived.body, &json!({"success": true, "message": "text"}));
    assert_eq!(ann.delete(&path).await.body, archived.body, "it is archived already");
    assert_eq!(ann.get(&path).await["status"], "archived");
    assert!(!ann.fetch("/api/advisors").await.text.contains(id));
}

#[tokio::test]
async fn a_form_that_lacks_something_is_told_what() {
    let server = server();
    let user = server.client("ann", &[]);
    let made = user.post("/api/advisors", &form(&json!({}))).await;
    let path = format!("/api/advisors/{}", made.body["id"].as_str().unwrap());
    let all = "Missing required fields: firstName, lastName, title, jsonConfiguration";
    let broken = "Invalid JSON configuration";
    for (body, error) in [
        (json!({}), all),
        (json!({"firstName": "", "lastName": null, "title": " ", "jsonConfiguration": ""}), all),
        (without("title"), "Missing required fields: title"),
        (without("jsonConfiguration"), "Missing required fields: jsonConfiguration"),
        (configured(json!("{")), broken),
        (configured(json!("[]")), broken),
        (configured(json!("null")), broken),
        (configured(json!("\"text\"")), broken),
        (configured(json!({"persona": {}})), broken),
        (configured(json!("{\"persona\": 5}")), broken),
        (configured(json!("{\"a\": \"\\u0000\"}")), broken),
    ] {
        assert_problem(&user.post("/api/advisors", &body).await, 400, error);
        assert_problem(&user.patch(&path, &body).await, 400, error);
    }
    let wrong = user.post("/api/advisors", &json!({"firstName": 5})).await;
    assert_problem(&wrong, 400, "VALIDATION_ERROR");
    assert_eq!(user.get("/api/advisors").await.as_array().unwrap().len(), 5, "nothing else was made");
}

#[tokio::test]
async fn the_two_real_documents_come_in_through_the_form_too() {
    let server = server();
    let operator = server.client("ops", &["--role", "operator"]);
    for document in real_documents() {
        let persona = &document["persona"];
        let (first, last) = persona["name"].as_str().unwrap().split_once(' ').unwrap();
        let body = json!({
            "firstName": first, "lastName": last, "title": persona["title"], "imageUrl": "https://example.com/x.png",
            "jsonConfiguration": document.to_string()
        });
        let made = operator.post("/api/advisors", &body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let mut card = card_of(&made.body["id"], &document);
        if card["image"].is_null() {
            card["image"] = body["imageUrl"].clone();
        }
        assert_eq!(made.body, card);
        let id = made.body["id"].as_str().unwrap();
        assert!(id.starts_with(&format!("{}-{}-", first.to_lowercase(), last.to_lowercase())), "{id}");
        assert_eq!(nobody(&server).fetch(&format!("/api/advisors/{id}")).await.body["visibility"], "public");

        // Everything of the document is kept, though no card shows it.
        let kept = &server.events(&format!("advisor-{id}"))[0]["data"]["document"]["public"];
        for part in ["components", "localization", "roleDefinition", "metadata", "persona"] {
            assert_eq!(kept[part], document[part], "{part}");
        }
        assert_eq!((&kept["advisorId"], &kept["advisorSchemaVersion"]), (&json!(id), &json!("1.0.0")));
    }
}

#[tokio::test]
async fn only_the_owner_and_for_public_ones_an_operator_change_an_advisor() {
    let server = server();
    let (ann, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    let operator = server.client("ops", &["--role", "operator"]);
    let made = ann.post("/api/advisors", &form(&json!({}))).await;
    let private = format!("/api/advisors/{}", made.body["id"].as_str().unwrap());
    let public = "/api/advisors/nadia-okafor-v1";
    let change = form(&json!({"persona": {"name": "Changed"}}));
    let refused = async |who: &Client, path: &str| {
        assert_problem(&who.patch(path, &change).await, 404, "Advisor not found");
        assert_problem(&who.delete(path).await, 404, "Advisor not found");
    };
    refused(&bob, &private).await;
    refused(&bob, public).await;
    refused(&ann, public).await;
    refused(&ann, "/api/advisors/unknown").await;
    assert_problem(&bob.fetch(&private).await, 404, "Advisor not found");
    assert_problem(&operator.patch(&private, &change).await, 404, "Advisor not found");
    assert_eq!(ann.get(&private).await["name"], "Zoë Noël");
    assert_eq!(operator.patch(public, &change).await.body["name"], "Changed");

    // Published, it is everybody's to see and still its owner's to change.
    let id = json!({"advisorId": made.body["id"], "visibility": "public"});
    operator.command("SetAdvisorVisibility", &id).await;
    assert_eq!(bob.get(&private).await["visibility"], "public");
    assert_eq!(nobody(&server).fetch(&private).await.status, 200);
    refused(&bob, &private).await;
    assert_eq!(ann.patch(&private, &change).await.status, 200);
    assert_eq!(bob.get(&private).await["name"], "Changed");
    operator.command("SetAdvisorVisibility", &json!({"advisorId": made.body["id"], "visibility": "private"})).await;
    assert_eq!(bob.fetch(&private).await.status, 404);
}

fn form(configuration: &Value) -> Value {
    json!({
        "firstName": "Zoë", "lastName": "Noël", "title": "Rower", "imageUrl": "https://example.com/z.png",
        "jsonConfiguration": configuration.to_string(), "nobodyKnowsThis": [1]
    })
}

fn without(field: &str) -> Value {
    let mut form = form(&json!({}));
    form.as_object_mut().unwrap().remove(field);
    form
}

fn configured(configuration: Value) -> Value {
    let mut form = form(&json!({}));
    form["jsonConfiguration"] = configuration;
    form
}
