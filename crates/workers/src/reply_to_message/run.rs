//! One reply's life in this process: claim, ask, stream, end; and again, when an attempt broke off.

use super::{
    Desk,
    beats::{Owned, SharedDraft, lock},
    claim::{Asked, Claim, claim, prepare},
    draft::Growing,
    end::{End, Written, failure},
    reading::Found,
    stream::{Attempt, Ended},
};
use crate::effects::Settled;
use advisor_commands::{ConversationRefusal, conversation::ATTEMPTS_MAX};
use advisor_eventlog::Position;
use advisor_events::conversation::ReplyFailure;
use advisor_projections::replies::ReplyRow;
use advisor_proof::{Mutant, Point, is_planted, reached};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a running reply listens to, and what it shows.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// The user wants no more of it.
    pub(crate) stop: CancellationToken,
    /// It is somebody else's now, or this process goes down.
    pub(crate) lost: CancellationToken,
    /// The last attempt that was claimed here, or is being claimed.
    pub(crate) attempt: Arc<AtomicU32>,
}

/// What became of a reply here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has its end: at this position, or before anybody here came to it.
    Ended(Option<Position>),
    /// It is left to the next look, here or elsewhere.
    Left,
    /// Something that is needed fails: it is left alone for a while.
    Failed,
}

/// What to begin with.
pub(crate) struct Job {
    pub(crate) reply: ReplyRow,
    pub(crate) claim: Claim,
}

/// Carries a reply to its end, if it can.
pub(crate) async fn run(desk: &Desk, job: Job, signals: &Signals) -> Outcome {
    let deadline = Instant::now() + desk.options.deadline;
    let Job { reply, claim } = job;
    let context = match desk.read.context(&reply).await {
        Ok(Found::Context(context)) => context,
        Ok(Found::NoAdvisor(origin)) => {
            let end = End { desk, reply: &reply, attempt: reply.attempt, origin };
            return outcome(&end.fail(ReplyFailure::AdvisorNotFound).await);
        }
        // The read side will show the end, or what it lacks now, when it has come so far.
        Ok(Found::Nothing) => return Outcome::Failed,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(reply.id = %reply.id, error, "a reply waits: what it needs can't be read");
            return Outcome::Failed;
        }
    };
    let running = Running { desk, signals, deadline, asked: prepare(desk, reply, &context) };
    let outcome = running.attempts(claim).await;
    running.leave_draft(outcome);
    outcome
}

struct Running<'a> {
    desk: &'a Desk,
    signals: &'a Signals,
    deadline: Instant,
    asked: Asked,
}

impl Running<'_> {
    async fn attempts(&self, mut next: Claim) -> Outcome {
        let mut counted = self.asked.reply.attempts_counted;
        let mut said_before = None;
        loop {
            // Noted before its row can be seen, so that it is not taken for somebody else's.
            let attempt = next.attempt;
            self.signals.attempt.store(attempt, Ordering::Relaxed);
            match (claim(self.desk, &self.asked, &next).await, said_before.take()) {
                (Settled::Done(_), _) => {}
                (Settled::Refused(_), _) if is_planted(Mutant::ClaimsIgnored) => {}
                // The user stopped it between two attempts: what the first one had said is what there is.
                (Settled::Refused(ConversationRefusal::StopRequested), Some((text, model))) => {
                    return self.stopped(attempt - 1, text, model).await;
                }
                (unclaimed, _) => return outcome(&unclaimed),
            }
            counted += u32::from(!next.after_release);
            let draft = self.draft(next);
            let (ended, model) = self.ask(attempt, &draft).await;
            let text = lock(&draft).text().to_owned();
            let error = match ended {
                Ended::Whole { finish_reason, usage } => {
                    let written = Written::new(text, model, usage, self.asked.prompt.tokens_estimate());
                    return self.settled(self.end(attempt).complete(written, finish_reason)).await;
                }
                Ended::Stopped => return self.stopped(attempt, text, model).await,
                Ended::Lost => return Outcome::Left,
                Ended::Broken(error) => error,
            };
            tracing::warn!(reply.id = %self.asked.reply.id, attempt, error = %error, "an attempt broke off");
            if self.signals.stop.is_cancelled() {
                return self.stopped(attempt, text, model).await;
            }
            // Before the first word everything has been tried already; after it, a new attempt begins anew.
            if text.is_empty() || counted >= ATTEMPTS_MAX || Instant::now() >= self.deadline {
                return self.settled(self.end(attempt).fail(failure(&error))).await;
            }
            said_before = Some((text, model));
            next = Claim::counted(attempt + 1);
        }
    }

    fn draft(&self, claim: Claim) -> SharedDraft {
        let draft = Arc::new(Mutex::new(Growing::new(self.desk.options.text_chars_max)));
        let owned = Owned {
            reply_id: self.asked.reply.id.clone(),
            conversation_id: self.asked.reply.conversation_id.clone(),
            attempt: claim.attempt,
            owner: claim.name,
        };
        self.desk.beats.begin(owned, Arc::clone(&draft), self.signals.lost.clone());
        draft
    }

    /// Asks the models and streams what the first one that speaks has to say; and tells which one that is.
    async fn ask(&self, attempt: u32, draft: &SharedDraft) -> (Ended, String) {
        reached(Point::BeforeModelCall);
        let question = self.desk.models.begin(&self.asked.prompt, &self.asked.chain, self.deadline);
        let answer = tokio::select! {
            biased;
            () = self.signals.lost.cancelled() => return (Ended::Lost, String::new()),
            () = self.signals.stop.cancelled() => return (Ended::Stopped, String::new()),
            answer = question => answer,
        };
        let begun = match answer {
            Ok(begun) => begun,
            Err(error) => return (Ended::Broken(error), String::new()),
        };
        let model = begun.model.clone();
        let streaming = Attempt {
            bus: Arc::clone(&self.desk.bus),
            reply_id: self.asked.reply.id.clone(),
            conversation_id: self.asked.reply.conversation_id.clone(),
            number: attempt,
            draft: Arc::clone(draft),
            stop: self.signals.stop.clone(),
            lost: self.signals.lost.clone(),
            deadline: self.deadline,
        };
        let ended = streaming.run(begun).await;
        reached(Point::AfterModelCall);
        (ended, model)
    }

    async fn stopped(&self, attempt: u32, text: String, model: String) -> Outcome {
        let prompt_tokens = self.asked.prompt.tokens_estimate();
        let written = (!model.is_empty()).then(|| Written::new(text, model, None, prompt_tokens));
        self.settled(self.end(attempt).stop(written)).await
    }

    fn end(&self, attempt: u32) -> End<'_> {
        End { desk: self.desk, reply: &self.asked.reply, attempt, origin: self.asked.origin.clone() }
    }

    /// An end that has not been settled when the reply is lost is left to whoever comes next: they will be
    /// refused if it was written.
    async fn settled(&self, end: impl Future<Output = Settled>) -> Outcome {
        match self.signals.lost.run_until_cancelled(end).await {
            Some(settled) => outcome(&settled),
            None => Outcome::Left,
        }
    }

    /// What the draft is for from now on: readers, until they see the end; or whoever takes over. A
    /// process that goes down still has to release it.
    fn leave_draft(&self, outcome: Outcome) {
        let reply_id = &self.asked.reply.id;
        match outcome {
            Outcome::Ended(_) => self.desk.beats.end(reply_id),
            Outcome::Left | Outcome::Failed if self.desk.abandon.is_cancelled() => {}
            Outcome::Left | Outcome::Failed => self.desk.beats.leave(reply_id),
        }
    }
}

/// What a settled command says about its reply.
pub(crate) fn outcome(settled: &Settled) -> Outcome {
    match settled {
        Settled::Done(position) => Outcome::Ended(Some(*position)),
        Settled::Refused(refusal) => match refusal {
            ConversationRefusal::NotFound
            | ConversationRefusal::ReplyNotFound
            | ConversationRefusal::MessageNotFound
            | ConversationRefusal::ReplyEnded => Outcome::Ended(None),
            ConversationRefusal::AlreadyStarted
            | ConversationRefusal::AlreadySent
            | ConversationRefusal::Full
            | ConversationRefusal::TooManyReplies
            | ConversationRefusal::SameReplyTwice
            | ConversationRefusal::NotAUserMessage
            | ConversationRefusal::NotYourAttempt
            | ConversationRefusal::AttemptsExhausted
            | ConversationRefusal::NotYet
            | ConversationRefusal::StopRequested
            | ConversationRefusal::StopNotRequested
            | ConversationRefusal::TitleTaken => Outcome::Left,
        },
        Settled::GivenUp => Outcome::Failed,
    }
}
