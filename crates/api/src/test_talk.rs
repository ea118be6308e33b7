//! How tests talk to the API: short forms of requests, advisors that are there, and what workers would do.

use crate::test_api::{Answer, TestApi};
use advisor_commands::{AdvisorCommand, CommandContext, ConversationCommand};
use advisor_eventlog::Position;
use advisor_events::{
    Actor, ConversationId, StreamName,
    advisor::{Status, Visibility},
    conversation::{Manifest, ReplyFailure, Usage},
};
use http::{HeaderName, Request, StatusCode, request::Builder};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const ANA: &str = "ana";
pub(crate) const BEN: &str = "ben";
/// The oldest advisor whom everybody sees.
pub(crate) const KIM: &str = "kim-novak-v1";
/// The one after.
pub(crate) const LEO: &str = "leo-li-v1";

impl TestApi {
    /// One with two public advisors, [`KIM`] and [`LEO`].
    pub(crate) async fn with_advisors() -> Self {
        let app = Self::start().await;
        app.seed(KIM, "Kim Novak", "Coach").await;
        app.seed(LEO, "Leo Li", "Lawyer").await;
        app
    }

    /// Makes a public advisor that nobody owns.
    pub(crate) async fn seed(&self, id: &str, name: &str, title: &str) {
        let command = AdvisorCommand::Create {
            advisor_id: id.into(),
            owner_id: None,
            visibility: Visibility::Public,
            status: Status::Active,
            document: json!({"advisorId": id, "persona": {"name": name, "title": title}}),
        };
        let context = CommandContext::new(Actor::Import("seeds".into()), format!("seed {id}"), self.api.clock.now());
        let stream = StreamName::advisor(&id.into());
        let done = self.api.commands.advisors.execute(&stream, command, context).await.unwrap();
        self.settle(done.position).await;
    }

    pub(crate) async fn get(&self, user: &str, path: &str) -> Answer {
        self.ask(user, Request::get(path), None).await
    }

    pub(crate) async fn post(&self, user: &str, path: &str, body: Value) -> Answer {
        self.ask(user, Request::post(path), Some(body)).await
    }

    pub(crate) async fn patch(&self, user: &str, path: &str, body: Value) -> Answer {
        self.ask(user, Request::patch(path), Some(body)).await
    }

    pub(crate) async fn delete(&self, user: &str, path: &str) -> Answer {
        self.ask(user, Request::delete(path), None).await
    }

    pub(crate) async fn command(&self, user: &str, name: &str, body: Value) -> Answer {
        self.post(user, &format!("/api/commands/{name}"), body).await
    }

    /// The same under an idempotency key.
    pub(crate) async fn command_as(&self, user: &str, key: &str, name: &str, body: Value) -> Answer {
        let request = Request::post(format!("/api/commands/{name}")).header("idempotency-key", key);
        self.ask(user, request, Some(body)).await
    }

    /// Starts a conversation; its id.
    pub(crate) async fn conversation(&self, user: &str) -> String {
        let answer = self.command(user, "StartConversation", json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        answer.body["result"]["conversationId"].as_str().unwrap().to_owned()
    }

    /// Sends a message that nobody shall reply to; its id.
    pub(crate) async fn message(&self, user: &str, conversation: &str, content: &str) -> String {
        let body = json!({"conversationId": conversation, "content": content, "advisorIds": []});
        let answer = self.command(user, "SendMessage", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        answer.body["result"]["messageId"].as_str().unwrap().to_owned()
    }

    /// Sends a message; the id of the reply that the active advisor owes.
    pub(crate) async fn question(&self, user: &str, conversation: &str, content: &str) -> String {
        let body = json!({"conversationId": conversation, "content": content});
        let answer = self.command(user, "SendMessage", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        answer.body["result"]["replies"][0]["replyId"].as_str().unwrap().to_owned()
    }

    /// What a worker does first.
    pub(crate) async fn start_reply(&self, conversation: &str, reply: &str, attempt: u32) {
        let manifest = Manifest {
            template: "reply.v1".into(),
            model: "test".into(),
            temperature: 0.7,
            tokens_max: 2_000,
            window_tokens: Some(4_000),
            texts: Vec::new(),
            request_sha256: String::new().into(),
        };
        let claim = format!("claim {attempt}");
        let command =
            ConversationCommand::StartReply { reply_id: reply.into(), attempt, claim, after_release: false, manifest };
        self.work(conversation, &format!("start {reply} {attempt}"), command).await;
    }

    /// What a worker does last.
    pub(crate) async fn complete_reply(&self, conversation: &str, reply: &str, content: &str) {
        let command = ConversationCommand::CompleteReply {
            reply_id: reply.into(),
            attempt: 1,
            content: content.into(),
            model: "test".into(),
            finish_reason: "stop".into(),
            usage: Usage { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12, estimated: false },
            is_demo: false,
        };
        self.work(conversation, &format!("complete {reply}"), command).await;
    }

    /// What a worker does in the end.
    pub(crate) async fn fail_reply(&self, conversation: &str, reply: &str, reason: ReplyFailure) {
        let command = ConversationCommand::FailReply { reply_id: reply.into(), attempt: 1, reason };
        self.work(conversation, &format!("fail {reply}"), command).await;
    }

    pub(crate) async fn work(&self, conversation: &str, id: &str, command: ConversationCommand) {
        let context = CommandContext::new(Actor::Worker("test".into()), id.to_owned(), self.api.clock.now());
        let stream = StreamName::conversation(&ConversationId::from(conversation));
        let done = self.api.commands.conversations.execute(&stream, command, context).await.unwrap();
        self.settle(done.position).await;
    }

    /// Waits until the read side shows what stands there.
    pub(crate) async fn settle(&self, position: Position) {
        self.api.reader.wait_for(position, Duration::from_secs(5)).await;
    }

    /// The only reply of the only conversation of a person that is not a message yet, once there is one.
    pub(crate) async fn awaited_reply(&self, user: &str) -> (String, String) {
        let mut progress = self.api.reader.progress();
        loop {
            progress.borrow_and_update();
            let open = advisor_projections::replies::open(10);
            let open = self.api.reader.run(open).await.unwrap().value;
            if let Some(reply) = open.iter().find(|reply| reply.user_id.as_str() == user) {
                return (reply.conversation_id.0.clone(), reply.id.0.clone());
            }
            progress.changed().await.unwrap();
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(HeaderName::from_static(name)).map(|value| value.to_str().unwrap())
    }

    /// The status and the code of a problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

/// A request under an idempotency key.
pub(crate) fn keyed(request: Builder, key: &str) -> Builder {
    request.header("idempotency-key", key)
}
