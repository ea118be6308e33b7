//! Having a parked stream read on, by whoever brings its generation forward.

use crate::{RunnerError, parked::ParkedStream};
use advisor_events::StreamName;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};

/// Most streams that wait to be read on.
pub const ASKED_MAX: usize = 16;
/// Longest wait for what came of it.
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What came of reading a stream on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOn {
    /// It is not parked.
    NotParked,
    /// Everything that waited has been applied, so many events: the stream goes on as all others do.
    Done(u64),
    /// So many were applied, and then came one that can't be: the stream is parked there.
    StillParked(u64, ParkedStream),
    /// Somebody was deleted meanwhile, or is by what waits, and rows depend on the order of that and of the rest:
    /// only filling the read models anew keeps it.
    OutOfOrder,
}

/// Why a stream was not read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadOnError {
    /// As many streams wait as may.
    #[error("as many streams wait to be read on as may")]
    Busy,
    /// This process does not bring the read models forward, or has just stopped to.
    #[error("nobody here brings the read models forward")]
    Nobody,
    /// What waits can't be read; the stream is parked as it was.
    #[error("the stream can't be read")]
    Unread(#[source] Box<RunnerError>),
}

/// A stream that somebody wants read on.
pub(crate) struct Asked {
    pub(crate) stream: StreamName,
    answer: oneshot::Sender<Result<ReadOn, ReadOnError>>,
}

impl Asked {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    pub(crate) fn answer(self, answer: Result<ReadOn, ReadOnError>) {
        // Who asked may have gone meanwhile.
        drop(self.answer.send(answer));
    }
}

/// Those of a generation.
pub(crate) struct ReadOns {
    sender: mpsc::Sender<Asked>,
    waiting: Mutex<mpsc::Receiver<Asked>>,
}

impl Default for ReadOns {
    fn default() -> Self {
        let (sender, waiting) = mpsc::channel(ASKED_MAX);
        Self { sender, waiting: Mutex::new(waiting) }
    }
}

impl ReadOns {
    /// The next one. Dropping the future loses none.
    pub(crate) async fn next(&self) -> Asked {
        match self.waiting.lock().await.recv().await {
            Some(asked) => asked,
            // The other end is held beside this one.
            None => std::future::pending().await,
        }
    }

    pub(crate) async fn ask(&self, stream: StreamName) -> Result<ReadOn, ReadOnError> {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send(Asked { stream, answer }).map_err(|_| ReadOnError::Busy)?;
        let answered = tokio::time::timeout(ANSWER_WAIT, answered).await;
        answered.ok().and_then(Result::ok).unwrap_or(Err(ReadOnError::Nobody))
    }
}
