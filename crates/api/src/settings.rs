//! What an operator can set about the API.

use crate::{extract::CursorKey, webhooks::WebhookSecret};
use std::time::Duration;

/// Bounds and names; the defaults are those of `ops/advisor.toml`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Origins that browsers may call from.
    pub allowed_origins: Vec<String>,
    /// What bodies may be.
    pub body: BodyLimits,
    /// Most time for the answer of each class of route.
    pub time: TimeLimits,
    /// Most time that a read waits for `min_position`, and a command for the read side.
    pub position_wait: Duration,
    /// How many live streams there may be, and how long they wait.
    pub streams: StreamLimits,
    /// What clients of sockets may do.
    pub socket: SocketLimits,
    /// How much people may keep.
    pub quotas: Quotas,
    /// Signs cursors; the same on every process, so that a cursor survives a restart.
    pub cursor_key: CursorKey,
    /// What the sign-in service's webhooks are signed with; without it there is no route for them.
    pub clerk_webhook_secret: Option<WebhookSecret>,
}

/// What bodies may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Largest body in bytes.
    pub bytes_max: usize,
    /// Most time for the whole body.
    pub timeout: Duration,
}

/// How many live streams there may be, and how long they wait.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Most live streams and sockets of everybody.
    pub all_max: usize,
    /// Most of one person.
    pub per_person_max: usize,
    /// How long one is silent before a comment shows that it lives.
    pub heartbeat: Duration,
    /// A client that leaves no room for so long is cut off.
    pub slow_after: Duration,
}

/// What clients of sockets may do.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// Most time until the client has said who it is.
    pub authenticate_timeout: Duration,
    /// A client that answers no ping for so long is gone.
    pub silence_timeout: Duration,
    /// Largest message of a client, in bytes.
    pub message_bytes_max: usize,
    /// Most frames of a client in a second, fragments and answers to pings among them.
    pub frames_per_second_max: u32,
}

/// How much people may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Most conversations of one person.
    pub conversations_per_person_max: u32,
    /// Most private advisors of one person, archived ones among them.
    pub advisors_per_person_max: u32,
    /// Most messages of one conversation with the replies that they asked for, deleted ones among them.
    pub messages_per_conversation_max: usize,
}

/// Most time for an answer.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// A command: longer than everything that it waits for itself.
    pub command: Duration,
    /// A query.
    pub query: Duration,
    /// A request that waits for a model's reply.
    pub chat: Duration,
}

impl Settings {
    /// The defaults, for browsers of these origins.
    pub fn new(cursor_key: CursorKey, allowed_origins: Vec<String>) -> Self {
        Self {
            allowed_origins,
            body: BodyLimits::default(),
            time: TimeLimits::default(),
            position_wait: Duration::from_secs(2),
            streams: StreamLimits::default(),
            socket: SocketLimits::default(),
            quotas: Quotas::default(),
            cursor_key,
            clerk_webhook_secret: None,
        }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024, timeout: Duration::from_secs(30) }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            all_max: 12_288,
            per_person_max: 20,
            heartbeat: Duration::from_secs(15),
            slow_after: Duration::from_secs(10),
        }
    }
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            authenticate_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(45),
            message_bytes_max: 64 * 1024,
            frames_per_second_max: 100,
        }
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            conversations_per_person_max: 10_000,
            advisors_per_person_max: 1_000,
            messages_per_conversation_max: 100_000,
        }
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { command: Duration::from_secs(30), query: Duration::from_secs(15), chat: Duration::from_secs(150) }
    }
}
