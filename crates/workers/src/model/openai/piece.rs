//! One piece of an answer, read leniently.
//!
//! Seen in the wild: `content` null, absent, or a list of parts; usage beside empty `choices`, or
//! zeros in every piece; errors inside a stream of status 200, whose `code` is a number or a text.

use crate::model::ModelError;
use advisor_events::conversation::Usage;
use serde::Deserialize;
use serde_json::Value;

/// What a piece says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// The next part of the text, perhaps empty.
    pub(super) text: String,
    /// Why the model ended, in its last piece.
    pub(super) finish: Option<String>,
    /// Tokens it took, in one of the last pieces.
    pub(super) usage: Option<Usage>,
}

impl Piece {
    pub(super) fn read(data: &str) -> Result<Self, ModelError> {
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|_| ModelError::Broken("a piece is not what it should be"))?;
        if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
            return Err(told(error));
        }
        let mut piece = Self { usage: chunk.usage.as_ref().and_then(usage), ..Self::default() };
        for choice in chunk.choices.unwrap_or_default() {
            if let Some(said) = choice.delta.or(choice.message) {
                push_content(&mut piece.text, &said.content);
            }
            if let Some(Value::String(reason)) = choice.finish_reason
                && !reason.is_empty()
            {
                piece.finish = Some(reason);
            }
        }
        if piece.finish.as_deref() == Some("error") {
            return Err(ModelError::Unavailable("it broke off"));
        }
        Ok(piece)
    }
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Said>,
    message: Option<Said>,
    finish_reason: Option<Value>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Value,
}

fn push_content(text: &mut String, content: &Value) {
    match content {
        Value::String(content) => text.push_str(content),
        Value::Array(parts) => {
            for part in parts {
                text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    let count = |name| usage.get(name).and_then(Value::as_u64).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let prompt_tokens = count("prompt_tokens")?;
    let completion_tokens = count("completion_tokens")?;
    let total_tokens = count("total_tokens").unwrap_or_else(|| prompt_tokens.saturating_add(completion_tokens));
    // Some providers write zeros until they know.
    (total_tokens > 0).then_some(Usage { prompt_tokens, completion_tokens, total_tokens, estimated: false })
}

fn told(error: &Value) -> ModelError {
    let code = match error.get("code") {
        Some(Value::Number(code)) => code.as_u64(),
        Some(Value::String(code)) => code.parse().ok(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    match code {
        Some(429) => ModelError::RateLimited { retry_after: None },
        Some(408) => ModelError::TimedOut("it says so"),
        Some(code @ 400..=499) => ModelError::Refused(u16::try_from(code).unwrap_or(400)),
        Some(_) | None => ModelError::Unavailable("it told of an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_every_form_that_was_seen_are_read() {
        for (data, text, finish) in [
            (r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#, "", None),
            (r#"{"choices":[{"delta":{"content":"Hi 👋"}}]}"#, "Hi 👋", None),
            (r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"text":"b"},{"x":1}]}}]}"#, "ab", None),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, "", Some("stop")),
            (r#"{"choices":[{"delta":null,"finish_reason":""}],"extra":[1]}"#, "", None),
            (r#"{"choices":[{"message":{"content":"whole"},"finish_reason":"length"}]}"#, "whole", Some("length")),
            (r#"{"choices":null}"#, "", None),
            ("{}", "", None),
        ] {
            let piece = Piece::read(data).unwrap();
            assert_eq!((piece.text.as_str(), piece.finish.as_deref()), (text, finish), "{data}");
        }
    }

    #[test]
    fn usage_is_read_where_it_is_whole_and_not_zero() {
        let read = |usage: &str| Piece::read(&format!(r#"{{"choices":[],"usage":{usage}}}"#)).unwrap().usage;
        let usage = Usage { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, estimated: false };
        assert_eq!(read(r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#), Some(usage));
        assert_eq!(read(r#"{"prompt_tokens":3,"completion_tokens":4}"#), Some(usage));
        for none in [
            "null",
            "{}",
            "[]",
            r#"{"prompt_tokens":-1,"completion_tokens":4}"#,
            r#"{"prompt_tokens":0,"completion_tokens":0}"#,
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn errors_inside_a_stream_are_told_apart() {
        for (code, error) in [
            ("429", ModelError::RateLimited { retry_after: None }),
            (r#""429""#, ModelError::RateLimited { retry_after: None }),
            ("401", ModelError::Refused(401)),
            ("502", ModelError::Unavailable("it told of an error")),
            (r#""server_error""#, ModelError::Unavailable("it told of an error")),
        ] {
            assert_eq!(Piece::read(&format!(r#"{{"error":{{"code":{code},"message":"x"}}}}"#)), Err(error), "{code}");
        }
        let cut = r#"{"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#;
        assert_eq!(Piece::read(cut), Err(ModelError::Unavailable("it broke off")));
    }

    #[test]
    fn garbage_is_broken() {
        for data in ["", "nonsense", "[1,2]", r#"{"choices":[{"delta":{"content":"a"}"#, r#"{"choices":7}"#, "\u{0}"] {
            assert!(matches!(Piece::read(data), Err(ModelError::Broken(_))), "{data}");
        }
    }
}
