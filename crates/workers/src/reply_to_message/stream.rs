//! One attempt at a reply, from its first word to its end: the model's pieces become deltas and a draft.

use super::beats::{SharedDraft, lock};
use crate::{
    model::{ModelError, ModelEvent},
    tiers::Begun,
};
use advisor_bus::{Bus, BusMessage, Delta, Topic};
use advisor_events::{ConversationId, ReplyId, conversation::Usage};
use advisor_proof::{Mutant, is_planted};
use futures::StreamExt;
use std::{ops::ControlFlow, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Time over which text is gathered into one delta.
pub const COALESCE: Duration = Duration::from_millis(30);

/// What an attempt speaks through, and what it listens to.
pub(crate) struct Attempt {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) reply_id: ReplyId,
    pub(crate) conversation_id: ConversationId,
    pub(crate) number: u32,
    pub(crate) draft: SharedDraft,
    /// The user wants no more of it.
    pub(crate) stop: CancellationToken,
    /// The reply is somebody else's now, or this process goes down.
    pub(crate) lost: CancellationToken,
    pub(crate) deadline: Instant,
}

/// How an attempt ended. The text is in the draft.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The model said that it was finished.
    Whole {
        /// Why it ended.
        finish_reason: String,
        /// Tokens it took, if it said so.
        usage: Option<Usage>,
    },
    /// The model broke off.
    Broken(ModelError),
    /// A stop was asked for.
    Stopped,
    /// Nothing may be said any more.
    Lost,
}

impl Attempt {
    /// Tells what the model says until it ends. The provider's connection is closed before this returns,
    /// and everything in the draft has been told.
    pub(crate) async fn run(&self, begun: Begun) -> Ended {
        let ended = self.listen(begun).await;
        self.tell().await;
        ended
    }

    async fn listen(&self, begun: Begun) -> Ended {
        let mut events = begun.events;
        let mut usage = None;
        let mut tell_at = None;
        loop {
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return Ended::Lost,
                () = self.stop.cancelled() => return Ended::Stopped,
                () = sleep_until(self.deadline) => return Ended::Broken(ModelError::TimedOut("it took too long")),
                () = at(tell_at), if tell_at.is_some() => {
                    tell_at = None;
                    self.tell().await;
                }
                event = events.next() => match event {
                    Some(Ok(ModelEvent::Text(text))) => {
                        if let ControlFlow::Break(()) = lock(&self.draft).push(&text) {
                            return Ended::Whole { finish_reason: "length".to_owned(), usage };
                        }
                        tell_at = tell_at.or_else(|| Some(Instant::now() + COALESCE));
                    }
                    Some(Ok(ModelEvent::Usage(told))) => usage = Some(told),
                    Some(Ok(ModelEvent::Finished { reason })) => return self.finished(reason, usage),
                    Some(Err(error)) => return Ended::Broken(error),
                    None => return Ended::Broken(ModelError::Broken("it was cut off")),
                },
            }
        }
    }

    fn finished(&self, finish_reason: String, usage: Option<Usage>) -> Ended {
        if lock(&self.draft).text().trim().is_empty() {
            Ended::Broken(ModelError::Empty)
        } else {
            Ended::Whole { finish_reason, usage }
        }
    }

    /// Says what has not been said yet. Nothing depends on being heard.
    async fn tell(&self) {
        loop {
            let Some(piece) = lock(&self.draft).take_piece() else { return };
            let delta = Delta {
                reply_id: self.reply_id.clone(),
                conversation_id: self.conversation_id.clone(),
                attempt: self.number,
                offset: piece.offset,
                text: if is_planted(Mutant::PiecesGarbled) { piece.text.to_uppercase() } else { piece.text },
            };
            let message = BusMessage::Delta(Arc::new(delta));
            if let Err(error) = self.bus.publish(&Topic::Reply(self.reply_id.clone()), message).await {
                tracing::warn!(reply.id = %self.reply_id, error = %error, "a delta was not told");
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::ModelStream, reply_to_message::draft::Growing};
    use advisor_bus::InProcessBus;
    use futures::{FutureExt, stream};
    use std::sync::Mutex;

    #[tokio::test(start_paused = true)]
    async fn deltas_are_coalesced_and_put_together_are_the_final_text() {
        let mut desk = Desk::open(1_000).await;
        let words: Vec<String> = (0..100).map(|n| format!("wörd {n} 👋 ")).collect();
        let script = words.iter().map(|word| (10, Ok(text(word)))).chain([(10, Ok(finished()))]).collect();

        let ended = desk.attempt.run(begun(script)).await;

        assert_eq!(ended, Ended::Whole { finish_reason: "stop".into(), usage: None });
        let (deltas, heard) = desk.heard();
        assert_eq!(heard, lock(&desk.attempt.draft).text());
        assert!((20..=60).contains(&deltas), "1 s of words, {deltas} deltas");
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_word_is_told_within_50_ms() {
        let mut desk = Desk::open(1_000).await;
        let attempt = desk.attempt.run(begun(vec![(0, Ok(text("Hello"))), (10_000, Ok(finished()))]));
        let began = Instant::now();
        tokio::select! {
            _ = attempt => unreachable!("the model is slow"),
            message = desk.listener.next() => assert!(matches!(message, Some(BusMessage::Delta(_)))),
        }
        assert!(began.elapsed() <= Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_closes_the_call_and_keeps_the_text_so_far() {
        let mut desk = Desk::open(1_000).await;
        let (dropped, script) = watched_script();
        let attempt = desk.attempt.run(Begun { model: "m".into(), events: script });
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            desk.attempt.stop.cancel();
        };
        let (ended, ()) = futures::join!(attempt, stop);
        assert_eq!(ended, Ended::Stopped);
        assert!(dropped.is_cancelled(), "the provider's connection is closed");
        assert_eq!(desk.heard().1, "Hello");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_is_dropped() {
        let desk = Desk::open(1_000).await;
        desk.attempt.lost.cancel();
        let (dropped, script) = watched_script();
        assert_eq!(desk.attempt.run(Begun { model: "m".into(), events: script }).await, Ended::Lost);
        assert!(dropped.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn what_breaks_off_is_told_up_to_there() {
        for (last, error) in [
            (Some(Err(ModelError::TimedOut("x"))), ModelError::TimedOut("x")),
            (None, ModelError::Broken("it was cut off")),
        ] {
            let mut desk = Desk::open(1_000).await;
            let script = [Some(Ok(text("Hel"))), last].into_iter().flatten().map(|event| (0, event)).collect();
            assert_eq!(desk.attempt.run(begun(script)).await, Ended::Broken(error));
            assert_eq!(desk.heard().1, "Hel");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_text_is_cut_at_its_limit_and_an_endless_call_at_its_deadline() {
        let mut desk = Desk::open(10).await;
        let script = (0..100).map(|_| (0, Ok(text("abc")))).collect();
        assert_eq!(desk.attempt.run(begun(script)).await, Ended::Whole { finish_reason: "length".into(), usage: None });
        assert_eq!(desk.heard().1, "abcabcabca");

        let desk = Desk::open(1_000_000).await;
        let script = (0..10_000).map(|_| (100, Ok(text("la ")))).collect();
        assert_eq!(desk.attempt.run(begun(script)).await, Ended::Broken(ModelError::TimedOut("it took too long")));
    }

    #[tokio::test(start_paused = true)]
    async fn white_space_alone_is_no_answer() {
        let desk = Desk::open(1_000).await;
        let script = vec![(0, Ok(text(" \n"))), (0, Ok(finished()))];
        assert_eq!(desk.attempt.run(begun(script)).await, Ended::Broken(ModelError::Empty));
    }

    struct Desk {
        attempt: Attempt,
        listener: Box<dyn advisor_bus::Listener>,
    }

    impl Desk {
        async fn open(chars_max: usize) -> Self {
            let bus = Arc::new(InProcessBus::new());
            let reply_id = ReplyId::from("r");
            let listener = bus.listen(&Topic::Reply(reply_id.clone())).await.unwrap();
            let attempt = Attempt {
                bus,
                reply_id,
                conversation_id: ConversationId::from("c"),
                number: 1,
                draft: Arc::new(Mutex::new(Growing::new(chars_max))),
                stop: CancellationToken::new(),
                lost: CancellationToken::new(),
                deadline: Instant::now() + Duration::from_mins(2),
            };
            Self { attempt, listener }
        }

        /// How many deltas were heard, and what they say together.
        fn heard(&mut self) -> (usize, String) {
            let (mut count, mut units) = (0, Vec::new());
            while let Some(Some(BusMessage::Delta(delta))) = self.listener.next().now_or_never() {
                assert_eq!(usize::try_from(delta.offset).unwrap(), units.len());
                assert_eq!(delta.attempt, 1);
                units.extend(delta.text.encode_utf16());
                count += 1;
            }
            (count, String::from_utf16(&units).unwrap())
        }
    }

    fn begun(script: Vec<(u64, Result<ModelEvent, ModelError>)>) -> Begun {
        let events = stream::iter(script).then(|(pause, event)| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            event
        });
        Begun { model: "m".into(), events: events.boxed() }
    }

    /// Says a word and then nothing; the token is cancelled when the stream is dropped.
    fn watched_script() -> (CancellationToken, ModelStream) {
        let dropped = CancellationToken::new();
        let guard = dropped.clone().drop_guard();
        let silence = stream::once(async move {
            let _guard = guard;
            std::future::pending().await
        });
        (dropped, stream::iter([Ok(text("Hello"))]).chain(silence).boxed())
    }

    fn text(text: &str) -> ModelEvent {
        ModelEvent::Text(text.to_owned())
    }

    fn finished() -> ModelEvent {
        ModelEvent::Finished { reason: "stop".to_owned() }
    }
}
