//! Bounds of replies that nobody sets.

pub use super::{
    beats::ORPHANED_AFTER_MS, claim::PATIENCE as CLAIM_PATIENCE, draft::DELTA_CHARS_MAX, end::PATIENCE as END_PATIENCE,
    look::REST_MAX as REPLY_REST_MAX, reading::LOOKED_AT_MAX as MESSAGES_READ_MAX, stream::COALESCE,
};
