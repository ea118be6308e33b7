//! What happens behind live queries in tests: commands of people, and what workers do.

use crate::test_api::TestApi;
use advisor_bus::{BusMessage, Delta, Topic};
use advisor_commands::{AdvisorCommand, Caller, CallerRole, CommandContext, ConversationCommand, UserCommand};
use advisor_events::{
    Actor, AdvisorId, Clock, ConversationId, ReplyId, StreamName, UserId,
    advisor::{Status, Visibility},
    conversation::{Manifest, ReplyFailure, Usage},
};
use advisor_projections::Draft;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// Asks a command by its name; its result.
pub(crate) async fn command(test: &TestApi, user: &str, name: &str, body: Value) -> Value {
    let answer = test.ask(user, Request::post(format!("/api/commands/{name}")), Some(body.clone())).await;
    assert_eq!(answer.status, StatusCode::OK, "{name} {body}: {answer:?}");
    answer.body["result"].clone()
}

/// A new conversation of this person, with no advisor.
pub(crate) async fn conversation(test: &TestApi, user: &str) -> String {
    text(&command(test, user, "StartConversation", json!({"title": "Plans"})).await["conversationId"])
}

/// A message that nobody replies to.
pub(crate) async fn message(test: &TestApi, user: &str, conversation: &str, content: &str) -> String {
    let body = json!({"conversationId": conversation, "content": content, "advisorIds": []});
    text(&command(test, user, "SendMessage", body).await["messageId"])
}

/// A message that this advisor replies to; the reply.
pub(crate) async fn asked(test: &TestApi, user: &str, conversation: &str, advisor: &str) -> String {
    let body = json!({"conversationId": conversation, "content": "what now?", "advisorIds": [advisor]});
    text(&command(test, user, "SendMessage", body).await["replies"][0]["replyId"])
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// An advisor that everybody sees.
pub(crate) async fn public_advisor(test: &TestApi, id: &str, title: &str) {
    public_advisor_of(test, id, None, title).await;
}

/// An advisor of somebody's that everybody sees.
pub(crate) async fn public_advisor_of(test: &TestApi, id: &str, owner: Option<&str>, title: &str) {
    let command = AdvisorCommand::Create {
        advisor_id: AdvisorId::from(id),
        owner_id: owner.map(UserId::from),
        visibility: Visibility::Public,
        status: Status::Active,
        document: document(id, title),
    };
    of_advisor(test, id, command).await;
}

/// The advisor has another title.
pub(crate) async fn revise(test: &TestApi, id: &str, title: &str) {
    of_advisor(test, id, AdvisorCommand::Revise { by: operator(), document: document(id, title) }).await;
}

/// The advisor is of another status.
pub(crate) async fn set_status(test: &TestApi, id: &str, status: Status) {
    of_advisor(test, id, AdvisorCommand::SetStatus { by: operator(), status }).await;
}

/// The advisor, whose document stands at this revision, is seen by others.
pub(crate) async fn set_visibility(test: &TestApi, id: &str, visibility: Visibility, document_revision: u64) {
    let document = document(id, "Coach");
    let command = AdvisorCommand::SetVisibility { by: operator(), visibility, document, document_revision };
    of_advisor(test, id, command).await;
}

async fn of_advisor(test: &TestApi, id: &str, command: AdvisorCommand) {
    let stream = StreamName::advisor(&AdvisorId::from(id));
    let context = context(test, Actor::Operator(UserId::from("olga")));
    let done = test.api.commands.advisors.execute(&stream, command, context).await.unwrap();
    test.api.settled(done.position).await;
}

/// Who changes what everybody sees.
pub(super) fn operator() -> Caller {
    Caller { user_id: UserId::from("olga"), role: CallerRole::Operator }
}

/// What an advisor of this title is.
pub(super) fn document(id: &str, title: &str) -> Value {
    json!({"advisorId": id, "persona": {"name": format!("Robin {id}"), "title": title, "bio": "b".repeat(20)}})
}

/// The person is deleted.
pub(crate) async fn delete_user(test: &TestApi, user: &str) {
    let user_id = UserId::from(user);
    let stream = StreamName::user(&user_id);
    let context = context(test, Actor::Worker("accounts".to_owned()));
    test.api.commands.users.execute(&stream, UserCommand::Delete { user_id }, context).await.unwrap();
}

/// A worker begins an attempt at a reply.
pub(crate) async fn start_reply(test: &TestApi, conversation: &str, reply: &str, attempt: u32) {
    let manifest = Manifest {
        template: "reply.v1".to_owned(),
        model: "demo".to_owned(),
        temperature: 0.7,
        tokens_max: 2_000,
        window_tokens: None,
        texts: Vec::new(),
        request_sha256: String::new().into(),
    };
    let claim = Uuid::new_v4().to_string();
    let reply_id = ReplyId::from(reply);
    let command = ConversationCommand::StartReply { reply_id, attempt, claim, after_release: false, manifest };
    of_worker(test, conversation, command).await;
}

/// The reply becomes a message.
pub(crate) async fn complete_reply(test: &TestApi, conversation: &str, reply: &str, attempt: u32, content: &str) {
    let command = ConversationCommand::CompleteReply {
        reply_id: ReplyId::from(reply),
        attempt,
        content: content.to_owned(),
        model: "demo".to_owned(),
        finish_reason: "stop".to_owned(),
        usage: Usage { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, estimated: true },
        is_demo: true,
    };
    of_worker(test, conversation, command).await;
}

/// The reply will not come.
pub(crate) async fn fail_reply(test: &TestApi, conversation: &str, reply: &str, attempt: u32) {
    let reason = ReplyFailure::AiApiError;
    of_worker(test, conversation, ConversationCommand::FailReply { reply_id: ReplyId::from(reply), attempt, reason })
        .await;
}

async fn of_worker(test: &TestApi, conversation: &str, command: ConversationCommand) {
    let stream = StreamName::conversation(&ConversationId::from(conversation));
    let context = context(test, Actor::Worker("reply_to_message".to_owned()));
    let done = test.api.commands.conversations.execute(&stream, command, context).await.unwrap();
    test.api.settled(done.position).await;
}

/// A command of somebody's that was never sent before.
pub(super) fn context(test: &TestApi, actor: Actor) -> CommandContext {
    CommandContext::new(actor, Uuid::new_v4().to_string(), test.clock.now())
}

/// A worker says a piece of a reply.
pub(crate) async fn say(test: &TestApi, (conversation, reply): (&str, &str), attempt: u32, offset: u64, words: &str) {
    let delta = Delta {
        reply_id: ReplyId::from(reply),
        conversation_id: ConversationId::from(conversation),
        attempt,
        offset,
        text: words.to_owned(),
    };
    let topic = Topic::Reply(ReplyId::from(reply));
    test.api.bus.publish(&topic, BusMessage::Delta(Arc::new(delta))).await.unwrap();
}

/// A worker writes the text so far.
pub(crate) async fn draft(test: &TestApi, conversation: &str, reply: &str, attempt: u32, words: &str) {
    let draft = Draft {
        reply_id: ReplyId::from(reply),
        conversation_id: ConversationId::from(conversation),
        attempt,
        text: words.to_owned(),
        beat: 1,
        owner: "w1".to_owned(),
        released: false,
        updated_at: test.clock.now(),
    };
    test.api.side.drafts().put(draft).await.unwrap();
}
