//! What live queries read: everything that a query shows, or the rows of it that changed.

use super::{
    query::LiveQuery,
    window::{Fullness, Window},
};
use crate::{
    advisors::{AdvisorCard, AdvisorPage},
    conversations::{LIST_MAX, MESSAGES_MAX},
};
use advisor_eventlog::Position;
use advisor_events::{AdvisorId, ConversationId, StreamName, UserId, advisor::Status};
use advisor_projections::{
    Changed, ParkedStream, Query,
    advisors::{self, AdvisorRow},
    changes,
    conversations::{self, ConversationItem, ConversationRow},
    messages::{self, MessagePage, MessageRow},
    parked,
    replies::{self, ReplyRow},
    users::{self, UserRow},
};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// Everything that a query shows.
#[derive(Debug)]
pub(crate) enum Shown {
    Me(UserRow),
    Advisors(Vec<AdvisorRow>),
    Advisor(AdvisorRow),
    Conversations(Vec<ConversationItem>),
    Conversation(Box<ConversationShown>),
    Messages(MessagesShown),
}

/// A conversation and what is in it.
#[derive(Debug)]
pub(crate) struct ConversationShown {
    pub(crate) row: ConversationRow,
    pub(crate) page: MessagePage,
    pub(crate) replies: Vec<ReplyRow>,
    pub(crate) advisors: Vec<AdvisorRow>,
    pub(crate) parked: Option<ParkedStream>,
}

/// The newest page of a conversation's messages.
#[derive(Debug)]
pub(crate) struct MessagesShown {
    pub(crate) user_id: UserId,
    pub(crate) conversation_id: ConversationId,
    pub(crate) page: MessagePage,
    pub(crate) advisors: Vec<AdvisorRow>,
    pub(crate) parked: Option<ParkedStream>,
}

/// Rows that changed in the sets that are a query's own. Advisors and the viewer are in [`Common`].
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) conversations: Vec<Changed<ConversationRow>>,
    pub(crate) messages: Vec<Changed<MessageRow>>,
    pub(crate) replies: Vec<Changed<ReplyRow>>,
}

/// What is read once for all queries of a stream.
#[derive(Debug)]
pub(crate) struct Common {
    /// Changes are kept from here on.
    pub(crate) kept_after: Option<Position>,
    /// The viewer's own row, if it changed.
    pub(crate) viewer: Vec<Changed<UserRow>>,
    /// The advisors that changed.
    pub(crate) advisors: Vec<Changed<AdvisorRow>>,
    /// Advisors that were asked for.
    pub(crate) cards: Vec<AdvisorRow>,
}

/// Everything that `query` shows; `None` where there is nothing for this viewer.
pub(crate) fn shown(query: &LiveQuery, viewer: Option<&UserId>) -> Query<Option<Shown>> {
    match (query, viewer) {
        (LiveQuery::Advisors, viewer) => advisors::visible_to(viewer).map(|rows| Some(Shown::Advisors(rows))),
        (LiveQuery::Advisor(id), viewer) => advisors::by_id(viewer, id).map(|row| row.map(Shown::Advisor)),
        (LiveQuery::Me, Some(viewer)) => users::by_id(viewer).map(|row| row.map(Shown::Me)),
        (LiveQuery::Conversations, Some(viewer)) => {
            conversations::of_user(viewer, LIST_MAX).map(|rows| Some(Shown::Conversations(rows)))
        }
        (LiveQuery::Conversation(id), Some(viewer)) => conversations::by_id(viewer, id)
            .zip(messages::newest(viewer, id, MESSAGES_MAX))
            .zip(replies::of_conversation(viewer, id))
            .zip(advisors::of_conversation(viewer, id))
            .zip(parked::find(&StreamName::conversation(id)))
            .map(|((((row, page), replies), advisors), parked)| {
                let row = row?;
                Some(Shown::Conversation(Box::new(ConversationShown { row, page, replies, advisors, parked })))
            }),
        (LiveQuery::Messages { conversation_id: id, limit }, Some(viewer)) => conversations::by_id(viewer, id)
            .zip(messages::newest(viewer, id, u32::try_from(*limit).unwrap_or(u32::MAX)))
            .zip(advisors::of_conversation(viewer, id))
            .zip(parked::find(&StreamName::conversation(id)))
            .map(|(((row, page), advisors), parked)| {
                let ConversationRow { id: conversation_id, user_id, .. } = row?;
                Some(Shown::Messages(MessagesShown { user_id, conversation_id, page, advisors, parked }))
            }),
        (LiveQuery::Me | LiveQuery::Conversations | LiveQuery::Conversation(_) | LiveQuery::Messages { .. }, None) => {
            Query::of(None)
        }
    }
}

/// What changed after `after` in the sets that are `query`'s own.
pub(crate) fn own(query: &LiveQuery, viewer: Option<&UserId>, after: Position) -> Query<Own> {
    let Some(viewer) = viewer else { return Query::of(Own::default()) };
    match query {
        LiveQuery::Me | LiveQuery::Advisors | LiveQuery::Advisor(_) => Query::of(Own::default()),
        LiveQuery::Conversations => {
            conversations::changed(viewer, after).map(|conversations| Own { conversations, ..Own::default() }.sorted())
        }
        LiveQuery::Conversation(id) => conversations::changed_one(viewer, id, after)
            .zip(messages::changed(viewer, id, after))
            .zip(replies::changed(viewer, id, after))
            .map(|((conversations, messages), replies)| Own { conversations, messages, replies }.sorted()),
        LiveQuery::Messages { conversation_id: id, .. } => conversations::changed_one(viewer, id, after)
            .zip(messages::changed(viewer, id, after))
            .map(|(conversations, messages)| Own { conversations, messages, replies: Vec::new() }.sorted()),
    }
}

/// What changed after `after` for all queries of a stream, and these advisors.
pub(crate) fn common(viewer: Option<&UserId>, after: Position, cards: &[AdvisorId]) -> Query<Common> {
    let own_row = viewer.map_or_else(|| Query::of(Vec::new()), |viewer| users::changed(viewer, after));
    let cards = if cards.is_empty() { Query::of(Vec::new()) } else { advisors::by_ids(viewer, cards) };
    changes::kept_after()
        .zip(own_row)
        .zip(advisors::changed(viewer, after))
        .zip(cards)
        .map(|(((kept_after, viewer), advisors), cards)| Common { kept_after, viewer, advisors, cards })
}

impl Shown {
    /// Which rows of its limited set the client has, once it has all this.
    pub(crate) fn window(&self, query: &LiveQuery) -> Window {
        match self {
            Self::Me(_) | Self::Advisors(_) | Self::Advisor(_) => Window::default(),
            Self::Conversations(items) => {
                let rows = items.iter().map(|item| (item.conversation.id.as_str(), place(&item.conversation)));
                Window::new(LIST_MAX as usize, rows, Fullness::Unknown)
            }
            Self::Conversation(shown) => messages_window(MESSAGES_MAX as usize, &shown.page),
            Self::Messages(shown) => messages_window(query.limit(), &shown.page),
        }
    }

    /// Whether an event of it can't be applied, and later ones wait.
    pub(crate) fn is_parked(&self) -> bool {
        match self {
            Self::Me(_) | Self::Advisors(_) | Self::Advisor(_) | Self::Conversations(_) => false,
            Self::Conversation(shown) => shown.parked.is_some(),
            Self::Messages(shown) => shown.parked.is_some(),
        }
    }

    /// The advisors that its rows name.
    pub(crate) fn named(&self) -> Vec<AdvisorId> {
        let mut named: Vec<AdvisorId> = match self {
            Self::Me(_) | Self::Advisors(_) | Self::Advisor(_) => Vec::new(),
            Self::Conversations(items) => {
                items.iter().filter_map(|item| item.conversation.active_advisor_id.clone()).collect()
            }
            Self::Conversation(shown) => {
                let messages = shown.page.messages.iter().filter_map(|message| message.advisor_id.as_ref());
                let replies = shown.replies.iter().map(|reply| &reply.advisor_id);
                shown.row.active_advisor_id.iter().chain(messages).chain(replies).cloned().collect()
            }
            Self::Messages(shown) => {
                shown.page.messages.iter().filter_map(|message| message.advisor_id.clone()).collect()
            }
        };
        named.sort();
        named.dedup();
        named.shrink_to_fit();
        named
    }
}

impl Own {
    /// Brings rows into the order in which they are told: what is gone first, since it makes room, then
    /// the oldest first.
    fn sorted(mut self) -> Self {
        self.conversations.sort_by_key(|changed| changed.row.as_ref().map(|row| (row.updated_at, row.created_at)));
        self.messages.sort_by_key(|changed| changed.row.as_ref().map(|row| row.revision));
        self.replies.sort_by_key(|changed| changed.row.as_ref().map(|row| (row.revision, row.place)));
        self
    }

    /// The advisors that its rows name.
    pub(crate) fn named(&self) -> impl Iterator<Item = &AdvisorId> {
        let conversations = self.conversations.iter().filter_map(|changed| changed.row.as_ref());
        let messages = self.messages.iter().filter_map(|changed| changed.row.as_ref());
        let replies = self.replies.iter().filter_map(|changed| changed.row.as_ref());
        conversations
            .filter_map(|row| row.active_advisor_id.as_ref())
            .chain(messages.filter_map(|row| row.advisor_id.as_ref()))
            .chain(replies.map(|row| &row.advisor_id))
    }
}

/// Where a conversation stands in the list; times before 1970 stand together at its end.
pub(crate) fn place(row: &ConversationRow) -> u64 {
    u64::try_from(row.updated_at.0).unwrap_or_default()
}

fn messages_window(limit: usize, page: &MessagePage) -> Window {
    let rows = page.messages.iter().map(|message| (message.id.as_str(), message.revision));
    Window::new(limit, rows, if page.has_more { Fullness::MoreThere } else { Fullness::AllThere })
}

/// An advisor that changed, as JSON that any number of streams can send.
#[derive(Clone, Debug)]
pub(crate) struct AdvisorChange {
    pub(crate) id: AdvisorId,
    /// `None`: gone, or not to be seen.
    pub(crate) seen: Option<AdvisorSeen>,
}

/// An advisor that a viewer sees.
#[derive(Clone, Debug)]
pub(crate) struct AdvisorSeen {
    pub(crate) status: Status,
    pub(crate) created_position: Position,
    /// The card.
    pub(crate) card: Arc<RawValue>,
    /// The card with what only the advisor's own page shows.
    pub(crate) page: Arc<RawValue>,
}

impl AdvisorChange {
    /// The advisors that changed, the oldest first.
    pub(crate) fn all(changed: Vec<Changed<AdvisorRow>>) -> Result<Vec<Self>, serde_json::Error> {
        let all = changed.into_iter().map(|changed| {
            let seen = changed.row.as_ref().map(AdvisorSeen::of).transpose()?;
            Ok(Self { id: AdvisorId::from(changed.key), seen })
        });
        let mut all: Vec<Self> = all.collect::<Result<_, serde_json::Error>>()?;
        all.sort_by_key(|change| change.seen.as_ref().map(|seen| seen.created_position));
        Ok(all)
    }

    /// One that is seen.
    pub(crate) fn of(row: &AdvisorRow) -> Result<Self, serde_json::Error> {
        Ok(Self { id: row.id.clone(), seen: Some(AdvisorSeen::of(row)?) })
    }
}

impl AdvisorSeen {
    fn of(row: &AdvisorRow) -> Result<Self, serde_json::Error> {
        Ok(Self {
            status: row.status,
            created_position: row.created_position,
            card: Arc::from(to_raw_value(&AdvisorCard::from(row))?),
            page: Arc::from(to_raw_value(&AdvisorPage::from(row))?),
        })
    }
}
