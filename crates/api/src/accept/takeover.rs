//! How a handler takes over the connection that its request came on.

use futures::future::{BoxFuture, FutureExt};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// An extension of every request: what is left here goes on in the connection's own task once HTTP is done with
/// the connection.
#[derive(Clone, Default)]
pub struct Takeover(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl Takeover {
    /// Leaves what has to go on.
    pub fn with(&self, future: impl Future<Output = ()> + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(future.boxed());
    }

    /// What was left.
    pub(super) fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}
