//! A server, and a way to it, that fail.

use crate::fixture::{brisk_log, log};
use advisor_eventlog::{
    AppendError, Appended, Direction, EventLog, Filter, KurrentDbOptions, NewEvent, Position, ReadError, Recorded,
    Subscription, SubscriptionEvent,
    contract::{
        proxy::{Proxy, Traffic},
        scene::{Scene, at, events, ids, recorded_ids, told_ids},
    },
};
use advisor_events::StreamName;
use advisor_kurrentdb_double::{Double, Fault, url};
use futures::StreamExt;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;

/// Longest that a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);

/// Case 41 and trap 3: a client that could not connect is dead for ever; it is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_recovers_whose_server_comes_late() {
    let double = Double::start();
    double.kill();
    let log = brisk_log(&double.url()).await;
    let (stream, batch) = (StreamName::from_text("a-1"), events(1));
    for _ in 0..3 {
        let appended = log.append(&stream, at(0), batch.clone()).await;
        assert!(matches!(appended, Err(AppendError::Unavailable(_))), "{appended:?}");
    }
    let read = log.read_stream(&stream, 0, Direction::Forward, 1).await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    assert!(matches!(log.subscribe_all(Position::START, Filter::all()).await, Err(ReadError::Unavailable(_))));

    double.start_again();

    let scene = Scene::on(Arc::new(log));
    let batch = events(2);
    until_written(&*scene.log, &scene.stream("a"), 0, &batch).await;
    assert_eq!(told_ids(&scene.subscribe(Position::START).await.events(2).await), ids(&batch));
}

/// Case 39: whatever is killed in the middle, nothing is lost and nothing doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_under_a_server_that_is_killed_again_and_again_land_once() {
    const WRITERS: usize = 8;
    const APPENDS: u64 = 60;
    let double = Double::start();
    let scene = Scene::on(Arc::new(brisk_log(&double.url()).await));
    let mut follower = Steadfast::new(&scene);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (log, stream) = (Arc::clone(&scene.log), scene.stream(writer));
        writers.spawn(async move {
            let mut all = Vec::new();
            for revision in 0..APPENDS {
                let batch = events(1);
                until_written(&*log, &stream, revision, &batch).await;
                all.extend(batch);
            }
            (stream, all)
        });
    }
    for kill in 1..=4 {
        // Wherever the writers are just then.
        follower.hear(kill * 40).await;
        double.kill();
        double.start_again();
    }
    let written: Vec<_> = timeout(PATIENCE, writers.join_all()).await.expect("writers that end");

    for (stream, events) in &written {
        let read = scene.log.read_stream(stream, 0, Direction::Forward, 4_096).await.expect("a stream");
        assert_eq!(recorded_ids(&read), ids(events));
    }
    follower.hear(WRITERS * 60).await;
    let all = scene.scan(Position::START, &scene.filter(), 100).await;
    assert!(follower.told.iter().map(Arc::as_ref).eq(all.iter()), "the follower was told what the log holds");
}

/// Case 39: written, and the answer lost with the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_leaves_the_outcome_unknown() {
    let double = Double::start();
    let proxy = Proxy::to(double.address().to_string()).await;
    let scene = Scene::on(Arc::new(brisk_log(&url(&proxy.address().to_string())).await));
    scene.fill("a", 1).await;
    let batch = events(2);
    proxy.let_traffic_be(Traffic::AnswersHeld);

    let (stream, log) = (scene.stream("a"), Arc::clone(&scene.log));
    let again = batch.clone();
    let mut appending = JoinSet::new();
    appending.spawn(async move { log.append(&stream, at(1), again).await });
    let full = format!("advisor.{}", scene.stream("a"));
    eventually(|| double.stored(&full).len() == 3).await;
    proxy.cut();
    let appended = appending.join_next().await.expect("an append").expect("its end");

    assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{appended:?}");
    proxy.let_traffic_be(Traffic::Flows);
    let found = until_written(&*scene.log, &scene.stream("a"), 1, &batch).await;
    assert_eq!(found.revision, 2);
    assert_eq!(scene.whole("a").await.len(), 3);
}

/// Every code that says nothing about what was done.
#[tokio::test]
async fn an_error_after_the_write_leaves_the_outcome_unknown() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(brisk_log(&double.url()).await));
    let codes = [
        Code::Unavailable,
        Code::Aborted,
        Code::Internal,
        Code::Unknown,
        Code::DataLoss,
        Code::DeadlineExceeded,
        Code::Cancelled,
        Code::ResourceExhausted,
    ];
    for (code, revision) in codes.into_iter().zip(0..) {
        let batch = events(1);
        double.next_appends([Fault::WrittenBut(code)]);
        let appended = scene.append("a", at(revision), &batch).await;
        assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{code:?}: {appended:?}");
        let again = scene.append("a", at(revision), &batch).await.expect("the repeat");
        assert_eq!(again.revision, revision);
    }
    assert_eq!(scene.whole("a").await.len(), codes.len());
}

/// What the server finds fault with is not tried again and again.
#[tokio::test]
async fn a_refusal_of_the_request_itself_is_definite() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(brisk_log(&double.url()).await));
    for code in [Code::InvalidArgument, Code::FailedPrecondition, Code::Unimplemented] {
        double.next_appends([Fault::Refused(code)]);
        let appended = scene.append("a", at(0), &events(1)).await;
        assert!(matches!(appended, Err(AppendError::Invalid(_))), "{code:?}: {appended:?}");
    }
    double.next_appends([Fault::Refused(Code::PermissionDenied)]);
    let appended = scene.append("a", at(0), &events(1)).await;
    assert!(matches!(appended, Err(AppendError::Denied)), "{appended:?}");
}

/// Trap 17: a repeat that comes before the first write is replicated is never answered; a later one is.
#[tokio::test]
async fn a_repeat_before_replication_is_repeated_again() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(brisk_log(&double.url()).await));
    let batch = events(2);
    double.next_appends([Fault::SlowReplication]);
    for _ in 0..2 {
        let appended = scene.append("a", at(0), &batch).await;
        assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{appended:?}");
    }

    double.replicate();

    let appended = scene.append("a", at(0), &batch).await.expect("a repeat");
    assert_eq!(appended.revision, 1);
    assert_eq!(recorded_ids(&scene.whole("a").await), ids(&batch));
}

/// Case 40 and trap 6: nobody answers, and that takes no longer than it may. Then the way is new, and so is the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_ends_at_the_time_out_and_heals() {
    const LIMIT: Duration = Duration::from_secs(5);
    let double = Double::start();
    let proxy = Proxy::to(double.address().to_string()).await;
    let limited = |options: &mut KurrentDbOptions| {
        options.append_timeout = LIMIT;
        options.read_timeout = LIMIT;
    };
    let scene = Scene::on(Arc::new(log(&url(&proxy.address().to_string()), limited).await));
    scene.fill("a", 1).await;
    let batch = events(1);
    proxy.let_traffic_be(Traffic::Swallowed);

    let begun = Instant::now();
    let (appended, read) = tokio::join!(scene.append("a", at(1), &batch), scene.log.head());
    let took = begun.elapsed();

    assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{appended:?}");
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    assert!(took > LIMIT.mul_f64(0.8) && took < LIMIT.mul_f64(1.2), "{took:?}");
    // What stands stays swallowed for ever; only a new connection gets through.
    proxy.cut();
    proxy.let_traffic_be(Traffic::Flows);
    assert_eq!(until_written(&*scene.log, &scene.stream("a"), 1, &batch).await.revision, 1);
}

/// Trap 6: a server that takes the append and never says a word.
#[tokio::test]
async fn a_silent_server_ends_at_the_time_out() {
    let double = Double::start();
    let scene = Scene::on(Arc::new(brisk_log(&double.url()).await));
    double.next_appends([Fault::Silence]);

    let appended = timeout(PATIENCE, scene.append("a", at(0), &events(1))).await.expect("an end");

    assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{appended:?}");
}

/// In a cluster, whoever does not lead names the leader, and did nothing: nobody above hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_leaders_is_followed_within_the_call() {
    let (one, two) = cluster();
    let scene = Scene::on(Arc::new(log(&seeds(&one, &two), |_| {}).await));
    scene.fill("a", 1).await;

    two.lead();

    scene.append("a", at(1), &events(1)).await.expect("an append to the other leader");
    one.lead();
    assert_eq!(scene.whole("a").await.len(), 2);
}

/// Trap 5: the client never looks for another node by itself; after some failures it is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_is_replaced_by_another() {
    let (one, two) = cluster();
    let scene = Scene::on(Arc::new(brisk_log(&seeds(&one, &two)).await));
    let mut follower = Steadfast::new(&scene);
    let first = scene.fill("a", 1).await;
    follower.hear(1).await;

    one.kill();
    two.lead();

    let second = events(1);
    until_written(&*scene.log, &scene.stream("a"), 1, &second).await;
    follower.hear(2).await;
    assert_eq!(told_ids(&follower.told), [ids(&first), ids(&second)].concat());
}

fn cluster() -> (Double, Double) {
    let one = Double::start();
    let two = one.join();
    (one, two)
}

fn seeds(one: &Double, two: &Double) -> String {
    format!("esdb://{},{}?tls=false", one.address(), two.address())
}

/// What a caller does about an append that failed: the same again, until the log says what became of it.
async fn until_written(log: &dyn EventLog, stream: &StreamName, revision: u64, batch: &[NewEvent]) -> Appended {
    let begun = Instant::now();
    loop {
        match log.append(stream, at(revision), batch.to_vec()).await {
            Ok(appended) => return appended,
            Err(AppendError::OutcomeUnknown(_) | AppendError::Unavailable(_)) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{stream} at {revision}: {error}"),
        }
    }
}

/// A follower as those above the port are: when its subscription ends, it subscribes again from where it stands.
struct Steadfast<'a> {
    scene: &'a Scene,
    subscription: Option<Subscription>,
    reached: Position,
    told: Vec<Arc<Recorded>>,
}

impl<'a> Steadfast<'a> {
    fn new(scene: &'a Scene) -> Self {
        Self { scene, subscription: None, reached: Position::START, told: Vec::new() }
    }

    /// Follows until it has been told so many events.
    async fn hear(&mut self, count: usize) {
        let hearing = async {
            while self.told.len() < count {
                self.hear_once().await;
            }
        };
        timeout(PATIENCE, hearing).await.expect("news in time");
    }

    async fn hear_once(&mut self) {
        let Some(subscription) = &mut self.subscription else {
            let subscribed = self.scene.log.subscribe_all(self.reached, self.scene.filter()).await;
            self.subscription = subscribed.ok();
            return;
        };
        match subscription.next().await {
            Some(Ok(SubscriptionEvent::Event(event))) => {
                assert!(event.position > self.reached, "{} comes after {}", event.position, self.reached);
                self.reached = event.position;
                self.told.push(event);
            }
            Some(Ok(SubscriptionEvent::Checkpoint(position))) => self.reached = position,
            Some(Ok(SubscriptionEvent::CaughtUp)) => {}
            Some(Err(_)) | None => self.subscription = None,
        }
    }
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
