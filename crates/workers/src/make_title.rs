//! Titles for conversations that have none of their own yet, made from their first messages.
//!
//! Started only while the read side is caught up, so that a rebuild or a long absence makes no titles
//! twice. A call may double after a crash; the rules let one title through, and none over one that the
//! user has set. What fails is tried a few times, then left alone for long.

use crate::{
    Deps,
    bell::Bell,
    effects::{Effect, Effects, Origin, Settled},
    model::{ModelError, ModelEvent},
    prompt::{Prompt, title},
    tiers::Models,
};
use advisor_commands::{ConversationCommand, ConversationRefusal};
use advisor_events::{ConversationId, StreamName, UserId};
use futures::{FutureExt, StreamExt};
use reading::ReadSide;
use serde_json::json;
use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) mod reading;

/// This worker's name, as events tell it.
pub const NAME: &str = "make_title";

/// How long the command is repeated.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Most characters of an answer that are read.
pub const ANSWER_CHARS_MAX: usize = 1_000;

/// How titles are made.
#[derive(Clone, Copy, Debug)]
pub struct TitleOptions {
    /// Most titles that are made at the same time.
    pub parallel_max: usize,
    /// Time between two looks when the bus does not ring.
    pub look: Duration,
    /// Most time for one title.
    pub deadline: Duration,
    /// Times that a conversation's title is tried.
    pub tries_max: u32,
    /// Pause after the first try; it doubles with each.
    pub pause: Duration,
    /// How long a conversation is left alone after the last try.
    pub rest: Duration,
}

impl Default for TitleOptions {
    fn default() -> Self {
        Self {
            parallel_max: 4,
            look: Duration::from_secs(1),
            deadline: Duration::from_mins(1),
            tries_max: 3,
            pause: Duration::from_secs(5),
            rest: Duration::from_hours(1),
        }
    }
}

/// A conversation that wants a title.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Untitled {
    conversation_id: ConversationId,
    user_id: UserId,
}

/// What a try has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    /// There is a title, or there will be none from here.
    Settled,
    /// Another try may help.
    Failed,
}

/// Makes titles until `shutdown`.
pub(crate) async fn run(deps: Deps, options: TitleOptions, tracker: TaskTracker, shutdown: CancellationToken) {
    let desk = Arc::new(Desk {
        options,
        read: ReadSide::new(&deps),
        models: Arc::clone(&deps.models),
        effects: Effects { commands: Arc::clone(&deps.commands), clock: Arc::clone(&deps.clock), worker: NAME },
    });
    let mut bell = Bell::new(Arc::clone(&deps.bus), &["conversations"], options.look);
    let (report, mut reports) = mpsc::channel(options.parallel_max.max(1));
    let mut tried = Tried::default();
    while !shutdown.is_cancelled() {
        bell.listen().await;
        for untitled in desk.look(&mut tried).await {
            let (desk, report, shutdown) = (Arc::clone(&desk), report.clone(), shutdown.clone());
            tracker.spawn(async move {
                let making = AssertUnwindSafe(desk.make(&untitled)).catch_unwind();
                let made = match shutdown.run_until_cancelled(making).await {
                    Some(Ok(made)) => made,
                    Some(Err(_)) => {
                        tracing::error!("a title has panicked");
                        Try::Failed
                    }
                    None => Try::Failed,
                };
                // Nobody listens any more only when this process goes down.
                report.send((untitled.conversation_id, made)).await.ok();
            });
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = bell.rung() => {}
            Some((conversation_id, made)) = reports.recv() => tried.note(&conversation_id, made, options),
        }
    }
}

struct Desk {
    options: TitleOptions,
    read: ReadSide,
    models: Arc<Models>,
    effects: Effects,
}

impl Desk {
    async fn look(&self, tried: &mut Tried) -> Vec<Untitled> {
        match self.read.untitled().await {
            Ok(untitled) => tried.choose(untitled, self.options),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the conversations without a title can't be read");
                Vec::new()
            }
        }
    }

    async fn make(&self, untitled: &Untitled) -> Try {
        let (plan, messages) = match self.read.beginning(untitled).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a conversation's beginning can't be read");
                return Try::Failed;
            }
        };
        let answer = match self.ask(&title::compose(&messages), &plan).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(conversation.id = %untitled.conversation_id, error = %error, "no title was made");
                return Try::Failed;
            }
        };
        match title::sanitize(&answer) {
            Some(title) => self.give(&untitled.conversation_id, title).await,
            None => Try::Failed,
        }
    }

    async fn ask(&self, prompt: &Prompt, plan: &str) -> Result<String, ModelError> {
        let deadline = Instant::now() + self.options.deadline;
        let mut events = self.models.begin(prompt, &self.models.chain(plan, None), deadline).await?.events;
        let mut answer = String::new();
        loop {
            let event =
                timeout_at(deadline, events.next()).await.map_err(|_| ModelError::TimedOut("it took too long"))?;
            match event.ok_or(ModelError::Broken("it was cut off"))?? {
                ModelEvent::Text(text) if answer.len() < ANSWER_CHARS_MAX => answer.push_str(&text),
                ModelEvent::Text(_) | ModelEvent::Finished { .. } => return Ok(answer),
                ModelEvent::Usage(_) => {}
            }
        }
    }

    async fn give(&self, conversation_id: &ConversationId, title: String) -> Try {
        let effect = Effect {
            stream: StreamName::conversation(conversation_id),
            body: json!({"name": "MakeTitle", "conversationId": conversation_id}),
            command_id: format!("title-{conversation_id}"),
            origin: Origin::default(),
            command: ConversationCommand::MakeTitle { title },
        };
        match self.effects.settle(effect, PATIENCE).await {
            Settled::Done(_) => Try::Settled,
            Settled::Refused(refusal) => {
                if refusal != ConversationRefusal::TitleTaken && refusal != ConversationRefusal::NotFound {
                    tracing::error!(conversation.id = %conversation_id, refusal = %refusal, "a title was refused");
                }
                Try::Settled
            }
            Settled::GivenUp => Try::Failed,
        }
    }
}

/// What has been tried by this process.
#[derive(Default)]
struct Tried(HashMap<ConversationId, Tries>);

struct Tries {
    count: u32,
    state: State,
}

enum State {
    Running,
    /// Left alone until then.
    Resting(Instant),
    /// Nothing more to do: the read side will show the title.
    Settled,
}

impl Tried {
    /// Which of them to try now; they count as running from now on. What wants no title any more is forgotten.
    fn choose(&mut self, untitled: Vec<Untitled>, options: TitleOptions) -> Vec<Untitled> {
        let wanting: HashSet<&ConversationId> = untitled.iter().map(|one| &one.conversation_id).collect();
        self.0.retain(|conversation_id, tries| {
            matches!(tries.state, State::Running) || wanting.contains(conversation_id)
        });
        let running = self.0.values().filter(|tries| matches!(tries.state, State::Running)).count();
        let room = options.parallel_max.saturating_sub(running);
        let now = Instant::now();
        let may_be_tried = |one: &Untitled| match self.0.get(&one.conversation_id).map(|tries| &tries.state) {
            None => true,
            Some(State::Running | State::Settled) => false,
            Some(State::Resting(until)) => now >= *until,
        };
        let chosen: Vec<Untitled> = untitled.into_iter().filter(may_be_tried).take(room).collect();
        for one in &chosen {
            let tries = self.0.entry(one.conversation_id.clone()).or_insert(Tries { count: 0, state: State::Running });
            tries.count += 1;
            tries.state = State::Running;
        }
        chosen
    }

    fn note(&mut self, conversation_id: &ConversationId, made: Try, options: TitleOptions) {
        let Some(tries) = self.0.get_mut(conversation_id) else { return };
        tries.state = match made {
            Try::Settled => State::Settled,
            Try::Failed if tries.count >= options.tries_max => {
                tries.count = 0;
                State::Resting(Instant::now() + options.rest)
            }
            Try::Failed => State::Resting(Instant::now() + options.pause * 2_u32.saturating_pow(tries.count - 1)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_three_times_with_longer_pauses_and_then_left_alone_for_an_hour() {
        let (mut tried, options) = (Tried::default(), TitleOptions::default());
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let began = Instant::now();
            while tried.choose(vec![untitled("c")], options).is_empty() {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            pauses.push(began.elapsed().as_secs());
            assert!(tried.choose(vec![untitled("c")], options).is_empty(), "it runs");
            tried.note(&"c".into(), Try::Failed, options);
        }
        assert_eq!(pauses, [0, 5, 10, 3_600]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_title_is_not_tried_again_before_readers_see_it() {
        let (mut tried, options) = (Tried::default(), TitleOptions::default());
        assert_eq!(tried.choose(vec![untitled("c")], options).len(), 1);
        tried.note(&"c".into(), Try::Settled, options);
        assert!(tried.choose(vec![untitled("c")], options).is_empty());
        assert!(tried.choose(Vec::new(), options).is_empty());
        assert!(tried.0.is_empty(), "what wants no title any more is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_made_at_the_same_time() {
        let (mut tried, options) = (Tried::default(), TitleOptions::default());
        let all: Vec<_> = (0..9).map(|n| untitled(&n.to_string())).collect();
        assert_eq!(tried.choose(all.clone(), options).len(), 4);
        assert_eq!(tried.choose(all.clone(), options).len(), 0);
        tried.note(&"0".into(), Try::Settled, options);
        assert_eq!(tried.choose(all, options), [untitled("4")]);
    }

    fn untitled(conversation_id: &str) -> Untitled {
        Untitled { conversation_id: conversation_id.into(), user_id: "u".into() }
    }
}
