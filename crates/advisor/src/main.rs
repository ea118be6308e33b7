//! The one binary: `advisor serve`, and the commands of operators, one file each.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

mod admin_client;
mod config;
mod config_command;
mod errors;
mod events;
mod log_copy;
mod log_opening;
mod logging;
mod master_key;
mod migrate;
mod openapi;
mod output;
mod serve;
mod streams;
mod system_clock;
mod token;
mod users;
mod verify;
mod version;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A request makes many small things and frees them on another thread, which the system's allocator is slow at:
/// see `docs/decisions/0206-an-allocator-for-many-threads.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The backend of AI Advisor Chat.
#[derive(Parser)]
#[command(name = "advisor", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Print a sign-in token for development and tests.
    Token(token::Args),
    /// Look at the events of a running server.
    #[command(subcommand)]
    Events(events::Events),
    /// Look after the parked streams of a running server.
    #[command(subcommand)]
    Streams(streams::Streams),
    /// Look after the people of a running server.
    #[command(subcommand)]
    Users(users::Users),
    /// Compare the read models with the log: what they have consumed, and every row.
    Verify(verify::Args),
    /// Look after an event log.
    #[command(subcommand)]
    Log(log_copy::Log),
    /// Bring what lies in PostgreSQL up to date with this program.
    Migrate(migrate::Args),
    /// Show, check or explain the configuration.
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Print the OpenAPI description of the API.
    Openapi,
    /// Print every error code of the API as the page of the documentation.
    Errors,
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Events(command) => events::run(&command),
        Command::Streams(command) => streams::run(&command),
        Command::Users(command) => users::run(&command),
        Command::Verify(args) => verify::run(&args),
        Command::Log(command) => log_copy::run(&command),
        Command::Migrate(args) => migrate::run(&args),
        Command::Config(command) => config_command::run(&command),
        Command::Openapi => openapi::run(),
        Command::Errors => errors::run(),
        Command::Version => version::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
