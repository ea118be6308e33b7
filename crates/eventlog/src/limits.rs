//! Bounds that nobody sets, by the names under which the list of limits (`docs/limits.md`) takes them.

#[cfg(feature = "kurrentdb")]
pub use crate::kurrentdb::{FAILURES_IN_A_ROW_MAX, NAMESPACE_BYTES_MAX, PRIMING_WAIT};
pub use crate::{
    follow::GLANCE_EVENTS_MAX,
    port::{APPEND_BYTES_MAX, APPEND_EVENTS_MAX, PAGE_EVENTS_MAX},
    postgres::{database::IDLE_TRUST, migrations::MIGRATION_WAIT},
    sqlite::{
        checkpoints::{CLOSING_WAIT, RESTART_WAIT, TRUNCATE_WAIT},
        file::WRITER_CACHE_KIB,
        reader::{STREAM_NAMES_MAX, TYPE_NAMES_MAX},
        writer::TYPES_CACHED_MAX,
    },
};
