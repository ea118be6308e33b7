//! Where a test's logs lie: a schema of its own in the tests' PostgreSQL.

use crate::{
    contract::{Fixture, proxy::Proxy},
    port::EventLog,
    postgres::{PostgresLog, PostgresLogOptions},
};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::{str::FromStr, sync::Arc};
use uuid::Uuid;

/// A schema that no other test has.
pub(super) struct Place {
    pub(super) options: PostgresLogOptions,
}

impl Place {
    pub(super) fn new(change: fn(&mut PostgresLogOptions)) -> Self {
        let mut options = PostgresLogOptions::at(url());
        options.schema = format!("log_{}", Uuid::new_v4().simple());
        change(&mut options);
        Self { options }
    }

    /// The log of another process, as far as the log can tell.
    pub(super) fn log(&self) -> Arc<PostgresLog> {
        Arc::new(PostgresLog::open(self.options.clone()).expect("a log"))
    }

    /// The log, reached through a proxy.
    pub(super) async fn log_behind_proxy(&self) -> (Arc<PostgresLog>, Proxy) {
        let server = PgConnectOptions::from_str(&self.options.url).expect("a URL");
        let address = format!("{}:{}", server.get_host(), server.get_port());
        let proxy = Proxy::to(&*address).await;
        let mut options = self.options.clone();
        options.url = options.url.replace(&address, &proxy.address().to_string());
        assert_ne!(options.url, self.options.url, "{address} stands in the URL");
        (Arc::new(PostgresLog::open(options).expect("a log")), proxy)
    }

    /// A connection of somebody else's, which looks into the schema.
    pub(super) async fn stranger(&self) -> PgConnection {
        let mut stranger = PgConnection::connect(&self.options.url).await.expect("a connection");
        let search = sqlx::query("SELECT set_config('search_path', $1, false)").bind(&self.options.schema);
        search.execute(&mut stranger).await.expect("a search path");
        stranger
    }
}

#[async_trait]
impl Fixture for Place {
    async fn open(&self) -> Arc<dyn EventLog> {
        self.log()
    }

    async fn reopen(&self, log: Arc<dyn EventLog>) -> Option<Arc<dyn EventLog>> {
        drop(log);
        Some(self.open().await)
    }
}

/// The tests' PostgreSQL.
#[expect(clippy::disallowed_methods, reason = "`ops/engines` tells tests so.")]
fn url() -> String {
    std::env::var("ADVISOR_TEST_POSTGRES")
        .expect("ADVISOR_TEST_POSTGRES is not set: run this under ops/engines, which starts a PostgreSQL")
}
