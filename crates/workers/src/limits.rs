//! Bounds that nobody sets, by the names under which the list of limits (`docs/limits.md`) takes them.

pub use crate::{
    RESTART_PAUSE,
    bell::REST as BELL_REST,
    effects::PAUSE_MAX as EFFECT_PAUSE_MAX,
    erase_person::{DRAFTS_PAGE as ERASED_DRAFTS_PAGE, PAGE as DELETIONS_PAGE},
    make_title::{ANSWER_CHARS_MAX as TITLE_ANSWER_CHARS_MAX, PATIENCE as TITLE_PATIENCE, reading::UNTITLED_MAX},
    model::openai::RETRY_AFTER_MAX as MODEL_RETRY_AFTER_MAX,
    prompt::{
        persona::{COMPONENT_CHARS_MAX, COMPONENTS_MAX, ITEMS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX},
        reply::{HISTORY_MESSAGES_MAX, HISTORY_TOKENS_MAX, REPLY_TOKENS_MAX, SYSTEM_CHARS_MAX},
        title::{
            MESSAGE_CHARS_MAX as TITLE_MESSAGE_CHARS_MAX, MESSAGES_MAX as TITLE_MESSAGES_MAX,
            TITLE_CHARS_MAX as MADE_TITLE_CHARS_MAX, TOKENS_MAX as TITLE_TOKENS_MAX, WORDS_MAX as TITLE_WORDS_MAX,
        },
    },
    reply_to_message::bounds::*,
    tiers::HINT_CHARS_MAX,
};
