//! What a conversation does about a command.

use super::{
    ATTEMPTS_MAX, ConversationCommand, ConversationRefusal, ConversationState, NewMessage, REPLIES_MAX, StartWith,
    state::{Author, Ending, Open, OpenReply, Stop, Title},
};
use advisor_events::{
    AdvisorId, ConversationId, MessageId, ReplyId, UserId,
    conversation::{
        AdvisorAssigned, ConversationEvent, Deleted, MessageDeleted, MessageEdited, MessageSent, Renamed,
        ReplyCompleted, ReplyFailed, ReplyFailure, ReplyStarted, ReplyStopRequested, ReplyStopped, Started,
        TitleSource,
    },
};
use advisor_proof::{Mutant, is_planted};
use std::collections::HashSet;

type Decision = Result<Vec<ConversationEvent>, ConversationRefusal>;

pub(super) fn decide(state: &ConversationState, command: ConversationCommand) -> Decision {
    match state {
        ConversationState::Unknown => begin(command),
        ConversationState::Open(open) => match asker(&command) {
            Some(user_id) if *user_id != open.user_id => Err(ConversationRefusal::NotFound),
            Some(_) | None => go_on(open, command),
        },
        ConversationState::Deleted { .. } => Err(ConversationRefusal::NotFound),
    }
}

/// The person who asks; `None` for what only workers ask.
fn asker(command: &ConversationCommand) -> Option<&UserId> {
    match command {
        ConversationCommand::Start { user_id, .. }
        | ConversationCommand::Rename { user_id, .. }
        | ConversationCommand::AssignAdvisor { user_id, .. }
        | ConversationCommand::Change { user_id, .. }
        | ConversationCommand::Delete { user_id }
        | ConversationCommand::SendMessage { user_id, .. }
        | ConversationCommand::EditMessage { user_id, .. }
        | ConversationCommand::DeleteMessage { user_id, .. }
        | ConversationCommand::StopReply { user_id, .. } => Some(user_id),
        ConversationCommand::StartReply { .. }
        | ConversationCommand::CompleteReply { .. }
        | ConversationCommand::FailReply { .. }
        | ConversationCommand::EndStoppedReply { .. }
        | ConversationCommand::MakeTitle { .. } => None,
    }
}

/// Where there is no conversation, one can only be started.
fn begin(command: ConversationCommand) -> Decision {
    match command {
        ConversationCommand::Start { conversation_id, user_id, title, active_advisor_id } => {
            Ok(vec![started(conversation_id, user_id, title, active_advisor_id)])
        }
        ConversationCommand::SendMessage { user_id, start: Some(start), message, messages_max } => {
            check_new_message(&message)?;
            check_room(0, &message, messages_max)?;
            let first = message.replies.first().map(|reply| reply.advisor_id.clone());
            let StartWith { conversation_id, title } = start;
            Ok(vec![started(conversation_id, user_id, title, first), sent(message)])
        }
        ConversationCommand::SendMessage { start: None, .. }
        | ConversationCommand::Rename { .. }
        | ConversationCommand::AssignAdvisor { .. }
        | ConversationCommand::Change { .. }
        | ConversationCommand::Delete { .. }
        | ConversationCommand::EditMessage { .. }
        | ConversationCommand::DeleteMessage { .. }
        | ConversationCommand::StopReply { .. }
        | ConversationCommand::StartReply { .. }
        | ConversationCommand::CompleteReply { .. }
        | ConversationCommand::FailReply { .. }
        | ConversationCommand::EndStoppedReply { .. }
        | ConversationCommand::MakeTitle { .. } => Err(ConversationRefusal::NotFound),
    }
}

/// What the owner or a worker asks of an open conversation.
fn go_on(open: &Open, command: ConversationCommand) -> Decision {
    match command {
        ConversationCommand::Start { .. } | ConversationCommand::SendMessage { start: Some(_), .. } => {
            Err(ConversationRefusal::AlreadyStarted)
        }
        ConversationCommand::Rename { title, .. } => Ok(vec![renamed(title, TitleSource::User)]),
        ConversationCommand::AssignAdvisor { advisor_id, .. } => Ok(assigned_if_other(open, Some(&advisor_id))),
        ConversationCommand::Change { title, advisor_id, .. } => {
            let renamed = title.map(|title| renamed(title, TitleSource::User));
            Ok(renamed.into_iter().chain(assigned_if_other(open, advisor_id.as_ref())).collect())
        }
        ConversationCommand::Delete { .. } => {
            Ok(vec![ConversationEvent::Deleted(Deleted { conversation_id: open.conversation_id.clone() })])
        }
        ConversationCommand::SendMessage { start: None, message, messages_max, .. } => {
            send(open, message, messages_max)
        }
        ConversationCommand::EditMessage { message_id, content, .. } => edit(open, message_id, content),
        ConversationCommand::DeleteMessage { message_id, .. } => delete_message(open, &message_id),
        ConversationCommand::StopReply { reply_id, .. } => stop(open, reply_id),
        ConversationCommand::StartReply { reply_id, attempt, claim, after_release, manifest } => {
            let event = ReplyStarted { reply_id, attempt, claim, after_release, manifest };
            check_start(open, &event)?;
            Ok(vec![ConversationEvent::ReplyStarted(event)])
        }
        ConversationCommand::CompleteReply { reply_id, attempt, content, model, finish_reason, usage, is_demo } => {
            let content = content.into();
            complete(open, ReplyCompleted { reply_id, attempt, content, model, finish_reason, usage, is_demo })
        }
        ConversationCommand::FailReply { reply_id, attempt, reason } => {
            current_attempt(open, &reply_id, attempt)?;
            Ok(vec![ConversationEvent::ReplyFailed(ReplyFailed { reply_id, attempt, reason })])
        }
        ConversationCommand::EndStoppedReply { reply_id, attempt, content, model, usage, is_demo } => {
            let content = content.into();
            end_stopped(open, ReplyStopped { reply_id, attempt, content, model, usage, is_demo })
        }
        ConversationCommand::MakeTitle { title } => match open.title {
            Title::AsStarted => Ok(vec![renamed(title, TitleSource::Content)]),
            Title::Settled => Err(ConversationRefusal::TitleTaken),
        },
    }
}

fn send(open: &Open, message: NewMessage, messages_max: usize) -> Decision {
    check_new_message(&message)?;
    if open.knows(&message.message_id) || message.replies.iter().any(|reply| open.knows(&reply.reply_id.clone().into()))
    {
        return Err(ConversationRefusal::AlreadySent);
    }
    check_room(open.turns, &message, messages_max)?;
    let mut events = assigned_if_other(open, message.replies.first().map(|reply| &reply.advisor_id));
    events.push(sent(message));
    Ok(events)
}

fn check_new_message(message: &NewMessage) -> Result<(), ConversationRefusal> {
    if message.replies.len() > REPLIES_MAX {
        return Err(ConversationRefusal::TooManyReplies);
    }
    let mut ids = HashSet::from([message.message_id.as_str()]);
    let mut advisors = HashSet::new();
    for reply in &message.replies {
        if !ids.insert(reply.reply_id.as_str()) || !advisors.insert(&reply.advisor_id) {
            return Err(ConversationRefusal::SameReplyTwice);
        }
    }
    Ok(())
}

/// A message has room with all its replies, or none: a reply that was asked for never lacks it at its end.
fn check_room(turns: usize, message: &NewMessage, messages_max: usize) -> Result<(), ConversationRefusal> {
    let wanted = 1 + message.replies.len();
    if turns.saturating_add(wanted) > messages_max { Err(ConversationRefusal::Full) } else { Ok(()) }
}

fn edit(open: &Open, message_id: MessageId, content: String) -> Decision {
    match open.messages.get(&message_id) {
        None => Err(ConversationRefusal::MessageNotFound),
        Some(Author::Advisor) => Err(ConversationRefusal::NotAUserMessage),
        Some(Author::User) => {
            Ok(vec![ConversationEvent::MessageEdited(MessageEdited { message_id, content: content.into() })])
        }
    }
}

/// The open replies to a message end with it, in the same append.
fn delete_message(open: &Open, message_id: &MessageId) -> Decision {
    if !open.messages.contains_key(message_id) {
        return Err(ConversationRefusal::MessageNotFound);
    }
    let mut events = vec![ConversationEvent::MessageDeleted(MessageDeleted { message_id: message_id.clone() })];
    events.extend(open.replies.iter().filter(|reply| reply.message_id == *message_id).map(|reply| {
        let (reply_id, attempt) = (reply.reply_id.clone(), reply.attempt);
        ConversationEvent::ReplyFailed(ReplyFailed { reply_id, attempt, reason: ReplyFailure::MessageDeleted })
    }));
    Ok(events)
}

/// What has not begun is stopped at once; what runs is stopped by whoever runs it.
fn stop(open: &Open, reply_id: ReplyId) -> Decision {
    if is_planted(Mutant::EndsRepeated) && open.ended_replies.contains_key(&reply_id) {
        return Ok(vec![stopped_before_it_began(reply_id)]);
    }
    if open.ended_replies.get(&reply_id) == Some(&Ending::Stopped) {
        return Ok(Vec::new());
    }
    let reply = open_reply(open, &reply_id)?;
    match (reply.stop, reply.attempt) {
        (Stop::Requested, _) => Ok(Vec::new()),
        (Stop::NotRequested, 0) => Ok(vec![stopped_before_it_began(reply_id)]),
        (Stop::NotRequested, 1..) => Ok(vec![ConversationEvent::ReplyStopRequested(ReplyStopRequested { reply_id })]),
    }
}

fn stopped_before_it_began(reply_id: ReplyId) -> ConversationEvent {
    let content = String::new().into();
    ConversationEvent::ReplyStopped(ReplyStopped {
        reply_id,
        attempt: 0,
        content,
        model: None,
        usage: None,
        is_demo: false,
    })
}

fn check_start(open: &Open, start: &ReplyStarted) -> Result<(), ConversationRefusal> {
    let reply = open_reply(open, &start.reply_id)?;
    if reply.stop == Stop::Requested {
        return Err(ConversationRefusal::StopRequested);
    }
    if start.attempt != reply.attempt.saturating_add(1) {
        return Err(ConversationRefusal::NotYourAttempt);
    }
    if reply.attempts_counted >= ATTEMPTS_MAX && !start.after_release {
        return Err(ConversationRefusal::AttemptsExhausted);
    }
    if open.is_behind_another_message(reply) {
        return Err(ConversationRefusal::NotYet);
    }
    Ok(())
}

/// Once a stop was asked for, even a whole text ends the reply as stopped: that is what the user was told.
fn complete(open: &Open, completed: ReplyCompleted) -> Decision {
    let reply = begun_attempt(open, &completed.reply_id, completed.attempt)?;
    Ok(vec![match reply.stop {
        Stop::NotRequested => ConversationEvent::ReplyCompleted(completed),
        Stop::Requested => ConversationEvent::ReplyStopped(ReplyStopped {
            reply_id: completed.reply_id,
            attempt: completed.attempt,
            content: completed.content,
            model: Some(completed.model),
            usage: Some(completed.usage),
            is_demo: completed.is_demo,
        }),
    }])
}

fn end_stopped(open: &Open, stopped: ReplyStopped) -> Decision {
    match begun_attempt(open, &stopped.reply_id, stopped.attempt)?.stop {
        Stop::NotRequested => Err(ConversationRefusal::StopNotRequested),
        Stop::Requested => Ok(vec![ConversationEvent::ReplyStopped(stopped)]),
    }
}

fn open_reply<'a>(open: &'a Open, reply_id: &ReplyId) -> Result<&'a OpenReply, ConversationRefusal> {
    open.open_reply(reply_id).ok_or_else(|| {
        if open.ended_replies.contains_key(reply_id) {
            ConversationRefusal::ReplyEnded
        } else {
            ConversationRefusal::ReplyNotFound
        }
    })
}

/// The reply, if `attempt` is its last one (0 when none has begun).
fn current_attempt<'a>(open: &'a Open, reply_id: &ReplyId, attempt: u32) -> Result<&'a OpenReply, ConversationRefusal> {
    let reply = open_reply(open, reply_id)?;
    if reply.attempt == attempt { Ok(reply) } else { Err(ConversationRefusal::NotYourAttempt) }
}

/// The reply, if `attempt` is its last one and has begun.
fn begun_attempt<'a>(open: &'a Open, reply_id: &ReplyId, attempt: u32) -> Result<&'a OpenReply, ConversationRefusal> {
    let reply = current_attempt(open, reply_id, attempt)?;
    if attempt == 0 { Err(ConversationRefusal::NotYourAttempt) } else { Ok(reply) }
}

fn started(
    conversation_id: ConversationId,
    user_id: UserId,
    title: Option<String>,
    active_advisor_id: Option<AdvisorId>,
) -> ConversationEvent {
    let title = title.map(Into::into);
    ConversationEvent::Started(Started { conversation_id, user_id, title, active_advisor_id })
}

fn renamed(title: String, source: TitleSource) -> ConversationEvent {
    ConversationEvent::Renamed(Renamed { title: title.into(), source })
}

fn assigned_if_other(open: &Open, advisor_id: Option<&AdvisorId>) -> Vec<ConversationEvent> {
    match advisor_id {
        Some(advisor_id) if open.active_advisor_id.as_ref() != Some(advisor_id) => {
            vec![ConversationEvent::AdvisorAssigned(AdvisorAssigned { advisor_id: advisor_id.clone() })]
        }
        Some(_) | None => Vec::new(),
    }
}

fn sent(message: NewMessage) -> ConversationEvent {
    let NewMessage { message_id, content, content_json, mentions, replies } = message;
    ConversationEvent::MessageSent(MessageSent {
        message_id,
        content: content.into(),
        content_json: content_json.map(Into::into),
        mentions,
        replies,
    })
}
