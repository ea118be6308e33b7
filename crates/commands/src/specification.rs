//! Given these events, when this is asked, then these events follow: how the rules are tested.

use crate::Decider;
use std::fmt::Debug;

/// What has happened so far.
pub(crate) fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    Given(events.into_iter().fold(D::State::default(), |state, event| D::evolve(state, &event)))
}

pub(crate) struct Given<D: Decider>(D::State);

impl<D: Decider> Given<D> {
    /// What is asked now.
    pub(crate) fn when(self, command: D::Command) -> When<D> {
        When(D::decide(&self.0, command))
    }
}

pub(crate) struct When<D: Decider>(Result<Vec<D::Event>, D::Refusal>);

impl<D: Decider> When<D>
where
    D::Event: Debug + PartialEq,
{
    /// These events follow.
    #[track_caller]
    pub(crate) fn then(self, events: Vec<D::Event>) {
        assert_eq!(self.0, Ok(events));
    }

    /// It is so already.
    #[track_caller]
    pub(crate) fn then_nothing(self) {
        assert_eq!(self.0, Ok(Vec::new()));
    }

    /// It is refused.
    #[track_caller]
    pub(crate) fn then_refused(self, refusal: D::Refusal) {
        assert_eq!(self.0, Err(refusal));
    }
}
