//! `advisor errors`: the page of error codes that stands in the documentation.

use crate::output;
use anyhow::Result;

/// Prints the page as Markdown.
pub(crate) fn run() -> Result<()> {
    output::line(advisor_api::errors_markdown().trim_end())
}
