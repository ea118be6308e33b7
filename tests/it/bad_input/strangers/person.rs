//! A person with words of their own, who does everything that one can do, and tries it with what is others'.

use super::ears::Ears;
use crate::{
    bad_input::tokens::{Issuer, claims, client},
    faulty_model::{FaultyModel, Script},
    server::{Client, Server},
};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// One of many.
pub(super) struct Person {
    pub(super) number: usize,
    pub(super) id: String,
    pub(super) client: Client,
    /// Stands in every text that is nobody else's business.
    pub(super) word: String,
    /// Stands in names and keys: ids of advisors and of commands are made of them, and ids are no secret.
    name_word: String,
    ears: Ears,
}

/// Where everybody writes what others then try.
pub(super) type Board = Mutex<Vec<Things>>;

/// What somebody has.
#[derive(Clone)]
pub(super) struct Things {
    whose: usize,
    conversation: String,
    message: String,
    reply: String,
    advisor: String,
    cursor: String,
    event_id: String,
}

impl Person {
    pub(super) fn new(number: usize, server: &Server, issuer: &Issuer) -> Self {
        let [word, name_word] = ["words", "names"].map(|kind| {
            let digest = Sha256::digest(format!("kanarie of {number} in {kind}"));
            uuid::Uuid::from_slice(&digest[..16]).unwrap().simple().to_string()
        });
        let id = format!("user_stranger_{number}");
        let profile = json!({
            "sub": id, "sid": format!("sess_{number}"), "email": format!("{word}@example.com"), "name": format!("Ana {word}"),
            "picture": format!("https://img.example.com/{word}.png"), "public_metadata": {"plan": "premium"},
        });
        let client = client(server, &issuer.token(&claims(issuer, &profile)));
        Self { number, id, client, word, name_word, ears: Ears::default() }
    }

    pub(super) fn words(&self) -> [&str; 2] {
        [&self.word, &self.name_word]
    }

    /// Everything that came in, as text.
    pub(super) fn heard(&self) -> String {
        self.ears.text()
    }

    /// Listens on streams of every kind until the others are done.
    pub(super) async fn listen(&self, done: &CancellationToken) {
        self.ears.listen(&self.client, done).await;
    }

    /// Some rounds of everything, each followed by tries of what others have.
    pub(super) async fn live(&self, board: &Board, model: &FaultyModel, rounds: usize) {
        for round in 0..rounds {
            let things = self.act(model, round).await;
            board.lock().unwrap().push(things);
            let others: Vec<Things> =
                board.lock().unwrap().iter().filter(|t| t.whose != self.number).cloned().collect();
            for things in others.iter().rev().take(4) {
                self.intrude(things, round).await;
            }
        }
    }

    /// Words that nobody else has, and where they were put.
    fn said(&self, place: &str, round: usize) -> String {
        format!("{} {place} {round}", self.word)
    }

    async fn act(&self, model: &FaultyModel, round: usize) -> Things {
        let said = |place: &str| self.said(place, round);
        let answers = |place: &str| {
            let content = said(place);
            model.answer(
                &content,
                vec![Script::Whole(vec!["You said ".into(), content.clone(), format!(" {}", self.name_word)])],
            );
            content
        };
        let advisor = self.advisor(round).await;
        let started =
            self.command("StartConversation", &json!({"title": said("title"), "advisorId": advisor}), round).await;
        let conversation = text(&started["result"]["conversationId"]);
        let path = format!("/api/conversations/{conversation}");
        let content = format!("{} @Zoe{}", answers("sent"), self.number);
        model.answer(&content, vec![Script::Whole(vec![said("replied")])]);
        let beside = json!({"note": said("beside"), said("key"): [said("deep")]});
        let body = json!({"conversationId": conversation, "content": content, "contentJson": beside});
        let sent = self.command("SendMessage", &body, round).await;
        let message = text(&sent["result"]["messageId"]);
        let edited = json!({"messageId": message, "content": said("edited")});
        self.command("EditMessage", &edited, round).await;
        let mut reply = String::new();
        for (kind, accept) in [("json", "application/json"), ("text", "text/plain")] {
            let messages =
                json!([{"role": "system", "content": said("system")}, {"role": "user", "content": answers(kind)}]);
            let body = json!({"messages": messages, "conversationId": conversation, "id": said("id")});
            let answer = self.ask(Method::POST, "/api/chat", &[("accept", accept)], Some(&body)).await;
            reply = answer["message"]["id"].as_str().map_or(reply, str::to_owned);
        }
        let renamed = json!({"conversationId": conversation, "title": said("renamed")});
        self.command("RenameConversation", &renamed, round).await;
        self.ask(Method::PATCH, &path, &[], Some(&json!({"title": said("patched")}))).await;
        self.ask(Method::PATCH, &format!("/api/messages/{message}"), &[], Some(&json!({"content": said("again")})))
            .await;
        let mentioned = json!({"content": format!("@Zoe{} {}", self.number, said("mentioned"))});
        self.ask(Method::POST, "/api/mentions", &[], Some(&mentioned)).await;
        let page = self.ask(Method::GET, &format!("{path}/messages?limit=1"), &[], None).await;
        for query in ["/api/me", "/api/conversations", "/api/advisors", &path, &format!("/api/advisors/{advisor}")] {
            self.ask(Method::GET, query, &[], None).await;
        }
        let event_id = self.ears.first_event_id(&self.client, &path).await;
        Things {
            whose: self.number,
            conversation,
            message,
            reply,
            advisor,
            cursor: text(&page["nextBefore"]),
            event_id,
        }
    }

    /// A private advisor with words in every field; made by a command, revised, and made once more by the form.
    async fn advisor(&self, round: usize) -> String {
        let said = |place: &str| self.said(place, round);
        let name = format!("Zoe{} {}", self.number, self.name_word);
        let document = json!({
            "persona": {
                "name": name, "title": said("title"), "oneLiner": said("one"), "bio": said("bio"), "image": said("image"),
                "archetype": said("archetype"), "specialties": [said("special")], "location": {"city": said("city")},
                "communicationStyle": said("style"), "coreBeliefsOrPrinciples": [said("belief")],
                "adviceDelivery": {"signOff": said("sign"), "voiceGuidelines": [said("voice")]},
            },
            "roleDefinition": {"mission": said("mission"), "scope": {"inScope": [said("in")], "outOfScope": [said("out")]}},
            "components": [{"id": "hardNoRedFlags", "version": "1", "config": {"flags": [said("flag")]}}],
            "metadata": {"tags": [said("tag")], "owner": said("owner")}, "more": {said("field"): said("value")},
        });
        let made = self.command("CreateAdvisor", &document, round).await;
        let advisor = text(&made["result"]["advisorId"]);
        self.command("ReviseAdvisor", &json!({"advisorId": advisor, "document": document}), round).await;
        let configuration = json!({"persona": {"bio": said("form")}}).to_string();
        let form = json!({
            "firstName": format!("Yan{}", self.number), "lastName": self.name_word, "title": said("form"),
            "jsonConfiguration": configuration, "imageUrl": format!("https://img.example.com/{}", self.word),
        });
        self.ask(Method::POST, "/api/advisors", &[], Some(&form)).await;
        advisor
    }

    /// Everything again with what is somebody else's. Nothing of it may work.
    async fn intrude(&self, things: &Things, round: usize) {
        let Things { conversation, message, reply, advisor, cursor, event_id, .. } = things;
        let path = format!("/api/conversations/{conversation}");
        let said = self.said("intruding", round);
        let messages = json!([{"role": "user", "content": said}]);
        for (method, path, body) in [
            (Method::GET, path.clone(), None),
            (Method::GET, format!("{path}/messages"), None),
            (Method::GET, format!("{path}/messages?before={cursor}"), None),
            (Method::GET, format!("/api/live?query={path}"), None),
            (Method::GET, format!("/api/live?query=/api/me&query={path}/messages"), None),
            (Method::GET, format!("/api/advisors/{advisor}"), None),
            (Method::PATCH, path.clone(), Some(json!({"title": said}))),
            (Method::PATCH, format!("/api/messages/{message}"), Some(json!({"content": said}))),
            (Method::PATCH, format!("/api/advisors/{advisor}"), Some(json!({"title": said}))),
            (Method::POST, "/api/conversations".into(), Some(json!({"advisorId": advisor}))),
            (Method::POST, "/api/chat".into(), Some(json!({"messages": messages, "conversationId": conversation}))),
            (Method::POST, "/api/chat".into(), Some(json!({"messages": messages, "advisorId": advisor}))),
            (
                Method::POST,
                "/api/commands/SendMessage".into(),
                Some(json!({"conversationId": conversation, "content": said})),
            ),
            (Method::POST, "/api/commands/EditMessage".into(), Some(json!({"messageId": message, "content": said}))),
            (Method::POST, "/api/commands/StopReply".into(), Some(json!({"replyId": reply}))),
            (
                Method::POST,
                "/api/commands/AssignAdvisor".into(),
                Some(json!({"conversationId": conversation, "advisorId": advisor})),
            ),
            (Method::DELETE, format!("/api/messages/{message}"), None),
            (Method::DELETE, format!("/api/advisors/{advisor}"), None),
            (Method::DELETE, path, None),
        ] {
            let status = self.ears.hear(&self.client, (method.clone(), &path), &[], body.as_ref()).await.status;
            assert!((400..500).contains(&status), "{method} {path}: {status}");
        }
        // Where somebody else's stream stood is nowhere in one's own.
        self.ears
            .hear_a_while(&self.client, "/api/live?query=/api/conversations", &[("last-event-id", event_id)])
            .await;
        // The same key means another thing for everybody.
        let shared = [("idempotency-key", "a key that everybody uses")];
        self.ears
            .hear(&self.client, (Method::POST, "/api/commands/StartConversation"), &shared, Some(&json!({})))
            .await;
    }

    async fn command(&self, name: &str, body: &Value, round: usize) -> Value {
        let key = format!("{} {name} {round}", self.name_word);
        self.ask(Method::POST, &format!("/api/commands/{name}"), &[("idempotency-key", &key)], Some(body)).await
    }

    /// What must work.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Value {
        let answer = self.ears.hear(&self.client, (method.clone(), path), headers, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text);
        answer.body
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
