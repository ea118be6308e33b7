//! What goes to the terminal: data on stdout, everything else on stderr.

use anyhow::Result;
use std::io::{ErrorKind, Write};

/// One line of data. A reader that has gone away (`| head`) ends the program without a word.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// What should not wait until the data is there.
#[expect(clippy::print_stderr, reason = "Data alone goes to stdout.")]
pub(crate) fn news(text: &str) {
    eprintln!("{text}");
}

/// An error with its causes, as one sentence each.
#[expect(clippy::print_stderr, reason = "This is where errors of commands reach the operator.")]
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because {cause}");
    }
}
