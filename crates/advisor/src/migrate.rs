//! `advisor migrate`: brings what lies in PostgreSQL up to date with this program, so that the server need not be
//! allowed to.

use crate::{
    config::{
        Config,
        engines::{EventLogEngine, ReadModelEngine},
    },
    output,
};
use advisor_eventlog::{PostgresLog, PostgresLogOptions, postgres::Migrated};
use advisor_projections::{
    Generations, Keys, PostgresOptions, SideStore, StoreError,
    postgres::{GENERATION_SCHEMA, KEYS_SCHEMA, SIDE_SCHEMA},
};
use anyhow::{Context, Result};
use clap::Parser;
use secrecy::ExposeSecret;
use std::path::PathBuf;

/// Bring what lies in PostgreSQL up to date with this program.
#[derive(Parser)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints a line for each engine.
pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref(), &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    output::line(&format!("event log: {}", runtime.block_on(event_log(&config))?))?;
    output::line(&format!("read models, side store and persons' keys: {}", runtime.block_on(read_models(&config))?))
}

async fn event_log(config: &Config) -> Result<String> {
    match &config.engines.event_log {
        EventLogEngine::Sqlite(_) => Ok("nothing to do: a log in SQLite is made when it is opened".to_owned()),
        EventLogEngine::KurrentDb(_) => Ok("nothing to do: KurrentDB needs no schema".to_owned()),
        EventLogEngine::Postgres(url) => {
            let options = PostgresLogOptions::at(url.expose_secret());
            Ok(told(&options.schema, PostgresLog::migrate(&options).await?))
        }
    }
}

async fn read_models(config: &Config) -> Result<String> {
    match &config.engines.read_models {
        ReadModelEngine::Sqlite(_) => Ok("nothing to do: files are made when they are opened".to_owned()),
        ReadModelEngine::Postgres(url) => {
            let options = |schema| PostgresOptions::at(url.clone(), schema);
            let number = async {
                Keys::make_postgres(options(KEYS_SCHEMA)).await?;
                let side = SideStore::open_postgres(options(SIDE_SCHEMA)).await?;
                let number = Generations::make_postgres(options(GENERATION_SCHEMA), &side).await?;
                side.close().await;
                Ok::<_, StoreError>(number)
            };
            let number = number.await.context("`read_model_url`")?;
            Ok(format!(
                "the schemas {GENERATION_SCHEMA}_{number}, {SIDE_SCHEMA} and {KEYS_SCHEMA} are as this program needs them"
            ))
        }
    }
}

fn told(schema: &str, Migrated { from, to }: Migrated) -> String {
    match from {
        0 => format!("the schema {schema} was made, at version {to}"),
        from if from == to => format!("the schema {schema} is up to date, at version {to}"),
        from => format!("the schema {schema} was brought from version {from} to {to}"),
    }
}
