//! Which queries a stream shows. Those of a socket come and go; the stream's position is one for all of them.

use super::{Connection, From, NotBegun, There, hash};
use crate::{
    auth::{Viewer, revoked::Watch},
    live::{
        frame::{ResetReason, Wire},
        id::EventId,
        moves::{How, Watched},
        query::LiveQuery,
    },
};
use serde::Serialize;

impl Connection {
    /// The queries, each with what the client has of it.
    pub(crate) fn watched(&self) -> &[Watched] {
        &self.watched
    }

    /// Tells the client something that is no event of the read side, behind what it is told already.
    pub(crate) fn say<T: Serialize>(&mut self, name: &'static str, at: Option<&EventId>, data: &T) {
        self.frames.plain_event(name, at, data);
    }

    /// Whether this is who looks on.
    pub(crate) fn is_of(&self, viewer: Option<&Viewer>) -> bool {
        self.onlooker.user_id.as_ref() == viewer.map(Viewer::user_id)
    }

    /// The onlooker has a fresh token. The one that lasts longest carries the stream, which ends with its sign-in.
    pub(crate) fn renew(&mut self, viewer: &Viewer, sign_in: Watch) {
        self.onlooker.roles = viewer.person().roles;
        let expires_at = Some(viewer.expires_at());
        if expires_at >= self.expires_at {
            (self.expires_at, self.sign_in) = (expires_at, Some(sign_in));
        }
    }

    /// Adds a query: what it shows comes with the move that brings all others to where it is true.
    pub(crate) async fn subscribe(&mut self, watched: Watched) -> Result<(), NotBegun> {
        self.watched.push(watched);
        self.hash = hash(&self.onlooker, &self.watched);
        let not_begun = loop {
            let newest = self.watched.len().saturating_sub(1);
            let mut how = vec![How::Changes; newest];
            how.push(How::First);
            match self.move_on(how).await {
                Ok(There::All) => return Ok(()),
                Ok(There::Not(index)) if index < newest => self.lose(&[index]),
                Ok(There::Not(index)) => break NotBegun::NotThere(index),
                Err(fault) => break NotBegun::Unread(fault),
            }
        };
        self.watched.pop();
        self.hash = hash(&self.onlooker, &self.watched);
        Err(not_begun)
    }

    /// Takes up all queries at once where another connection had left them. There are none yet.
    pub(crate) async fn resume(&mut self, watched: Vec<Watched>, from: From) -> Result<(), NotBegun> {
        let stood = self.position;
        self.watched = watched;
        self.hash = hash(&self.onlooker, &self.watched);
        let not_begun = match self.start(from).await {
            Ok(There::All) => return Ok(()),
            Ok(There::Not(index)) => NotBegun::NotThere(index),
            Err(fault) => NotBegun::Unread(fault),
        };
        self.position = stood;
        self.watched.clear();
        self.hash = hash(&self.onlooker, &self.watched);
        Err(not_begun)
    }

    /// Shows the query of this index no longer.
    pub(crate) fn unsubscribe(&mut self, index: usize) -> Watched {
        let watched = self.watched.remove(index);
        self.hash = hash(&self.onlooker, &self.watched);
        if let LiveQuery::Conversation(id) = &watched.query {
            self.replies.leave(id);
        }
        watched
    }

    /// What these queries showed is gone. A stream of events ends, since its queries are those of its URL.
    pub(super) fn lose(&mut self, gone: &[usize]) {
        match self.frames.wire() {
            Wire::EventStream => self.end(ResetReason::Gone),
            Wire::Socket => {
                for index in gone.iter().rev() {
                    let watched = self.unsubscribe(*index);
                    let at = self.id();
                    self.frames.reset_one(watched.id.as_ref(), ResetReason::Gone, &at);
                }
            }
        }
    }
}
