//! Logs go to stderr: pretty on a terminal, JSON elsewhere. They never carry a person's words.
//!
//! What libraries say through the crate `log` is not heard: `tungstenite` tells whole frames there, with words and
//! tokens in them.

use crate::config::LogFormat;
use anyhow::{Context, Result};
use std::io::IsTerminal;
use tracing::subscriber::set_global_default;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// What is logged unless `RUST_LOG` says otherwise. NATS's client tells of each attempt to connect; `advisor_bus` tells
/// of each time that it was away. So do KurrentDB's and its adapter in `advisor_eventlog`.
const FILTER: &str = "info,async_nats=off,eventstore=off";

/// Starts logging; `RUST_LOG` chooses what is logged.
pub(crate) fn start(format: LogFormat) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let pretty = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    // Not `init`, which would listen to `log` too.
    let started = if pretty {
        set_global_default(registry.with(fmt::layer().with_writer(std::io::stderr)))
    } else {
        set_global_default(registry.with(fmt::layer().json().with_writer(std::io::stderr)))
    };
    started.context("logging has been started already")
}
