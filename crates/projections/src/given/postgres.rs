//! Places in the PostgreSQL that the tests are given.

use crate::PostgresOptions;
use secrecy::SecretString;
use uuid::Uuid;

/// The database that the tests are given.
pub(crate) fn url() -> SecretString {
    let url = variable("ADVISOR_TEST_POSTGRES");
    url.expect("ADVISOR_TEST_POSTGRES says where PostgreSQL is; `ops/engines COMMAND` sets it").into()
}

/// A schema that nobody else uses.
pub(crate) fn options() -> PostgresOptions {
    PostgresOptions::at(url(), schema())
}

/// The name of a schema that nobody else uses.
pub(crate) fn schema() -> String {
    format!("test_{}", Uuid::new_v4().simple())
}

#[expect(clippy::disallowed_methods, reason = "No setting of the program: it tells these tests what they run on.")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
