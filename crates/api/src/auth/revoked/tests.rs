//! What is refused, from when on, for how long, and who is woken.

use super::*;
use crate::auth::{roles::Roles, test_issuer::TestClock};
use advisor_events::UserId;
use advisor_projections::SideStore;
use futures::FutureExt;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_revoked_session_is_refused_and_no_other_one_of_its_person() {
    let world = World::new().await;
    let revoked = world.load().await;
    revoked.revoke(session("s1")).await.unwrap();

    assert!(revoked.refuses(&ana("s1")));
    assert!(!revoked.refuses(&ana("s2")));
    assert!(!revoked.refuses(&Person { session_id: None, ..ana("s1") }));
}

#[tokio::test]
async fn a_deleted_person_is_refused_in_every_session_and_nobody_else() {
    let world = World::new().await;
    let revoked = world.load().await;
    revoked.revoke(Subject::Person("ana".into())).await.unwrap();

    assert!(revoked.refuses(&ana("s1")));
    assert!(revoked.refuses(&Person { session_id: None, ..ana("s1") }));
    assert!(!revoked.refuses(&Person { user_id: UserId::from("ben"), ..ana("s1") }));
}

#[tokio::test]
async fn what_was_revoked_is_known_after_a_restart() {
    let world = World::new().await;
    world.load().await.revoke(session("s1")).await.unwrap();

    assert!(world.load().await.refuses(&ana("s1")));
}

#[tokio::test]
async fn what_another_process_was_told_is_heard_of_and_wakes_who_watches() {
    let world = World::new().await;
    let (here, there) = (world.load().await, world.load().await);
    let shutdown = CancellationToken::new();
    TaskTracker::new().spawn(Arc::clone(&here).follow(shutdown.clone()));
    let watch = here.watch(&ana("s1"));
    there.revoke(session("s1")).await.unwrap();

    tokio::time::timeout(PATIENCE, watch.revoked()).await.unwrap();

    assert!(here.refuses(&ana("s1")));
    shutdown.cancel();
}

#[tokio::test]
async fn a_process_whose_clock_is_behind_is_heard_of_too() {
    let world = World::new().await;
    let (here, there) = (world.load().await, world.load().await);
    let looked_at = world.clock.now();
    world.clock.advance(-60);
    there.revoke(session("s1")).await.unwrap();

    here.look(looked_at).await.unwrap();

    assert!(here.refuses(&ana("s1")));
}

#[tokio::test]
async fn only_those_who_watch_a_revoked_sign_in_are_woken() {
    let world = World::new().await;
    let revoked = world.load().await;
    let [one, other, elsewhere] = ["s1", "s1", "s2"].map(|id| revoked.watch(&ana(id)));
    revoked.revoke(session("s1")).await.unwrap();

    assert!(one.revoked().now_or_never().is_some() && other.revoked().now_or_never().is_some());
    assert!(elsewhere.revoked().now_or_never().is_none());
    revoked.revoke(Subject::Person("ana".into())).await.unwrap();
    assert!(elsewhere.revoked().now_or_never().is_some());
}

#[tokio::test]
async fn a_sign_in_that_is_revoked_already_is_told_at_once() {
    let world = World::new().await;
    let revoked = world.load().await;
    revoked.revoke(session("s1")).await.unwrap();

    assert!(revoked.watch(&ana("s1")).revoked().now_or_never().is_some());
}

#[tokio::test]
async fn nothing_is_kept_of_a_watch_that_has_ended() {
    let world = World::new().await;
    let revoked = world.load().await;
    let (one, other) = (revoked.watch(&ana("s1")), revoked.watch(&ana("s1")));
    drop(one);
    assert_eq!(revoked.lock().watches.len(), 2);
    drop(other);
    assert!(revoked.lock().watches.is_empty());
}

#[tokio::test]
async fn a_revocation_is_forgotten_when_no_token_can_be_alive() {
    let world = World::new().await;
    let revoked = world.load().await;
    revoked.revoke(session("s1")).await.unwrap();

    world.clock.advance(KEPT_MS / 1_000);
    revoked.sweep(world.clock.now()).await;
    assert!(revoked.refuses(&ana("s1")) && world.load().await.refuses(&ana("s1")));

    world.clock.advance(1);
    assert!(!world.load().await.refuses(&ana("s1")), "it is too old to be loaded");
    revoked.sweep(world.clock.now()).await;
    assert!(!revoked.refuses(&ana("s1")));
    assert!(world.side.revocations().since(Timestamp(0), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_could_not_be_written_is_an_error_and_refuses_nobody() {
    let world = World::new().await;
    let revoked = world.load().await;
    world.side.close().await;

    assert!(revoked.revoke(session("s1")).await.is_err());
    assert!(!revoked.refuses(&ana("s1")));
}

#[tokio::test]
async fn no_more_revocations_are_held_than_allowed_and_the_newest_stay() {
    let world = World::new().await;
    let revoked = world.load().await;
    let one =
        |(number, at): (usize, i64)| Revocation { subject: session(&number.to_string()), revoked_at: Timestamp(at) };
    revoked.lock().take_in((0..=REVOCATIONS_MAX).zip(0..).map(one));

    assert!(revoked.lock().revoked.len() <= REVOCATIONS_MAX);
    assert!(!revoked.refuses(&ana("0")));
    assert!(revoked.refuses(&ana(&REVOCATIONS_MAX.to_string())));
}

struct World {
    clock: Arc<TestClock>,
    side: SideStore,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let side = SideStore::open(&directory.path().join("side.db")).await.unwrap();
        Self { clock: TestClock::new(), side, _directory: directory }
    }

    /// As a process does that starts.
    async fn load(&self) -> Arc<Revoked> {
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        Revoked::load(self.side.revocations().clone(), clock).await.unwrap()
    }
}

fn session(id: &str) -> Subject {
    Subject::Session(id.to_owned())
}

fn ana(session_id: &str) -> Person {
    Person {
        user_id: UserId::from("ana"),
        roles: Roles::default(),
        plan: None,
        session_id: Some(session_id.to_owned()),
        expires_at: Timestamp(i64::MAX),
    }
}
