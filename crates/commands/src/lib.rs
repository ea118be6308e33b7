//! What may be asked and the rules: one file per aggregate, one handler.
//!
//! Each aggregate is a [`Decider`]: two pure functions, `decide` (what follows from a command) and
//! `evolve` (what an event makes of a situation). Its file has a fixed order: command, refusal, state,
//! decide, evolve, tests. [`Handler`] is the one place from which they reach the log; nothing else
//! appends events of people, advisors and conversations.
//!
//! # One command, step by step
//!
//! Ana asks her conversation for a new title, with the idempotency key `k`.
//!
//! 1. **Her turn.** Commands of one stream run one after another in a process; the handler waits for the
//!    stream's turn, at most 2 s ([`CommandError::Busy`]). With the turn comes the fold that the command
//!    before has left: the aggregate's situation, the recent command ids, the last event's id, revision and
//!    position. A stream that is not cached is read from its beginning.
//! 2. **Who asks what.** The request's body is hashed under Ana's key. Actor and command id name the
//!    command; another body hash under the same name is another command.
//! 3. **Judgement.** If the fold remembers `k` of this actor, the command *has been done* (or `k` was used
//!    for another body: [`CommandError::KeyReused`]). Otherwise `decide` says no, nothing, or these events.
//!    Last, the stream has to be where an `If-Match` has seen it ([`CommandError::PreconditionFailed`]).
//! 4. **A second look.** Anything but "these events" may be a cached fold's mistake. The stream is read on,
//!    once, and judged again; only then is the answer given: the refusal, the stream's last event where
//!    nothing has to happen, or the events of `k` as they stand in the log.
//! 5. **Sealing.** Each event gets its id, derived from actor, command id, body hash, index and a random name
//!    of this decision: the log takes the repeat of this append for one, and no other append. Personal fields are sealed under the key of the subject, which is durable before the
//!    first event under it; the subject stands beside the events that hold such fields.
//! 6. **Append** at the exact revision. If another process was faster, the stream is read on and the
//!    command judged again, at most five times. If the outcome is unknown, the identical append is repeated
//!    with back-off until the log says which, or time is over ([`CommandError::OutcomeUnknown`]).
//! 7. **Answer.** The fold takes in the new events, without reading them back, and [`Outcome`] gives them
//!    as they were decided. The answer waits for no read model.
//!
//! # Where it can die
//!
//! | between | what is left | what asking again with `k` finds |
//! | --- | --- | --- |
//! | 1 … 5 | nothing; at most a key of Ana's, for later | it is decided as if it had never been asked |
//! | 5 and 6, or 6 on its way | nothing, or all of the events: an append is all or nothing | either of the two below |
//! | 6, before the log's commit | nothing | it is decided anew |
//! | 6, after the commit, and 7 | the events, answered to nobody | `k` is in the fold, which is made from the log: the same answer, `replayed`, and nothing is appended |
//!
//! The process need not die: a caller who goes away drops the future at any of these points. A fold that
//! did not hear of its own append is stale, as it may be when another process has appended: the next append
//! at its revision fails, and it is read on.
//!
//! # What is remembered
//!
//! A stream remembers the commands of the last 24 hours by its events' own times, but at least the last
//! 1,000 and at most 10,000. Refused commands and those that changed nothing are not remembered and are
//! decided anew. Commands are told apart by actor and id: two people may use the same one.

pub mod advisor;
pub mod conversation;
mod decider;
mod handler;
pub mod limits;
mod recent_commands;
#[cfg(test)]
mod specification;
pub mod user;

pub use advisor::{Advisor, AdvisorCommand, AdvisorRefusal, Caller, CallerRole};
pub use conversation::{Conversation, ConversationCommand, ConversationRefusal, NewMessage, StartWith};
pub use decider::Decider;
pub use handler::{CommandContext, CommandError, Commands, Handler, HandlerLimits, Outcome};
pub use user::{User, UserCommand, UserRefusal};
