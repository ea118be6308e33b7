//! A database in memory, for tests: it answers on the caller's own thread.

use super::statements;
use crate::store::{Row, Statement, StoreError, Write};
use rusqlite::Connection;
use std::sync::Mutex;

pub(crate) struct InMemory(Mutex<Connection>);

impl InMemory {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Connection::open_in_memory().unwrap()))
    }

    pub(crate) fn read(&self, queries: &[Statement]) -> Result<Vec<Vec<Row>>, StoreError> {
        statements::read(&self.0.lock().unwrap(), queries)
    }

    pub(crate) fn write(&self, steps: &[Write]) -> Result<(), StoreError> {
        let connection = self.0.lock().unwrap();
        statements::begin(&connection, "BEGIN")?;
        let done = steps.iter().try_for_each(|step| statements::write(&connection, step));
        statements::begin(&connection, if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        Ok(done?)
    }
}
