//! Public changes, read once for all streams that look at them from the same place.

use super::{Fault, rows::AdvisorChange};
use advisor_eventlog::Position;
use advisor_projections::{Reader, advisors};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

/// Most reads that are remembered: streams stand at few different places.
pub const READS_MAX: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// What became of the advisors that everybody sees.
#[derive(Debug)]
pub(crate) struct PublicMove {
    pub(crate) generation: u64,
    /// Where the read side stood.
    pub(crate) position: Position,
    /// The advisors that changed, as who is signed out sees them.
    pub(crate) advisors: Vec<AdvisorChange>,
}

type Reading = Shared<BoxFuture<'static, Result<Arc<PublicMove>, Arc<Fault>>>>;

/// Reads in flight and those just done, by where they begin and what they must contain.
pub(crate) struct PublicMoves {
    reader: Reader,
    readings: Mutex<lru::LruCache<(Position, Position), Reading>>,
}

impl PublicMoves {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, readings: Mutex::new(lru::LruCache::new(READS_MAX)) }
    }

    /// What changed after `after`, read when the read side had reached `told`.
    pub(crate) async fn read(&self, after: Position, told: Position) -> Result<Arc<PublicMove>, Arc<Fault>> {
        let key = (after, told);
        let reading = {
            let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
            // A failure is for those who waited for it, and not for whoever comes later.
            let known = readings.get(&key).filter(|reading| !matches!(reading.peek(), Some(Err(_)))).cloned();
            known.unwrap_or_else(|| {
                let reading = read(self.reader.clone(), after).boxed().shared();
                readings.put(key, reading.clone());
                reading
            })
        };
        reading.await
    }
}

async fn read(reader: Reader, after: Position) -> Result<Arc<PublicMove>, Arc<Fault>> {
    let read = reader.run_whole(advisors::changed(None, after)).await.map_err(|error| Arc::new(error.into()))?;
    Ok(Arc::new(PublicMove {
        generation: read.generation,
        position: read.position,
        advisors: AdvisorChange::all(read.value).map_err(|error| Arc::new(error.into()))?,
    }))
}
