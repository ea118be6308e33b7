//! What lies under the stores of tests: SQLite, or PostgreSQL where `ADVISOR_TEST_READ_MODEL_URL=postgres` says so.

use super::postgres;
use crate::{Generation, PostgresOptions, SideStore, SqliteOptions};
use tempfile::TempDir;

/// A place for stores, which they can be opened in again.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    engine: Engine,
}

enum Engine {
    Files,
    /// What the names of the schemas begin with is the options' schema.
    Schemas(Box<PostgresOptions>),
}

impl Place {
    pub(crate) fn new() -> Self {
        let named = postgres::variable("ADVISOR_TEST_READ_MODEL_URL").unwrap_or_default();
        let engine = match named.as_str() {
            "" | "sqlite" => Engine::Files,
            "postgres" => Engine::Schemas(Box::new(PostgresOptions { connections_max: 4, ..postgres::options() })),
            other => panic!("ADVISOR_TEST_READ_MODEL_URL is `postgres` or `sqlite`, not `{other}`"),
        };
        Self { directory: tempfile::tempdir().unwrap(), engine }
    }

    pub(crate) async fn generation(&self, number: u64) -> Generation {
        let opened = match &self.engine {
            Engine::Files => {
                let path = self.directory.path().join(format!("generation-{number}.db"));
                Generation::open(number, SqliteOptions { readers: 2, ..SqliteOptions::at(path) }).await
            }
            Engine::Schemas(options) => {
                let options = schema(options, &number.to_string());
                Generation::open_postgres(number, options, self.directory.path()).await
            }
        };
        opened.unwrap()
    }

    pub(crate) async fn side(&self) -> SideStore {
        let opened = match &self.engine {
            Engine::Files => SideStore::open(&self.directory.path().join("side.db")).await,
            Engine::Schemas(options) => SideStore::open_postgres(schema(options, "side")).await,
        };
        opened.unwrap()
    }
}

/// A side store, and where it lies.
pub(crate) async fn side() -> (Place, SideStore) {
    let place = Place::new();
    let side = place.side().await;
    (place, side)
}

fn schema(options: &PostgresOptions, ending: &str) -> PostgresOptions {
    PostgresOptions { schema: format!("{}_{ending}", options.schema), ..options.clone() }
}
