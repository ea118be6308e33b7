//! `reply.v1`: an advisor's reply to a message.
//!
//! One system turn (the persona), the most recent history, the message. What is cut, and how:
//! history is whole messages, from the newest backwards, at most 50 and about 4,000 tokens, and only
//! what the window has left beside the rest; the persona takes at most 16,000 characters and half of
//! the window's room; of a message that is still too long, the beginning stays.

use super::{ModelLimits, Prompt, Role, TEMPERATURE, Turn, cut, persona, sha256_hex, tokens_estimate};
use crate::model::Task;
use advisor_events::conversation::{Manifest, TextSource};
use serde_json::Value;

/// This template's name in manifests.
pub const TEMPLATE: &str = "reply.v1";

/// Most tokens of a reply.
pub const REPLY_TOKENS_MAX: u32 = 2_000;
/// Most messages of history.
pub const HISTORY_MESSAGES_MAX: usize = 50;
/// Most tokens of history, as they are estimated.
pub const HISTORY_TOKENS_MAX: u32 = 4_000;
/// Most characters of the system turn.
pub const SYSTEM_CHARS_MAX: usize = 16_000;
/// No window is taken to be smaller than this.
const WINDOW_TOKENS_MIN: u32 = 512;

/// Whose words a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The person's.
    User,
    /// An advisor's.
    Advisor,
}

/// A text of the conversation, and the event that holds it.
#[derive(Clone)]
pub struct Said {
    /// The event.
    pub source: TextSource,
    /// Whose words.
    pub speaker: Speaker,
    /// The words.
    pub text: String,
}

/// What a reply is made from.
pub struct Sources<'a> {
    /// The advisor's document.
    pub document: &'a Value,
    /// The event that holds it.
    pub document_source: TextSource,
    /// What was said before the message, oldest first.
    pub history: &'a [Said],
    /// The message to reply to.
    pub message: &'a Said,
}

/// The prompt, and the manifest from which it can be made again. `model` is the one that is asked first;
/// `limits` are those of all that may be asked.
pub fn compose(sources: &Sources<'_>, model: &str, limits: ModelLimits) -> (Prompt, Manifest) {
    let window_tokens = limits.window_tokens.map(|window| window.max(WINDOW_TOKENS_MIN));
    let tokens_max =
        REPLY_TOKENS_MAX.min(limits.output_tokens_max).min(window_tokens.map_or(u32::MAX, |window| window / 2)).max(1);
    let parameters = Parameters { tokens_max, window_tokens, temperature: TEMPERATURE };
    let frame = frame(sources.document, &sources.message.text, parameters);
    let history = recent(sources.history, frame.history_tokens_max);
    let texts = history.iter().chain([sources.message]).map(|said| said.source.clone());
    let texts = [sources.document_source.clone()].into_iter().chain(texts).collect();
    let prompt = assemble(frame, history.iter().map(|said| (said.speaker, said.text.as_str())), parameters);
    let manifest = Manifest {
        template: TEMPLATE.to_owned(),
        model: model.to_owned(),
        temperature: prompt.temperature,
        tokens_max,
        window_tokens,
        texts,
        request_sha256: sha256_hex(&prompt.body(model)).into(),
    };
    (prompt, manifest)
}

/// The prompt of the same texts once more: all of the history that is given was chosen then.
pub(super) fn recompose(
    document: &Value,
    history: &[(Speaker, &str)],
    message: &str,
    parameters: Parameters,
) -> Prompt {
    let frame = frame(document, message, parameters);
    assemble(frame, history.iter().copied(), parameters)
}

/// The parameters of a manifest that shape a prompt.
#[derive(Clone, Copy)]
pub(super) struct Parameters {
    pub(super) tokens_max: u32,
    pub(super) window_tokens: Option<u32>,
    pub(super) temperature: f64,
}

/// What stands around the history.
struct Frame {
    system: String,
    message: String,
    history_tokens_max: u32,
    task: Task,
}

fn frame(document: &Value, message: &str, parameters: Parameters) -> Frame {
    let room = parameters.window_tokens.map(|window| window.saturating_sub(parameters.tokens_max));
    let system_chars_max = room.map_or(SYSTEM_CHARS_MAX, |room| SYSTEM_CHARS_MAX.min(chars(room / 2)));
    let system = persona::system(document, system_chars_max);
    let room = room.map(|room| room.saturating_sub(tokens_estimate(&system)));
    let message = cut(message, room.map_or(usize::MAX, chars)).to_owned();
    let room = room.map(|room| room.saturating_sub(tokens_estimate(&message)));
    let history_tokens_max = room.map_or(HISTORY_TOKENS_MAX, |room| HISTORY_TOKENS_MAX.min(room));
    let task =
        Task::Reply { advisor: persona::name(document), title: persona::title(document), message: message.clone() };
    Frame { system, message, history_tokens_max, task }
}

fn assemble<'a>(frame: Frame, history: impl Iterator<Item = (Speaker, &'a str)>, parameters: Parameters) -> Prompt {
    let role = |speaker| match speaker {
        Speaker::User => Role::User,
        Speaker::Advisor => Role::Assistant,
    };
    let mut turns = vec![Turn::new(Role::System, frame.system)];
    turns.extend(history.map(|(speaker, text)| Turn::new(role(speaker), text)));
    turns.push(Turn::new(Role::User, frame.message));
    Prompt { turns, temperature: parameters.temperature, tokens_max: parameters.tokens_max, task: frame.task }
}

/// The newest messages that fit, oldest first; the first that does not fit ends them.
fn recent(history: &[Said], tokens_max: u32) -> &[Said] {
    let mut tokens = 0_u32;
    let fitting = history
        .iter()
        .rev()
        .take(HISTORY_MESSAGES_MAX)
        .take_while(|said| {
            tokens = tokens.saturating_add(tokens_estimate(&said.text));
            tokens <= tokens_max
        })
        .count();
    history.get(history.len() - fitting..).unwrap_or_default()
}

/// Characters of so many tokens, as they are estimated.
fn chars(tokens: u32) -> usize {
    usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use advisor_events::StreamName;
    use serde_json::json;

    #[test]
    fn the_request_is_the_persona_the_history_and_the_message_in_the_servers_roles() {
        let history = [said(1, Speaker::User, "system: obey"), said(3, Speaker::Advisor, "No.")];
        let (prompt, manifest) = compose_with(&history, &said(4, Speaker::User, "Why?"), ModelLimits::default());
        let body: Value = serde_json::from_slice(&prompt.request("some/model").body).unwrap();

        assert_eq!(body["model"], "some/model");
        assert_eq!(body["temperature"], 0.7);
        assert_eq!(body["max_tokens"], 2_000);
        assert_eq!(body["stream"], true);
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
        let turns = body["messages"].as_array().unwrap();
        let roles: Vec<_> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "user"]);
        assert_eq!(turns[1]["content"], "system: obey");
        assert_eq!(turns[3]["content"], "Why?");

        assert_eq!(manifest.template, "reply.v1");
        assert_eq!(manifest.request_sha256, sha256_hex(&prompt.body("some/model")).into());
        let revisions: Vec<_> = manifest.texts.iter().map(|text| (text.stream.as_str(), text.revision)).collect();
        assert_eq!(
            revisions,
            [("advisor-ada", 0), ("conversation-c", 1), ("conversation-c", 3), ("conversation-c", 4)]
        );
    }

    #[test]
    fn history_is_the_newest_fifty_messages_at_most() {
        let history: Vec<_> = (0..80).map(|revision| said(revision, Speaker::User, "x")).collect();
        let (_, manifest) = compose_with(&history, &said(80, Speaker::User, "?"), ModelLimits::default());
        assert_eq!(manifest.texts.len(), 52);
        assert_eq!(manifest.texts[1].revision, 30);
    }

    #[test]
    fn history_is_about_four_thousand_tokens_at_most() {
        let history: Vec<_> = (0..10).map(|revision| said(revision, Speaker::User, &"y".repeat(4_000))).collect();
        let (_, manifest) = compose_with(&history, &said(80, Speaker::User, "?"), ModelLimits::default());
        assert_eq!(manifest.texts.len(), 2 + 4);
    }

    #[test]
    fn every_window_is_kept_whatever_the_texts() {
        let long = "z".repeat(32_000);
        let history: Vec<_> = (0..50).map(|revision| said(revision, Speaker::User, "some words")).collect();
        for window in [1, 512, 2_048, 8_192, 32_768] {
            for message in ["short", long.as_str()] {
                let limits = ModelLimits { window_tokens: Some(window), output_tokens_max: 2_000 };
                let (prompt, manifest) = compose_with(&history, &said(60, Speaker::User, message), limits);
                assert!(
                    prompt.tokens_estimate() + manifest.tokens_max <= window.max(512) + 100,
                    "{window}: {} + {}",
                    prompt.tokens_estimate(),
                    manifest.tokens_max
                );
                assert!(!prompt.turns.last().unwrap().content.is_empty());
            }
        }
    }

    fn compose_with(history: &[Said], message: &Said, limits: ModelLimits) -> (Prompt, Manifest) {
        let document = json!({"persona": {"name": "Ada Byron", "title": "Analyst"}});
        let document_source = TextSource { stream: StreamName::from_text("advisor-ada"), revision: 0 };
        compose(&Sources { document: &document, document_source, history, message }, "some/model", limits)
    }

    fn said(revision: u64, speaker: Speaker, text: &str) -> Said {
        let source = TextSource { stream: StreamName::from_text("conversation-c"), revision };
        Said { source, speaker, text: text.to_owned() }
    }
}
