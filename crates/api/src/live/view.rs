//! A query's own JSON: what its route answers, by the same functions.

use super::{
    Fault,
    moves::{Onlooker, json},
    rows::{ConversationShown, Shown},
};
use crate::{
    advisors::{AdvisorCard, AdvisorPage},
    conversations::{ConversationView, ItemView, cards},
    extract::CursorKey,
    me, messages,
};
use advisor_events::ReplyId;
use advisor_projections::Drafts;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What JSON is made with beside rows.
#[derive(Clone)]
pub(crate) struct Views {
    drafts: Drafts,
    cursor_key: CursorKey,
}

/// A query's own JSON.
pub(crate) struct Rendered {
    pub(crate) data: Arc<RawValue>,
    /// Whether it is older than the read side, since its stream is parked.
    pub(crate) is_parked: bool,
}

impl Views {
    /// With the drafts of running replies, and what signs cursors.
    pub(crate) fn new(drafts: Drafts, cursor_key: CursorKey) -> Self {
        Self { drafts, cursor_key }
    }

    /// The drafts of running replies.
    pub(crate) fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    /// A query as it is sent.
    pub(crate) async fn rendered(&self, shown: Shown, onlooker: &Onlooker) -> Result<Rendered, Fault> {
        let is_parked = shown.is_parked();
        Ok(Rendered { data: self.json(shown, onlooker).await?, is_parked })
    }

    /// The answer of the query's own route.
    async fn json(&self, shown: Shown, onlooker: &Onlooker) -> Result<Arc<RawValue>, Fault> {
        match shown {
            Shown::Me(row) => json(&me::view(row, onlooker.roles)),
            Shown::Advisors(rows) => json(&rows.iter().map(AdvisorCard::from).collect::<Vec<_>>()),
            Shown::Advisor(row) => json(&AdvisorPage::from(&row)),
            Shown::Conversations(items) => json(&items.into_iter().map(ItemView::from).collect::<Vec<_>>()),
            Shown::Conversation(shown) => self.conversation(*shown).await,
            Shown::Messages(shown) => {
                let key = &self.cursor_key;
                let (user, id) = (&shown.user_id, &shown.conversation_id);
                json(&messages::page_view(user, id, shown.page, &shown.advisors, key))
            }
        }
    }

    async fn conversation(&self, shown: ConversationShown) -> Result<Arc<RawValue>, Fault> {
        let running: Vec<ReplyId> = shown.replies.iter().map(|reply| reply.id.clone()).collect();
        let mut view = ConversationView::of(shown.row, shown.page, shown.replies, &cards(&shown.advisors));
        if !running.is_empty() {
            let drafts = self.drafts.get_many(&running).await?;
            for reply in &mut view.replies {
                reply.take_text(&drafts);
            }
        }
        json(&view)
    }
}
