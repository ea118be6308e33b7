//! What an aggregate's rules look like to the handler.

use advisor_events::{Event, UserId};

/// The rules of one kind of stream, as two pure functions. Implemented on an empty enum per aggregate.
pub trait Decider: Send + Sync + 'static {
    /// A situation of the stream: what [`decide`](Self::decide) asks for and no more. No personal text.
    type State: Clone + Default + Send + Sync;
    /// What may be asked, as plain data; ids and facts of other streams come in with it.
    type Command: Clone + Send + Sync;
    /// What can have happened.
    type Event: Clone + Into<Event> + Send + Sync;
    /// Why not: a sentence that a user may read.
    type Refusal: std::error::Error + Clone + PartialEq + Send + Sync + 'static;

    /// The events that the command leads to; none means that it is so already.
    fn decide(state: &Self::State, command: Self::Command) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// The situation after an event. Total: what happened can't be refused.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// Whose key seals the personal fields of this stream's events.
    fn subject(state: &Self::State, command: &Self::Command) -> Option<UserId>;

    /// This aggregate's own event, or `None` for one that does not belong into its streams.
    fn event(event: Event) -> Option<Self::Event>;
}
