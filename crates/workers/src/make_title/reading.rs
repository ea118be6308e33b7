//! What titles are made from.

use super::Untitled;
use crate::{
    Deps,
    prompt::{reply::Speaker, title::MESSAGES_MAX},
};
use advisor_projections::{
    Reader, StoreError, conversations,
    messages::{self, MessageRow, Sender},
    reader::State,
    users,
};

/// Conversations that one look sees: more than can fail within a rest, or those that fail would hide the others.
pub const UNTITLED_MAX: u32 = 1_000;

/// The read models, as far as titles need them.
pub(super) struct ReadSide {
    reader: Reader,
}

impl ReadSide {
    pub(super) fn new(deps: &Deps) -> Self {
        Self { reader: deps.reader.clone() }
    }

    /// Conversations that want a title; none while the read side is behind.
    pub(super) async fn untitled(&self) -> Result<Vec<Untitled>, StoreError> {
        if self.reader.progress().borrow().state != State::Live {
            return Ok(Vec::new());
        }
        let rows = self.reader.run(conversations::wanting_title(UNTITLED_MAX)).await?.value;
        Ok(rows.into_iter().map(|row| Untitled { conversation_id: row.id, user_id: row.user_id }).collect())
    }

    /// The owner's plan and the first messages, oldest first.
    pub(super) async fn beginning(&self, untitled: &Untitled) -> Result<(String, Vec<(Speaker, String)>), StoreError> {
        let limit = u32::try_from(MESSAGES_MAX).unwrap_or(u32::MAX);
        let query = users::by_id(&untitled.user_id).zip(messages::first(&untitled.conversation_id, limit));
        let (user, messages) = self.reader.run(query).await?.value;
        let plan = user.map(|user| user.plan).unwrap_or_default();
        Ok((plan, messages.into_iter().filter_map(said).collect()))
    }
}

fn said(row: MessageRow) -> Option<(Speaker, String)> {
    match row.sender {
        Sender::User => Some((Speaker::User, row.content)),
        Sender::Advisor => Some((Speaker::Advisor, row.content)),
        Sender::System => None,
    }
}
