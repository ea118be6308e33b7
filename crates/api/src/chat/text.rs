//! A reply as its text comes, `text/plain`.
//!
//! Nothing is answered before there is something to say, so that a failure until then is a problem
//! like any other. After that only the connection can tell: it is closed uncleanly when what was sent
//! is not the beginning of the reply any more.

use super::{
    Awaited,
    reply::{Bell, Ending, Look, Waiting},
};
use crate::{problem::Problem, reading::unread};
use advisor_bus::BusMessage;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures::stream;
use http::{HeaderValue, header};
use std::io;

/// The text of a reply as far as it has been sent.
#[derive(Debug, Default)]
struct Sent {
    /// The attempt that wrote it; 0 before any has.
    attempt: u32,
    text: String,
    units: u64,
}

/// What a piece of text does to what was sent.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// This follows.
    More(String),
    /// Nothing: it is known, or of an attempt that counts no more.
    Known,
    /// Something before it is missing.
    Gap,
    /// Another attempt has begun, and bytes were sent.
    Broken,
}

impl Sent {
    /// Takes a piece that begins at `offset` in UTF-16 units.
    fn take(&mut self, attempt: u32, offset: u64, text: &str) -> Taken {
        if attempt < self.attempt {
            return Taken::Known;
        }
        if attempt > self.attempt {
            if !self.text.is_empty() {
                return Taken::Broken;
            }
            self.attempt = attempt;
        }
        let Some(known) = self.units.checked_sub(offset) else { return Taken::Gap };
        let mut units = 0;
        let mut rest = text.chars();
        while units < known {
            let Some(c) = rest.next() else { return Taken::Known };
            units += c.len_utf16() as u64;
        }
        self.send(rest.as_str())
    }

    /// Takes the whole text of a reply that has ended.
    fn finish(&mut self, whole: &str) -> Taken {
        match whole.strip_prefix(self.text.as_str()) {
            Some(rest) => {
                let rest = rest.to_owned();
                self.send(&rest)
            }
            None => Taken::Broken,
        }
    }

    fn send(&mut self, more: &str) -> Taken {
        if more.is_empty() {
            return Taken::Known;
        }
        self.text.push_str(more);
        self.units += more.encode_utf16().count() as u64;
        Taken::More(more.to_owned())
    }
}

/// What comes next.
#[derive(Debug)]
enum Step {
    /// This text.
    Text(String),
    /// Nothing: the reply is whole.
    End,
    /// Nothing: what was sent is not the beginning of the reply, or the reply will not come.
    Cut(Option<Problem>),
}

/// A reply that is being sent.
struct Following {
    waiting: Waiting,
    sent: Sent,
    ended: bool,
}

/// Answers with the text as it comes.
pub(super) async fn answer(mut waiting: Waiting, awaited: &Awaited) -> Result<Response, Problem> {
    waiting.listen_to_text().await;
    let mut following = Following { waiting, sent: Sent::default(), ended: false };
    let first = match following.step().await {
        Step::Text(text) => text,
        Step::End => String::new(),
        Step::Cut(problem) => return Err(problem.unwrap_or_else(|| awaited.gone())),
    };
    let body = stream::unfold(Some((Some(first), following)), |state| async {
        let (first, mut following) = state?;
        if let Some(first) = first {
            return Some((Ok(first), Some((None, following))));
        }
        match following.step().await {
            Step::Text(text) => Some((Ok(text), Some((None, following)))),
            Step::End => None,
            Step::Cut(_) => Some((Err(io::Error::other("the reply was cut off")), None)),
        }
    });
    let mut response = Body::from_stream(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

impl Following {
    /// Waits for the next text or the end.
    async fn step(&mut self) -> Step {
        if self.ended {
            return Step::End;
        }
        loop {
            let taken = match self.waiting.bell().await {
                Ok(Bell::Said(BusMessage::Delta(delta))) => {
                    match self.sent.take(delta.attempt, delta.offset, &delta.text) {
                        Taken::Gap => self.look().await,
                        taken @ (Taken::More(_) | Taken::Known | Taken::Broken) => Ok(taken),
                    }
                }
                Ok(Bell::Said(BusMessage::Appended(_) | BusMessage::Changes(_)) | Bell::Look) => self.look().await,
                Err(problem) => Err(Some(self.waiting.watched.awaited.problem(problem))),
            };
            match taken {
                Ok(Taken::More(text)) => return Step::Text(text),
                Ok(Taken::Known | Taken::Gap) if self.ended => return Step::End,
                Ok(Taken::Known | Taken::Gap) => {}
                Ok(Taken::Broken) => return Step::Cut(None),
                Err(problem) => return Step::Cut(problem),
            }
        }
    }

    /// Compares what was sent with the read side and with the draft.
    async fn look(&mut self) -> Result<Taken, Option<Problem>> {
        let awaited = &self.waiting.watched.awaited;
        let look = self.waiting.watched.look().await.map_err(|problem| Some(awaited.problem(problem)))?;
        match look {
            Look::Ended(Ending::Message(message, _)) => {
                self.ended = true;
                Ok(self.sent.finish(&message.content))
            }
            Look::Ended(Ending::Failed(reason)) => Err(Some(awaited.failure(reason))),
            Look::Ended(Ending::Gone) => Err(None),
            Look::Running(Some(reply)) if reply.attempt > self.sent.attempt && !self.sent.text.is_empty() => {
                Ok(Taken::Broken)
            }
            Look::Running(_) => {
                let draft = self.waiting.watched.api.side.drafts().get(&awaited.reply_id).await;
                match draft.map_err(|error| Some(awaited.problem(unread(&error))))? {
                    Some(draft) => Ok(self.sent.take(draft.attempt, 0, &draft.text)),
                    None => Ok(Taken::Known),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other_and_what_is_known_is_dropped() {
        let mut sent = Sent::default();
        assert_eq!(sent.take(1, 0, "Hel"), more("Hel"));
        assert_eq!(sent.take(1, 3, "lo"), more("lo"));
        assert_eq!(sent.take(1, 0, "Hello, w"), more(", w"));
        assert_eq!(sent.take(1, 2, "ll"), Taken::Known);
        assert_eq!(sent.take(1, 9, "x"), Taken::Gap);
        assert_eq!(sent.finish("Hello, world"), more("orld"));
        assert_eq!(sent.finish("Hello, world"), Taken::Known);
    }

    #[test]
    fn offsets_are_utf_16_units() {
        let mut sent = Sent::default();
        assert_eq!(sent.take(1, 0, "😀é"), more("😀é"));
        assert_eq!(sent.take(1, 3, "!"), more("!"));
        assert_eq!(sent.take(1, 2, "é!?"), more("?"));
    }

    #[test]
    fn another_attempt_replaces_nothing_that_was_sent() {
        let mut sent = Sent::default();
        assert_eq!(sent.take(1, 0, ""), Taken::Known);
        assert_eq!(sent.take(2, 0, "Two"), more("Two"));
        assert_eq!(sent.take(1, 0, "One and more"), Taken::Known);
        assert_eq!(sent.take(3, 0, "Three"), Taken::Broken);
        assert_eq!(sent.finish("Three"), Taken::Broken);
    }

    fn more(text: &str) -> Taken {
        Taken::More(text.to_owned())
    }
}
