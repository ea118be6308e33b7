//! Bounds that nobody sets, by the names under which the list of limits (`docs/limits.md`) takes them.

pub use crate::{
    conversation::{ATTEMPTS_MAX, REPLIES_MAX},
    handler::{append::PAUSE_MAX as APPEND_PAUSE_MAX, fold::PAGE as FOLD_PAGE_EVENTS},
    recent_commands::{
        KEPT_MAX as COMMANDS_REMEMBERED_MAX, KEPT_MIN as COMMANDS_REMEMBERED_MIN, KEPT_MS as COMMANDS_REMEMBERED_FOR_MS,
    },
};
