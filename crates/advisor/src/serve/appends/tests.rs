//! Two processes, as far as their logs can tell, whose clocks say nothing while a test runs.

use super::*;
use advisor_bus::InProcessBus;
use advisor_eventlog::{
    EventLog, Expected, Filter, NewEvent, PostgresLog, PostgresLogOptions, Subscription, SubscriptionEvent,
};
use advisor_events::StreamName;
use futures::StreamExt;
use std::time::Duration;
use uuid::Uuid;

const NEVER: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_one_process_appends_is_seen_in_the_other_without_its_clock() {
    let schema = format!("log_{}", Uuid::new_v4().simple());
    let (one, other) = (log(&schema), log(&schema));
    let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new());
    let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
    let mut follower = follow(&*other.port()).await;
    for log in [&one, &other] {
        exchange(log, &bus, &tasks, &ending);
    }
    // Both listen from the first time that they run on.
    tokio::task::yield_now().await;

    for stream in ["a", "b", "c"] {
        let appended = append(&*one.port(), stream).await;
        assert_eq!(next(&mut follower).await, appended);
    }

    ending.cancel();
    tasks.close();
    tokio::time::timeout(PATIENCE, tasks.wait()).await.expect("they end when they are told to");
}

fn log(schema: &str) -> OpenLog {
    let options = PostgresLogOptions {
        schema: schema.to_owned(),
        look_interval_min: NEVER,
        look_interval_max: NEVER,
        ..PostgresLogOptions::at(url())
    };
    OpenLog::Postgres(Arc::new(PostgresLog::open(options).unwrap()))
}

async fn follow(log: &dyn EventLog) -> Subscription {
    let mut follower = log.subscribe_all(Position::START, Filter::all()).await.unwrap();
    assert_eq!(follower.next().await.unwrap().unwrap(), SubscriptionEvent::CaughtUp);
    follower
}

async fn append(log: &dyn EventLog, stream: &str) -> Position {
    let event = NewEvent { id: Uuid::new_v4(), type_name: "t".to_owned(), data: Vec::new(), metadata: Vec::new() };
    let appended = log.append(&StreamName::from_text(stream), Expected::NoStream, vec![event]).await;
    appended.unwrap().position
}

async fn next(follower: &mut Subscription) -> Position {
    loop {
        let told = tokio::time::timeout(PATIENCE, follower.next()).await.expect("it is seen");
        match told.unwrap().unwrap() {
            SubscriptionEvent::Event(event) => return event.position,
            SubscriptionEvent::Checkpoint(_) | SubscriptionEvent::CaughtUp => {}
        }
    }
}

/// The tests' PostgreSQL.
#[expect(clippy::disallowed_methods, reason = "`ops/engines` tells tests so.")]
fn url() -> String {
    std::env::var("ADVISOR_TEST_POSTGRES")
        .expect("ADVISOR_TEST_POSTGRES is not set: run this under ops/engines, which starts a PostgreSQL")
}
