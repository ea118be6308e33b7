//! Bounds that nobody sets, by the names under which the list of limits (`docs/limits.md`) takes them.

pub use crate::nats::{
    ANSWER_TIMEOUT, CONNECT_TIMEOUT, PING_EVERY, QUEUED_MAX, RECONNECT_PAUSE_MAX, message::MESSAGE_BYTES_MAX,
    subject::ID_BYTES_MAX,
};
