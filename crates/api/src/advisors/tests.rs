//! Advisors through HTTP: the form of the front end, the commands, and who may do what.

use crate::{
    test_api::{OPERATOR, TestApi},
    test_talk::{ANA, BEN, KIM, LEO, keyed},
};
use http::{Request, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn public_advisors_are_listed_to_everybody_oldest_first() {
    let app = TestApi::with_advisors().await;
    let answer = app.ask_signed_out(Request::get("/api/advisors"), None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(ids(&answer.body), [KIM, LEO]);
    assert_eq!(
        answer.body[0],
        json!({
            "id": KIM, "name": "Kim Novak", "title": "Coach", "image": null, "oneLiner": null, "archetype": null,
            "bio": null, "detailedBackground": null, "experience": null, "specialties": null,
            "personalInterests": null, "communicationStyle": null, "location": null, "adviceDelivery": null,
            "mission": null, "tags": [], "modelHint": null
        })
    );
    assert!(answer.header("x-position").unwrap().parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_refused_where_none_is_needed() {
    let app = TestApi::with_advisors().await;
    let request =
        Request::get("/api/advisors").header("authorization", format!("Bearer {}", TestApi::forged_token(ANA)));
    assert_eq!(app.ask_signed_out(request, None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_user_makes_an_advisor_of_the_form_for_themselves_alone() {
    let app = TestApi::with_advisors().await;
    let answer = app.post(ANA, "/api/advisors", form()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let id = answer.body["id"].as_str().unwrap();
    let (words, digits) = id.rsplit_once('-').unwrap();
    assert_eq!((words, digits.len()), ("zoe-okafor", 13));
    assert_eq!(answer.body["name"], json!("Zoë Okafor"));
    assert_eq!(answer.body["bio"], json!("Long"));
    assert_eq!(answer.body["image"], json!("https://example.com/zoe.png"));
    assert_eq!(answer.body["tags"], json!(["one"]));

    assert_eq!(ids(&app.get(ANA, "/api/advisors").await.body), [KIM, LEO, id]);
    assert_eq!(ids(&app.get(BEN, "/api/advisors").await.body), [KIM, LEO]);
    let page = app.get(ANA, &format!("/api/advisors/{id}")).await;
    assert_eq!((&page.body["status"], &page.body["visibility"]), (&json!("active"), &json!("private")));
    assert!(page.header("etag").is_some());
}

#[tokio::test]
async fn an_operators_advisor_is_seen_by_everybody() {
    let app = TestApi::start().await;
    let answer = app.post(OPERATOR, "/api/advisors", form()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(ids(&app.get(BEN, "/api/advisors").await.body), [answer.body["id"].as_str().unwrap()]);
}

#[tokio::test]
async fn a_form_that_lacks_something_says_what_in_the_contracts_words() {
    let app = TestApi::start().await;
    for (body, error) in [
        (json!({}), "Missing required fields: firstName, lastName, title, jsonConfiguration"),
        (without("title"), "Missing required fields: title"),
        (with("firstName", json!("")), "Missing required fields: firstName"),
        (with("jsonConfiguration", json!(null)), "Missing required fields: jsonConfiguration"),
        (with("jsonConfiguration", json!("{")), "Invalid JSON configuration"),
        (with("jsonConfiguration", json!("[]")), "Invalid JSON configuration"),
        (with("jsonConfiguration", json!({})), "Invalid JSON configuration"),
        (with("jsonConfiguration", json!(r#"{"persona": {"bio": "\u0000"}}"#)), "Invalid JSON configuration"),
    ] {
        let answer = app.post(ANA, "/api/advisors", body.clone()).await;
        assert_eq!((answer.status, &answer.body["error"]), (StatusCode::BAD_REQUEST, &json!(error)), "{body}");
    }
    let answer = app.post(ANA, "/api/advisors", with("firstName", json!(1))).await;
    assert_eq!(answer.problem(), (400, "VALIDATION_ERROR"));
    assert_eq!(answer.body["details"][0]["pointer"], json!("/firstName"));
}

#[tokio::test]
async fn a_form_sent_twice_under_one_key_makes_one_advisor() {
    let app = TestApi::start().await;
    let first = app.ask(ANA, keyed(Request::post("/api/advisors"), "k"), Some(form())).await;
    let second = app.ask(ANA, keyed(Request::post("/api/advisors"), "k"), Some(form())).await;
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.header("idempotency-replayed"), None);
    for other in [with("title", json!("Another")), with("firstName", json!("Another"))] {
        let third = app.ask(ANA, keyed(Request::post("/api/advisors"), "k"), Some(other)).await;
        assert_eq!(third.problem(), (422, "IDEMPOTENCY_KEY_REUSED"));
    }
    assert_eq!(app.get(ANA, "/api/advisors").await.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_form_replaces_ones_own_advisor_and_nobody_elses() {
    let app = TestApi::with_advisors().await;
    let id = app.post(ANA, "/api/advisors", form()).await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/advisors/{id}");
    let answer = app.patch(ANA, &path, with("jsonConfiguration", json!(r#"{"persona": {"archetype": "New"}}"#))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!((&answer.body["archetype"], &answer.body["bio"]), (&json!("New"), &Value::Null));
    assert_eq!(app.get(ANA, &path).await.body["archetype"], json!("New"));

    let foreign = app.patch(BEN, &path, form()).await;
    let unknown = app.patch(BEN, "/api/advisors/nobody-1", form()).await;
    assert_eq!(foreign.problem(), (404, "ADVISOR_NOT_FOUND"));
    assert_eq!(foreign.body, unknown.body);
    assert_eq!(foreign.body["error"], json!("Advisor not found"));
    // A public one is seen, and still not theirs to change.
    assert_eq!(app.patch(BEN, &format!("/api/advisors/{KIM}"), form()).await.body, unknown.body);
    assert_eq!(app.patch(OPERATOR, &format!("/api/advisors/{KIM}"), form()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_archived_advisor_is_listed_no_more() {
    let app = TestApi::with_advisors().await;
    let id = app.post(ANA, "/api/advisors", form()).await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/advisors/{id}");
    assert_eq!(app.delete(BEN, &path).await.body, app.delete(BEN, "/api/advisors/nobody").await.body);
    let answer = app.delete(ANA, &path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, json!({"success": true, "message": "Advisor archived successfully"}));
    assert_eq!(ids(&app.get(ANA, "/api/advisors").await.body), [KIM, LEO]);
    assert_eq!(app.get(ANA, &path).await.body["status"], json!("archived"));
}

#[tokio::test]
async fn an_advisor_that_is_not_seen_is_not_there() {
    let app = TestApi::with_advisors().await;
    let id = app.post(ANA, "/api/advisors", form()).await.body["id"].as_str().unwrap().to_owned();
    let foreign = app.get(BEN, &format!("/api/advisors/{id}")).await;
    let unknown = app.get(BEN, "/api/advisors/nobody").await;
    let signed_out = app.ask_signed_out(Request::get(format!("/api/advisors/{id}")), None).await;
    assert_eq!(foreign.problem(), (404, "ADVISOR_NOT_FOUND"));
    assert_eq!((&foreign.body, &foreign.body), (&unknown.body, &signed_out.body));
    assert_eq!(app.ask_signed_out(Request::get(format!("/api/advisors/{KIM}")), None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_whole_document_makes_an_advisor_under_the_id_that_it_asks_for() {
    let app = TestApi::start().await;
    let answer = app.command(ANA, "CreateAdvisor", document("Nia Obi v1")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["result"], json!({"advisorId": "nia-obi-v1"}));
    assert_eq!(answer.body["stream"], json!("advisor-nia-obi-v1"));
    assert_eq!(answer.body["revision"], json!(0));
    let card = app.get(ANA, "/api/advisors/nia-obi-v1").await.body;
    assert_eq!((&card["mission"], &card["modelHint"]), (&json!("to help"), &json!("x/y")));
}

#[tokio::test]
async fn a_taken_id_is_told_of_where_it_is_seen_and_passed_over_where_it_is_not() {
    let app = TestApi::with_advisors().await;
    assert_eq!(app.command(ANA, "CreateAdvisor", document(KIM)).await.problem(), (409, "ADVISOR_EXISTS"));
    assert_eq!(app.command(ANA, "CreateAdvisor", document("nia")).await.status, StatusCode::OK);
    assert_eq!(app.command(ANA, "CreateAdvisor", document("nia")).await.problem(), (409, "ADVISOR_EXISTS"));
    let answer = app.command_as(BEN, "k", "CreateAdvisor", document("nia")).await;
    let id = answer.body["result"]["advisorId"].as_str().unwrap();
    assert!(id.starts_with("nia-") && id.len() == "nia-".len() + 13, "{id}");
    let again = app.command_as(BEN, "k", "CreateAdvisor", document("nia")).await;
    assert_eq!(answer.body, again.body);
}

#[tokio::test]
async fn a_document_without_a_name_or_with_a_nul_is_refused() {
    let app = TestApi::start().await;
    let answer = app.command(ANA, "CreateAdvisor", json!({"persona": {"title": "Coach"}})).await;
    assert_eq!(answer.problem(), (422, "VALIDATION_ERROR"));
    assert_eq!(answer.body["details"][0]["pointer"], json!("/persona/name"));
    let answer = app.command(ANA, "CreateAdvisor", json!({"persona": {"name": "A\0", "title": "Coach"}})).await;
    assert_eq!(answer.problem(), (422, "VALIDATION_ERROR"));
    let answer = app.command(ANA, "ReviseAdvisor", json!({"advisorId": "nia", "document": {}})).await;
    assert_eq!(answer.body["details"][0]["pointer"], json!("/document/persona"));
}

#[tokio::test]
async fn a_document_is_revised_by_its_owner() {
    let app = TestApi::start().await;
    app.command(ANA, "CreateAdvisor", document("nia")).await;
    let revision = json!({"advisorId": "nia", "document": {"persona": {"name": "Nia", "title": "Judge"}}});
    let foreign = app.command(BEN, "ReviseAdvisor", revision.clone()).await;
    assert_eq!(foreign.problem(), (404, "ADVISOR_NOT_FOUND"));
    assert_eq!(foreign.body["error"], json!("ADVISOR_NOT_FOUND"), "the contract's wording is for its own routes");
    let answer = app.command(ANA, "ReviseAdvisor", revision).await;
    assert_eq!((answer.status, &answer.body["result"]), (StatusCode::OK, &json!({})));
    assert_eq!(app.get(ANA, "/api/advisors/nia").await.body["title"], json!("Judge"));
}

#[tokio::test]
async fn status_and_visibility_are_for_operators() {
    let app = TestApi::with_advisors().await;
    app.command(ANA, "CreateAdvisor", document("nia")).await;
    for (name, field, value) in
        [("SetAdvisorStatus", "status", "inactive"), ("SetAdvisorVisibility", "visibility", "public")]
    {
        let body = |id: &str| json!({"advisorId": id, field: value});
        assert_eq!(app.command(ANA, name, body("nia")).await.problem(), (403, "FORBIDDEN"), "{name}");
        assert_eq!(app.command(BEN, name, body(KIM)).await.problem(), (403, "FORBIDDEN"), "{name}");
        let foreign = app.command(BEN, name, body("nia")).await;
        assert_eq!(foreign.problem(), (404, "ADVISOR_NOT_FOUND"), "{name}");
        assert_eq!(foreign.body, app.command(BEN, name, body("nobody")).await.body);
        assert_eq!(foreign.body, app.command(OPERATOR, name, body("nobody")).await.body);
        assert_eq!(app.command(OPERATOR, name, body("nia")).await.status, StatusCode::OK, "{name}");
    }
    let seen = app.get(BEN, "/api/advisors/nia").await.body;
    assert_eq!((&seen["status"], &seen["visibility"]), (&json!("inactive"), &json!("public")));
    let body = json!({"advisorId": KIM, "visibility": "private"});
    assert_eq!(app.command(OPERATOR, "SetAdvisorVisibility", body).await.problem(), (409, "WRONG_STATE"));
    let body = json!({"advisorId": KIM, "status": "gone"});
    assert_eq!(app.command(OPERATOR, "SetAdvisorStatus", body).await.problem(), (422, "VALIDATION_ERROR"));
}

fn ids(cards: &Value) -> Vec<&str> {
    cards.as_array().unwrap().iter().map(|card| card["id"].as_str().unwrap()).collect()
}

fn form() -> Value {
    json!({
        "firstName": "Zoë", "lastName": "Okafor", "title": "Coach", "imageUrl": "https://example.com/zoe.png",
        "jsonConfiguration": r#"{"persona": {"bio": "Long"}, "metadata": {"tags": ["one"]}, "ours": 1}"#,
        "ignored": true
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut form = form();
    form[name] = value;
    form
}

fn without(name: &str) -> Value {
    let mut form = form();
    form.as_object_mut().unwrap().remove(name);
    form
}

fn document(id: &str) -> Value {
    json!({
        "advisorId": id, "advisorSchemaVersion": "1.1-base", "status": "active",
        "persona": {"name": "Nia Obi", "title": "Coach"}, "roleDefinition": {"mission": "to help"},
        "modelHint": "x/y", "unknown": {"kept": true}
    })
}
