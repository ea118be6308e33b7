//! A store that fails on its way.

use crate::{
    StoreError,
    store::{Row, Statement, Store, Write},
};
use async_trait::async_trait;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A store whose third write fails, before or after it happens.
pub(super) struct Flaky {
    store: Arc<dyn Store>,
    fault: Fault,
    writes: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Before,
    After,
    Panic,
}

impl Flaky {
    pub(super) fn over(store: &Arc<dyn Store>, fault: Fault) -> Self {
        Self { store: Arc::clone(store), fault, writes: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Store for Flaky {
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.store.read(statements).await
    }

    async fn write(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        let fails = self.writes.fetch_add(1, Ordering::Relaxed) % 5 == 3;
        assert!(!(fails && self.fault == Fault::Panic), "as planned");
        if !(fails && self.fault == Fault::Before) {
            self.store.write(steps).await?;
        }
        if fails { Err(StoreError::Unavailable("as planned".to_owned())) } else { Ok(()) }
    }

    async fn write_durably(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.write(steps).await
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        self.store.scrub().await
    }

    async fn copy_to(&self, path: &std::path::Path) -> Result<(), StoreError> {
        self.store.copy_to(path).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
