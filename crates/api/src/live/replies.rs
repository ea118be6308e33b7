//! The running replies of a stream's conversations: what is heard on the bus, what their drafts say, and
//! what of it the client was sent.

use super::{
    deltas::{Piece, ReplyText},
    moves::ReplyNews,
};
use advisor_bus::{Bus, BusMessage, Delta, Topic};
use advisor_events::{ConversationId, ReplyId, Timestamp};
use advisor_projections::{Draft, Drafts, StoreError};
use futures::{StreamExt, stream::BoxStream};
use serde::Serialize;
use std::{future::pending, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_stream::StreamMap;

/// How often a running reply is compared with its draft.
pub const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// How soon a draft is read again that has to reach what was heard already.
pub const READ_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The running replies of one stream.
#[derive(Default)]
pub(crate) struct RunningReplies {
    running: Vec<Running>,
    listeners: StreamMap<ReplyId, BoxStream<'static, Option<BusMessage>>>,
}

struct Running {
    reply_id: ReplyId,
    conversation_id: ConversationId,
    text: ReplyText,
    read_at: Instant,
}

/// What happened to the text of a reply.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A delta came.
    Delta(Arc<Delta>),
    /// Deltas of this reply were lost.
    Lost(ReplyId),
    /// A draft has to be read.
    DraftDue,
}

/// A piece of a running reply's text, as clients get it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeltaEvent<'a> {
    reply_id: &'a ReplyId,
    conversation_id: &'a ConversationId,
    attempt: u32,
    offset: u64,
    text: &'a str,
}

impl RunningReplies {
    /// What the client was sent of a reply, as the draft that it is a part of.
    pub(crate) fn text_of(&self, reply_id: &ReplyId) -> Option<Draft> {
        let running = self.running.iter().find(|running| running.reply_id == *reply_id)?;
        let (attempt, text) = running.text.said();
        Some(Draft {
            reply_id: reply_id.clone(),
            conversation_id: running.conversation_id.clone(),
            attempt,
            text: text.to_owned(),
            beat: 0,
            owner: String::new(),
            released: false,
            updated_at: Timestamp(0),
        })
    }

    /// Follows replies that run now, and no longer those that have ended.
    pub(crate) async fn take(&mut self, bus: &dyn Bus, news: Vec<ReplyNews>) {
        for news in news {
            match news {
                ReplyNews::Ended(reply_id) => self.forget(|running| running.reply_id == reply_id),
                ReplyNews::Runs(conversation_id, reply_id, attempt) => {
                    match self.running.iter_mut().find(|running| running.reply_id == reply_id) {
                        Some(running) => {
                            running.text.reaches(attempt);
                            running.schedule(Instant::now());
                        }
                        None => self.join(bus, conversation_id, reply_id, attempt).await,
                    }
                }
                ReplyNews::Whole(conversation_id, replies) => {
                    self.forget(|running| running.conversation_id == conversation_id);
                    for (reply_id, attempt) in replies {
                        self.join(bus, conversation_id.clone(), reply_id, attempt).await;
                    }
                }
            }
        }
    }

    /// Listens first; the draft is read after that. Without the bus the draft alone tells, once a second.
    async fn join(&mut self, bus: &dyn Bus, conversation_id: ConversationId, reply_id: ReplyId, attempt: u32) {
        match bus.listen(&Topic::Reply(reply_id.clone())).await {
            Ok(listener) => {
                let messages = futures::stream::unfold(listener, async |mut listener| {
                    let message = listener.next().await;
                    Some((message, listener))
                });
                self.listeners.insert(reply_id.clone(), messages.boxed());
            }
            Err(error) => tracing::warn!(bus.error = %error, "the deltas of a reply are not heard"),
        }
        self.running.push(Running {
            reply_id,
            conversation_id,
            text: ReplyText::new(attempt),
            read_at: Instant::now(),
        });
    }

    /// Follows the replies of a conversation no longer.
    pub(crate) fn leave(&mut self, conversation_id: &ConversationId) {
        self.forget(|running| running.conversation_id == *conversation_id);
    }

    fn forget(&mut self, ended: impl Fn(&Running) -> bool) {
        for running in self.running.iter().filter(|running| ended(running)) {
            self.listeners.remove(&running.reply_id);
        }
        self.running.retain(|running| !ended(running));
    }

    /// Waits until something happens to one of the texts. Nothing is lost when the wait is given up.
    pub(crate) async fn wait(&mut self) -> Heard {
        let Some(due) = self.running.iter().map(|running| running.read_at).min() else { return pending().await };
        if self.listeners.is_empty() {
            tokio::time::sleep_until(due).await;
            return Heard::DraftDue;
        }
        tokio::select! {
            biased;
            Some((reply_id, message)) = self.listeners.next() => match message {
                Some(BusMessage::Delta(delta)) => Heard::Delta(delta),
                Some(BusMessage::Appended(_) | BusMessage::Changes(_)) | None => Heard::Lost(reply_id),
            },
            () = tokio::time::sleep_until(due) => Heard::DraftDue,
        }
    }

    /// What was heard; `send` is called with what the client does not have yet.
    pub(crate) fn hear(&mut self, delta: &Arc<Delta>, send: &mut impl FnMut(DeltaEvent<'_>)) {
        let Some(running) = self.running.iter_mut().find(|running| running.reply_id == delta.reply_id) else { return };
        let waited = running.text.needs_draft();
        if let Some(piece) = running.text.hear(delta) {
            running.send(&piece, send);
        }
        if !waited {
            running.schedule(Instant::now());
        }
    }

    /// What was lost stands in the draft.
    pub(crate) fn lost(&mut self, reply_id: &ReplyId) {
        if let Some(running) = self.running.iter_mut().find(|running| running.reply_id == *reply_id) {
            running.read_at = Instant::now();
        }
    }

    /// Reads the drafts that are due.
    pub(crate) async fn read_drafts(
        &mut self,
        drafts: &Drafts,
        send: &mut impl FnMut(DeltaEvent<'_>),
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let due: Vec<ReplyId> = self
            .running
            .iter()
            .filter(|running| running.read_at <= now)
            .map(|running| running.reply_id.clone())
            .collect();
        // A store that is away is asked again, and not at once.
        for running in self.running.iter_mut().filter(|running| running.read_at <= now) {
            running.read_at = now + COMPARE_EVERY;
        }
        if due.is_empty() {
            return Ok(());
        }
        let found = drafts.get_many(&due).await?;
        for running in self.running.iter_mut().filter(|running| due.contains(&running.reply_id)) {
            let draft = found.iter().find(|draft| draft.reply_id == running.reply_id);
            let pieces = running.text.read(draft.map(|draft| (draft.attempt, draft.text.as_str())));
            for piece in &pieces {
                running.send(piece, send);
            }
            running.schedule(now + READ_AGAIN_AFTER);
        }
        Ok(())
    }
}

impl Running {
    /// The draft is wanted at `soonest`, if it has to be read before anything more can be sent.
    fn schedule(&mut self, soonest: Instant) {
        if self.text.needs_draft() {
            self.read_at = self.read_at.min(soonest);
        }
    }

    fn send(&self, piece: &Piece, send: &mut impl FnMut(DeltaEvent<'_>)) {
        send(DeltaEvent {
            reply_id: &self.reply_id,
            conversation_id: &self.conversation_id,
            attempt: piece.attempt,
            offset: piece.offset,
            text: &piece.text,
        });
    }
}
