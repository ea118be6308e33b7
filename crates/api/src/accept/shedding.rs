//! Requests that are refused before hyper reads them: the answer is written past it, and nobody reads the body.

use super::head::Following;
use crate::traffic::Shed;
use bytes::{Buf, Bytes};
use httparse::Request;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep, sleep},
};

/// Longest body that is received and thrown away, so that its connection can go on. Whose is longer comes as far as its
/// gate.
pub const SHED_BODY_BYTES_MAX: u64 = 64 * 1024;
/// How long the refusal of somebody waits who was told to wait and asked again at once.
pub const SHED_DELAY: Duration = Duration::from_millis(25);
/// How soon after a refusal is at once: who needs the answer before he asks again. What is delayed costs a timer and
/// another turn of the connection, so that those who come on a schedule of their own are better refused without.
pub const SHED_HASTE: Duration = Duration::from_millis(3);

/// The refusals of one connection.
#[derive(Default)]
pub(super) struct Shedding {
    shed: Option<Shed>,
    /// What is left of the refusal that is being written.
    answer: Bytes,
    /// Until when it waits.
    delay: Option<Pin<Box<Sleep>>>,
    /// When the last refusal had been written.
    refused: Option<Instant>,
}

impl Shedding {
    pub(super) fn new(shed: Option<Shed>) -> Self {
        Self { shed, ..Self::default() }
    }

    /// The length of this request's body and the answer to it, if it is one that is refused here.
    pub(super) fn refuse(&self, request: &Request<'_, '_>, following: Following) -> Option<(u64, Bytes)> {
        let body = match following {
            Following::Bytes(length) if length <= SHED_BODY_BYTES_MAX => length,
            Following::Bytes(_) | Following::Unmeasured => return None,
        };
        Some((body, self.shed.as_ref()?.refuse(request)?))
    }

    /// Begins to answer. Who asks again and again without a pause would have the server do nothing but refuse.
    pub(super) fn begin(&mut self, answer: Bytes) {
        let hasty = self.refused.is_some_and(|refused| refused.elapsed() < SHED_HASTE);
        self.delay = hasty.then(|| Box::pin(sleep(SHED_DELAY)));
        self.answer = answer;
    }

    /// Waits no longer.
    pub(super) fn hasten(&mut self) {
        self.delay = None;
    }

    /// Writes what there is to write, when its time has come.
    pub(super) fn poll_write<S>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        if let Some(delay) = &mut self.delay {
            ready!(delay.as_mut().poll(context));
            self.delay = None;
        }
        while self.answer.has_remaining() {
            let written = ready!(Pin::new(&mut *stream).poll_write(context, &self.answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.advance(written);
            self.refused = Some(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
