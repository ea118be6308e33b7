//! Whose tokens are refused although they are genuine and have not expired: those of ended sessions and of people
//! who were deleted.
//!
//! It is held in memory, since every request asks, and lies in the side store, where every process writes what it
//! is told and looks once a second. What concerns a live stream, or a request that waits, wakes it.

use super::Person;
use advisor_events::{Clock, Timestamp};
use advisor_projections::{
    StoreError,
    side::revocations::{Revocation, Revocations, Subject},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How long a revocation is kept: longer than any token lives, and than anybody is remembered as registered.
pub const KEPT_MS: i64 = 25 * 3_600_000;
/// Most revocations that are held; beyond it the oldest are given up, whose tokens have the least time left.
pub const REVOCATIONS_MAX: usize = 500_000;
/// How often one looks for what other processes have written.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How far the clocks of processes may differ, so that none misses what another one has written.
pub const OVERLAP_MS: i64 = 60_000;
/// How often what is too old is removed from the side store.
pub const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// The sign-ins that are not accepted any more. Spawn [`Revoked::follow`] once, on the process's task tracker.
pub struct Revoked {
    store: Revocations,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    revoked: HashMap<Subject, Timestamp>,
    /// Who waits for what, each under the number of its watch.
    watches: HashMap<Subject, HashMap<u64, CancellationToken>>,
    watches_made: u64,
}

/// Tells when a sign-in is revoked; is forgotten when it is dropped.
pub struct Watch {
    revoked: Arc<Revoked>,
    number: u64,
    subjects: Vec<Subject>,
    told: CancellationToken,
}

impl Revoked {
    /// What the side store holds.
    pub async fn load(store: Revocations, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StoreError> {
        let since = clock.now().plus_ms(-KEPT_MS);
        let loaded = store.since(since, REVOCATIONS_MAX).await?;
        let revoked = Self { store, clock, known: Mutex::default() };
        revoked.lock().take_in(loaded);
        Ok(Arc::new(revoked))
    }

    /// Writes a revocation, and refuses its subject from then on.
    pub async fn revoke(&self, subject: Subject) -> Result<(), StoreError> {
        let revocation = Revocation { subject, revoked_at: self.clock.now() };
        self.store.put(&revocation).await?;
        self.lock().take_in([revocation]);
        Ok(())
    }

    /// Whether tokens of this sign-in are refused.
    pub fn refuses(&self, person: &Person) -> bool {
        let known = self.lock();
        !known.revoked.is_empty() && subjects(person).any(|subject| known.revoked.contains_key(&subject))
    }

    /// Watches a sign-in; one that is revoked already is told at once.
    pub fn watch(self: &Arc<Self>, person: &Person) -> Watch {
        let (subjects, told): (Vec<_>, _) = (subjects(person).collect(), CancellationToken::new());
        let mut known = self.lock();
        known.watches_made += 1;
        let number = known.watches_made;
        for subject in &subjects {
            known.watches.entry(subject.clone()).or_default().insert(number, told.clone());
            if known.revoked.contains_key(subject) {
                told.cancel();
            }
        }
        Watch { revoked: Arc::clone(self), number, subjects, told }
    }

    /// Looks for what other processes have written, until `shutdown`.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked_at = self.clock.now();
        let mut swept_at = None;
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            let now = self.clock.now();
            match self.look(looked_at).await {
                Ok(()) => looked_at = now,
                Err(error) => tracing::warn!(store.error = %error, "it can't be looked whose sign-in was revoked"),
            }
            if swept_at.is_none_or(|at: Instant| at.elapsed() >= SWEEP_EVERY) {
                swept_at = Some(Instant::now());
                self.sweep(now).await;
            }
        }
    }

    async fn look(&self, looked_at: Timestamp) -> Result<(), StoreError> {
        let news = self.store.since(looked_at.plus_ms(-OVERLAP_MS), REVOCATIONS_MAX).await?;
        self.lock().take_in(news);
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) {
        let kept_since = now.plus_ms(-KEPT_MS);
        self.lock().revoked.retain(|_, at| *at >= kept_since);
        if let Err(error) = self.store.sweep(kept_since).await {
            tracing::warn!(store.error = %error, "revocations that are too old are not removed");
        }
    }

    /// The maps stay whole whatever panicked while they were held: each step leaves them so.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a person's token can be refused for.
fn subjects(person: &Person) -> impl Iterator<Item = Subject> {
    let session = person.session_id.clone().map(Subject::Session);
    [Subject::Person(person.user_id.clone())].into_iter().chain(session)
}

impl Known {
    fn take_in(&mut self, revocations: impl IntoIterator<Item = Revocation>) {
        for Revocation { subject, revoked_at } in revocations {
            self.watches.get(&subject).into_iter().flat_map(HashMap::values).for_each(CancellationToken::cancel);
            let at = self.revoked.entry(subject).or_insert(revoked_at);
            *at = revoked_at.max(*at);
        }
        if self.revoked.len() > REVOCATIONS_MAX {
            self.give_up_oldest();
        }
    }

    /// A tenth at once, since it looks at all of them.
    fn give_up_oldest(&mut self) {
        let mut times: Vec<Timestamp> = self.revoked.values().copied().collect();
        let (_, oldest_kept, _) = times.select_nth_unstable(REVOCATIONS_MAX / 10);
        let oldest_kept = *oldest_kept;
        self.revoked.retain(|_, at| *at >= oldest_kept);
        tracing::warn!(revocations.max = REVOCATIONS_MAX, "too many sign-ins are revoked: the oldest are given up");
    }
}

impl Watch {
    /// Returns when the sign-in is revoked.
    pub async fn revoked(&self) {
        self.told.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut known = self.revoked.lock();
        for subject in &self.subjects {
            let Some(watches) = known.watches.get_mut(subject) else { continue };
            watches.remove(&self.number);
            if watches.is_empty() {
                known.watches.remove(subject);
            }
        }
    }
}

#[cfg(test)]
mod tests;
