//! Live queries through the routes: whatever happens, a client has what the queries answer.

mod caller;
mod faulty_bus;
mod hints;
mod limits;
mod positions;
mod replies;
mod sequences;
mod socket_ends;
mod sockets;
mod watcher;
mod world;

use crate::{parked::tests::park, test_api::TestApi};
use advisor_events::advisor::{Status, Visibility};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use watcher::Watcher;
use world::{
    asked, command, complete_reply, conversation, message, public_advisor, public_advisor_of, revise, set_status,
    set_visibility, start_reply,
};

#[tokio::test]
async fn a_query_is_shown_first_and_then_each_change_of_it() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&query]).await;
    let snapshot = watcher.next().await.unwrap();
    assert_eq!((snapshot.name.as_str(), &snapshot.data["query"]), ("snapshot", &json!(query)));
    assert_eq!(snapshot.data["data"], test.ask("ana", Request::get(&query), None).await.body);
    assert!(snapshot.id.is_some());

    let message_id = message(&test, "ana", &id, "hello").await;
    let change = watcher.next().await.unwrap();
    assert_eq!(change.name, "change");
    let sets: Vec<(&str, &str, &str)> = changes(&change.data);
    assert_eq!(sets, [("conversation", "upsert", id.as_str()), ("messages", "upsert", message_id.as_str())]);
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn a_snapshot_of_a_parked_conversation_says_so() {
    let test = TestApi::start().await;
    let (parked, whole) = (conversation(&test, "ana").await, conversation(&test, "ana").await);
    park(&test, &parked).await;

    for (id, says) in [(&parked, json!(true)), (&whole, Value::Null)] {
        for query in [format!("/api/conversations/{id}"), format!("/api/conversations/{id}/messages")] {
            let snapshot = Watcher::of(&test, "ana", &[&query]).await.next().await.unwrap();
            assert_eq!(snapshot.data["parked"], says, "{query}");
        }
    }
}

#[tokio::test]
async fn every_query_of_ones_own_route_is_a_stream_when_it_is_asked_for_as_one() {
    let test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    for url in [
        "/api/me".to_owned(),
        "/api/advisors".to_owned(),
        "/api/advisors/robin".to_owned(),
        "/api/conversations".to_owned(),
        format!("/api/conversations/{id}"),
        format!("/api/conversations/{id}/messages"),
        format!("/api/conversations/{id}/messages?limit=7"),
    ] {
        let mut watcher = Watcher::at(&test, Some("ana"), &url, None).await.unwrap();
        let snapshot = watcher.next().await.unwrap();
        assert_eq!(snapshot.data["query"], json!(url));
        assert_eq!(snapshot.data["data"], test.ask("ana", Request::get(&url), None).await.body, "{url}");
    }
}

#[tokio::test]
async fn who_is_signed_out_looks_at_advisors_and_at_nothing_else() {
    let test = TestApi::start().await;
    let mut watcher = Watcher::at(&test, None, "/api/advisors", None).await.unwrap();
    watcher.next().await.unwrap();
    public_advisor(&test, "robin", "Coach").await;
    let change = watcher.next().await.unwrap();
    assert_eq!(changes(&change.data), [("advisors", "upsert", "robin")]);
    for url in
        ["/api/me", "/api/conversations", "/api/live?query=/api/me", "/api/live?query=/api/advisors&query=/api/me"]
    {
        let Err(answer) = Watcher::at(&test, None, url, None).await else { panic!("{url} is open") };
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{url}");
    }
}

#[tokio::test]
async fn two_queries_move_together_in_one_event() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &["/api/conversations", &query]).await;
    let (first, second) = (watcher.next().await.unwrap(), watcher.next().await.unwrap());
    assert_eq!((first.name.as_str(), second.name.as_str()), ("snapshot", "snapshot"));
    assert_eq!((first.id, first.data["position"].clone()), (None, second.data["position"].clone()));
    assert!(second.id.is_some());

    command(&test, "ana", "RenameConversation", json!({"conversationId": id, "title": "Tea"})).await;
    let change = watcher.next().await.unwrap();
    let sets = changes(&change.data);
    assert_eq!(sets, [("conversations", "upsert", id.as_str()), ("conversation", "upsert", id.as_str())]);
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn cards_of_advisors_that_rows_name_come_when_they_change_and_when_they_are_new() {
    let test = TestApi::start().await;
    for id in ["robin", "kim", "lou"] {
        public_advisor(&test, id, "Coach").await;
    }
    let id = conversation(&test, "ana").await;
    command(&test, "ana", "AssignAdvisor", json!({"conversationId": id, "advisorId": "robin"})).await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&query, "/api/conversations", "/api/advisors"]).await;
    watcher.until(|watcher| watcher.kept.len() == 3).await;

    revise(&test, "robin", "Chef").await;
    let change = watcher.next().await.unwrap();
    let told: Vec<_> =
        change.data["changes"].as_array().unwrap().iter().map(|change| change["query"].clone()).collect();
    assert_eq!(told, [json!(query), json!("/api/conversations"), json!("/api/advisors")]);
    watcher.agree(&test, "ana").await;

    // Of an advisor whom no conversation names only the list of advisors tells.
    revise(&test, "lou", "Chef").await;
    let change = watcher.next().await.unwrap();
    assert_eq!(change.data["changes"].as_array().unwrap().len(), 1);

    // Kim is named for the first time: the rows come with a card that the client does not have.
    let reply = asked(&test, "ana", &id, "kim").await;
    let change = watcher.next().await.unwrap();
    assert!(changes(&change.data).contains(&("advisors", "upsert", "kim")));
    start_reply(&test, &id, &reply, 1).await;
    complete_reply(&test, &id, &reply, 1, "this").await;
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn an_archived_advisor_is_removed_from_the_list_and_its_card_stays() {
    let test = TestApi::start().await;
    public_advisor(&test, "robin", "Coach").await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &["/api/advisors", "/api/advisors/robin", &query]).await;
    watcher.until(|watcher| watcher.kept.len() == 3).await;
    set_status(&test, "robin", Status::Archived).await;
    let change = watcher.next().await.unwrap();
    let sets = changes(&change.data);
    assert_eq!(
        sets,
        [("advisors", "remove", "robin"), ("advisors", "remove", "robin"), ("advisors", "upsert", "robin")]
    );
    set_status(&test, "robin", Status::Active).await;
    watcher.next().await.unwrap();
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn an_advisor_that_is_hidden_is_removed_for_all_but_its_owner() {
    let test = TestApi::start().await;
    test.ask("bo", Request::get("/api/me"), None).await;
    public_advisor_of(&test, "robin", Some("bo"), "Coach").await;
    let mut ana = Watcher::of(&test, "ana", &["/api/advisors"]).await;
    let mut bo = Watcher::of(&test, "bo", &["/api/advisors"]).await;
    ana.next().await.unwrap();
    bo.next().await.unwrap();
    set_visibility(&test, "robin", Visibility::Private, 0).await;
    assert_eq!(changes(&ana.next().await.unwrap().data), [("advisors", "remove", "robin")]);
    assert_eq!(changes(&bo.next().await.unwrap().data), [("advisors", "upsert", "robin")]);
    set_visibility(&test, "robin", Visibility::Public, 1).await;
    for (user, watcher) in [("ana", &mut ana), ("bo", &mut bo)] {
        assert_eq!(changes(&watcher.next().await.unwrap().data), [("advisors", "upsert", "robin")]);
        watcher.agree(&test, user).await;
    }
}

#[tokio::test]
async fn the_person_themselves_are_a_query() {
    let test = TestApi::start().await;
    let mut watcher = Watcher::of(&test, "ana", &["/api/me"]).await;
    let me = watcher.next().await.unwrap();
    assert_eq!(me.data["data"]["id"], json!("ana"));
    // Bo's arrival concerns Ana in no way; Ana's own new plan does.
    conversation(&test, "bo").await;
    let token = crate::auth::test_issuer::CLERK.token(&crate::auth::test_issuer::claims_with(
        json!({"sub": "ana", "sid": "sess_2", "public_metadata": {"plan": "premium"}}),
    ));
    let request = Request::get("/api/me").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let plan = test.ask_signed_out(request, None).await.body["plan"].clone();
    if plan == json!("premium") {
        let change = watcher.next().await.unwrap();
        assert_eq!(changes(&change.data), [("me", "upsert", "ana")]);
    }
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn a_list_that_overflows_is_sent_again_before_the_changes_of_the_same_position() {
    let test = TestApi::start().await;
    for _ in 0..49 {
        test.clock.advance(1);
        conversation(&test, "ana").await;
    }
    let mut watcher = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    watcher.next().await.unwrap();
    test.clock.advance(1);
    let fiftieth = conversation(&test, "ana").await;
    assert_eq!(watcher.next().await.unwrap().name, "change");
    test.clock.advance(1);
    conversation(&test, "ana").await;
    assert_eq!(watcher.next().await.unwrap().name, "snapshot");
    watcher.agree(&test, "ana").await;
    // One of the fifty that changes stays one of them.
    test.clock.advance(1);
    command(&test, "ana", "RenameConversation", json!({"conversationId": fiftieth, "title": "Tea"})).await;
    assert_eq!(watcher.next().await.unwrap().name, "change");
    // One that leaves makes room for another.
    command(&test, "ana", "DeleteConversation", json!({"conversationId": fiftieth})).await;
    assert_eq!(watcher.next().await.unwrap().name, "snapshot");
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn a_page_of_messages_is_sent_again_when_one_leaves_it() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let old = message(&test, "ana", &id, "1").await;
    message(&test, "ana", &id, "2").await;
    let page = format!("/api/conversations/{id}/messages?limit=2");
    let whole = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&page, &whole]).await;
    watcher.until(|watcher| watcher.kept.len() == 2).await;
    message(&test, "ana", &id, "3").await;
    let (first, second) = (watcher.next().await.unwrap(), watcher.next().await.unwrap());
    assert_eq!((first.name.as_str(), &first.data["query"], first.id), ("snapshot", &json!(page), None));
    assert_eq!((second.name.as_str(), second.data["position"].clone()), ("change", first.data["position"].clone()));
    assert!(second.id.is_some());
    // An edit of what lies outside of the page concerns the other query alone.
    command(&test, "ana", "EditMessage", json!({"messageId": old, "content": "one"})).await;
    let change = watcher.next().await.unwrap();
    assert!(change.data["changes"].as_array().unwrap().iter().all(|change| change["query"] == json!(whole)));
    watcher.agree(&test, "ana").await;
}

#[tokio::test]
async fn a_conversation_that_is_deleted_ends_its_streams() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    message(&test, "ana", &id, "hello").await;
    let query = format!("/api/conversations/{id}");
    let mut list = Watcher::of(&test, "ana", &["/api/conversations"]).await;
    let mut one = Watcher::of(&test, "ana", &[&query]).await;
    let mut messages = Watcher::of(&test, "ana", &[&format!("{query}/messages")]).await;
    for watcher in [&mut list, &mut one, &mut messages] {
        watcher.next().await.unwrap();
    }
    command(&test, "ana", "DeleteConversation", json!({"conversationId": id})).await;
    assert_eq!(changes(&list.next().await.unwrap().data), [("conversations", "remove", id.as_str())]);
    for watcher in [&mut one, &mut messages] {
        let change = watcher.next().await.unwrap();
        assert_eq!(changes(&change.data), [("conversation", "remove", id.as_str())]);
        assert_eq!(watcher.end().await, "gone");
    }
    let Err(answer) = Watcher::try_of(&test, "ana", &[&query]).await else { panic!("it is still there") };
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_query_that_is_not_there_or_not_ones_own_closes_the_whole() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    test.ask("bo", Request::get("/api/me"), None).await;
    let mut bodies = Vec::new();
    for query in [format!("/api/conversations/{id}"), "/api/conversations/none".to_owned()] {
        for queries in [vec![query.as_str()], vec!["/api/conversations", query.as_str()]] {
            let Err(answer) = Watcher::try_of(&test, "bo", &queries).await else { panic!("{queries:?} is open") };
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            bodies.push(answer.body);
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");
    for query in ["/api/nothing", "*", ">", "/api/conversations?q=x", "/api/live"] {
        let Err(answer) = Watcher::try_of(&test, "bo", &[query]).await else { panic!("{query} is open") };
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{query}");
    }
}

#[tokio::test]
async fn nobody_hears_of_anybody_else() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    conversation(&test, "bo").await;
    let mut bo = Watcher::of(&test, "bo", &["/api/conversations", "/api/me", "/api/advisors"]).await;
    bo.until(|watcher| watcher.kept.len() == 3).await;
    message(&test, "ana", &id, "canary-of-ana").await;
    // What is Bo's own comes, and nothing before it.
    let own = conversation(&test, "bo").await;
    let change = bo.next().await.unwrap();
    assert_eq!(changes(&change.data), [("conversations", "upsert", own.as_str())]);
    assert!(!format!("{:?}", bo.told).contains("canary-of-ana"));
}

#[tokio::test]
async fn control_text_of_streams_in_a_message_is_text() {
    let test = TestApi::start().await;
    let id = conversation(&test, "ana").await;
    let query = format!("/api/conversations/{id}");
    let mut watcher = Watcher::of(&test, "ana", &[&query]).await;
    watcher.next().await.unwrap();
    let words = "a\r\n\r\ndata: b\n\nevent: reset\ndata: {}\n\nid: 9\r\u{2028}c";
    let message_id = message(&test, "ana", &id, words).await;
    watcher.next().await.unwrap();
    assert_eq!(watcher.kept[&query].rows["messages"][&message_id]["content"], json!(words));
}

/// Set, op and key of each change.
fn changes(event: &Value) -> Vec<(&str, &str, &str)> {
    event["changes"]
        .as_array()
        .unwrap_or_else(|| panic!("no changes: {event}"))
        .iter()
        .map(|change| {
            (change["set"].as_str().unwrap(), change["op"].as_str().unwrap(), change["key"].as_str().unwrap())
        })
        .collect()
}
