//! Taking along to another engine what of a side store nothing makes again.
//!
//! Revocations: or a token that was refused would be accepted again. Drafts: or what a stopped reply had said would be
//! lost. Not the pointer to the live generation and the leases: whoever opens the target makes its own. And not the
//! erasures that have ended: they name positions of the log that was, and are done once more where nothing is left to
//! remove, which leaves nothing in the target either.

use super::SideStore;
use crate::StoreError;
use advisor_events::{ReplyId, Timestamp};

/// Drafts that are copied in one transaction.
pub const DRAFTS_COPIED_AT_ONCE: u32 = 100;

/// What a copy of a side store has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideCopied {
    /// Sessions and people whose tokens are refused.
    pub revocations: usize,
    /// Replies that were running.
    pub drafts: usize,
}

impl SideStore {
    /// Takes over what the source holds. It may be called again: of two revocations the later one stays, of two drafts
    /// that of the higher attempt.
    pub async fn copy_from(&self, source: &Self) -> Result<SideCopied, StoreError> {
        let revocations = source.revocations.since(Timestamp(i64::MIN), usize::MAX).await?;
        self.revocations.put_many(&revocations).await?;
        let mut copied = SideCopied { revocations: revocations.len(), drafts: 0 };
        let mut after = ReplyId::from("");
        loop {
            let replies = source.drafts.replies(&after, DRAFTS_COPIED_AT_ONCE).await?;
            let Some(last) = replies.last() else { return Ok(copied) };
            after.clone_from(last);
            let drafts = source.drafts.get_many(&replies).await?;
            copied.drafts += drafts.len();
            self.drafts.put_many(drafts).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Draft, PostgresOptions, given,
        side::revocations::{Revocation, Subject},
    };

    #[tokio::test]
    async fn revocations_and_drafts_come_along_and_nothing_is_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let source = SideStore::open(&directory.path().join("side.db")).await.unwrap();
        let options = PostgresOptions { connections_max: 2, ..given::postgres::options() };
        let target = SideStore::open_postgres(options).await.unwrap();
        for (session, at) in [("one", 10), ("two", 20)] {
            source.revocations().put(&revoked(session, at)).await.unwrap();
        }
        let drafts: Vec<_> = (0..250).map(|n| draft(&format!("r{n}"), "so far")).collect();
        source.drafts().put_many(drafts).await.unwrap();

        let copied = target.copy_from(&source).await.unwrap();

        assert_eq!(copied, SideCopied { revocations: 2, drafts: 250 });
        assert_eq!(target.drafts().get(&"r249".into()).await.unwrap(), Some(draft("r249", "so far")));

        target.revocations().put(&revoked("one", 30)).await.unwrap();
        target.copy_from(&source).await.unwrap();
        let there = target.revocations().since(Timestamp(0), 9).await.unwrap();
        assert_eq!(there, [revoked("one", 30), revoked("two", 20)]);
    }

    fn revoked(session: &str, at: i64) -> Revocation {
        Revocation { subject: Subject::Session(session.to_owned()), revoked_at: Timestamp(at) }
    }

    fn draft(reply: &str, text: &str) -> Draft {
        Draft {
            reply_id: reply.into(),
            conversation_id: "c".into(),
            attempt: 1,
            text: text.to_owned(),
            beat: 1,
            owner: "a claim".into(),
            released: true,
            updated_at: Timestamp(10),
        }
    }
}
