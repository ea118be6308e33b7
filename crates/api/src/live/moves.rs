//! From one position to another: what is read in one transaction, and what a client is told of it.

use super::{
    Fault,
    query::LiveQuery,
    replies::RunningReplies,
    rows::{self, AdvisorChange, Common, Own, Shown},
    window::{RowNow, SendAgain, Step, Window},
};
use crate::{
    auth::roles::Roles,
    conversations::{ConversationRowView, ItemRowView},
    me,
    messages::{MessageBody, ReplyView},
};
use advisor_eventlog::Position;
use advisor_events::{AdvisorId, ConversationId, ReplyId, UserId, advisor::Status};
use advisor_projections::{
    Changed, Query, Read,
    replies::{ReplyRow, ReplyStatus},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// Who looks.
#[derive(Clone, Debug)]
pub(crate) struct Onlooker {
    pub(crate) user_id: Option<UserId>,
    pub(crate) roles: Roles,
}

/// A query of a stream.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) query: LiveQuery,
    /// As the client wrote it.
    pub(crate) text: String,
    /// What the client has; `None` as long as only its position is known.
    pub(crate) known: Option<Known>,
}

/// What must be known of the rows that a client has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) window: Window,
    /// The advisors whose cards it has.
    pub(crate) named: Vec<AdvisorId>,
}

/// How a query is brought forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By what changed.
    Changes,
    /// As a whole.
    Snapshot,
}

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the client stands.
    pub(crate) after: Position,
    /// For each query.
    pub(crate) how: Vec<How>,
    /// Advisors that rows name and whose cards the client does not have.
    pub(crate) cards: Vec<AdvisorId>,
}

/// What was read.
pub(crate) struct Found {
    common: Common,
    parts: Vec<Part>,
}

struct Part {
    /// Everything, where that was asked for or where it is not known what the client has.
    shown: Option<Option<Shown>>,
    own: Own,
}

/// A row as the client is told of it.
#[derive(Clone, Debug)]
pub(crate) struct RowChange {
    /// Which query.
    pub(crate) query: usize,
    pub(crate) set: &'static str,
    pub(crate) key: String,
    /// `None`: remove it.
    pub(crate) row: Option<Arc<RawValue>>,
}

/// What a move means for the replies whose text is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplyNews {
    /// It runs, in this attempt.
    Runs(ConversationId, ReplyId, u32),
    /// It has ended.
    Ended(ReplyId),
    /// The conversation was sent as a whole, with these running replies.
    Whole(ConversationId, Vec<(ReplyId, u32)>),
}

/// Why a stream ends with a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A conversation was deleted.
    Gone,
    /// The viewer was deleted.
    Session,
}

/// What a client is told to bring it to `position`.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) generation: u64,
    pub(crate) position: Position,
    pub(crate) snapshots: Vec<(usize, Shown)>,
    pub(crate) changes: Vec<RowChange>,
    pub(crate) known: Vec<(usize, Known)>,
    pub(crate) replies: Vec<ReplyNews>,
    pub(crate) ends: Option<Ends>,
}

/// What came of a read.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// More has to be read than was planned.
    Again(Plan),
    /// This brings the client forward.
    Moved(Box<Move>),
    /// The query of this index is not there (any more).
    NotThere(usize),
    /// The client stands where changes are not kept any more.
    TooOld,
}

/// The read that a plan asks for, in one transaction.
pub(crate) fn read(onlooker: &Onlooker, watched: &[Watched], plan: &Plan) -> Query<Found> {
    let viewer = onlooker.user_id.as_ref();
    let parts = watched.iter().zip(&plan.how).map(|(watched, how)| {
        let own = rows::own(&watched.query, viewer, plan.after);
        if *how == How::Changes && watched.known.is_some() {
            own.map(|own| Part { shown: None, own })
        } else {
            rows::shown(&watched.query, viewer).zip(own).map(|(shown, own)| Part { shown: Some(shown), own })
        }
    });
    rows::common(viewer, plan.after, &plan.cards)
        .zip(Query::all(parts.collect()))
        .map(|(common, parts)| Found { common, parts })
}

/// What to tell the client of what was found.
pub(crate) fn decide(
    onlooker: &Onlooker,
    watched: &[Watched],
    plan: &Plan,
    found: Read<Found>,
    replies: &RunningReplies,
) -> Result<Outcome, Fault> {
    let Found { common, parts } = found.value;
    if common.kept_after.is_none_or(|kept| plan.after < kept) {
        return Ok(Outcome::TooOld);
    }
    let mut telling = Telling {
        onlooker,
        replies,
        advisors: AdvisorChange::all(common.advisors)?,
        cards: common.cards.iter().map(AdvisorChange::of).collect::<Result<_, _>>()?,
        viewer: common.viewer,
        next: plan.clone(),
        moved: Move {
            generation: found.generation,
            position: found.position,
            snapshots: Vec::new(),
            changes: Vec::new(),
            known: Vec::new(),
            replies: Vec::new(),
            ends: None,
        },
    };
    if telling.viewer.iter().any(|changed| changed.row.is_none()) {
        telling.moved.ends = Some(Ends::Session);
        return Ok(Outcome::Moved(Box::new(telling.moved)));
    }
    for (index, ((watched, how), part)) in watched.iter().zip(&plan.how).zip(parts).enumerate() {
        if let Fits::NotThere = telling.query(index, watched, *how, part)? {
            return Ok(Outcome::NotThere(index));
        }
    }
    let is_as_planned = telling.next.how == plan.how && telling.next.cards == plan.cards;
    Ok(if is_as_planned { Outcome::Moved(Box::new(telling.moved)) } else { Outcome::Again(telling.next) })
}

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

/// The replies that run in a conversation that was shown as a whole.
pub(crate) fn running(shown: &Shown) -> Option<ReplyNews> {
    let Shown::Conversation(shown) = shown else { return None };
    let running = shown.replies.iter().filter(|row| runs(row)).map(|row| (row.id.clone(), row.attempt));
    Some(ReplyNews::Whole(shown.row.id.clone(), running.collect()))
}

/// Whether a query is there.
enum Fits {
    Yes,
    NotThere,
}

/// A move in the making.
struct Telling<'a> {
    onlooker: &'a Onlooker,
    replies: &'a RunningReplies,
    advisors: Vec<AdvisorChange>,
    cards: Vec<AdvisorChange>,
    viewer: Vec<Changed<advisor_projections::users::UserRow>>,
    next: Plan,
    moved: Move,
}

impl Telling<'_> {
    fn query(&mut self, index: usize, watched: &Watched, how: How, part: Part) -> Result<Fits, Fault> {
        if let LiveQuery::Conversation(id) | LiveQuery::Messages { conversation_id: id, .. } = &watched.query
            && part.own.conversations.iter().any(|changed| changed.row.is_none())
        {
            self.changed(index, "conversation", id.0.clone(), None);
            self.moved.ends = Some(Ends::Gone);
            return Ok(Fits::Yes);
        }
        let shown = match part.shown {
            Some(None) => return Ok(Fits::NotThere),
            Some(Some(shown)) => Some(shown),
            None => None,
        };
        match (how, shown) {
            (How::Snapshot, Some(shown)) => self.whole(index, &watched.query, shown),
            (How::Snapshot, None) => {}
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
        let with_known = Watched { query: watched.query.clone(), text: String::new(), known: Some(known.clone()) };
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
                for (changed, step) in own.conversations.into_iter().zip(steps) {
                    let row = changed.row.map(|row| json(&ItemRowView::from(row))).transpose()?;
                    self.step(index, "conversations", changed.key, *step, row);
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

    fn messages(
        &mut self,
        index: usize,
        messages: Vec<Changed<advisor_projections::messages::MessageRow>>,
        steps: &[Step],
    ) -> Result<(), Fault> {
        for (changed, step) in messages.into_iter().zip(steps) {
            let row = changed.row.map(|row| json(&MessageBody::from(row))).transpose()?;
            self.step(index, "messages", changed.key, *step, row);
        }
        Ok(())
    }

    fn reply_rows(&mut self, index: usize, replies: Vec<Changed<ReplyRow>>) -> Result<(), Fault> {
        for changed in replies {
            let id = ReplyId::from(changed.key.as_str());
            let row = match changed.row {
                Some(row) => {
                    self.moved.replies.push(if runs(&row) {
                        ReplyNews::Runs(row.conversation_id.clone(), id, row.attempt)
                    } else {
                        ReplyNews::Ended(id)
                    });
                    // The text that the client was sent already: a row takes nothing of it back.
                    let text: Vec<_> = self.replies.text_of(&row.id).into_iter().collect();
                    let mut view = ReplyView::from(row);
                    view.take_text(&text);
                    Some(json(&view)?)
                }
                None => {
                    self.moved.replies.push(ReplyNews::Ended(id));
                    None
                }
            };
            self.changed(index, "replies", changed.key, row);
        }
        Ok(())
    }

    fn step(&mut self, index: usize, set: &'static str, key: String, step: Step, row: Option<Arc<RawValue>>) {
        match step {
            Step::Upsert | Step::Remove => self.changed(index, set, key, row),
            Step::Skip => {}
        }
    }

    fn changed(&mut self, query: usize, set: &'static str, key: String, row: Option<Arc<RawValue>>) {
        self.moved.changes.push(RowChange { query, set, key, row });
    }
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

fn runs(row: &ReplyRow) -> bool {
    match row.status {
        ReplyStatus::Pending | ReplyStatus::Streaming => true,
        ReplyStatus::Failed => false,
    }
}

pub(crate) fn json(value: &impl Serialize) -> Result<Arc<RawValue>, Fault> {
    Ok(Arc::from(to_raw_value(value)?))
}
