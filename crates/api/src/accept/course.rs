//! What the two ends of a connection tell each other: the guard, which sees heads before hyper does, and the service,
//! which sees requests after it.

use super::head::HeadFault;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Response;
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// Why a request is the last one of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// One whose end can't be seen from here: it must be the last.
    Unmeasured,
    /// One that is answered with a problem.
    Refused(HeadFault),
}

/// How far a connection has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Course(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many requests came before the last one, once its head has been judged, and why it is the last.
    last: OnceLock<(u64, Last)>,
    /// How many requests hyper has taken.
    taken: AtomicU64,
    /// How many answers hyper has taken as a whole.
    answered: AtomicU64,
}

impl Course {
    /// The request after so many others is the last one. It is said once: no head is judged behind it.
    pub(super) fn end_with(&self, number: u64, why: Last) {
        self.0.last.get_or_init(|| (number, why));
    }

    /// Whether the last request has been seen, and was refused.
    pub(super) fn has_refused(&self) -> bool {
        matches!(self.0.last.get(), Some((_, Last::Refused(_))))
    }

    /// Hyper has taken the next request: whether it is the last.
    pub(super) fn take(&self) -> Option<Last> {
        let number = self.0.taken.fetch_add(1, Ordering::Relaxed);
        self.0.last.get().filter(|(last, _)| number >= *last).map(|(_, why)| *why)
    }

    /// The same answer, which counts as given once hyper needs its body no more.
    pub(super) fn answer(&self, response: Response<Body>) -> Response<Answer> {
        response.map(|body| Answer { body, course: self.clone() })
    }

    /// How many answers hyper has taken as a whole. They may still wait to be written.
    pub(super) fn answered(&self) -> u64 {
        self.0.answered.load(Ordering::Relaxed)
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    course: Course,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.course.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}
