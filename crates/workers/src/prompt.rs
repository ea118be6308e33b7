//! What a model is asked, word by word: pure functions from texts to the bytes of a request.
//!
//! Templates are append-only, like versions of events: what `reply.v1` makes of the same texts never
//! changes, so that the bytes of any request can be made again from its manifest ([`rebuild()`]).
//! Roles come from here alone: whatever a text says, it is data.

pub(crate) mod persona;
pub mod rebuild;
pub mod reply;
pub mod title;

pub use rebuild::{RebuildError, rebuild};

use crate::model::{ModelRequest, Task};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;

/// Sampling temperature of every request.
const TEMPERATURE: f64 = 0.7;

/// Who says a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// This program.
    System,
    /// The person.
    User,
    /// An advisor.
    Assistant,
}

/// One turn of a prompt.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    role: Role,
    content: String,
}

impl Turn {
    fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// A person's words never reach a log by being debugged.
impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({:?}, …)", self.role)
    }
}

/// A prompt that waits for the name of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    turns: Vec<Turn>,
    temperature: f64,
    tokens_max: u32,
    task: Task,
}

impl Prompt {
    /// The request to one model.
    pub fn request(&self, model: &str) -> ModelRequest {
        ModelRequest { body: self.body(model).into(), task: self.task.clone() }
    }

    /// Estimated tokens of all turns.
    pub fn tokens_estimate(&self) -> u32 {
        self.turns.iter().map(|turn| tokens_estimate(&turn.content)).fold(0, u32::saturating_add)
    }

    fn body(&self, model: &str) -> Vec<u8> {
        let body = Body {
            model,
            messages: &self.turns,
            temperature: self.temperature,
            max_tokens: self.tokens_max,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        };
        let Ok(bytes) = serde_json::to_vec(&body) else { unreachable!("texts and finite numbers are JSON") };
        bytes
    }
}

/// The body of a request; the order of its fields is part of every template.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Turn],
    temperature: f64,
    max_tokens: u32,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// What the models that may be asked can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelLimits {
    /// Context window in tokens, prompt and reply together; `None` if it is not known.
    pub window_tokens: Option<u32>,
    /// Most tokens of a reply.
    pub output_tokens_max: u32,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self { window_tokens: None, output_tokens_max: 2_000 }
    }
}

impl ModelLimits {
    /// What fits both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let window_tokens = match (self.window_tokens, other.window_tokens) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { window_tokens, output_tokens_max: self.output_tokens_max.min(other.output_tokens_max) }
    }
}

/// The estimate of a text's tokens that is used everywhere: a quarter of its characters (Unicode
/// scalar values), rounded up. It is what English takes; other scripts take more.
pub fn tokens_estimate(text: &str) -> u32 {
    u32::try_from(text.chars().count().div_ceil(4)).unwrap_or(u32::MAX)
}

/// The first `chars_max` characters.
fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

fn sha256_hex(bytes: &[u8]) -> String {
    use fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        if write!(hex, "{byte:02x}").is_err() {
            unreachable!("text takes every digit");
        }
        hex
    })
}
