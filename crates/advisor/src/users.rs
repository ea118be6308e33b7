//! `advisor users erase`: nothing of a person's words is left.

use crate::{admin_client::AdminClient, output};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};

/// Look after the people of a running server.
#[derive(Subcommand)]
pub(crate) enum Users {
    /// Erase a person for ever: their account, their words, and the key that opens them in the log.
    Erase(Erase),
}

/// Whom to erase.
#[derive(Args)]
pub(crate) struct Erase {
    /// The person's id.
    id: String,
    /// Do it: nothing brings a person's words back.
    #[arg(long, required = true)]
    yes: bool,
    #[command(flatten)]
    server: AdminClient,
}

/// Runs one of them.
pub(crate) fn run(command: &Users) -> Result<()> {
    let Users::Erase(erase) = command;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(erase_person(erase))
}

/// Prints what was erased as one line of JSON; fails where the end has not been seen.
async fn erase_person(erase: &Erase) -> Result<()> {
    let response = erase.server.request(Method::DELETE, &["admin", "users", &erase.id], &[]).await?;
    let has_ended = response.status() == StatusCode::OK;
    output::line(&response.text().await?)?;
    if !has_ended {
        bail!("the erasure goes on; ask again to wait for its end");
    }
    Ok(())
}
