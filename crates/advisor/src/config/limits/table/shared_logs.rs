//! The bounds of the logs that several processes share.

use super::{Amount, fixed};
use crate::config::limits::Limit;
#[cfg(feature = "kurrentdb")]
use advisor_eventlog::KurrentDbOptions;
use advisor_eventlog::{PostgresLogOptions, limits as log};

fn postgres_log() -> PostgresLogOptions {
    PostgresLogOptions::at("")
}

#[rustfmt::skip]
pub(super) const POSTGRES: &[Limit] = &[
    fixed("Connections of one process that read; one more appends.", || postgres_log().readers.amount(), "connections", "Reads wait."),
    fixed("Longest wait for a connection to be made.", || postgres_log().connect_timeout.amount(), "ms", "503 `UNAVAILABLE`"),
    fixed("Longest wait for the answer to an append, and of PostgreSQL for its network.", || postgres_log().append_timeout.amount(), "ms", "It is repeated as long as `command_repeat_ms` says."),
    fixed("Longest wait in PostgreSQL for the appends of other processes.", || postgres_log().append_lock_wait.amount(), "ms", "503 `UNAVAILABLE`"),
    fixed("How long this program may be silent before PostgreSQL asks whether it is there.", || postgres_log().silence_asked_after.amount(), "ms", "Where nobody answers, it closes the connection."),
    fixed("Most appends of one statement.", || postgres_log().group_appends_max.amount(), "appends", "The others come with the next."),
    fixed("Most events of one statement.", || postgres_log().group_events_max.amount(), "events", "The others come with the next."),
    fixed("Most bytes of one statement.", || postgres_log().group_bytes_max.amount(), "bytes", "The others come with the next."),
    fixed("Most bytes of one page of the whole log.", || postgres_log().page_bytes_max.amount(), "bytes", "The page ends."),
    fixed("Most events that one page of the whole log looks at, when not all are asked for.", || postgres_log().page_scan_max.amount(), "events", "The page ends."),
    fixed("Most events of a follower's page while it is behind.", || postgres_log().follow_page_max.amount(), "events", "The page ends."),
    fixed("Shortest time until the next look for the appends of other processes, unless one is asked for.", || postgres_log().look_interval_min.amount(), "ms", "The next look waits."),
    fixed("How long a look that is asked for waits for each event that the last one found, up to that.", || postgres_log().look_rest.amount(), "ms", "The next look waits."),
    fixed("Longest time between two looks.", || postgres_log().look_interval_max.amount(), "ms", "The next look is taken."),
    fixed("Most events that one look takes.", || postgres_log().look_events_max.amount(), "events", "Followers read pages."),
    fixed("How long an idle connection is believed to stand.", || log::IDLE_TRUST.amount(), "ms", "It is asked first."),
    fixed("Longest time to make the schema or bring it up to date.", || log::MIGRATION_WAIT.amount(), "ms", "503 `UNAVAILABLE`; it is tried again."),
];

#[cfg(feature = "kurrentdb")]
fn kurrentdb_log() -> KurrentDbOptions {
    KurrentDbOptions::at("")
}

#[cfg(feature = "kurrentdb")]
#[rustfmt::skip]
pub(super) const KURRENTDB: &[Limit] = &[
    fixed("Longest wait for the answer to an append.", || kurrentdb_log().append_timeout.amount(), "ms", "It is repeated as long as `command_repeat_ms` says."),
    fixed("Longest wait for the answer to a read.", || kurrentdb_log().read_timeout.amount(), "ms", "503 `UNAVAILABLE`"),
    fixed("Most calls at a time.", || kurrentdb_log().calls_max.amount(), "calls", "The call waits as long as it may take."),
    fixed("Longest pause before a client that could not connect is replaced.", || kurrentdb_log().reconnect_pause_max.amount(), "ms", "503 `UNAVAILABLE`; the next client is made."),
    fixed("Most failures in a row of one client.", || log::FAILURES_IN_A_ROW_MAX.amount(), "failures", "It is replaced."),
    fixed("Longest wait for the client's TLS at the start.", || log::PRIMING_WAIT.amount(), "ms", "The server does not start."),
    fixed("Longest namespace before the names of streams.", || log::NAMESPACE_BYTES_MAX.amount(), "bytes", "The server does not start."),
    fixed("Most events, others' included, that one page of the whole log looks at.", || kurrentdb_log().page_scan_max.amount(), "events", "The page ends."),
    fixed("Most bytes, others' included, of one page of the whole log.", || kurrentdb_log().page_bytes_max.amount(), "bytes", "The page ends."),
    fixed("Most events kept in memory for followers.", || kurrentdb_log().recent_events_max.amount(), "events", "Who is behind reads pages."),
    fixed("Most bytes kept in memory for followers.", || kurrentdb_log().recent_bytes_max.amount(), "bytes", "Who is behind reads pages."),
    fixed("Shortest time until the next look for the appends of other processes, unless one is asked for.", || kurrentdb_log().look_interval_min.amount(), "ms", "The next look waits."),
    fixed("How long a look that is asked for waits for each event that the last one found, up to that.", || kurrentdb_log().look_rest.amount(), "ms", "The next look waits."),
    fixed("Longest time between two looks.", || kurrentdb_log().look_interval_max.amount(), "ms", "The next look is taken."),
    fixed("Most events that one look takes.", || kurrentdb_log().look_events_max.amount(), "events", "Followers read pages."),
];
