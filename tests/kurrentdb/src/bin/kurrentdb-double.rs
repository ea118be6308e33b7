//! Runs a command with a double of a KurrentDB server beside it, which `ADVISOR_TEST_ESDB` names as it would a real one:
//! `kurrentdb-double ops/engines cargo nextest run --workspace --profile kurrentdb`.

#![expect(clippy::print_stderr, reason = "a program says why it does nothing")]

use advisor_kurrentdb_double::Double;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("kurrentdb-double COMMAND…");
        return ExitCode::from(2);
    };
    let double = Double::start();
    match Command::new(&program).args(arguments).env("ADVISOR_TEST_ESDB", double.url()).status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("{} can't be run: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}
