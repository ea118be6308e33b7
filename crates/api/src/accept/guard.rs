//! A stream that gives on no head before it was judged.
//!
//! A head that is refused is replaced by one that closes the connection, and the service that gets it answers
//! with the problem: so a refusal is an answer like any other, with a request id and in the measurements.

use super::head::{Following, HeadFault, HeadLimits, Judged, judge};
use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Stands for a head that was refused.
const REPLACEMENT: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Why a request is the last one of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// One whose end can't be seen from here: it must be the last.
    Unmeasured,
    /// One that is answered with a problem.
    Refused(HeadFault),
}

/// The last request of a connection, once its head has been judged: how many came before it, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct LastRequest(Arc<OnceLock<(u64, Last)>>);

impl LastRequest {
    /// Whether it is the request before which so many came.
    pub(super) fn is(&self, number: u64) -> Option<Last> {
        self.0.get().filter(|(last, _)| number >= *last).map(|(_, why)| *why)
    }
}

/// Wraps a stream; writing is left as it is.
pub(super) struct HeadGuard<S> {
    stream: S,
    limits: HeadLimits,
    /// Read, and not given on yet.
    held: Vec<u8>,
    /// How many of the next bytes may be given on.
    passing: u64,
    /// How many heads were let pass.
    heads: u64,
    last: LastRequest,
}

impl<S> HeadGuard<S> {
    pub(super) fn new(stream: S, limits: HeadLimits, last: LastRequest) -> Self {
        Self { stream, limits, held: Vec::new(), passing: 0, heads: 0, last }
    }

    /// Lets the head pass that `held` begins with, if it is whole.
    fn judge(&mut self) {
        self.passing = match judge(&self.held, self.limits) {
            Judged::Partial => return,
            Judged::Whole(head, Following::Bytes(body)) => body.saturating_add(head as u64),
            Judged::Whole(_, Following::Unmeasured) => {
                self.end_with(Last::Unmeasured);
                u64::MAX
            }
            Judged::Refused(fault) => {
                self.end_with(Last::Refused(fault));
                self.held = REPLACEMENT.to_vec();
                REPLACEMENT.len() as u64
            }
        };
        self.heads += 1;
    }

    /// It is set once: no head is judged behind the last one.
    fn end_with(&self, why: Last) {
        self.last.0.get_or_init(|| (self.heads, why));
    }

    fn has_refused(&self) -> bool {
        matches!(self.last.0.get(), Some((_, Last::Refused(_))))
    }

    fn give_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let passing = usize::try_from(self.passing).unwrap_or(usize::MAX);
        let given = passing.min(self.held.len()).min(buffer.remaining());
        buffer.put_slice(self.held.get(..given).unwrap_or_default());
        self.held.drain(..given);
        self.passing -= given as u64;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadGuard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passing == 0 {
                if this.has_refused() {
                    // Nothing behind a refused head is read any more: the answer to it closes the connection.
                    return Poll::Pending;
                }
                if !this.held.is_empty() {
                    this.judge();
                }
            }
            if this.passing > 0 && !this.held.is_empty() {
                this.give_held(buffer);
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passing = usize::try_from(this.passing).unwrap_or(usize::MAX).min(read.len());
            this.held.extend_from_slice(read.get(passing..).unwrap_or_default());
            this.passing -= passing as u64;
            buffer.set_filled(before + passing);
            if passing > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadGuard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
