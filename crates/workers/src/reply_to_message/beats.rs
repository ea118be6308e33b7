//! The drafts of all replies of this process, written together: the text so far, and a sign of life.
//!
//! Every 250 ms one write takes the drafts whose text has changed and those whose beat is due (once a
//! second, text or not). A reply that could not be written for 5 s is dropped: an observer would soon
//! take it over, and two must not answer.

use super::draft::Growing;
use advisor_events::{Clock, ConversationId, ReplyId, Timestamp};
use advisor_projections::{Draft, Drafts, StoreError};
use advisor_proof::{Point, reached};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Drafts that nobody has written to for a week were left behind by a crash after their reply's end.
pub const ORPHANED_AFTER_MS: i64 = 7 * 24 * 3_600 * 1_000;

/// How often drafts and beats are written, and how long may pass without.
#[derive(Clone, Copy, Debug)]
pub struct BeatOptions {
    /// Time between two writes of drafts.
    pub write: Duration,
    /// Time between two beats of a reply.
    pub beat: Duration,
    /// A reply that could not beat for so long is dropped by its owner.
    pub drop_after: Duration,
}

impl Default for BeatOptions {
    fn default() -> Self {
        Self { write: Duration::from_millis(250), beat: Duration::from_secs(1), drop_after: Duration::from_secs(5) }
    }
}

/// Where drafts are kept, beside the log.
#[async_trait]
pub(crate) trait DraftStore: Send + Sync {
    /// Writes these drafts in one transaction, in the place of those of the same replies; one of a higher attempt stays.
    async fn write(&self, drafts: Vec<Draft>) -> Result<(), StoreError>;
    /// The drafts of these replies, as far as there are any.
    async fn find(&self, replies: &[ReplyId]) -> Result<Vec<Draft>, StoreError>;
    /// Removes the drafts of these replies.
    async fn remove(&self, replies: &[ReplyId]) -> Result<(), StoreError>;
    /// Removes what nobody has written to since `before`.
    async fn sweep(&self, before: Timestamp) -> Result<(), StoreError>;
}

#[async_trait]
impl DraftStore for Drafts {
    async fn write(&self, drafts: Vec<Draft>) -> Result<(), StoreError> {
        self.put_many(drafts).await
    }

    async fn find(&self, replies: &[ReplyId]) -> Result<Vec<Draft>, StoreError> {
        self.get_many(replies).await
    }

    async fn remove(&self, replies: &[ReplyId]) -> Result<(), StoreError> {
        for reply_id in replies {
            Self::remove(self, reply_id).await?;
        }
        Ok(())
    }

    async fn sweep(&self, before: Timestamp) -> Result<(), StoreError> {
        Self::sweep(self, before).await
    }
}

/// A draft that grows while it is written.
pub(crate) type SharedDraft = Arc<Mutex<Growing>>;

/// Whose draft it is.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) reply_id: ReplyId,
    pub(crate) conversation_id: ConversationId,
    pub(crate) attempt: u32,
    /// The name of its claim.
    pub(crate) owner: String,
}

/// Locks a draft; a panic elsewhere leaves it as it was.
pub(crate) fn lock(draft: &SharedDraft) -> MutexGuard<'_, Growing> {
    draft.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All drafts of this process.
pub(crate) struct Beats {
    store: Arc<dyn DraftStore>,
    clock: Arc<dyn Clock>,
    options: BeatOptions,
    /// In their order, so that what happens to several of them happens the same way every time.
    entries: Mutex<BTreeMap<ReplyId, Entry>>,
}

struct Entry {
    owned: Owned,
    draft: SharedDraft,
    beat: u64,
    /// Length of the text that was last written; texts only grow.
    written_bytes: Option<usize>,
    beaten_at: Instant,
    /// Cancelled when the reply has to be dropped; `None` once it has ended and needs no beat.
    lost: Option<CancellationToken>,
}

impl Beats {
    pub(crate) fn new(store: Arc<dyn DraftStore>, clock: Arc<dyn Clock>, options: BeatOptions) -> Self {
        Self { store, clock, options, entries: Mutex::new(BTreeMap::new()) }
    }

    /// Begins to beat for an attempt, in the place of an earlier one; `lost` is cancelled when that fails for too long.
    pub(crate) fn begin(&self, owned: Owned, draft: SharedDraft, lost: CancellationToken) {
        let reply_id = owned.reply_id.clone();
        let now = Instant::now();
        let entry = Entry { owned, draft, beat: 0, written_bytes: None, beaten_at: now, lost: Some(lost) };
        self.lock().insert(reply_id, entry);
    }

    /// The reply has ended: its draft is kept until [`forget`](Self::forget), without a beat.
    pub(crate) fn end(&self, reply_id: &ReplyId) {
        if let Some(entry) = self.lock().get_mut(reply_id) {
            entry.lost = None;
        }
    }

    /// Somebody else's reply now: its draft is left to them.
    pub(crate) fn leave(&self, reply_id: &ReplyId) {
        self.lock().remove(reply_id);
    }

    /// Readers see the end: the drafts have served.
    pub(crate) async fn forget(&self, replies: &[ReplyId]) -> Result<(), StoreError> {
        if replies.is_empty() {
            return Ok(());
        }
        {
            let mut entries = self.lock();
            for reply_id in replies {
                entries.remove(reply_id);
            }
        }
        self.store.remove(replies).await
    }

    /// Others' drafts.
    pub(crate) async fn find(&self, replies: &[ReplyId]) -> Result<HashMap<ReplyId, Draft>, StoreError> {
        if replies.is_empty() {
            return Ok(HashMap::new());
        }
        let drafts = self.store.find(replies).await?;
        Ok(drafts.into_iter().map(|draft| (draft.reply_id.clone(), draft)).collect())
    }

    /// Writes what is due, again and again, until `until`.
    pub(crate) async fn run(&self, until: CancellationToken) {
        if let Err(error) = self.store.sweep(self.clock.now().plus_ms(-ORPHANED_AFTER_MS)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "orphaned drafts could not be removed");
        }
        let mut ticks = interval(self.options.write);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while until.run_until_cancelled(ticks.tick()).await.is_some() {
            self.write_due().await;
        }
    }

    /// Marks every reply that still beats as free to be taken over at once.
    pub(crate) async fn release_all(&self) -> Result<(), StoreError> {
        let released: Vec<Draft> = {
            let entries = self.lock();
            let beating = entries.values().filter(|entry| entry.lost.is_some());
            beating.map(|entry| Draft { released: true, ..entry.kept(self.clock.now()) }).collect()
        };
        if released.is_empty() { Ok(()) } else { self.store.write(released).await }
    }

    async fn write_due(&self) {
        // First of all: a process that was frozen must not write over whoever has taken over since.
        self.drop_silent();
        let due: Vec<Draft> = {
            let mut entries = self.lock();
            let now = self.clock.now();
            entries.values_mut().filter_map(|entry| entry.due(self.options.beat, now)).collect()
        };
        if !due.is_empty() {
            let signs: Vec<_> =
                due.iter().map(|draft| (draft.reply_id.clone(), draft.attempt, draft.text.len())).collect();
            let began = Instant::now();
            // A write that hangs is as good as none: what it holds is written again.
            let written = tokio::time::timeout(self.options.drop_after, self.store.write(due)).await;
            reached(Point::DraftWritten);
            match written {
                Ok(Ok(())) => self.note_written(&signs, began),
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "drafts could not be written");
                }
                Err(_) => tracing::warn!("drafts could not be written in time"),
            }
        }
        self.drop_silent();
    }

    fn note_written(&self, signs: &[(ReplyId, u32, usize)], began: Instant) {
        let mut entries = self.lock();
        for (reply_id, attempt, bytes) in signs {
            if let Some(entry) = entries.get_mut(reply_id).filter(|entry| entry.owned.attempt == *attempt) {
                entry.written_bytes = Some(*bytes);
                entry.beaten_at = began;
            }
        }
    }

    fn drop_silent(&self) {
        let now = Instant::now();
        self.lock().retain(|reply_id, entry| match &entry.lost {
            Some(lost) if now.duration_since(entry.beaten_at) >= self.options.drop_after => {
                tracing::error!(reply.id = %reply_id, "a reply is dropped: its beat could not be written");
                lost.cancel();
                false
            }
            Some(_) | None => true,
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReplyId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn kept(&self, now: Timestamp) -> Draft {
        let Owned { reply_id, conversation_id, attempt, owner } = self.owned.clone();
        let text = lock(&self.draft).text().to_owned();
        Draft { reply_id, conversation_id, attempt, text, beat: self.beat, owner, released: false, updated_at: now }
    }

    /// What has to be written now: every write is a beat.
    fn due(&mut self, beat: Duration, now: Timestamp) -> Option<Draft> {
        let has_grown = self.written_bytes != Some(lock(&self.draft).text().len());
        let has_to_beat = self.lost.is_some() && self.beaten_at.elapsed() >= beat;
        if !has_grown && !has_to_beat {
            return None;
        }
        self.beat += 1;
        Some(self.kept(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio_util::task::{AbortOnDropHandle, TaskTracker};

    #[tokio::test(start_paused = true)]
    async fn a_text_is_written_within_250_ms_of_its_last_word_and_all_drafts_together() {
        let desk = Desk::open();
        let (one, two) = (desk.begin("one"), desk.begin("two"));
        desk.wind(300).await;
        let before = desk.store.writes();

        assert!(lock(&one).push("Hello").is_continue());
        assert!(lock(&two).push("Good day").is_continue());
        desk.wind(250).await;

        assert_eq!(desk.store.writes(), before + 1);
        assert_eq!(desk.store.get("one").unwrap().text, "Hello");
        assert_eq!(desk.store.get("two").unwrap().text, "Good day");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_beats_every_second_without_text() {
        let desk = Desk::open();
        let _draft = desk.begin("one");
        desk.wind(300).await;
        let first = desk.store.get("one").unwrap().beat;
        desk.wind(10_000).await;
        let beats = desk.store.get("one").unwrap().beat - first;
        assert!((8..=10).contains(&beats), "{beats}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_can_not_beat_for_five_seconds_is_dropped() {
        let desk = Desk::open();
        let _draft = desk.begin("one");
        desk.wind(1_000).await;
        desk.store.0.broken.store(true, Ordering::SeqCst);
        desk.wind(3_900).await;
        assert!(!desk.lost.is_cancelled());
        desk.wind(1_600).await;
        assert!(desk.lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_comes_back_in_time_saves_the_reply() {
        let desk = Desk::open();
        let _draft = desk.begin("one");
        desk.wind(1_000).await;
        desk.store.0.broken.store(true, Ordering::SeqCst);
        desk.wind(3_000).await;
        desk.store.0.broken.store(false, Ordering::SeqCst);
        desk.wind(20_000).await;
        assert!(!desk.lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_reply_keeps_its_last_words_without_a_beat_until_it_is_forgotten() {
        let desk = Desk::open();
        let draft = desk.begin("one");
        assert!(lock(&draft).push("Hello").is_continue());
        desk.beats.end(&ReplyId::from("one"));
        desk.wind(300).await;
        let kept = desk.store.get("one").unwrap();
        assert_eq!(kept.text, "Hello");
        desk.wind(10_000).await;
        assert_eq!(desk.store.get("one").unwrap().beat, kept.beat);

        desk.beats.forget(&[ReplyId::from("one")]).await.unwrap();
        assert!(desk.store.get("one").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn releasing_marks_what_runs_and_leaves_what_has_ended() {
        let desk = Desk::open();
        let draft = desk.begin("one");
        let _ended = desk.begin("two");
        desk.beats.end(&ReplyId::from("two"));
        desk.wind(300).await;
        assert!(lock(&draft).push("Hello").is_continue());

        desk.beats.release_all().await.unwrap();

        let released = desk.store.get("one").unwrap();
        assert!(released.released);
        assert_eq!(released.text, "Hello");
        assert!(!desk.store.get("two").unwrap().released);
    }

    /// Drafts in memory, which can be made to fail.
    #[derive(Clone, Default)]
    struct MemoryDrafts(Arc<Memory>);

    #[derive(Default)]
    struct Memory {
        rows: Mutex<HashMap<ReplyId, Draft>>,
        writes: Mutex<usize>,
        broken: AtomicBool,
    }

    impl MemoryDrafts {
        fn get(&self, reply_id: &str) -> Option<Draft> {
            self.0.rows.lock().unwrap().get(&ReplyId::from(reply_id)).cloned()
        }

        fn writes(&self) -> usize {
            *self.0.writes.lock().unwrap()
        }
    }

    #[async_trait]
    impl DraftStore for MemoryDrafts {
        async fn write(&self, drafts: Vec<Draft>) -> Result<(), StoreError> {
            if self.0.broken.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable("broken".into()));
            }
            *self.0.writes.lock().unwrap() += 1;
            self.0.rows.lock().unwrap().extend(drafts.into_iter().map(|draft| (draft.reply_id.clone(), draft)));
            Ok(())
        }

        async fn find(&self, replies: &[ReplyId]) -> Result<Vec<Draft>, StoreError> {
            let rows = self.0.rows.lock().unwrap();
            Ok(replies.iter().filter_map(|reply_id| rows.get(reply_id).cloned()).collect())
        }

        async fn remove(&self, replies: &[ReplyId]) -> Result<(), StoreError> {
            self.0.rows.lock().unwrap().retain(|reply_id, _| !replies.contains(reply_id));
            Ok(())
        }

        async fn sweep(&self, before: Timestamp) -> Result<(), StoreError> {
            self.0.rows.lock().unwrap().retain(|_, draft| draft.updated_at >= before);
            Ok(())
        }
    }

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp(43_200_000)
        }
    }

    struct Desk {
        store: MemoryDrafts,
        beats: Arc<Beats>,
        lost: CancellationToken,
        _task: AbortOnDropHandle<()>,
    }

    impl Desk {
        fn open() -> Self {
            let store = MemoryDrafts::default();
            let beats = Arc::new(Beats::new(Arc::new(store.clone()), Arc::new(Noon), BeatOptions::default()));
            let running = Arc::clone(&beats);
            let task = TaskTracker::new().spawn(async move { running.run(CancellationToken::new()).await });
            Self { store, beats, lost: CancellationToken::new(), _task: AbortOnDropHandle::new(task) }
        }

        fn begin(&self, reply_id: &str) -> SharedDraft {
            let draft = Arc::new(Mutex::new(Growing::new(1_000)));
            let owned = Owned { reply_id: reply_id.into(), conversation_id: "c".into(), attempt: 1, owner: "o".into() };
            self.beats.begin(owned, Arc::clone(&draft), self.lost.clone());
            draft
        }

        /// Lets so many milliseconds pass.
        async fn wind(&self, milliseconds: u64) {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
    }
}
