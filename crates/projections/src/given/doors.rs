//! A database that answers at once, so that a test's clock can stand still, and the doors through which processes
//! reach it: each can be shut for itself.

use crate::{
    sqlite::in_memory::InMemory,
    store::{Row, Statement, Store, StoreError, Write},
};
use async_trait::async_trait;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// How one process reaches a database.
pub(crate) struct Door {
    database: Arc<InMemory>,
    shut: AtomicBool,
    /// How many writes have gone through.
    written: AtomicUsize,
}

impl Door {
    pub(crate) fn to(database: &Arc<InMemory>) -> Arc<Self> {
        Arc::new(Self { database: Arc::clone(database), shut: AtomicBool::new(false), written: AtomicUsize::new(0) })
    }

    /// Nothing gets through any more.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Everything gets through again.
    pub(crate) fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
    }

    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    fn database(&self) -> Result<&InMemory, StoreError> {
        if self.shut.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the door is shut".to_owned()));
        }
        Ok(&self.database)
    }
}

#[async_trait]
impl Store for Door {
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.database()?.read(&statements)
    }

    async fn write(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.database()?.write(&steps)?;
        self.written.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn write_durably(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.write(steps).await
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn copy_to(&self, _path: &Path) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("nothing here is copied".to_owned()))
    }

    async fn close(&self) {}
}
