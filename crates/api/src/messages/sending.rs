//! Sending a message: whom it mentions, who replies.

use crate::{
    advisors,
    command_request::{Body, CommandRequest, OwnConversation},
    mentions,
    problem::Problem,
};
use advisor_commands::{ConversationCommand, NewMessage, Outcome, conversation::REPLIES_MAX};
use advisor_events::{
    AdvisorId, ConversationId, MessageId, ReplyId,
    conversation::{ConversationEvent, MessageSent, RequestedReply},
};
use advisor_projections::{advisors::AdvisorName, conversations};
use serde_json::Value;

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct NewText {
    pub(crate) content: String,
    pub(crate) content_json: Option<Value>,
    pub(crate) responders: Responders,
}

/// Who shall reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Responders {
    /// All who are mentioned, else the active one.
    ByDefault,
    /// These; perhaps nobody.
    Named(Vec<AdvisorId>),
}

/// Whom a message mentions, and who shall reply.
pub(crate) struct Addressed {
    pub(crate) mentions: Vec<AdvisorId>,
    pub(crate) responders: Vec<AdvisorId>,
}

/// Sends a message. Where it mentions nobody and asks nobody, the read side is not asked about advisors.
pub(crate) async fn send(
    request: &CommandRequest,
    conversation: &OwnConversation,
    text: NewText,
    body: &Body<'_>,
) -> Result<Outcome<ConversationEvent>, Problem> {
    let id = conversation.id();
    match address(request, id, &text).await? {
        Ok(addressed) => {
            request.meter.replies(request.viewer.user_id(), addressed.responders.len())?;
            request.ask_conversation(conversation, command(request, id, text, addressed), body).await
        }
        Err(refusal) => {
            let nobody = Addressed { mentions: Vec::new(), responders: Vec::new() };
            request.repeat_in_conversation(conversation, command(request, id, text, nobody), body, refusal).await
        }
    }
}

/// The message that a command sent, now or the first time.
pub(crate) fn sent(outcome: &Outcome<ConversationEvent>) -> Option<&MessageSent> {
    outcome.events.iter().find_map(|event| match event {
        ConversationEvent::MessageSent(event) => Some(event),
        ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageEdited(_)
        | ConversationEvent::MessageDeleted(_)
        | ConversationEvent::ReplyStarted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::ReplyCompleted(_)
        | ConversationEvent::ReplyFailed(_)
        | ConversationEvent::ReplyStopped(_)
        | ConversationEvent::Deleted(_) => None,
    })
}

/// A message of the caller's with ids of its own and of its replies that every repeat makes again.
/// They are the conversation's too: a key that is used in two of them makes different ones.
pub(crate) fn new_message(
    request: &CommandRequest,
    id: &ConversationId,
    content: String,
    addressed: Addressed,
) -> NewMessage {
    let Addressed { mentions, responders } = addressed;
    let replies = responders.into_iter().enumerate().map(|(place, advisor_id)| RequestedReply {
        reply_id: ReplyId(request.new_id(&format!("reply {place} in {id}"))),
        advisor_id,
    });
    NewMessage {
        message_id: MessageId(request.new_id(&format!("message in {id}"))),
        content,
        content_json: None,
        mentions,
        replies: replies.collect(),
    }
}

fn command(request: &CommandRequest, id: &ConversationId, text: NewText, addressed: Addressed) -> ConversationCommand {
    ConversationCommand::SendMessage {
        user_id: request.viewer.user_id().clone(),
        start: None,
        message: NewMessage { content_json: text.content_json, ..new_message(request, id, text.content, addressed) },
        messages_max: request.api.settings.quotas.messages_per_conversation_max,
    }
}

/// The inner error refuses the message unless it has been sent before.
async fn address(
    request: &CommandRequest,
    id: &ConversationId,
    text: &NewText,
) -> Result<Result<Addressed, Problem>, Problem> {
    let names_somebody = match &text.responders {
        Responders::ByDefault => true,
        Responders::Named(ids) => !ids.is_empty(),
    };
    if !names_somebody && !mentions::may_mention(&text.content) {
        return Ok(Ok(Addressed { mentions: Vec::new(), responders: Vec::new() }));
    }
    let names = advisors::names(&request.api, &request.viewer).await?;
    let mentions = mentions::mentioned(&text.content, &names);
    let responders = match &text.responders {
        Responders::Named(ids) => {
            for advisor_id in ids {
                let known = names.iter().any(|advisor| advisor.id == *advisor_id);
                if !known && advisors::usable(request, advisor_id).await?.is_none() {
                    return Ok(Err(Problem::advisor_unusable_in_command()));
                }
            }
            ids.clone()
        }
        Responders::ByDefault if !mentions.is_empty() => mentions.iter().take(REPLIES_MAX).cloned().collect(),
        Responders::ByDefault => {
            let user_id = request.viewer.user_id();
            let Some(row) = request.api.find(|| conversations::by_id(user_id, id)).await? else {
                return Ok(Err(Problem::conversation_not_found()));
            };
            standing_in(row.active_advisor_id.as_ref(), &names).into_iter().collect()
        }
    };
    Ok(Ok(Addressed { mentions, responders }))
}

/// Who replies where nobody is named: the active advisor, or the oldest if that one is not active any more.
pub(crate) fn standing_in(active: Option<&AdvisorId>, names: &[AdvisorName]) -> Option<AdvisorId> {
    let active = active.filter(|active| names.iter().any(|advisor| advisor.id == **active));
    active.or(names.first().map(|advisor| &advisor.id)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_advisor_stands_in_for_one_that_is_not_active_any_more() {
        let names = [name("old"), name("young")];
        assert_eq!(standing_in(Some(&"young".into()), &names), Some("young".into()));
        assert_eq!(standing_in(Some(&"archived".into()), &names), Some("old".into()));
        assert_eq!(standing_in(None, &names), Some("old".into()));
        assert_eq!(standing_in(Some(&"archived".into()), &[]), None);
    }

    fn name(id: &str) -> AdvisorName {
        AdvisorName { id: id.into(), name: id.to_owned(), first_name: id.to_owned(), title: String::new() }
    }
}
