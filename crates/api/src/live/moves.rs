//! From one position to another: what is read in one transaction, and what a client is told of it.

use super::{
    Fault,
    id::SubscriptionId,
    query::LiveQuery,
    replies::RunningReplies,
    rows::{self, Common, Own, Shown},
    telling::{Fits, Telling},
    window::Window,
};
use crate::auth::roles::Roles;
use advisor_eventlog::Position;
use advisor_events::{AdvisorId, ConversationId, ReplyId, UserId};
use advisor_projections::{
    Query, Read,
    replies::{ReplyRow, ReplyStatus},
};
use advisor_proof::{Mutant, is_planted};
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
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) query: LiveQuery,
    /// As the client wrote it.
    pub(crate) text: String,
    /// The name that a socket's client gave it.
    pub(crate) id: Option<SubscriptionId>,
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
    /// As a whole for the first time: what is gone by now was never there for the client.
    First,
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

pub(super) struct Part {
    pub(super) whole: Whole,
    pub(super) own: Own,
}

/// Everything that a query shows.
pub(super) enum Whole {
    NotAsked,
    /// It was asked for, or it is not known what the client has.
    There(Shown),
    NotThere,
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

/// What a client is told to bring it to `position`.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) position: Position,
    pub(crate) snapshots: Vec<(usize, Shown)>,
    pub(crate) changes: Vec<RowChange>,
    pub(crate) known: Vec<(usize, Known)>,
    pub(crate) replies: Vec<ReplyNews>,
    /// The queries whose conversation was deleted, in their order.
    pub(crate) gone: Vec<usize>,
    /// The viewer was deleted.
    pub(crate) viewer_is_gone: bool,
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
            own.map(|own| Part { whole: Whole::NotAsked, own })
        } else {
            rows::shown(&watched.query, viewer)
                .zip(own)
                .map(|(shown, own)| Part { whole: shown.map_or(Whole::NotThere, Whole::There), own })
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
    let mut telling = Telling::new(onlooker, replies, plan.clone(), found.position, common)?;
    if telling.viewer_is_gone() {
        return Ok(Outcome::Moved(Box::new(Move { viewer_is_gone: true, ..Move::to(telling.moved.position) })));
    }
    for (index, ((watched, how), part)) in watched.iter().zip(&plan.how).zip(parts).enumerate() {
        if telling.query(index, watched, *how, part)? == Fits::NotThere {
            return Ok(Outcome::NotThere(index));
        }
    }
    if is_planted(Mutant::ChangesLeftOut) && telling.moved.position.0.is_multiple_of(5) {
        telling.moved.changes.pop();
    }
    let is_as_planned = telling.next.how == plan.how && telling.next.cards == plan.cards;
    Ok(if is_as_planned { Outcome::Moved(Box::new(telling.moved)) } else { Outcome::Again(telling.next) })
}

impl Move {
    /// A move on which nothing is told yet.
    pub(super) fn to(position: Position) -> Self {
        Self {
            position,
            snapshots: Vec::new(),
            changes: Vec::new(),
            known: Vec::new(),
            replies: Vec::new(),
            gone: Vec::new(),
            viewer_is_gone: false,
        }
    }
}

/// The replies that run in a conversation that was shown as a whole.
pub(crate) fn running(shown: &Shown) -> Option<ReplyNews> {
    let Shown::Conversation(shown) = shown else { return None };
    let running = shown.replies.iter().filter(|row| runs(row)).map(|row| (row.id.clone(), row.attempt));
    Some(ReplyNews::Whole(shown.row.id.clone(), running.collect()))
}

pub(super) fn runs(row: &ReplyRow) -> bool {
    match row.status {
        ReplyStatus::Pending | ReplyStatus::Streaming => true,
        ReplyStatus::Failed => false,
    }
}

pub(crate) fn json(value: &impl Serialize) -> Result<Arc<RawValue>, Fault> {
    Ok(Arc::from(to_raw_value(value)?))
}
