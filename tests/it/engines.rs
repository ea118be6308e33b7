//! What the servers of tests keep their events and read models in, where that is no file.
//!
//! A test that names no engines runs on those that variables name: `ADVISOR_TEST_EVENT_LOG_URL` is `postgres` or `double`
//! (of KurrentDB), `ADVISOR_TEST_READ_MODEL_URL` is `postgres`, and each server has a database and a double of its own.
//! `ADVISOR_TEST_ESDB=esdb://…` alone puts every event log into that server, under a namespace of its own.

use crate::database::{Database, variable};
use advisor_kurrentdb_double::Double;

/// The settings that name an engine.
const EVENT_LOG: &str = "ADVISOR_EVENT_LOG_URL";
const READ_MODELS: &str = "ADVISOR_READ_MODEL_URL";

/// Engines of a server's own, which end with whoever holds them.
pub(crate) struct Engines {
    /// What the server is told of them.
    pub(crate) variables: Vec<(String, String)>,
    _database: Option<Database>,
    _double: Option<Double>,
}

#[derive(PartialEq)]
enum Engine {
    File,
    Postgres,
    Double,
    /// A real server at this URL, which others use, too.
    KurrentDb(String),
}

impl Engines {
    /// Those that tests are to run on, as far as a test has named none itself.
    pub(crate) fn unless_named(given: &[(String, String)]) -> Self {
        let is_named = |setting| given.iter().any(|(name, _)| name == setting);
        let event_log = if is_named(EVENT_LOG) { Engine::File } else { event_log() };
        let read_models = if is_named(READ_MODELS) { Engine::File } else { read_models() };
        // One database for both, as where several processes share them.
        let database = [&event_log, &read_models].contains(&&Engine::Postgres).then(Database::make);
        let double = (event_log == Engine::Double).then(Double::start);
        let mut variables = Vec::new();
        for (setting, engine) in [(EVENT_LOG, event_log), (READ_MODELS, read_models)] {
            let url = match engine {
                Engine::File => None,
                Engine::Postgres => database.as_ref().map(|database| database.url.clone()),
                Engine::Double => double.as_ref().map(Double::url),
                Engine::KurrentDb(url) => {
                    let namespace = format!("test-{}.", uuid::Uuid::new_v4().simple());
                    variables.push(("ADVISOR_EVENT_LOG_NAMESPACE".to_owned(), namespace));
                    Some(url)
                }
            };
            variables.extend(url.map(|url| (setting.to_owned(), url)));
        }
        Self { variables, _database: database, _double: double }
    }
}

fn event_log() -> Engine {
    match (variable("ADVISOR_TEST_EVENT_LOG_URL").unwrap_or_default().as_str(), variable("ADVISOR_TEST_ESDB")) {
        ("", Some(url)) => Engine::KurrentDb(url),
        ("" | "sqlite", _) => Engine::File,
        ("postgres", _) => Engine::Postgres,
        ("double", _) => Engine::Double,
        (other, _) => panic!("ADVISOR_TEST_EVENT_LOG_URL is `sqlite`, `postgres` or `double`, not `{other}`"),
    }
}

fn read_models() -> Engine {
    match variable("ADVISOR_TEST_READ_MODEL_URL").unwrap_or_default().as_str() {
        "" | "sqlite" => Engine::File,
        "postgres" => Engine::Postgres,
        other => panic!("ADVISOR_TEST_READ_MODEL_URL is `sqlite` or `postgres`, not `{other}`"),
    }
}
