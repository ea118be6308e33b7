//! What a command names, resolved in the read models for who asks before its stream is looked at: the stream of
//! somebody else's thing is never read, and its id costs what one costs that never existed.

#[cfg(test)]
mod tests;

use super::CommandRequest;
use crate::{Api, problem::Problem};
use advisor_events::{AdvisorId, ConversationId, UserId};
use advisor_projections::{Query, advisors, owners};

/// A conversation that the caller may ask; there is no other way to ask one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnConversation(ConversationId);

impl OwnConversation {
    /// The one that a command begins: its id is derived from who asks.
    pub(crate) fn begun_by(request: &CommandRequest) -> Self {
        Self(ConversationId(request.new_id("conversation")))
    }

    /// That of something that was read for the caller alone.
    pub(crate) fn read_for_caller(id: ConversationId) -> Self {
        Self(id)
    }

    /// Its id.
    pub(crate) fn id(&self) -> &ConversationId {
        &self.0
    }
}

/// Whose something is that a command names, as the read side knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Callers,
    Anothers,
    /// Nothing is known of it yet, or there is no such thing.
    Unknown,
}

/// What becomes of a command that names something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolved {
    /// It is the caller's, for ever.
    Callers,
    /// The stream itself has to be asked.
    TheLogKnows,
    /// For the caller there is no such thing.
    NotThere,
}

impl CommandRequest {
    /// The conversation, if it is the caller's, or was before it was deleted.
    pub(crate) async fn own_conversation(&self, id: ConversationId) -> Result<OwnConversation, Problem> {
        let caller = self.viewer.user_id();
        if self.api.owned.is_known_to_be_of(caller, &id) {
            return Ok(OwnConversation(id));
        }
        let whose = || {
            let caller = caller.clone();
            owners::of_conversation(&id).map(move |owner| Whose::of(owner.as_ref(), &caller))
        };
        match self.api.resolve(whose).await? {
            Resolved::Callers => self.api.owned.remember(caller, &id),
            Resolved::TheLogKnows => {}
            Resolved::NotThere => return Err(Problem::conversation_not_found()),
        }
        Ok(OwnConversation(id))
    }

    /// Lets pass whoever sees an advisor, and operators.
    pub(crate) async fn check_seen(&self, id: &AdvisorId) -> Result<(), Problem> {
        let caller = self.viewer.user_id();
        let whose = || {
            let seen = advisors::is_seen_by(caller, id);
            seen.map(|is_seen| if is_seen { Whose::Callers } else { Whose::Unknown })
        };
        if self.is_of_an_operator() {
            return Ok(());
        }
        match self.api.resolve(whose).await? {
            Resolved::Callers | Resolved::TheLogKnows => Ok(()),
            Resolved::NotThere => Err(Problem::advisor_not_found()),
        }
    }
}

impl Whose {
    fn of(owner: Option<&UserId>, caller: &UserId) -> Self {
        match owner {
            Some(owner) if owner == caller => Self::Callers,
            Some(_) => Self::Anothers,
            None => Self::Unknown,
        }
    }
}

impl Api {
    /// Whether a command may be taken to the stream of what it names. What the caller does not have may only not be
    /// there yet: the read side is waited for, in the same way whatever it knows. Where it does not come as far as
    /// the log was when the request came, the log alone can tell of what the read side does not know.
    async fn resolve(&self, whose: impl Fn() -> Query<Whose>) -> Result<Resolved, Problem> {
        let mut read = self.read(whose()).await?;
        if read.value == Whose::Callers {
            return Ok(Resolved::Callers);
        }
        let head = self.head().await?;
        if read.position < head {
            self.settled(head).await;
            read = self.read(whose()).await?;
        }
        Ok(match read.value {
            Whose::Callers => Resolved::Callers,
            Whose::Unknown if read.position < head => Resolved::TheLogKnows,
            Whose::Anothers | Whose::Unknown => Resolved::NotThere,
        })
    }
}
