//! Where the server is, and the limits of talking to it.

use advisor_events::StreamName;
use std::time::Duration;

/// Where the log lies, and its limits; [`KurrentDbOptions::at`] gives the defaults.
///
/// It is never printed: the URL may hold a password.
#[derive(Clone)]
pub struct KurrentDbOptions {
    /// `esdb://host:port?tls=false`, `esdb+discover://cluster`, several hosts with commas between them; the
    /// schemes `kurrentdb` and `kurrentdb+discover` mean the same.
    pub url: String,
    /// Stands before the name of every stream, for others may use the server, too: ASCII letters, digits,
    /// `_ . -`, at most 50. Default: `advisor.`.
    pub namespace: String,
    /// The stream whose first event is written before any other of the log, where there is such a one: then what others
    /// wrote to the server before is never looked at. Default: none.
    pub first_stream: Option<StreamName>,
    /// Longest wait for the answer to an append, after which its outcome is unknown. Default: 5 s.
    pub append_timeout: Duration,
    /// Longest wait for a page of a read. Default: 10 s.
    pub read_timeout: Duration,
    /// Most calls at a time; more wait within their own time-out. Default: 512.
    pub calls_max: usize,
    /// Pause before a client that could not connect is replaced; it doubles with every failure. Default: 100 ms.
    pub reconnect_pause: Duration,
    /// What that pause grows to. Default: 2 s.
    pub reconnect_pause_max: Duration,
    /// How long after the last event of another process the next is looked for, at least. Default: 5 ms.
    pub look_interval_min: Duration,
    /// The same, when nothing has come for long. Default: 50 ms.
    pub look_interval_max: Duration,
    /// After a look that found so many events, the next one that is asked for comes so many times this later,
    /// `look_interval_min` at most. Default: 1 ms.
    pub look_rest: Duration,
    /// Most events, others' included, that one look takes; where there are more, followers read pages. Default: 1,024.
    pub look_events_max: usize,
    /// Most events, others' included, that one page of the whole log looks at. Default: 1,024.
    pub page_scan_max: usize,
    /// Most bytes, others' included, of one page of the whole log (its last event may exceed it). Default: 8 MiB.
    pub page_bytes_max: usize,
    /// Most events kept in memory for followers. Default: 16,384.
    pub recent_events_max: usize,
    /// Most bytes kept in memory for followers. Default: 16 MiB.
    pub recent_bytes_max: usize,
}

impl KurrentDbOptions {
    /// The defaults, for a log at this URL.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            namespace: "advisor.".to_owned(),
            first_stream: None,
            append_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            calls_max: 512,
            reconnect_pause: Duration::from_millis(100),
            reconnect_pause_max: Duration::from_secs(2),
            look_interval_min: Duration::from_millis(5),
            look_interval_max: Duration::from_millis(50),
            look_rest: Duration::from_millis(1),
            look_events_max: 1_024,
            page_scan_max: 1_024,
            page_bytes_max: 8 << 20,
            recent_events_max: 16_384,
            recent_bytes_max: 16 << 20,
        }
    }
}

/// Why a log can't be opened, whatever the server does.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The client does not understand the URL, which is not repeated here: it may hold a password.
    #[error("the event log's URL is not one of KurrentDB: {0}")]
    Url(String),
    /// The URL asks for what can't work.
    #[error("the event log's URL asks for {0}")]
    Setting(&'static str),
    /// The namespace is no beginning of a stream's name.
    #[error("the namespace is not 0 to 50 of A-Z a-z 0-9 _ . -")]
    Namespace,
    /// The client's TLS must be set up before anybody else's in the process.
    #[error("another TLS provider was installed before the KurrentDB client's: call `kurrentdb::prime` first")]
    ForeignProvider,
    /// The client loads the machine's certificates even where it needs none, and dies of one that it can't read.
    #[error("this machine's certificates can't be read (SSL_CERT_FILE and SSL_CERT_DIR name others): {0}")]
    Certificates(String),
    /// A file that the URL names.
    #[error("{path}, which the event log's URL names, can't be read")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The client did not come to life.
    #[error("the KurrentDB client did not start: {0}")]
    Client(String),
}
