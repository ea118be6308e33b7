//! The README's tours, and the pages on live queries, their clients and Clerk: every command runs, in its order and in one
//! shell, against the real binary, and prints what the page says that it prints.
//!
//! - A block `sh` is run; the block after it is its whole output, and without one it prints nothing.
//! - A block `sh background` goes on beside the others. A block `text background` is how its output begins, or
//!   goes on; the next command waits for it. After the last of them it is stopped, as a reader does by hand.
//! - A block such as `python watch.py` is a file in the folder where the commands run.
//! - In an output `…` stands for any text within a line, and alone in a line for any lines.
//! - The server listens on free ports: its addresses are put in place of the README's and back. `cargo run` is
//!   the binary that the tests run. `ops/check` is what runs this test, and `ops/scaled` has one of its own. Nothing
//!   else is changed.

mod elision;
mod shell;

use crate::markdown::{Fenced, fenced};
use elision::{Extent, compare};
use shell::{Background, Shell};

#[test]
fn every_command_of_the_readme_runs_and_prints_what_it_says() {
    tour(&page("README.md")).unwrap();
}

#[test]
fn every_command_of_the_page_on_clerk_runs_and_prints_what_it_says() {
    tour(&page("docs/clerk.md")).unwrap();
}

/// The page on clients begins where the README's first command has begun.
#[test]
fn every_command_of_the_page_on_clients_runs_and_prints_what_it_says() {
    let mut blocks = page("README.md");
    blocks.truncate(2);
    blocks.extend(page("docs/clients.md"));
    tour(&blocks).unwrap();
}

/// So does the page on live queries.
#[test]
fn every_command_of_the_page_on_live_queries_runs_and_prints_what_it_says() {
    let mut blocks = page("README.md");
    blocks.truncate(2);
    blocks.extend(page("docs/live.md"));
    tour(&blocks).unwrap();
}

#[test]
fn a_changed_output_or_command_is_found() {
    for (there, changed) in [
        ("{\"id\":\"me\"", "{\"id\":\"you\""),
        ("idempotency-replayed: true", "idempotency-replayed: false"),
        ("| grep '^idempotency'", "| no-such-program"),
    ] {
        let mut blocks = page("README.md");
        let block = blocks.iter_mut().find(|block| block.text.contains(there)).expect(there);
        block.text = block.text.replacen(there, changed, 1);
        let difference = tour(&blocks).expect_err(changed);
        assert!(difference.contains(changed.trim_start_matches("| ")), "{difference}");
    }
}

fn page(name: &str) -> Vec<Fenced> {
    fenced(&std::fs::read_to_string(format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"))).unwrap())
}

/// Runs everything; the first difference ends the tour.
fn tour(blocks: &[Fenced]) -> Result<(), String> {
    let mut shell = Shell::start();
    let (mut server, mut beside): (Option<Background>, Option<Background>) = (None, None);
    for (place, block) in blocks.iter().enumerate() {
        let (before, after) = (&blocks[..place], &blocks[place + 1..]);
        match block.info.as_str() {
            "sh" if ["ops/check", "ops/scaled"].contains(&block.text.as_str()) => {}
            "sh" => run(&mut shell, block, after.first().filter(|next| is_output(next)))?,
            // It was compared when the command before it ran.
            _ if is_output(block) && before.last().is_some_and(|command| command.info == "sh") => {}
            "sh background" if server.is_none() => server = Some(shell.begin(&block.text)),
            "sh background" => beside = Some(shell.begin(&block.text)),
            "text background" => {
                let running = beside.as_mut().or(server.as_mut()).expect("an output in the background has a command");
                let said = |printed: &str| compare(&block.text, printed, Extent::Beginning);
                let came = shell.follow(running, said);
                came.map_err(|printed| told(block, &said(&printed).unwrap_err(), &(printed + &shell.complaints())))?;
                let mut until_the_next = after.iter().take_while(|next| next.info != "sh background");
                if until_the_next.all(|next| next.info != block.info) {
                    beside = None;
                }
            }
            kind => {
                let (_, file) = kind.split_once(' ').ok_or_else(|| told(block, "a kind that there is", kind))?;
                shell.keep(file, &block.text);
            }
        }
    }
    Ok(())
}

fn is_output(block: &Fenced) -> bool {
    matches!(block.info.as_str(), "text" | "json")
}

fn run(shell: &mut Shell, block: &Fenced, output: Option<&Fenced>) -> Result<(), String> {
    let printed = shell.run(&block.text).map_err(|failure| told(block, "success", &failure))?;
    let said = output.map_or("", |output| output.text.as_str());
    compare(said, &printed, Extent::Whole).map_err(|line| told(block, &line, &printed))?;
    Ok(())
}

fn told(block: &Fenced, said: &str, printed: &str) -> String {
    format!("line {}: said {said}, but:\n{printed}", block.line)
}
