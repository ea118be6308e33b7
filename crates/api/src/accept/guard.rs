//! A stream that gives on no head before it was judged.
//!
//! A head that is refused is replaced by one that closes the connection, and the service that gets it answers
//! with the problem: so a refusal is an answer like any other, with a request id and in the measurements.
//! What is refused because there is too much to do is answered here, while hyper has nothing to read or write.

use super::{
    course::{Course, Last},
    head::{Following, HeadLimits, Judged, judge},
    shedding::Shedding,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Stands for a head that was refused.
const REPLACEMENT: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Wraps a stream; what hyper writes is left as it is.
pub(super) struct HeadGuard<S> {
    stream: S,
    limits: HeadLimits,
    course: Course,
    /// Read, and not given on yet.
    held: Vec<u8>,
    /// How many of the next bytes may be given on.
    passing: u64,
    /// How many heads were let pass.
    heads: u64,
    /// When hyper last heard of this connection: it gives up one that it hears nothing of.
    heard: Instant,
    /// For how long it may hear nothing because its requests are refused here.
    unheard_max: Duration,
    /// How many answers had been given when hyper last had nothing more to write.
    written: u64,
    shedding: Shedding,
    /// How many of the next bytes are of a request that has been refused.
    dropping: u64,
}

impl<S> HeadGuard<S> {
    pub(super) fn new(stream: S, limits: HeadLimits, course: Course) -> Self {
        Self {
            stream,
            limits,
            course,
            held: Vec::new(),
            passing: 0,
            heads: 0,
            heard: Instant::now(),
            unheard_max: Duration::ZERO,
            written: 0,
            shedding: Shedding::default(),
            dropping: 0,
        }
    }

    /// The same, which refuses what is too much; unless hyper has heard nothing of the connection for so long.
    pub(super) fn shedding(self, shedding: Shedding, unheard_max: Duration) -> Self {
        Self { unheard_max, shedding, ..self }
    }

    /// Lets the head pass that `held` begins with, if it is whole.
    fn judge(&mut self) {
        // An answer past hyper must not come before one that hyper has still to give, nor in the middle of it.
        let is_idle = self.written == self.heads && self.heard.elapsed() < self.unheard_max;
        let shedding = Some(&self.shedding).filter(|_| is_idle);
        self.passing = match judge(&self.held, self.limits, shedding) {
            Judged::Partial => return,
            Judged::Shed(length, answer) => {
                self.dropping = length;
                return self.shedding.begin(answer);
            }
            Judged::Whole(head, Following::Bytes(body)) => body.saturating_add(head as u64),
            Judged::Whole(_, Following::Unmeasured) => {
                self.course.end_with(self.heads, Last::Unmeasured);
                u64::MAX
            }
            Judged::Refused(fault) => {
                self.course.end_with(self.heads, Last::Refused(fault));
                self.held = REPLACEMENT.to_vec();
                REPLACEMENT.len() as u64
            }
        };
        self.heads += 1;
        self.heard = Instant::now();
    }

    fn give_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let given = within(self.passing, self.held.len()).min(buffer.remaining());
        buffer.put_slice(self.held.get(..given).unwrap_or_default());
        self.held.drain(..given);
        self.passing -= given as u64;
    }

    fn drop_held(&mut self) {
        let dropped = within(self.dropping, self.held.len());
        self.held.drain(..dropped);
        self.dropping -= dropped as u64;
    }
}

/// How many of these bytes a count covers.
fn within(count: u64, bytes: usize) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(bytes)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for HeadGuard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.shedding.poll_write(&mut this.stream, context))?;
            this.drop_held();
            if this.passing == 0 {
                if this.course.has_refused() {
                    // Nothing behind a refused head is read any more: the answer to it closes the connection.
                    return Poll::Pending;
                }
                if !this.held.is_empty() {
                    this.judge();
                    if this.dropping > 0 {
                        continue;
                    }
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
            let passing = within(this.passing, read.len());
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
        let this = self.get_mut();
        // Hyper flushes when it has written everything.
        this.written = this.course.answered();
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shedding.hasten();
        ready!(this.shedding.poll_write(&mut this.stream, context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}
