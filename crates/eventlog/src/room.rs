//! Room for appends that wait to be written: it bounds their number and their bytes.

use crate::port::AppendError;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// One semaphore for both bounds: the smallest append counts as its share of the bytes.
pub(crate) struct Room {
    permits: Arc<Semaphore>,
    all: usize,
    share: usize,
    wait: Duration,
}

impl Room {
    /// Room for so many appends and so many bytes, for which one waits so long at most.
    pub(crate) fn new(appends_max: usize, bytes_max: usize, wait: Duration) -> Self {
        let all = bytes_max.clamp(1, Semaphore::MAX_PERMITS);
        let share = (all / appends_max.max(1)).max(1);
        Self { permits: Arc::new(Semaphore::new(all)), all, share, wait }
    }

    /// A place for an append of so many bytes, until the permit is dropped.
    pub(crate) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let permits = u32::try_from(bytes.max(self.share).min(self.all)).unwrap_or(u32::MAX);
        if let Ok(room) = Arc::clone(&self.permits).try_acquire_many_owned(permits) {
            return Ok(room);
        }
        match timeout(self.wait, Arc::clone(&self.permits).acquire_many_owned(permits)).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) => Err(AppendError::Unavailable("the log is closed".to_owned())),
            Err(_) => Err(AppendError::Unavailable("too many appends wait for the log's writer".to_owned())),
        }
    }
}
