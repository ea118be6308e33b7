//! `advisor config show|check|template|limits`.

use crate::{
    config::{
        Config, environment, limits,
        settings::{Settings, markdown, template},
    },
    output,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Show, check or explain the configuration.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting as it is in force; secrets are masked.
    Show(Show),
    /// Check the configuration and say what is wrong with it.
    Check(File),
    /// Print a commented configuration file with every setting at its default.
    Template(Template),
    /// Print every limit with what happens when it is reached.
    Limits,
}

/// How the template is printed.
#[derive(Args)]
pub(crate) struct Template {
    /// As a table for the documentation.
    #[arg(long)]
    markdown: bool,
}

/// Which file is read.
#[derive(Args)]
pub(crate) struct File {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What `show` prints.
#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    file: File,
    /// Say where each value comes from.
    #[arg(long)]
    origin: bool,
}

/// Runs one of them.
pub(crate) fn run(command: &ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Show(show) => {
            let settings = Settings::resolve(show.file.config.as_deref(), &environment(), &[])?;
            for (setting, value, origin) in settings.shown() {
                let origin = if show.origin { format!("  # {origin}") } else { String::new() };
                output::line(&format!("{} = {value:?}{origin}", setting.name))?;
            }
            Ok(())
        }
        ConfigCommand::Check(file) => {
            Config::load(file.config.as_deref(), &[])?;
            output::line("the configuration is sound")
        }
        ConfigCommand::Template(Template { markdown: true }) => output::line(markdown().trim_end()),
        ConfigCommand::Template(Template { markdown: false }) => output::line(template().trim_end()),
        ConfigCommand::Limits => output::line(limits::markdown().trim_end()),
    }
}
