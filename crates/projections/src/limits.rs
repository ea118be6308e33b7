//! Bounds that nobody sets, by the names under which the list of limits (`docs/limits.md`) takes them.

pub use crate::{
    follower::{FOLLOW_EVERY, FOLLOW_WAITED_FOR, NOBODY_AFTER},
    lease::{
        BEAT_EVERY as LEASE_BEAT_EVERY, LOOK_EVERY as LEASE_LOOK_EVERY, RELEASE_MAX as LEASE_RELEASE_MAX,
        SILENCE as LEASE_SILENCE,
    },
    messages::PAGE_BYTES_MAX as MESSAGES_BYTES_MAX,
    ownership::LOST_END_MAX,
    postgres::{IDLE_ANSWER_WAIT, TRANSACTION_TRIES_MAX, WAITING_MAX as CONNECTION_WAITING_MAX},
    read_on::{ANSWER_WAIT as READ_ON_WAIT, ASKED_MAX as READ_ONS_MAX},
    reader::{FILLING_LOOK, STALLED_AFTER},
    runner::{
        PAUSE_MAX as RUNNER_PAUSE_MAX,
        batch::EVENTS_AT_A_STRETCH,
        follow::CHANGES_IN_MESSAGE_MAX,
        retention::{CUT_ROWS as CHANGES_CUT_MAX, LOOK_MS as CHANGES_LOOK_MS},
        source::DECODED_HERE_MAX,
    },
    side::{
        copying::DRAFTS_COPIED_AT_ONCE,
        keys::{SHARED_KEYS_TRUSTED_FOR, copying::KEYS_COPIED_AT_ONCE},
    },
    sqlite::{
        STATEMENTS_CACHED_MAX,
        checkpoints::{BYTES_BETWEEN, CUT_WAIT, RESTART_WAIT, SCRUB_TRIES_MAX},
        writer::GROUP_MAX as WRITE_GROUP_MAX,
    },
};
