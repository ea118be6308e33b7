//! The limits of a log in PostgreSQL.

use crate::tail::TailLimits;
use std::{fmt, time::Duration};

/// Where the log lies, and its limits; [`PostgresLogOptions::at`] gives the defaults.
#[derive(Clone)]
pub struct PostgresLogOptions {
    /// `postgres://user:password@host:port/database`, of the primary server or of what leads there; a pooler must
    /// keep sessions.
    pub url: String,
    /// The schema that holds the log, of small letters, digits and `_`. Default: `advisor_log`.
    pub schema: String,
    /// Most connections that read; one more appends. Default: 4.
    pub readers: usize,
    /// Longest wait for a connection to be made. Default: 2 s.
    pub connect_timeout: Duration,
    /// Most appends that wait to be sent. Default: 4,096.
    pub append_queue_max: usize,
    /// Most bytes of the appends that wait to be sent. Default: 64 MiB.
    pub append_queue_bytes_max: usize,
    /// Longest wait for a place among them, after which the log is `Unavailable`. Default: 2 s.
    pub append_queue_wait: Duration,
    /// Longest wait for the answer to an append that has its place. Default: 5 s.
    pub append_timeout: Duration,
    /// Longest wait in PostgreSQL for the appends of other processes, after which the log is `Unavailable`; below
    /// `append_timeout`, or nobody hears it. Default: 4 s.
    pub append_lock_wait: Duration,
    /// Most appends that one statement carries. Default: 512.
    pub group_appends_max: usize,
    /// Most events that one statement carries (its last append may exceed it). Default: 1,000.
    pub group_events_max: usize,
    /// Most bytes that one statement carries (its last append may exceed it). Default: 4 MiB.
    pub group_bytes_max: usize,
    /// Longest wait for a read's answer, that for a connection included. Default: 10 s.
    pub read_timeout: Duration,
    /// How long we may be silent before PostgreSQL asks whether we are there; where nobody answers, it gives the
    /// connection up. Default: 10 s.
    pub silence_asked_after: Duration,
    /// Most bytes of one page of the whole log (its last event may exceed it). Default: 8 MiB.
    pub page_bytes_max: usize,
    /// Most events of the whole log that one page looks at for those that match. Default: 16,384.
    pub page_scan_max: usize,
    /// Most events of the pages that a follower reads while it is behind. Default: 1,024.
    pub follow_page_max: usize,
    /// Most events kept in memory for followers. Default: 16,384.
    pub recent_events_max: usize,
    /// Most bytes kept in memory for followers. Default: 16 MiB.
    pub recent_bytes_max: usize,
    /// How long after the last event of another process the next is looked for, at least. Default: 5 ms.
    pub look_interval_min: Duration,
    /// The same, when nothing has come for long. Default: 50 ms.
    pub look_interval_max: Duration,
    /// After a look that found so many events, the next one that is asked for comes so many times this later,
    /// `look_interval_min` at most. Default: 1 ms.
    pub look_rest: Duration,
    /// Most events of other processes that one look takes; where there are more, followers read pages. Default: 1,024.
    pub look_events_max: usize,
}

impl PostgresLogOptions {
    /// The defaults, for a log in this database.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "advisor_log".to_owned(),
            readers: 4,
            connect_timeout: Duration::from_secs(2),
            append_queue_max: 4_096,
            append_queue_bytes_max: 64 << 20,
            append_queue_wait: Duration::from_secs(2),
            append_timeout: Duration::from_secs(5),
            append_lock_wait: Duration::from_secs(4),
            group_appends_max: 512,
            group_events_max: 1_000,
            group_bytes_max: 4 << 20,
            read_timeout: Duration::from_secs(10),
            silence_asked_after: Duration::from_secs(10),
            page_bytes_max: 8 << 20,
            page_scan_max: 16_384,
            follow_page_max: 1_024,
            recent_events_max: 16_384,
            recent_bytes_max: 16 << 20,
            look_interval_min: Duration::from_millis(5),
            look_interval_max: Duration::from_millis(50),
            look_rest: Duration::from_millis(1),
            look_events_max: 1_024,
        }
    }
}

impl PostgresLogOptions {
    pub(super) fn tail_limits(&self) -> TailLimits {
        TailLimits {
            recent_events_max: self.recent_events_max,
            recent_bytes_max: self.recent_bytes_max,
            look_interval_min: self.look_interval_min,
            look_interval_max: self.look_interval_max,
            look_rest: self.look_rest,
            look_events_max: self.look_events_max,
            follow_page_max: self.follow_page_max,
        }
    }
}

impl fmt::Debug for PostgresLogOptions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLogOptions").field("schema", &self.schema).finish_non_exhaustive()
    }
}
