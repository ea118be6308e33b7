//! The rules by example, by subject, and the laws that hold whatever is asked.

mod laws;
mod messages;
mod replies;
mod whole;

use super::*;
use advisor_events::conversation::{
    AdvisorAssigned, Deleted, MessageDeleted, MessageSent, Renamed, ReplyCompleted, ReplyFailed, ReplyStarted,
    ReplyStopRequested, ReplyStopped, Started, TitleSource,
};

/// Whose conversation it is in these tests.
const ANA: &str = "ana";
/// Somebody else.
const BEN: &str = "ben";

fn start() -> ConversationCommand {
    ConversationCommand::Start {
        conversation_id: "c".into(),
        user_id: ANA.into(),
        title: Some("Hello".into()),
        active_advisor_id: Some("alex".into()),
    }
}

fn rename() -> ConversationCommand {
    ConversationCommand::Rename { user_id: ANA.into(), title: "Pricing".into() }
}

fn assign(advisor: &str) -> ConversationCommand {
    ConversationCommand::AssignAdvisor { user_id: ANA.into(), advisor_id: advisor.into() }
}

fn change(title: Option<&str>, advisor: Option<&str>) -> ConversationCommand {
    ConversationCommand::Change {
        user_id: ANA.into(),
        title: title.map(Into::into),
        advisor_id: advisor.map(Into::into),
    }
}

fn delete() -> ConversationCommand {
    ConversationCommand::Delete { user_id: ANA.into() }
}

fn send(message: NewMessage) -> ConversationCommand {
    send_within(1_000, message)
}

/// A message to a conversation that may have so many.
fn send_within(messages_max: usize, message: NewMessage) -> ConversationCommand {
    ConversationCommand::SendMessage { user_id: ANA.into(), start: None, message, messages_max }
}

fn start_with(message: NewMessage) -> ConversationCommand {
    let start = StartWith { conversation_id: "c".into(), title: Some("Hello".into()) };
    ConversationCommand::SendMessage { user_id: ANA.into(), start: Some(start), message, messages_max: 6 }
}

/// A message that asks these advisors for replies, each under the id `<message>-<advisor>`.
fn message(id: &str, advisors: &[&str]) -> NewMessage {
    NewMessage {
        message_id: id.into(),
        content: "What now?".into(),
        content_json: None,
        mentions: Vec::new(),
        replies: advisors.iter().map(|advisor| requested(&format!("{id}-{advisor}"), advisor)).collect(),
    }
}

fn requested(reply: &str, advisor: &str) -> RequestedReply {
    RequestedReply { reply_id: reply.into(), advisor_id: advisor.into() }
}

fn edit(message: &str) -> ConversationCommand {
    ConversationCommand::EditMessage { user_id: ANA.into(), message_id: message.into(), content: "Or now?".into() }
}

fn delete_message(message: &str) -> ConversationCommand {
    ConversationCommand::DeleteMessage { user_id: ANA.into(), message_id: message.into() }
}

fn stop(reply: &str) -> ConversationCommand {
    ConversationCommand::StopReply { user_id: ANA.into(), reply_id: reply.into() }
}

fn start_reply(reply: &str, attempt: u32) -> ConversationCommand {
    ConversationCommand::StartReply {
        reply_id: reply.into(),
        attempt,
        claim: "claim".into(),
        after_release: false,
        manifest: manifest(),
    }
}

fn restart_released(reply: &str, attempt: u32) -> ConversationCommand {
    ConversationCommand::StartReply {
        reply_id: reply.into(),
        attempt,
        claim: "claim".into(),
        after_release: true,
        manifest: manifest(),
    }
}

fn complete(reply: &str, attempt: u32) -> ConversationCommand {
    ConversationCommand::CompleteReply {
        reply_id: reply.into(),
        attempt,
        content: "This.".into(),
        model: "demo".into(),
        finish_reason: "stop".into(),
        usage: usage(),
        is_demo: true,
    }
}

fn fail(reply: &str, attempt: u32) -> ConversationCommand {
    ConversationCommand::FailReply { reply_id: reply.into(), attempt, reason: ReplyFailure::AiApiError }
}

fn end_stopped(reply: &str, attempt: u32) -> ConversationCommand {
    ConversationCommand::EndStoppedReply {
        reply_id: reply.into(),
        attempt,
        content: "Thi".into(),
        model: Some("demo".into()),
        usage: Some(usage()),
        is_demo: true,
    }
}

fn make_title() -> ConversationCommand {
    ConversationCommand::MakeTitle { title: "Pricing Advice".into() }
}

fn manifest() -> Manifest {
    Manifest {
        template: "reply.v1".into(),
        model: "demo".into(),
        temperature: 0.7,
        tokens_max: 2_000,
        window_tokens: None,
        texts: Vec::new(),
        request_sha256: String::new().into(),
    }
}

fn usage() -> Usage {
    Usage { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4, estimated: true }
}

fn started() -> ConversationEvent {
    started_for(Some("alex"))
}

fn started_for(advisor: Option<&str>) -> ConversationEvent {
    ConversationEvent::Started(Started {
        conversation_id: "c".into(),
        user_id: ANA.into(),
        title: Some("Hello".to_owned().into()),
        active_advisor_id: advisor.map(Into::into),
    })
}

fn renamed(title: &str, source: TitleSource) -> ConversationEvent {
    ConversationEvent::Renamed(Renamed { title: title.to_owned().into(), source })
}

fn assigned(advisor: &str) -> ConversationEvent {
    ConversationEvent::AdvisorAssigned(AdvisorAssigned { advisor_id: advisor.into() })
}

fn deleted() -> ConversationEvent {
    ConversationEvent::Deleted(Deleted { conversation_id: "c".into() })
}

fn sent(id: &str, advisors: &[&str]) -> ConversationEvent {
    let message = message(id, advisors);
    ConversationEvent::MessageSent(MessageSent {
        message_id: message.message_id,
        content: message.content.into(),
        content_json: None,
        mentions: Vec::new(),
        replies: message.replies,
    })
}

fn message_deleted(id: &str) -> ConversationEvent {
    ConversationEvent::MessageDeleted(MessageDeleted { message_id: id.into() })
}

fn reply_started(reply: &str, attempt: u32) -> ConversationEvent {
    ConversationEvent::ReplyStarted(ReplyStarted {
        reply_id: reply.into(),
        attempt,
        claim: "claim".into(),
        after_release: false,
        manifest: manifest(),
    })
}

fn released_reply_started(reply: &str, attempt: u32) -> ConversationEvent {
    ConversationEvent::ReplyStarted(ReplyStarted {
        reply_id: reply.into(),
        attempt,
        claim: "claim".into(),
        after_release: true,
        manifest: manifest(),
    })
}

fn stop_requested(reply: &str) -> ConversationEvent {
    ConversationEvent::ReplyStopRequested(ReplyStopRequested { reply_id: reply.into() })
}

fn completed(reply: &str, attempt: u32) -> ConversationEvent {
    ConversationEvent::ReplyCompleted(ReplyCompleted {
        reply_id: reply.into(),
        attempt,
        content: "This.".to_owned().into(),
        model: "demo".into(),
        finish_reason: "stop".into(),
        usage: usage(),
        is_demo: true,
    })
}

fn failed(reply: &str, attempt: u32, reason: ReplyFailure) -> ConversationEvent {
    ConversationEvent::ReplyFailed(ReplyFailed { reply_id: reply.into(), attempt, reason })
}

fn stopped(reply: &str, attempt: u32, content: &str) -> ConversationEvent {
    ConversationEvent::ReplyStopped(ReplyStopped {
        reply_id: reply.into(),
        attempt,
        content: content.to_owned().into(),
        model: Some("demo".into()),
        usage: Some(usage()),
        is_demo: true,
    })
}

fn stopped_before_it_began(reply: &str) -> ConversationEvent {
    ConversationEvent::ReplyStopped(ReplyStopped {
        reply_id: reply.into(),
        attempt: 0,
        content: String::new().into(),
        model: None,
        usage: None,
        is_demo: false,
    })
}
