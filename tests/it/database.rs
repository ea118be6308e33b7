//! A database in the PostgreSQL that `ops/engines` starts.

use sqlx::{Connection, PgConnection};
use std::{path::Path, process::Command};

/// A database that ends with whoever holds it.
pub(crate) struct Database {
    name: String,
    pub(crate) url: String,
}

impl Database {
    /// An empty one in the PostgreSQL that the tests are given.
    pub(crate) fn make() -> Self {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        psql(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        let url = server();
        let (place, _) = url.rsplit_once('/').expect("the URL names a database");
        Self { url: format!("{place}/{name}"), name }
    }

    /// Its URL for a user that is made for it, who may do in it what `grant` says, with the user's name for `USER`.
    pub(crate) fn url_for(&self, user: &str, grant: &str) -> String {
        let user = format!("{user}_{}", self.name);
        psql(&format!("CREATE ROLE {user} LOGIN"));
        psql(&grant.replace("USER", &user).replace("DATABASE_NAME", &self.name));
        let (_, place) = self.url.split_once('@').expect("the URL names a user");
        format!("postgres://{user}@{place}")
    }

    /// A connection to it, by its owner.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        psql(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn server() -> String {
    variable("ADVISOR_TEST_POSTGRES")
        .expect("ADVISOR_TEST_POSTGRES says where PostgreSQL is; `ops/engines COMMAND` sets it")
}

fn psql(text: &str) {
    let programs = variable("ADVISOR_TEST_POSTGRES_BIN")
        .expect("ADVISOR_TEST_POSTGRES_BIN says where psql is; `ops/engines COMMAND` sets it");
    let mut psql = Command::new(Path::new(&programs).join("psql"));
    let output = psql.args(["-X", "-q", "-c", text, &server()]).output().unwrap();
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
}

#[expect(clippy::disallowed_methods, reason = "No setting of the program: it tells these tests what they run on.")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
