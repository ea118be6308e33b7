//! One look at the open replies: what runs here, what has ended, what to begin, what to take over.

use super::{
    Desk, TakeOver,
    claim::Claim,
    run::{Job, Outcome, Signals},
    sightings::Sightings,
    verdict::{Owner, Queue, Verdict, is_released, verdict},
};
use advisor_eventlog::Position;
use advisor_events::{ConversationId, MessageId, ReplyId};
use advisor_projections::{Draft, replies::ReplyRow};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::Ordering,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First rest of a reply that can't be carried out; it doubles up to [`REST_MAX`].
const REST: Duration = Duration::from_secs(1);
/// The longest such rest.
pub const REST_MAX: Duration = Duration::from_secs(30);
/// Rest of a reply that somebody else was faster with.
const REST_LEFT: Duration = Duration::from_millis(100);

/// What this process knows of replies between two looks.
#[derive(Default)]
pub(crate) struct Known {
    /// In their order, so that what goes out to several of them goes out the same way every time.
    own: BTreeMap<ReplyId, Own>,
    sightings: Sightings,
    resting: HashMap<ReplyId, Rest>,
}

/// A reply that this process has taken on.
enum Own {
    Runs(Signals),
    /// It has ended, at this position if that is known; readers may not see it yet.
    Ended(Option<Position>),
}

struct Rest {
    until: Instant,
    next: Duration,
}

/// What a look leads to.
pub(crate) enum Task {
    /// Run a reply.
    Run(Job, Signals),
    /// End a reply that was stopped, with its draft's text.
    EndStopped(ReplyRow, String),
    /// End a reply that has died too often.
    Exhausted(ReplyRow),
}

impl Task {
    pub(crate) fn reply_id(&self) -> &ReplyId {
        match self {
            Self::Run(job, _) => &job.reply.id,
            Self::EndStopped(reply, _) | Self::Exhausted(reply) => &reply.id,
        }
    }
}

impl Known {
    /// Looks; gives at most `room` tasks, which count as taken on from now on.
    pub(crate) async fn look(&mut self, desk: &Desk, room: usize) -> Vec<Task> {
        let seen = match desk.read.open_replies().await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the open replies can't be read");
                return Vec::new();
            }
        };
        let open: HashSet<&ReplyId> = seen.replies.iter().map(|reply| &reply.id).collect();
        if seen.is_whole {
            self.stop_ended(&open);
            self.forget(desk, seen.position, &open).await;
        }
        self.signal(&seen.replies);
        let others: Vec<&ReplyRow> =
            seen.replies.iter().filter(|reply| !self.own.contains_key(&reply.id) && !self.rests(&reply.id)).collect();
        let begun: Vec<ReplyId> =
            others.iter().filter(|reply| reply.attempt > 0).map(|reply| reply.id.clone()).collect();
        let drafts = match desk.beats.find(&begun).await {
            Ok(drafts) => drafts,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "others' drafts can't be read");
                return Vec::new();
            }
        };
        let first = first_messages(&seen.replies);
        let mut tasks = Vec::new();
        for reply in others {
            if tasks.len() == room {
                break;
            }
            let draft = drafts.get(&reply.id);
            let owner = self.owner(desk, reply, draft);
            let is_first = first.get(&reply.conversation_id) == Some(&&reply.message_id);
            let queue = if is_first { Queue::First } else { Queue::Behind };
            tasks.extend(self.take_on(desk, reply, verdict(reply, owner, queue), draft));
        }
        tasks
    }

    /// Notes what became of a task.
    pub(crate) fn note(&mut self, reply_id: ReplyId, outcome: Outcome) {
        match outcome {
            Outcome::Ended(position) => {
                self.own.insert(reply_id, Own::Ended(position));
            }
            // What was seen was not new enough: soon it will be.
            Outcome::Left => {
                self.own.remove(&reply_id);
                let until = Instant::now() + REST_LEFT;
                self.resting.entry(reply_id).or_insert(Rest { until, next: REST }).until = until;
            }
            Outcome::Failed => {
                self.own.remove(&reply_id);
                let pause = self.resting.get(&reply_id).map_or(REST, |rest| rest.next);
                let rest = Rest { until: Instant::now() + pause, next: (pause * 2).min(REST_MAX) };
                self.resting.insert(reply_id, rest);
            }
        }
    }

    /// How many replies run here.
    pub(crate) fn running(&self) -> usize {
        self.own.values().filter(|own| matches!(own, Own::Runs(_))).count()
    }

    /// Ended replies that readers see no more in their list of open ones: their drafts have served.
    async fn forget(&mut self, desk: &Desk, position: Position, open: &HashSet<&ReplyId>) {
        self.sightings.keep_only(|reply_id| open.contains(reply_id));
        self.resting.retain(|reply_id, _| open.contains(reply_id));
        let seen = |reply_id: &ReplyId, own: &Own| match own {
            Own::Runs(_) => false,
            Own::Ended(end) => !open.contains(reply_id) && end.is_none_or(|end| position >= end),
        };
        let forgotten: Vec<ReplyId> = self
            .own
            .iter()
            .filter(|(reply_id, own)| seen(reply_id, own))
            .map(|(reply_id, _)| reply_id.clone())
            .collect();
        match desk.beats.forget(&forgotten).await {
            Ok(()) => self.own.retain(|reply_id, _| !forgotten.contains(reply_id)),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "drafts could not be removed"),
        }
    }

    /// A reply that runs here and has no row any more has ended without us, with its message or its conversation: its
    /// call to the model ends too, and the rules refuse whatever it still wants to say.
    fn stop_ended(&self, open: &HashSet<&ReplyId>) {
        for (reply_id, own) in &self.own {
            if let Own::Runs(signals) = own
                && !open.contains(reply_id)
            {
                signals.stop.cancel();
            }
        }
    }

    /// Tells the replies that run here what their rows say.
    fn signal(&self, replies: &[ReplyRow]) {
        for reply in replies {
            let Some(Own::Runs(signals)) = self.own.get(&reply.id) else { continue };
            if reply.stop_requested {
                signals.stop.cancel();
            }
            if reply.attempt > signals.attempt.load(Ordering::Relaxed) {
                // Our own claims are noted before their rows can be seen, so this one is somebody else's.
                signals.lost.cancel();
            }
        }
    }

    fn rests(&self, reply_id: &ReplyId) -> bool {
        self.resting.get(reply_id).is_some_and(|rest| Instant::now() < rest.until)
    }

    fn owner(&mut self, desk: &Desk, reply: &ReplyRow, draft: Option<&Draft>) -> Owner {
        if is_released(reply, draft) {
            return Owner::Released;
        }
        match desk.options.take_over {
            TakeOver::AtOnce => Owner::Dead,
            TakeOver::AfterSilence(silence) => {
                // No draft, or one of an older attempt: its owner has not had the time to write.
                let beat = draft.filter(|draft| draft.attempt == reply.attempt).map_or(0, |draft| draft.beat);
                let silent = self.sightings.unchanged_for(&reply.id, (reply.attempt, beat)) >= silence;
                if silent { Owner::Dead } else { Owner::Alive }
            }
        }
    }

    fn take_on(&mut self, desk: &Desk, reply: &ReplyRow, verdict: Verdict, draft: Option<&Draft>) -> Option<Task> {
        let signals = Signals {
            stop: CancellationToken::new(),
            lost: desk.abandon.child_token(),
            attempt: std::sync::Arc::new(reply.attempt.into()),
        };
        let task = match verdict {
            Verdict::Leave => return None,
            Verdict::Begin(attempt) => {
                Task::Run(Job { reply: reply.clone(), claim: Claim::counted(attempt) }, signals.clone())
            }
            Verdict::BeginReleased(attempt) => {
                Task::Run(Job { reply: reply.clone(), claim: Claim::after_release(attempt) }, signals.clone())
            }
            Verdict::EndStopped => {
                let text = draft.filter(|draft| draft.attempt == reply.attempt).map(|draft| draft.text.clone());
                Task::EndStopped(reply.clone(), text.unwrap_or_default())
            }
            Verdict::Exhausted => Task::Exhausted(reply.clone()),
        };
        self.own.insert(reply.id.clone(), Own::Runs(signals));
        Some(task)
    }
}

/// The earliest message of each conversation that has open replies; rows come in the order of their messages.
fn first_messages(replies: &[ReplyRow]) -> HashMap<&ConversationId, &MessageId> {
    let mut first = HashMap::new();
    for reply in replies {
        first.entry(&reply.conversation_id).or_insert(&reply.message_id);
    }
    first
}
