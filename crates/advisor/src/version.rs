//! `advisor version`.

use crate::output;
use anyhow::Result;

/// Prints name and version.
pub(crate) fn run() -> Result<()> {
    output::line(concat!("advisor ", env!("CARGO_PKG_VERSION")))
}
