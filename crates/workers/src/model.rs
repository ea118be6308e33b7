//! A language model as a port ([`Model`]), and what stands behind it, one file each.
//!
//! A request is bytes: [`crate::prompt`] makes them, and their SHA-256 stands in the log. An answer
//! is a stream of pieces of text that ends with [`ModelEvent::Finished`], or it is not whole.

pub mod breaker;
pub mod demo;
pub mod openai;
mod sse;

use advisor_events::conversation::Usage;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::time::Duration;

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The body of the request to an OpenAI-compatible endpoint.
    pub body: Bytes,
    /// What the request is for, in a form that the demo model understands.
    pub task: Task,
}

/// What a request is for. No word of it is ever sent: that is what the body is for.
#[derive(Clone, PartialEq, Eq)]
pub enum Task {
    /// An advisor's reply to a message.
    Reply {
        /// The advisor's name.
        advisor: String,
        /// The advisor's title, perhaps empty.
        title: String,
        /// The message.
        message: String,
    },
    /// A title for a conversation.
    Title {
        /// The conversation's first message.
        message: String,
    },
}

/// A person's words never reach a log by being debugged.
impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reply { .. } => "Reply(…)",
            Self::Title { .. } => "Title(…)",
        })
    }
}

/// A piece of a model's answer.
#[derive(Clone, PartialEq, Eq)]
pub enum ModelEvent {
    /// The next piece of the text; never empty.
    Text(String),
    /// The tokens it took, as the provider counted them.
    Usage(Usage),
    /// The answer is whole; nothing follows.
    Finished {
        /// Why the model ended: `stop`, `length` …
        reason: String,
    },
}

/// A model's words never reach a log by being debugged.
impl std::fmt::Debug for ModelEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Usage(usage) => f.debug_tuple("Usage").field(usage).finish(),
            Self::Finished { reason } => f.debug_struct("Finished").field("reason", reason).finish(),
        }
    }
}

/// Why an answer did not come, or is not whole. What the provider said is not repeated: it may quote the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The provider asks us to wait.
    #[error("the model provider limits the rate of requests")]
    RateLimited {
        /// For how long, if it said so.
        retry_after: Option<Duration>,
    },
    /// The provider can't be reached, is broken, or is not asked because it was just now.
    #[error("the model provider is not available: {0}")]
    Unavailable(&'static str),
    /// The provider did not answer, or fell silent, for longer than it may.
    #[error("the model provider timed out: {0}")]
    TimedOut(&'static str),
    /// The provider will not answer this request, now or later.
    #[error("the model provider refused the request with status {0}")]
    Refused(u16),
    /// The answer was cut off or is no answer.
    #[error("the model's answer is broken: {0}")]
    Broken(&'static str),
    /// The answer is whole, and there is no text in it.
    #[error("the model answered with nothing")]
    Empty,
}

/// A model's answer as it comes. Dropping it closes the provider's connection.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// Whoever answers requests.
#[async_trait]
pub trait Model: Send + Sync {
    /// The provider's name, for operators: no key, no path.
    fn name(&self) -> &str;
    /// Asks; gives the answer's stream once the provider has accepted the request.
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;
}
