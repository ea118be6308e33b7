//! What a client is told of rows that changed, query by query.

use super::{
    Fault,
    moves::{How, Known, Move, Onlooker, Part, Plan, ReplyNews, RowChange, Watched, Whole, json, running, runs},
    query::LiveQuery,
    replies::RunningReplies,
    rows::{self, AdvisorChange, Common, Own, Shown},
    window::{RowNow, Step},
};
use crate::{
    conversations::{ConversationRowView, ItemRowView},
    me,
    messages::{MessageBody, ReplyView},
};
use advisor_eventlog::Position;
use advisor_events::{AdvisorId, ReplyId, advisor::Status};
use advisor_projections::{Changed, messages::MessageRow, replies::ReplyRow, users::UserRow};
use serde_json::value::RawValue;
use std::sync::Arc;

/// What to tell of advisors that changed, to a client with this query.
pub(crate) fn tell_advisors(index: usize, watched: &Watched, advisors: &[AdvisorChange], changes: &mut Vec<RowChange>) {
    for advisor in advisors {
        let row = match &watched.query {
            LiveQuery::Advisors => {
                advisor.seen.as_ref().filter(|seen| seen.status == Status::Active).map(|seen| &seen.card)
            }
            LiveQuery::Advisor(id) if *id == advisor.id => {
                advisor.seen.as_ref().filter(|seen| seen.status != Status::Archived).map(|seen| &seen.page)
            }
            LiveQuery::Conversations | LiveQuery::Conversation(_) | LiveQuery::Messages { .. }
                if watched.known.as_ref().is_some_and(|known| known.named.binary_search(&advisor.id).is_ok()) =>
            {
                advisor.seen.as_ref().map(|seen| &seen.card)
            }
            LiveQuery::Me
            | LiveQuery::Advisor(_)
            | LiveQuery::Conversations
            | LiveQuery::Conversation(_)
            | LiveQuery::Messages { .. } => continue,
        };
        let key = advisor.id.0.clone();
        changes.push(RowChange { query: index, set: "advisors", key, row: row.map(Arc::clone) });
    }
}

/// Whether a query is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Yes,
    NotThere,
}

/// A move in the making.
pub(super) struct Telling<'a> {
    onlooker: &'a Onlooker,
    replies: &'a RunningReplies,
    advisors: Vec<AdvisorChange>,
    cards: Vec<AdvisorChange>,
    viewer: Vec<Changed<UserRow>>,
    /// What would have to be read to tell everything.
    pub(super) next: Plan,
    pub(super) moved: Move,
}

impl<'a> Telling<'a> {
    /// Nothing is told yet.
    pub(super) fn new(
        onlooker: &'a Onlooker,
        replies: &'a RunningReplies,
        plan: Plan,
        position: Position,
        common: Common,
    ) -> Result<Self, Fault> {
        Ok(Self {
            onlooker,
            replies,
            advisors: AdvisorChange::all(common.advisors)?,
            cards: common.cards.iter().map(AdvisorChange::of).collect::<Result<_, _>>()?,
            viewer: common.viewer,
            next: plan,
            moved: Move::to(position),
        })
    }

    /// Whether the viewer was deleted.
    pub(super) fn viewer_is_gone(&self) -> bool {
        self.viewer.iter().any(|changed| changed.row.is_none())
    }

    /// Tells of one query.
    pub(super) fn query(&mut self, index: usize, watched: &Watched, how: How, part: Part) -> Result<Fits, Fault> {
        if let LiveQuery::Conversation(id) | LiveQuery::Messages { conversation_id: id, .. } = &watched.query
            && how != How::First
            && part.own.conversations.iter().any(|changed| changed.row.is_none())
        {
            self.changed(index, "conversation", id.0.clone(), None);
            self.moved.gone.push(index);
            return Ok(Fits::Yes);
        }
        let shown = match part.whole {
            Whole::NotThere => return Ok(Fits::NotThere),
            Whole::There(shown) => Some(shown),
            Whole::NotAsked => None,
        };
        match (how, shown) {
            (How::Snapshot | How::First, Some(shown)) => self.whole(index, &watched.query, shown),
            (How::Snapshot | How::First, None) => {}
            (How::Changes, shown) => self.changes(index, watched, shown, part.own)?,
        }
        Ok(Fits::Yes)
    }

    fn whole(&mut self, index: usize, query: &LiveQuery, shown: Shown) {
        let known = Known { window: shown.window(query), named: shown.named() };
        self.moved.replies.extend(running(&shown));
        self.moved.known.push((index, known));
        self.moved.snapshots.push((index, shown));
    }

    fn changes(&mut self, index: usize, watched: &Watched, shown: Option<Shown>, own: Own) -> Result<(), Fault> {
        // Who resumes has everything that was shown where it stood; which cards that were is not known.
        let resumed = shown.map(|shown| {
            self.moved.replies.extend(running(&shown));
            Known { window: shown.window(&watched.query), named: shown.named() }
        });
        let mut known = match (&watched.known, &resumed) {
            (Some(known), _) | (None, Some(known)) => known.clone(),
            (None, None) => Known::default(),
        };
        let has_cards: &[AdvisorId] = if resumed.is_some() { &[] } else { &known.named };
        let mut named: Vec<AdvisorId> =
            own.named().filter(|id| has_cards.binary_search(id).is_err()).cloned().collect();
        named.sort();
        named.dedup();
        let rows = own.in_window(&watched.query);
        let steps = match &resumed {
            Some(resumed) => resumed.window.resume(&rows),
            None => known.window.move_on(&rows),
        };
        let Ok(steps) = steps else {
            if let Some(how) = self.next.how.get_mut(index) {
                *how = How::Snapshot;
            }
            return Ok(());
        };
        let with_known =
            Watched { query: watched.query.clone(), text: String::new(), id: None, known: Some(known.clone()) };
        tell_advisors(index, &with_known, &self.advisors, &mut self.moved.changes);
        self.new_cards(index, &named);
        self.rows(index, &watched.query, own, &steps)?;
        known.named.append(&mut named);
        known.named.sort();
        known.named.dedup();
        self.moved.known.push((index, known));
        Ok(())
    }

    /// The cards that the client does not have, unless they changed and are told anyway.
    fn new_cards(&mut self, index: usize, named: &[AdvisorId]) {
        for id in named {
            let told = self.moved.changes.iter().any(|told| told.query == index && told.key == id.0);
            if told {
                continue;
            }
            let card = self.advisors.iter().chain(&self.cards).find(|card| card.id == *id).cloned();
            match card {
                Some(card) => {
                    if let Some(seen) = card.seen {
                        self.changed(index, "advisors", id.0.clone(), Some(seen.card));
                    }
                }
                // Asked for and not there: the viewer does not see it, and neither does the query itself.
                None if self.next.cards.contains(id) => {}
                None => self.next.cards.push(id.clone()),
            }
        }
    }

    fn rows(&mut self, index: usize, query: &LiveQuery, own: Own, steps: &[Step]) -> Result<(), Fault> {
        match query {
            LiveQuery::Me => {
                let rows: Vec<_> = self.viewer.iter().filter_map(|changed| changed.row.clone()).collect();
                for row in rows {
                    let key = row.id.0.clone();
                    self.changed(index, "me", key, Some(json(&me::view(row, self.onlooker.roles))?));
                }
            }
            LiveQuery::Advisors | LiveQuery::Advisor(_) => {}
            LiveQuery::Conversations => {
                for changed in told(own.conversations, steps) {
                    let row = changed.row.map(|row| json(&ItemRowView::from(row))).transpose()?;
                    self.changed(index, "conversations", changed.key, row);
                }
            }
            LiveQuery::Conversation(_) => {
                for changed in own.conversations {
                    if let Some(row) = changed.row {
                        self.changed(index, "conversation", changed.key, Some(json(&ConversationRowView::from(row))?));
                    }
                }
                self.messages(index, own.messages, steps)?;
                self.reply_rows(index, own.replies)?;
            }
            LiveQuery::Messages { .. } => self.messages(index, own.messages, steps)?,
        }
        Ok(())
    }

    fn messages(&mut self, index: usize, messages: Vec<Changed<MessageRow>>, steps: &[Step]) -> Result<(), Fault> {
        for changed in told(messages, steps) {
            let row = changed.row.map(|row| json(&MessageBody::from(row))).transpose()?;
            self.changed(index, "messages", changed.key, row);
        }
        Ok(())
    }

    fn reply_rows(&mut self, index: usize, replies: Vec<Changed<ReplyRow>>) -> Result<(), Fault> {
        for changed in replies {
            let id = ReplyId::from(changed.key.as_str());
            self.moved.replies.push(match &changed.row {
                Some(row) if runs(row) => ReplyNews::Runs(row.conversation_id.clone(), id, row.attempt),
                Some(_) | None => ReplyNews::Ended(id),
            });
            let row = changed.row.map(|row| self.reply_row(row)).transpose()?;
            self.changed(index, "replies", changed.key, row);
        }
        Ok(())
    }

    /// A reply with the text that the client was sent already: a row takes nothing of it back.
    fn reply_row(&self, row: ReplyRow) -> Result<Arc<RawValue>, Fault> {
        let text: Vec<_> = self.replies.text_of(&row.id).into_iter().collect();
        let mut view = ReplyView::from(row);
        view.take_text(&text);
        json(&view)
    }

    fn changed(&mut self, query: usize, set: &'static str, key: String, row: Option<Arc<RawValue>>) {
        self.moved.changes.push(RowChange { query, set, key, row });
    }
}

/// The rows that are told of.
fn told<R>(rows: Vec<Changed<R>>, steps: &[Step]) -> impl Iterator<Item = Changed<R>> {
    rows.into_iter().zip(steps).filter(|(_, step)| **step != Step::Skip).map(|(row, _)| row)
}

impl Own {
    /// The rows of the set that is limited.
    fn in_window(&self, query: &LiveQuery) -> Vec<RowNow<'_>> {
        match query {
            LiveQuery::Me | LiveQuery::Advisors | LiveQuery::Advisor(_) => Vec::new(),
            LiveQuery::Conversations => {
                let now = |changed: &'_ Changed<_>| changed.row.as_ref().map(rows::place);
                self.conversations.iter().map(|changed| row_now(&changed.key, now(changed))).collect()
            }
            LiveQuery::Conversation(_) | LiveQuery::Messages { .. } => {
                let messages = self.messages.iter();
                messages.map(|changed| row_now(&changed.key, changed.row.as_ref().map(|row| row.revision))).collect()
            }
        }
    }
}

fn row_now(key: &str, place: Option<u64>) -> RowNow<'_> {
    place.map_or(RowNow::Gone(key), |place| RowNow::At(key, place))
}
