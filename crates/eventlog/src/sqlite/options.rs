//! The limits of a log in SQLite.

use std::{path::PathBuf, time::Duration};

/// Where the log lies, and its limits; [`SqliteLogOptions::at`] gives the defaults.
#[derive(Clone, Debug)]
pub struct SqliteLogOptions {
    /// The file; it is made, with mode 0600, if it is not there. Its directory must be.
    pub path: PathBuf,
    /// Threads that read, each with a connection of its own. Default: 4.
    pub readers: usize,
    /// Most appends that wait for the writer. Default: 4,096.
    pub append_queue_max: usize,
    /// Most bytes of the appends that wait for the writer. Default: 64 MiB.
    pub append_queue_bytes_max: usize,
    /// Longest wait for a place in that queue, after which the log is `Unavailable`. Default: 2 s.
    pub append_queue_wait: Duration,
    /// Longest wait for the answer to a queued append, after which its outcome is unknown. Default: 10 s.
    pub append_timeout: Duration,
    /// Most events that one commit takes (its last append may exceed it). Default: 1,000.
    pub group_events_max: usize,
    /// Most bytes that one commit takes (its last append may exceed it). Default: 8 MiB.
    pub group_bytes_max: usize,
    /// Most reads that wait for a reader. Default: 1,024.
    pub read_queue_max: usize,
    /// Longest wait for a read's answer, the queue included. Default: 10 s.
    pub read_timeout: Duration,
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
    /// Most streams whose last revision the writer remembers. Default: 32,768.
    pub streams_cached_max: usize,
    /// What the write-ahead log is kept below, about, while no foreign reader holds it. Default: 64 MiB.
    pub wal_bytes_max: u64,
    /// How long after the last commit what it wrote is moved into the file at the latest. Default: 1 s.
    pub wal_idle: Duration,
    /// Longest wait for a foreign program's lock on the file. Default: 5 s.
    pub busy_timeout: Duration,
}

impl SqliteLogOptions {
    /// The defaults, for a log in this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 4,
            append_queue_max: 4_096,
            append_queue_bytes_max: 64 << 20,
            append_queue_wait: Duration::from_secs(2),
            append_timeout: Duration::from_secs(10),
            group_events_max: 1_000,
            group_bytes_max: 8 << 20,
            read_queue_max: 1_024,
            read_timeout: Duration::from_secs(10),
            page_bytes_max: 8 << 20,
            page_scan_max: 16_384,
            follow_page_max: 1_024,
            recent_events_max: 16_384,
            recent_bytes_max: 16 << 20,
            streams_cached_max: 32_768,
            wal_bytes_max: 64 << 20,
            wal_idle: Duration::from_secs(1),
            busy_timeout: Duration::from_secs(5),
        }
    }
}
