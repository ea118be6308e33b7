//! Takes a command to its stream: load, fold, decide, append at the exact revision.

pub(crate) mod append;
mod context;
mod erasure;
pub(crate) mod fold;
mod identity;
mod outcome;
#[cfg(test)]
mod tests;
mod turns;

pub use context::CommandContext;
pub use outcome::{CommandError, Outcome};

use crate::{
    Advisor, Conversation, Decider, User,
    recent_commands::{Done, Mark},
};
use advisor_eventlog::{Appended, EventLog, Position};
use advisor_events::{KeyStore, SealContext, StreamName};
use append::Written;
use fold::{Fold, Incomplete, Last, Standing, decode, own, read};
use identity::{Identity, Person};
use std::{sync::Arc, time::Duration};
use turns::Turns;

/// The handler's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlerLimits {
    /// How long a command waits for another one on the same stream.
    pub wait: Duration,
    /// How often a command that lost a race is decided again.
    pub conflicts_max: u32,
    /// How long an append with an unknown outcome is repeated.
    pub repeat: Duration,
    /// Most streams whose folds are kept.
    pub cached_streams_max: usize,
    /// Most events in the folds that are kept: what bounds their memory, at about 200 bytes an event.
    pub cached_events_max: usize,
}

impl Default for HandlerLimits {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(2),
            conflicts_max: 5,
            repeat: Duration::from_secs(5),
            cached_streams_max: 10_000,
            cached_events_max: 250_000,
        }
    }
}

/// The handlers of all aggregates.
pub struct Commands {
    /// Of persons' accounts.
    pub users: Handler<User>,
    /// Of advisors.
    pub advisors: Handler<Advisor>,
    /// Of conversations.
    pub conversations: Handler<Conversation>,
    keys: Arc<dyn KeyStore>,
}

impl Commands {
    /// Handlers over one log and one key store.
    pub fn new(log: &Arc<dyn EventLog>, keys: &Arc<dyn KeyStore>, limits: HandlerLimits) -> Self {
        Self {
            users: Handler::new(Arc::clone(log), Arc::clone(keys), limits),
            advisors: Handler::new(Arc::clone(log), Arc::clone(keys), limits),
            conversations: Handler::new(Arc::clone(log), Arc::clone(keys), limits),
            keys: Arc::clone(keys),
        }
    }
}

/// Carries out the commands of one aggregate.
pub struct Handler<D: Decider> {
    log: Arc<dyn EventLog>,
    keys: Arc<dyn KeyStore>,
    limits: HandlerLimits,
    turns: Turns<D>,
}

/// A command on its way through the handler.
struct Asked<'a, D: Decider> {
    stream: &'a StreamName,
    command: D::Command,
    context: CommandContext,
}

type Answer<D> = Result<Outcome<<D as Decider>::Event>, CommandError<<D as Decider>::Refusal>>;

/// What a fold says to a command.
enum Judgement<D: Decider> {
    /// It has been done already.
    Done(Done),
    /// These events shall happen.
    Append(Vec<D::Event>),
    /// It is so already.
    Nothing,
    /// No.
    No(CommandError<D::Refusal>),
}

/// Whether a fold has been read on since the command came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Cached,
    Fresh,
}

impl<D: Decider> Handler<D> {
    /// A handler over this log and these keys.
    pub fn new(log: Arc<dyn EventLog>, keys: Arc<dyn KeyStore>, limits: HandlerLimits) -> Self {
        Self { log, keys, limits, turns: Turns::new(limits.cached_streams_max, limits.cached_events_max) }
    }

    /// Does what the command asks of the stream, once, or says why not. Dropping the future at any
    /// moment is safe: the command is done or it is not, and asking again with its id tells.
    pub async fn execute(&self, stream: &StreamName, command: D::Command, context: CommandContext) -> Answer<D> {
        let Some(mut turn) = self.turns.take(stream, self.limits.wait).await else { return Err(CommandError::Busy) };
        let asked = Asked { stream, command, context };
        self.answer(turn.fold(), &asked).await
    }

    async fn answer(&self, fold: &mut Fold<D>, asked: &Asked<'_, D>) -> Answer<D> {
        let log = &*self.log;
        let mut freshness = Freshness::Cached;
        if fold.standing == Standing::Unread {
            fold.read_on(log, asked.stream).await?;
            freshness = Freshness::Fresh;
        }
        let mut conflicts = 0;
        loop {
            let subject = D::subject(&fold.state, &asked.command);
            let identity = Identity::of(&asked.context, subject.as_ref(), &*self.keys).await?;
            match (judge(fold, asked, &identity), freshness) {
                (Judgement::Append(events), Freshness::Cached | Freshness::Fresh) => {
                    let batch = self.encode(asked, &identity, subject.as_ref(), &events).await?;
                    match self.append(asked.stream, fold.last, batch).await? {
                        Written::Here(appended) => return Ok(take_in(fold, asked, &identity, events, appended)),
                        Written::OthersWereFaster if conflicts == self.limits.conflicts_max => {
                            return Err(CommandError::Busy);
                        }
                        Written::OthersWereFaster => conflicts += 1,
                    }
                }
                // A cached fold may be stale: it leads to an append or to nothing at all.
                (Judgement::Done(_) | Judgement::Nothing | Judgement::No(_), Freshness::Cached) => {}
                (Judgement::Done(done), Freshness::Fresh) => return self.replay(asked, done).await,
                (Judgement::Nothing, Freshness::Fresh) => return Ok(unchanged(fold, asked)),
                (Judgement::No(error), Freshness::Fresh) => return Err(error),
            }
            fold.read_on(log, asked.stream).await?;
            freshness = Freshness::Fresh;
        }
    }

    /// Answers a command that was done before from the log's own events.
    async fn replay(&self, asked: &Asked<'_, D>, done: Done) -> Answer<D> {
        let mut outcome = Outcome {
            stream: asked.stream.clone(),
            revision: done.revision,
            position: Position::START,
            recorded_at: asked.context.now,
            events: Vec::with_capacity(done.count),
            replayed: true,
        };
        let mut person: Option<Person> = None;
        for recorded in read(&*self.log, asked.stream, done.revision, done.count).await? {
            let (mut event, metadata) = decode(&recorded)?;
            if person.as_ref().map(|person| &person.user_id) != metadata.subject.as_ref() {
                person = match metadata.subject {
                    Some(user_id) => self.keys.find(&user_id).await?.map(|key| Person { user_id, key }),
                    None => None,
                };
            }
            let seal = SealContext { stream: asked.stream, event_id: recorded.id };
            event.open(person.as_ref().map(|person| &person.key), seal);
            outcome.events.push(own::<D>(event, recorded.revision)?);
            outcome.revision = recorded.revision;
            outcome.position = recorded.position;
            outcome.recorded_at = metadata.recorded_at;
        }
        let given = outcome.events.len();
        if given != done.count {
            return Err(CommandError::Broken(Box::new(Incomplete { given, expected: done.count })));
        }
        Ok(outcome)
    }
}

/// What a fold says to a command. That it has been done goes before everything, since the rules may
/// say something else by now; the rules go before what the caller expects, since they know whose it is.
fn judge<D: Decider>(fold: &Fold<D>, asked: &Asked<'_, D>, identity: &Identity) -> Judgement<D> {
    if let Some(done) = fold.recent.find(identity.key) {
        return if done.body == identity.body { Judgement::Done(done) } else { Judgement::No(CommandError::KeyReused) };
    }
    match D::decide(&fold.state, asked.command.clone()) {
        Err(refusal) => Judgement::No(CommandError::Refused(refusal)),
        Ok(_) if !is_where_expected(fold, asked.context.if_match) => Judgement::No(CommandError::PreconditionFailed),
        Ok(events) if events.is_empty() => Judgement::Nothing,
        Ok(events) => Judgement::Append(events),
    }
}

fn is_where_expected<D: Decider>(fold: &Fold<D>, if_match: Option<u64>) -> bool {
    if_match.is_none_or(|expected| fold.position() == Position(expected))
}

/// The fold goes on with what it has just appended, without reading it back.
fn take_in<D: Decider>(
    fold: &mut Fold<D>,
    asked: &Asked<'_, D>,
    identity: &Identity,
    events: Vec<D::Event>,
    appended: Appended,
) -> Outcome<D::Event> {
    for (index, event) in events.iter().enumerate() {
        let last = Last { id: identity.event_id(index), revision: fold.next_revision(), position: appended.position };
        fold.apply(event, Mark { command: identity.key, body: identity.body, at: asked.context.now }, last);
    }
    if fold.last.map(|last| last.revision) != Some(appended.revision) {
        // The log found more there than this append: the fold has to see what.
        fold.standing = Standing::Unread;
    }
    Outcome {
        stream: asked.stream.clone(),
        revision: appended.revision,
        position: appended.position,
        recorded_at: asked.context.now,
        events,
        replayed: false,
    }
}

fn unchanged<D: Decider>(fold: &Fold<D>, asked: &Asked<'_, D>) -> Outcome<D::Event> {
    Outcome {
        stream: asked.stream.clone(),
        revision: fold.last.map_or(0, |last| last.revision),
        position: fold.position(),
        recorded_at: asked.context.now,
        events: Vec::new(),
        replayed: false,
    }
}
