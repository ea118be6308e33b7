//! Erases people who were deleted, until nothing of their words can be read anywhere.
//!
//! 1. The read side shows the deletion: it has removed their rows in the same transaction.
//! 2. Their sign-ins are revoked, and their key is destroyed. It was all that opens their words in the log.
//! 3. The drafts of their running replies are removed, until no worker writes any more.
//! 4. What the files still hold of removed rows is cut away.
//! 5. The erasure is noted as ended.
//!
//! Each step may be done twice: whose erasure is not noted when the process dies is erased once more.

use crate::{Deps, bell::Bell};
use advisor_eventlog::Position;
use advisor_events::{Clock, KeyError, KeyStore, ReplyId};
use advisor_projections::{
    Erasure, Reader, SideStore, StoreError,
    deletions::{self, DeletionRow},
    replies,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// This worker's name.
pub const NAME: &str = "erase_person";

/// Deletions that one look takes in.
pub const PAGE: u32 = 500;
/// Drafts that are compared with the replies at once.
pub const DRAFTS_PAGE: u32 = 500;

/// How people are erased.
#[derive(Clone, Copy, Debug)]
pub struct EraseOptions {
    /// Time between two looks when the bus does not ring.
    pub look: Duration,
    /// How long it takes at most until every worker has seen that a reply is gone, and writes no draft of it any more.
    pub settle: Duration,
}

impl Default for EraseOptions {
    fn default() -> Self {
        Self { look: Duration::from_secs(1), settle: Duration::from_secs(2) }
    }
}

impl EraseOptions {
    /// Where other processes work too: longer than one may use a key that was destroyed, or write drafts after it was
    /// frozen.
    pub fn among_processes() -> Self {
        Self { settle: Duration::from_secs(10), ..Self::default() }
    }
}

/// Why a look did not come to its end; the next one begins where it began.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the read models or the side store can't be used")]
    Store(#[from] StoreError),
    #[error("a key can't be destroyed")]
    Key(#[from] KeyError),
}

/// Erases until `shutdown`.
pub(crate) async fn run(deps: Deps, options: EraseOptions, _: TaskTracker, shutdown: CancellationToken) {
    let mut bell = Bell::new(Arc::clone(&deps.bus), &["users"], options.look);
    let mut eraser = Eraser {
        reader: deps.reader,
        side: deps.side,
        keys: deps.keys,
        clock: deps.clock,
        options,
        seen: Position::START,
        pending: Vec::new(),
    };
    while !shutdown.is_cancelled() {
        bell.listen().await;
        if let Err(fault) = eraser.look().await {
            tracing::warn!(error = &fault as &dyn std::error::Error, "people who were deleted are not erased yet");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = bell.rung() => {}
        }
    }
}

struct Eraser {
    reader: Reader,
    side: SideStore,
    keys: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    options: EraseOptions,
    /// Deletions up to here have been taken in.
    seen: Position,
    pending: Vec<Pending>,
}

/// A person whose key is gone.
struct Pending {
    deletion: DeletionRow,
    /// From then on no worker writes drafts of theirs.
    settled_at: Instant,
}

impl Eraser {
    async fn look(&mut self) -> Result<(), Fault> {
        while self.take_in().await? {}
        if self.pending.is_empty() {
            return Ok(());
        }
        self.remove_orphaned_drafts().await?;
        let now = Instant::now();
        if self.pending.iter().any(|pending| pending.settled_at <= now) {
            self.keys.scrub().await?;
            self.reader.scrub().await?;
            self.side.scrub().await?;
            self.note(now).await?;
        }
        Ok(())
    }

    /// Revokes the sign-ins and destroys the keys of those whose deletion was not seen before; tells whether there are more.
    async fn take_in(&mut self) -> Result<bool, Fault> {
        let page = self.reader.run(deletions::after(self.seen, PAGE)).await?.value;
        let Some(last) = page.last().map(|deletion| deletion.position) else { return Ok(false) };
        let users: Vec<_> = page.iter().map(|deletion| deletion.user_id.clone()).collect();
        let noted = self.side.erasures().get_many(&users).await?;
        let is_noted = |deletion: &DeletionRow| {
            noted.iter().any(|erasure| erasure.user_id == deletion.user_id && erasure.position == deletion.position)
        };
        let settled_at = Instant::now() + self.options.settle;
        let mut pending = Vec::new();
        for deletion in page.into_iter().filter(|deletion| !is_noted(deletion)) {
            self.side.revocations().revoke_person(&deletion.user_id, self.clock.now()).await?;
            self.keys.destroy(&deletion.user_id).await?;
            pending.push(Pending { deletion, settled_at });
        }
        self.pending.append(&mut pending);
        self.seen = last;
        Ok(true)
    }

    /// Removes the drafts of replies that are not there any more: an ended one's is of no use either.
    async fn remove_orphaned_drafts(&self) -> Result<(), Fault> {
        let mut after = ReplyId::from("");
        loop {
            let drafts = self.side.drafts().replies(&after, DRAFTS_PAGE).await?;
            let Some(last) = drafts.last().cloned() else { return Ok(()) };
            let there: HashSet<ReplyId> =
                self.reader.run(replies::existing(&drafts)).await?.value.into_iter().collect();
            let orphaned: Vec<ReplyId> = drafts.into_iter().filter(|reply| !there.contains(reply)).collect();
            self.side.drafts().remove_many(&orphaned).await?;
            after = last;
        }
    }

    async fn note(&mut self, now: Instant) -> Result<(), Fault> {
        let (settled, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| pending.settled_at <= now);
        self.pending = pending;
        let settled: Vec<Pending> = settled;
        let erased_at = self.clock.now();
        let erasures = settled.iter().map(|pending| Erasure {
            user_id: pending.deletion.user_id.clone(),
            position: pending.deletion.position,
            erased_at,
        });
        if let Err(error) = self.side.erasures().put_many(erasures.collect()).await {
            self.pending.extend(settled);
            return Err(error.into());
        }
        tracing::info!(people = settled.len(), "people who were deleted are erased");
        Ok(())
    }
}
