//! Somebody else's ids answer byte-equal with ids that never were; without a token nothing is told.

use super::{assert_problem, nobody, server, slow_server, sparse};
use crate::server::Client;
use reqwest::Method;
use serde_json::{Value, json};

/// What a person has that others must not find.
struct Belongings {
    conversation: String,
    message: String,
    reply: String,
    advisor: String,
}

/// A route, its body, and the status for an id that is not there.
type Probe = (Method, String, Option<Value>, u16);

#[tokio::test]
async fn somebody_elses_ids_answer_like_ids_that_never_were() {
    let server = slow_server();
    let (ann, bob) = (server.client("ann", &[]), server.client("bob", &[]));
    let anns = belongings(&ann).await;
    let unknown = uuid::Uuid::from_u128(7).to_string();
    let nothing = Belongings {
        conversation: unknown.clone(),
        message: unknown.clone(),
        reply: unknown.clone(),
        advisor: "anns-0wn".to_owned(),
    };
    let bobs = bob.conversation().await;
    let foreign = probes(&anns, &bobs);
    for (foreign, unknown) in foreign.into_iter().zip(probes(&nothing, &bobs)) {
        let (method, path, body, status) = foreign;
        let theirs = bob.ask(method.clone(), &path, &[], body.as_ref()).await;
        let none = bob.ask(unknown.0, &unknown.1, &[], unknown.2.as_ref()).await;
        assert_eq!((theirs.status, none.status), (status, status), "{method} {path} {body:?}: {}", theirs.text);
        assert_eq!(theirs.text, none.text, "{method} {path} {body:?}");
        let names = |answer: &crate::server::Answer| {
            let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(&theirs), names(&none), "{method} {path}");
    }
    // Nothing of it did anything.
    let whole = ann.get(&format!("/api/conversations/{}", anns.conversation)).await;
    assert_eq!((&whole["title"], &whole["messages"][0]["content"]), (&json!("Ann's"), &json!("Hi")));
    assert_eq!(whole["replies"].as_array().unwrap().len(), 1);
    assert_eq!(ann.get("/api/advisors/anns-own").await["status"], "active");
    assert_eq!(bob.get(&format!("/api/conversations/{bobs}")).await["activeAdvisor"]["id"], "nadia-okafor-v1");
    let key = [("idempotency-key", "k")];
    let path = format!("/api/conversations/{}", anns.conversation);
    let operator = server.client("ops", &["--role", "operator"]);
    assert_problem(&operator.fetch(&path).await, 404, "CONVERSATION_NOT_FOUND");
    assert_problem(&operator.ask(Method::DELETE, &path, &key, None).await, 404, "CONVERSATION_NOT_FOUND");
}

#[tokio::test]
async fn without_a_valid_token_every_route_of_ones_own_asks_to_sign_in() {
    let server = server();
    let anybody = nobody(&server);
    let invalid = Client { token: "not-a-token".to_owned(), ..anybody.clone() };
    let ids = Belongings {
        conversation: "x".to_owned(),
        message: "x".to_owned(),
        reply: "x".to_owned(),
        advisor: "nadia-okafor-v1".to_owned(),
    };
    let more = [
        (Method::GET, "/api/me"),
        (Method::GET, "/api/conversations"),
        (Method::POST, "/api/conversations"),
        (Method::POST, "/api/advisors"),
        (Method::POST, "/api/chat"),
        (Method::POST, "/api/mentions"),
        (Method::POST, "/api/commands/StartConversation"),
        (Method::POST, "/api/commands/CreateAdvisor"),
        (Method::POST, "/api/commands/Unknown"),
        (Method::GET, "/api/live?query=/api/me"),
    ];
    let probes = probes(&ids, "x").into_iter().map(|(method, path, _, _)| (method, path));
    for (method, path) in probes.chain(more.map(|(method, path)| (method, path.to_owned()))) {
        let public = method == Method::GET && path.starts_with("/api/advisors/");
        let body = (method != Method::GET).then(|| json!({"broken": true}));
        let refused = invalid.ask(method.clone(), &path, &[], body.as_ref()).await;
        assert_problem(&refused, 401, "AUTH_REQUIRED");
        if !public && !path.starts_with("/api/live?query=/api/advisors") {
            let refused = anybody.ask(method, &path, &[], body.as_ref()).await;
            assert_problem(&refused, 401, "AUTH_REQUIRED");
        }
    }
    assert_problem(&invalid.fetch("/api/advisors").await, 401, "AUTH_REQUIRED");
    assert_eq!(anybody.fetch("/api/advisors/nadia-okafor-v1").await.status, 200);
    assert_problem(&anybody.fetch("/api/nothing").await, 404, "NOT_FOUND");
    assert_problem(&anybody.ask(Method::PUT, "/api/advisors", &[], None).await, 405, "METHOD_NOT_ALLOWED");
}

async fn belongings(user: &Client) -> Belongings {
    user.command("CreateAdvisor", &sparse("anns-own", "Berta")).await;
    let conversation = user.made("StartConversation", &json!({"title": "Ann's"}), "conversationId").await;
    let sent = user.command("SendMessage", &json!({"conversationId": conversation, "content": "Hi"})).await;
    Belongings {
        message: sent["result"]["messageId"].as_str().unwrap().to_owned(),
        reply: sent["result"]["replies"][0]["replyId"].as_str().unwrap().to_owned(),
        advisor: "anns-own".to_owned(),
        conversation,
    }
}

/// Every route that takes an id; `own` is a conversation of the prober's.
fn probes(ids: &Belongings, own: &str) -> Vec<Probe> {
    let Belongings { conversation, message, reply, advisor } = ids;
    let command = |name: &str| format!("/api/commands/{name}");
    let form = json!({"firstName": "A", "lastName": "B", "title": "T", "jsonConfiguration": "{}"});
    let document = json!({"persona": {"name": "N", "title": "T"}});
    let user_message = json!([{"role": "user", "content": "x"}]);
    let get = |path: String| (Method::GET, path, None, 404);
    let post = |path: String, body: Value| (Method::POST, path, Some(body), 404);
    let with = |status: u16, probe: Probe| (probe.0, probe.1, probe.2, status);
    vec![
        get(format!("/api/conversations/{conversation}")),
        get(format!("/api/conversations/{conversation}/messages")),
        get(format!("/api/conversations/{conversation}/messages?limit=1")),
        get(format!("/api/live?query=/api/conversations/{conversation}")),
        get(format!("/api/live?query=/api/conversations/{conversation}/messages")),
        get(format!("/api/live?query=/api/advisors/{advisor}")),
        get(format!("/api/advisors/{advisor}")),
        (Method::PATCH, format!("/api/conversations/{conversation}"), Some(json!({"title": "x"})), 404),
        (Method::DELETE, format!("/api/conversations/{conversation}"), None, 404),
        (Method::PATCH, format!("/api/messages/{message}"), Some(json!({"content": "x"})), 404),
        (Method::DELETE, format!("/api/messages/{message}"), None, 404),
        (Method::PATCH, format!("/api/advisors/{advisor}"), Some(form), 404),
        (Method::DELETE, format!("/api/advisors/{advisor}"), None, 404),
        post("/api/chat".to_owned(), json!({"conversationId": conversation, "messages": user_message})),
        post(command("RenameConversation"), json!({"conversationId": conversation, "title": "x"})),
        post(command("AssignAdvisor"), json!({"conversationId": conversation, "advisorId": "priya-raman-v1"})),
        post(command("DeleteConversation"), json!({"conversationId": conversation})),
        post(command("SendMessage"), json!({"conversationId": conversation, "content": "x"})),
        post(command("SendMessage"), json!({"conversationId": conversation, "content": "x", "advisorIds": []})),
        post(command("SendMessage"), json!({"conversationId": conversation, "content": "@Priya"})),
        post(command("EditMessage"), json!({"messageId": message, "content": "x"})),
        post(command("DeleteMessage"), json!({"messageId": message})),
        post(command("StopReply"), json!({"replyId": reply})),
        post(command("ReviseAdvisor"), json!({"advisorId": advisor, "document": document})),
        post(command("SetAdvisorStatus"), json!({"advisorId": advisor, "status": "archived"})),
        post(command("SetAdvisorVisibility"), json!({"advisorId": advisor, "visibility": "public"})),
        with(400, post("/api/conversations".to_owned(), json!({"advisorId": advisor}))),
        with(400, (Method::PATCH, format!("/api/conversations/{own}"), Some(json!({"activeAdvisorId": advisor})), 0)),
        with(400, post("/api/chat".to_owned(), json!({"advisorId": advisor, "messages": user_message}))),
        with(422, post(command("StartConversation"), json!({"advisorId": advisor}))),
        with(422, post(command("AssignAdvisor"), json!({"conversationId": own, "advisorId": advisor}))),
        with(
            422,
            post(command("SendMessage"), json!({"conversationId": own, "content": "x", "advisorIds": [advisor]})),
        ),
    ]
}
