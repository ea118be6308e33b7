//! How much of all answers waits for clients to read them.
//!
//! Who does not read holds what was made for them. A short answer is given however much waits; a long one needs room,
//! and is handed over piece by piece. Where there is no room, what has waited longest is given up for it: so nobody
//! who reads is kept out by those who don't.

use super::gate::overloaded;
use crate::problem::Problem;
use axum::{
    body::{Body, HttpBody},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// An answer of so many bytes takes no room.
pub const ANSWER_FREE_BYTES: usize = 64 * 1024;
/// What is handed to a connection at once of one that does.
pub const ANSWER_PIECE_BYTES: usize = 64 * 1024;
/// An answer is not given up for others before it has waited for so long.
pub const ANSWER_SAFE_FOR: Duration = Duration::from_secs(1);

/// The client has not read it in time.
#[derive(Debug, thiserror::Error)]
#[error("the answer was given up for others")]
struct GivenUp;

/// All answers that take room.
#[derive(Debug)]
pub(super) struct Answers {
    room: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// The answers in the order in which they were made.
#[derive(Debug, Default)]
struct Waiting {
    made: u64,
    answers: BTreeMap<u64, (Instant, Left)>,
}

/// What is left of an answer: nothing once it has been handed over, or given up.
type Left = Arc<Mutex<Option<Rest>>>;

#[derive(Debug)]
struct Rest {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Answers {
    pub(super) fn new(room: Arc<Semaphore>) -> Self {
        Self { room, waiting: Mutex::default() }
    }

    /// The same answer, which takes room until it has been handed over. What has no end that is known, as a live
    /// stream, keeps to bounds of its own.
    pub(super) async fn hold(self: &Arc<Self>, response: Response) -> Response {
        let size = response.body().size_hint().exact().and_then(|size| u32::try_from(size).ok());
        let Some(size) = size.filter(|size| *size as usize > ANSWER_FREE_BYTES) else { return response };
        let Some(room) = self.room(size) else { return overloaded("answers").into_response() };
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(whole) => {
                Response::from_parts(head, Body::new(self.wait(Rest { bytes: whole.to_bytes(), _room: room })))
            }
            Err(error) => Problem::internal(&error).into_response(),
        }
    }

    fn room(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) {
                return Some(room);
            }
            let mut waiting = lock(&self.waiting);
            let oldest = waiting.answers.first_entry().filter(|entry| entry.get().0.elapsed() >= ANSWER_SAFE_FOR)?;
            let (_, rest) = oldest.remove();
            drop(lock(&rest).take());
            metrics::counter!("advisor_answers_given_up_total").increment(1);
        }
    }

    fn wait(self: &Arc<Self>, rest: Rest) -> WaitingAnswer {
        let left = rest.bytes.len();
        let rest = Arc::new(Mutex::new(Some(rest)));
        let mut waiting = lock(&self.waiting);
        waiting.made += 1;
        let number = waiting.made;
        waiting.answers.insert(number, (Instant::now(), Arc::clone(&rest)));
        WaitingAnswer { answers: Arc::clone(self), number, left, rest }
    }
}

/// What is held is whole whatever panicked meanwhile.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of an answer that takes room.
struct WaitingAnswer {
    answers: Arc<Answers>,
    number: u64,
    left: usize,
    rest: Left,
}

impl HttpBody for WaitingAnswer {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let mut rest = lock(&this.rest);
        let Some(kept) = rest.as_mut() else { return Poll::Ready(Some(Err(GivenUp))) };
        // A copy: a part of the bytes would keep all of them.
        let piece = kept.bytes.split_to(kept.bytes.len().min(ANSWER_PIECE_BYTES));
        let piece = Bytes::copy_from_slice(&piece);
        this.left = kept.bytes.len();
        if this.left == 0 {
            *rest = None;
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

impl Drop for WaitingAnswer {
    fn drop(&mut self) {
        lock(&self.answers.waiting).answers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[tokio::test(start_paused = true)]
    async fn short_answers_take_no_room_and_long_ones_give_it_back_when_they_are_read() {
        let answers = with_room_for(2);
        let (first, second) = (answers.hold(long("a")).await, answers.hold(long("b")).await);
        assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
        assert_eq!(answers.hold(long("c")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answers.hold("short".into_response()).await.status(), StatusCode::OK);

        assert_eq!(read(first).await.unwrap(), "a".repeat(LONG));
        let third = answers.hold(long("c")).await;
        assert_eq!(third.body().size_hint().exact(), Some(LONG as u64));
        drop(third);
        assert_eq!(answers.hold(long("d")).await.status(), StatusCode::OK);
        assert_eq!(read(second).await.unwrap(), "b".repeat(LONG));
        assert!(lock(&answers.waiting).answers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_waited_longest_is_given_up_for_who_has_no_room() {
        let answers = with_room_for(2);
        let first = answers.hold(long("a")).await;
        tokio::time::advance(ANSWER_SAFE_FOR / 2).await;
        let second = answers.hold(long("b")).await;
        tokio::time::advance(ANSWER_SAFE_FOR / 2).await;

        let third = answers.hold(long("c")).await;
        assert_eq!(third.status(), StatusCode::OK);
        assert_eq!(answers.hold(long("d")).await.status(), StatusCode::SERVICE_UNAVAILABLE, "the others are new");

        assert_eq!(read(first).await, None, "its client sees it end too soon");
        assert_eq!(read(second).await.unwrap(), "b".repeat(LONG));
        assert_eq!(read(third).await.unwrap(), "c".repeat(LONG));
    }

    const LONG: usize = 3 * ANSWER_PIECE_BYTES + 1;

    fn with_room_for(count: usize) -> Arc<Answers> {
        Arc::new(Answers::new(Arc::new(Semaphore::new(count * LONG + 1))))
    }

    fn long(text: &str) -> Response {
        text.repeat(LONG).into_response()
    }

    async fn read(response: Response) -> Option<String> {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.ok()?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }
}
