//! What events make of a conversation's situation.

use super::{
    ConversationState,
    state::{Author, Ending, Open, OpenReply, Stop, Title},
};
use advisor_events::{
    ReplyId,
    conversation::{ConversationEvent, MessageSent, Started},
};
use std::collections::HashMap;

pub(super) fn evolve(state: ConversationState, event: &ConversationEvent) -> ConversationState {
    match (state, event) {
        (ConversationState::Unknown, ConversationEvent::Started(event)) => {
            ConversationState::Open(Box::new(started(event)))
        }
        (ConversationState::Open(open), ConversationEvent::Deleted(_)) => {
            ConversationState::Deleted { user_id: open.user_id }
        }
        (ConversationState::Open(mut open), event) => {
            change(&mut open, event);
            ConversationState::Open(open)
        }
        (state @ (ConversationState::Unknown | ConversationState::Deleted { .. }), _) => state,
    }
}

fn started(event: &Started) -> Open {
    Open {
        conversation_id: event.conversation_id.clone(),
        user_id: event.user_id.clone(),
        active_advisor_id: event.active_advisor_id.clone(),
        title: Title::AsStarted,
        messages: HashMap::new(),
        replies: Vec::new(),
        ended_replies: HashMap::new(),
        turns: 0,
    }
}

fn change(open: &mut Open, event: &ConversationEvent) {
    match event {
        ConversationEvent::Renamed(_) => open.title = Title::Settled,
        ConversationEvent::AdvisorAssigned(event) => open.active_advisor_id = Some(event.advisor_id.clone()),
        ConversationEvent::MessageSent(event) => sent(open, event),
        ConversationEvent::MessageDeleted(event) => {
            open.messages.remove(&event.message_id);
        }
        ConversationEvent::ReplyStarted(event) => {
            if let Some(reply) = open.open_reply_mut(&event.reply_id) {
                reply.attempt = event.attempt;
                reply.attempts_counted += u32::from(!event.after_release);
            }
        }
        ConversationEvent::ReplyStopRequested(event) => {
            if let Some(reply) = open.open_reply_mut(&event.reply_id) {
                reply.stop = Stop::Requested;
            }
        }
        ConversationEvent::ReplyCompleted(event) => {
            end(open, &event.reply_id, Ending::Completed);
            open.messages.insert(event.reply_id.clone().into(), Author::Advisor);
        }
        ConversationEvent::ReplyFailed(event) => end(open, &event.reply_id, Ending::Failed),
        ConversationEvent::ReplyStopped(event) => {
            end(open, &event.reply_id, Ending::Stopped);
            // The text is sealed, so that nothing here can tell whether it is empty. A reply that never began
            // has none for sure; an empty one that did is no message on the read side, where ids are resolved.
            if event.attempt > 0 {
                open.messages.insert(event.reply_id.clone().into(), Author::Advisor);
            }
        }
        ConversationEvent::Started(_) | ConversationEvent::MessageEdited(_) | ConversationEvent::Deleted(_) => {}
    }
}

fn sent(open: &mut Open, event: &MessageSent) {
    open.turns += 1 + event.replies.len();
    open.messages.insert(event.message_id.clone(), Author::User);
    open.replies.extend(event.replies.iter().map(|reply| OpenReply {
        reply_id: reply.reply_id.clone(),
        message_id: event.message_id.clone(),
        attempt: 0,
        attempts_counted: 0,
        stop: Stop::NotRequested,
    }));
}

fn end(open: &mut Open, reply_id: &ReplyId, ending: Ending) {
    open.replies.retain(|reply| reply.reply_id != *reply_id);
    open.ended_replies.insert(reply_id.clone(), ending);
}
