//! The bytes of a request once more, from its manifest and the events that it names.

use super::{
    reply::{self, Parameters, Speaker},
    sha256_hex,
};
use advisor_events::{
    Event, Personal,
    advisor::{AdvisorEvent, Document},
    conversation::{ConversationEvent, Manifest},
};
use serde_json::Value;

/// Why a request can't be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// A text's key has been destroyed.
    #[error("a text of the prompt has been erased")]
    Erased,
    /// This build does not know the template: a newer one made the request.
    #[error("the prompt's template is unknown")]
    UnknownTemplate,
    /// These are not the events that the manifest names.
    #[error("the events are not those of the manifest")]
    OtherEvents,
    /// The bytes differ from those that were sent.
    #[error("the prompt that was made again differs from the one that was sent")]
    Different,
}

/// The request's body, from the manifest and the opened events of its `texts`, in their order.
pub fn rebuild(manifest: &Manifest, events: &[Event]) -> Result<Vec<u8>, RebuildError> {
    if manifest.template != reply::TEMPLATE {
        return Err(RebuildError::UnknownTemplate);
    }
    let [document, history @ .., message] = events else { return Err(RebuildError::OtherEvents) };
    if events.len() != manifest.texts.len() {
        return Err(RebuildError::OtherEvents);
    }
    let history = history.iter().map(said).collect::<Result<Vec<_>, _>>()?;
    let (Speaker::User, message) = said(message)? else { return Err(RebuildError::OtherEvents) };
    let parameters = Parameters {
        tokens_max: manifest.tokens_max,
        window_tokens: manifest.window_tokens,
        temperature: manifest.temperature,
    };
    let body = reply::recompose(document_of(document)?, &history, message, parameters).body(&manifest.model);
    if sha256_hex(&body) == *known(&manifest.request_sha256)? { Ok(body) } else { Err(RebuildError::Different) }
}

fn document_of(event: &Event) -> Result<&Value, RebuildError> {
    let document = match event {
        Event::Advisor(AdvisorEvent::Created(event)) => &event.document,
        Event::Advisor(AdvisorEvent::Revised(event)) => &event.document,
        Event::Advisor(AdvisorEvent::VisibilityChanged(event)) => &event.document,
        Event::Advisor(AdvisorEvent::StatusChanged(_)) | Event::Log(_) | Event::User(_) | Event::Conversation(_) => {
            return Err(RebuildError::OtherEvents);
        }
    };
    match document {
        Document::Public(value) => Ok(value),
        Document::Private(value) => known(value),
    }
}

/// Whose words an event holds is told by its type, never by the words.
fn said(event: &Event) -> Result<(Speaker, &str), RebuildError> {
    let Event::Conversation(event) = event else { return Err(RebuildError::OtherEvents) };
    let (speaker, content) = match event {
        ConversationEvent::MessageSent(event) => (Speaker::User, &event.content),
        ConversationEvent::MessageEdited(event) => (Speaker::User, &event.content),
        ConversationEvent::ReplyCompleted(event) => (Speaker::Advisor, &event.content),
        ConversationEvent::ReplyStopped(event) => (Speaker::Advisor, &event.content),
        ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageDeleted(_)
        | ConversationEvent::ReplyStarted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::ReplyFailed(_)
        | ConversationEvent::Deleted(_) => return Err(RebuildError::OtherEvents),
    };
    Ok((speaker, known(content)?))
}

fn known<T>(personal: &Personal<T>) -> Result<&T, RebuildError> {
    personal.known().ok_or(RebuildError::Erased)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{
        ModelLimits,
        reply::{Said, Sources, compose},
    };
    use advisor_events::{
        MessageId, ReplyId, StreamName,
        conversation::{MessageEdited, MessageSent, ReplyCompleted, TextSource, Usage},
    };
    use serde_json::json;

    #[test]
    fn the_same_texts_make_the_same_bytes() {
        for limits in [ModelLimits::default(), ModelLimits { window_tokens: Some(600), output_tokens_max: 100 }] {
            let (manifest, sent) = sent(limits);
            assert_eq!(rebuild(&manifest, &events()), Ok(sent));
        }
    }

    /// The manifest names the revision that held the text then, so a later edit does not matter; its
    /// text would make other bytes.
    #[test]
    fn a_text_from_a_later_edit_makes_other_bytes_and_that_is_noticed() {
        let (manifest, _) = sent(ModelLimits::default());
        let mut edited = events();
        let edit = MessageEdited { message_id: MessageId::from("m1"), content: "Hello again".to_owned().into() };
        edited[1] = ConversationEvent::MessageEdited(edit).into();
        assert_eq!(rebuild(&manifest, &edited), Err(RebuildError::Different));
        assert_eq!(manifest.texts[1].revision, 1);
    }

    #[test]
    fn an_erased_text_makes_erased() {
        let (manifest, _) = sent(ModelLimits::default());
        let mut erased = events();
        erased[2] = completed(Personal::Erased);
        assert_eq!(rebuild(&manifest, &erased), Err(RebuildError::Erased));
    }

    #[test]
    fn other_events_and_newer_templates_are_refused() {
        let (mut manifest, _) = sent(ModelLimits::default());
        assert_eq!(rebuild(&manifest, &events()[1..]), Err(RebuildError::OtherEvents));
        assert_eq!(rebuild(&manifest, &[]), Err(RebuildError::OtherEvents));
        manifest.template = "reply.v2".to_owned();
        assert_eq!(rebuild(&manifest, &events()), Err(RebuildError::UnknownTemplate));
    }

    /// The bytes of `reply.v1` may never change: this is the hash of one request, for ever.
    #[test]
    fn the_template_is_what_it_was_when_it_was_first_used() {
        let (manifest, _) = sent(ModelLimits::default());
        let hash = manifest.request_sha256.known().unwrap();
        assert_eq!(hash, "b5c3b45ab7c75454bd0032806fa82100325c0198e60921a7602bcd875b770a27");
    }

    fn sent(limits: ModelLimits) -> (Manifest, Vec<u8>) {
        let document = document();
        let history = [said(1, Speaker::User, "Hello"), said(3, Speaker::Advisor, "Good day.")];
        let message = said(4, Speaker::User, "What is a loop?");
        let sources = Sources {
            document: &document,
            document_source: source("advisor-ada", 0),
            history: &history,
            message: &message,
        };
        let (prompt, manifest) = compose(&sources, "some/model", limits);
        (manifest, prompt.body("some/model"))
    }

    fn events() -> Vec<Event> {
        let created = advisor_events::advisor::Created {
            advisor_id: "ada".into(),
            owner_id: None,
            visibility: advisor_events::advisor::Visibility::Public,
            status: advisor_events::advisor::Status::Active,
            document: Document::Public(document()),
        };
        vec![
            AdvisorEvent::Created(created).into(),
            message("m1", "Hello"),
            completed("Good day.".to_owned().into()),
            message("m2", "What is a loop?"),
        ]
    }

    fn document() -> Value {
        json!({"persona": {"name": "Ada Byron", "title": "Analyst", "bio": "Born in 1815."}})
    }

    fn message(id: &str, text: &str) -> Event {
        let sent = MessageSent {
            message_id: MessageId::from(id),
            content: text.to_owned().into(),
            content_json: None,
            mentions: Vec::new(),
            replies: Vec::new(),
        };
        ConversationEvent::MessageSent(sent).into()
    }

    fn completed(content: Personal<String>) -> Event {
        let completed = ReplyCompleted {
            reply_id: ReplyId::from("r1"),
            attempt: 1,
            content,
            model: "some/model".to_owned(),
            finish_reason: "stop".to_owned(),
            usage: Usage { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, estimated: true },
            is_demo: false,
        };
        ConversationEvent::ReplyCompleted(completed).into()
    }

    fn said(revision: u64, speaker: Speaker, text: &str) -> Said {
        Said { source: source("conversation-c", revision), speaker, text: text.to_owned() }
    }

    fn source(stream: &str, revision: u64) -> TextSource {
        TextSource { stream: StreamName::from_text(stream), revision }
    }
}
