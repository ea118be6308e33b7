//! What a parked stream promises: it stands as it was before the event that can't be applied, all others go on, and
//! once it has been read on the rows are what the log makes of them.

use super::*;
use crate::{
    RunnerLimits, State, changes, conversations,
    given::{
        Story,
        damaged::{Damage, DamagedLog},
        dump, opened,
        read_side::{PATIENCE, ReadSide, Running, empty},
    },
    projection::{Projection, all},
    read_on::ReadOn,
    refolding::{RefoldingParts, refold},
    rows::{Rows, Writes},
    runner::batch::{self, Fold},
    table::{Table, TableRow},
    users::UserRow,
    verification::verify,
};
use advisor_bus::{Bus, BusMessage, Topic};
use advisor_eventlog::MemoryLog;
use advisor_events::{Event, advisor::Visibility, conversation::ConversationEvent, conversation::TitleSource};
use proptest::prelude::*;
use uuid::Uuid;

const AT: (&str, &str) = ("c", "ana");
const OTHER: (&str, &str) = ("d", "ben");
const STRIDE: u64 = 3;

/// A read side over a log that can be damaged.
struct Given {
    side: ReadSide,
    log: Arc<DamagedLog>,
}

impl Given {
    async fn told(story: &Story) -> Self {
        Self::over(empty().await, story).await
    }

    async fn over(side: ReadSide, story: &Story) -> Self {
        story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
        Self { log: DamagedLog::over(&side.log), side }
    }

    /// Runs until everything is consumed.
    async fn run(&self) -> Running {
        let running = self.side.run_over(Arc::clone(&self.log) as _).await;
        self.side.reach_head().await;
        running
    }

    async fn parked(&self) -> Vec<ParkedStream> {
        self.side.read(parked::all()).await
    }

    async fn read_on(&self, stream: &str) -> ReadOn {
        self.side.reader().read_on(StreamName::from_text(stream)).await.unwrap()
    }

    async fn message_count(&self, (conversation, user): (&str, &str)) -> u64 {
        self.side.read(conversations::by_id(&user.into(), &conversation.into())).await.unwrap().message_count
    }

    /// What is consumed and what rows are agrees with the log, as it can be read.
    async fn assert_verified(&self) {
        let reader = self.side.reader();
        assert_eq!(verify(self.log.as_ref(), &reader).await.unwrap().difference, None);
        let parts = RefoldingParts {
            log: Arc::clone(&self.log) as _,
            keys: Arc::clone(&self.side.keys) as _,
            clock: self.side.parts().clock,
        };
        assert_eq!(refold(parts, &reader).await.unwrap().differences, []);
    }
}

/// Two conversations that go on by turns; the second message of the first one is event 4.
fn two_conversations() -> Story {
    opened("this log").started("c", "ana").started("d", "ben").sent(AT, "m", &[]).sent(AT, "n", &[]).sent(
        OTHER,
        "o",
        &[],
    )
}

#[tokio::test]
async fn a_damaged_event_parks_its_stream_and_the_others_go_on() {
    for (damage, reason) in [(Damage::Bit, Poison::Checksum), (Damage::Metadata, Poison::Shape)] {
        let given = Given::told(&two_conversations()).await;
        let position = given.log.damage(4, damage).await;
        let running = given.run().await;
        let story = two_conversations().sent(AT, "p", &[]).sent(OTHER, "q", &[]);
        given.side.tell(&story).await;

        assert_eq!((given.message_count(AT).await, given.message_count(OTHER).await), (1, 2), "{damage:?}");
        let parked = given.parked().await;
        assert_eq!(parked.len(), 1);
        assert_eq!((parked[0].stream.as_str(), parked[0].revision), ("conversation-c", 2));
        assert_eq!((parked[0].position, parked[0].reason, parked[0].queued), (position, reason, 1));
        assert_eq!(given.side.read(parked::find(&parked[0].stream)).await.as_ref(), parked.first());
        assert_eq!(given.side.read(parked::find(&StreamName::from_text("conversation-d"))).await, None);
        let progress = given.side.reader().progress().borrow().clone();
        assert_eq!((progress.state, progress.parked_streams), (State::Live, 1));
        running.stop().await;
        given.assert_verified().await;
    }
}

#[tokio::test]
async fn words_that_do_not_open_under_a_key_that_is_there_are_damaged() {
    let given = Given::told(&two_conversations()).await;
    given.side.keys.replace("ana");

    let running = given.run().await;

    let parked = given.parked().await;
    let seen: Vec<_> = parked.iter().map(|parked| (parked.stream.as_str(), parked.reason, parked.queued)).collect();
    assert_eq!(seen, [("conversation-c", Poison::Seal, 2)]);
    assert_eq!(given.message_count(OTHER).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_parked_stream_is_parked_after_a_restart_and_in_a_new_generation() {
    let given = Given::told(&two_conversations()).await;
    given.log.damage(4, Damage::Bit).await;
    given.run().await.stop().await;
    let (rows, parked) = (given.side.dump().await, given.parked().await);

    let Given { side, log } = given;
    let restarted = Given { side: side.reopened().await, log };
    // It is known from before: the event itself is not looked at again.
    restarted.log.repair(4).await;
    let running = restarted.run().await;
    let story = two_conversations().sent(AT, "p", &[]);
    restarted.side.tell(&story).await;
    assert_eq!(restarted.side.dump().await, rows);
    assert_eq!(restarted.parked().await, [ParkedStream { queued: 1, ..parked[0].clone() }]);
    running.stop().await;

    restarted.log.damage(4, Damage::Bit).await;
    let Given { side, log } = restarted;
    let rebuilt = Given { side: side.rebuilt(RunnerLimits::default()).await, log };
    rebuilt.run().await.stop().await;
    assert_eq!(rebuilt.side.dump().await, rows);
    assert_eq!(rebuilt.parked().await[0].queued, 1);
}

#[tokio::test]
async fn a_stream_that_can_be_read_again_is_read_on_and_told() {
    let given = Given::told(&two_conversations()).await;
    given.log.damage(4, Damage::Bit).await;
    let running = given.run().await;
    let story = two_conversations().sent(AT, "p", &[]).sent(OTHER, "q", &[]);
    let head = given.side.tell(&story).await;
    let mut bell = given.side.bus.listen(&Topic::Changes).await.unwrap();

    given.log.repair(4).await;
    assert_eq!(given.read_on("conversation-c").await, ReadOn::Done(2));

    assert_eq!(given.parked().await, []);
    assert_eq!(given.side.reader().progress().borrow().parked_streams, 0);
    assert_eq!(given.side.dump().await, dump(&story.fold_with_stride(STRIDE)));
    // Who stands at the head has been told of all before it, so that this comes after.
    let moved = given.side.read(crate::messages::changed(&"ana".into(), &"c".into(), head)).await;
    let keys: Vec<_> = moved.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys, ["n", "p"]);
    let next = given.side.read(changes::between(&["ana"], head, advisor_eventlog::Position(head.0 + 1))).await;
    assert_eq!(next.len(), 3);
    let rung = tokio::time::timeout(PATIENCE, bell.next()).await.expect("the bus rings");
    let Some(BusMessage::Changes(rung)) = rung else { panic!("the bus tells what changed") };
    assert_eq!((rung.from, rung.to, rung.changes.len()), (head.0, head.0, 3));
    // And it goes on as all others do.
    let story = story.sent(AT, "r", &[]);
    given.side.tell(&story).await;
    assert_eq!(given.side.dump().await, dump(&story.fold_with_stride(STRIDE)));
    running.stop().await;
    given.assert_verified().await;
}

#[tokio::test]
async fn a_stream_is_read_on_as_far_as_it_can_be() {
    let story = two_conversations().sent(AT, "p", &[]).edited(AT, "p", "edited").sent(AT, "q", &[]);
    let given = Given::told(&story).await;
    given.log.damage(4, Damage::Bit).await;
    let second = given.log.damage(7, Damage::Metadata).await;
    let running = given.run().await;
    assert_eq!(given.read_on("conversation-d").await, ReadOn::NotParked);
    let ReadOn::StillParked(0, first) = given.read_on("conversation-c").await else { panic!("it is parked") };
    assert_eq!((first.revision, first.reason, first.queued), (2, Poison::Checksum, 3));

    given.log.repair(4).await;
    let ReadOn::StillParked(2, parked) = given.read_on("conversation-c").await else { panic!("it is parked") };

    assert_eq!((parked.revision, parked.position, parked.reason, parked.queued), (4, second, Poison::Shape, 1));
    assert_eq!(given.parked().await, [parked]);
    assert_eq!(given.message_count(AT).await, 3);
    running.stop().await;
    given.assert_verified().await;
}

#[tokio::test]
async fn more_than_is_read_at_once_is_read_on_piece_by_piece() {
    let mut story = two_conversations();
    for number in 0..advisor_eventlog::port::PAGE_EVENTS_MAX + 10 {
        story = story.renamed("c", "ana", &format!("title {number}"), TitleSource::User);
    }
    let given = Given::told(&story).await;
    given.log.damage(3, Damage::Bit).await;
    given.log.damage(7, Damage::Bit).await;
    let running = given.run().await;
    let waiting = given.parked().await[0].queued;

    given.log.repair(3).await;
    let ReadOn::StillParked(applied, parked) = given.read_on("conversation-c").await else { panic!("it is parked") };
    assert_eq!((applied, parked.queued), (3, waiting - 3));
    given.log.repair(7).await;
    assert_eq!(given.read_on("conversation-c").await, ReadOn::Done(parked.queued + 1));

    assert_eq!(given.side.dump().await, dump(&story.fold_with_stride(STRIDE)));
    running.stop().await;
}

#[tokio::test]
async fn where_rows_depend_on_the_order_of_a_deletion_a_stream_is_not_read_on() {
    let of_advisor = opened("this log").advisor("mine", Some("ana"), Visibility::Private).user_deleted("ana");
    let of_user = opened("this log").registered("ana").user_deleted("ana");
    for (story, stream) in [(of_advisor, "advisor-mine"), (of_user, "user-ana")] {
        let given = Given::told(&story).await;
        given.log.damage(1, Damage::Bit).await;
        let running = given.run().await;
        given.log.repair(1).await;

        assert_eq!(given.read_on(stream).await, ReadOn::OutOfOrder);

        assert_eq!(given.parked().await.len(), 1);
        running.stop().await;
    }
}

#[tokio::test]
async fn nobody_reads_on_where_nobody_brings_the_read_models_forward() {
    let given = Given::told(&two_conversations()).await;
    tokio::time::pause();

    let answer = given.side.reader().read_on(StreamName::from_text("conversation-c")).await;

    assert!(matches!(answer, Err(crate::read_on::ReadOnError::Nobody)), "{answer:?}");
}

#[tokio::test]
async fn more_parked_streams_than_there_may_be_stop_the_runner() {
    let limits = RunnerLimits { parked_streams_max: 1, ..RunnerLimits::default() };
    let side = ReadSide::over(Arc::new(MemoryLog::with_stride(STRIDE)), limits).await;
    let given = Given::over(side, &two_conversations()).await;
    given.log.damage(1, Damage::Bit).await;
    given.log.damage(2, Damage::Bit).await;

    let running = given.side.run_over(Arc::clone(&given.log) as _).await;

    let error = tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, RunnerError::TooManyParked { most: 1 }), "{error:?}");
}

#[tokio::test]
async fn an_event_at_which_a_projection_panics_parks_its_stream() {
    let side = empty().await;
    let database = Arc::clone(side.generation.store());
    let mut parking = Parking::load(database.as_ref(), 10, side.parts().clock).await.unwrap();
    let title = |story: Story, at: (&str, &str)| story.renamed(at.0, at.1, "painted blue", TitleSource::User);
    let story = title(title(two_conversations(), AT).sent(AT, "p", &[]), OTHER).edited(AT, "m", "edited");
    let story = story.edited(OTHER, "o", "edited").sent(OTHER, "q", &[]);
    let ready = |fact| Ready { id: Uuid::new_v4(), event: Ok(fact) };
    let mut events: Vec<Ready> = story.facts(STRIDE).into_iter().map(ready).collect();
    let projections: Vec<&'static dyn Projection> = all().into_iter().chain([&Panics as _]).collect();
    let mut rows = Rows::default();

    let fold = Fold { projections: &projections, rows: &mut rows, parking: &mut parking, store: database.as_ref() };
    let (steps, _) = batch::apply(&mut events, fold).await.unwrap();
    database.write(steps).await.unwrap();

    let parked = side.read(parked::all()).await;
    let seen: Vec<_> = parked.iter().map(|parked| (parked.stream.as_str(), parked.revision, parked.queued)).collect();
    assert_eq!(seen, [("conversation-c", 3, 2), ("conversation-d", 3, 1)]);
    assert!(parked.iter().all(|parked| parked.reason == Poison::Panic));
    // The first one at its title, the second one at what it was asked to look at.
    let row = side.read(conversations::by_id(&"ana".into(), &"c".into())).await.unwrap();
    assert_eq!((row.message_count, row.title.as_deref()), (2, Some("New Conversation")));
    let row = side.read(conversations::by_id(&"ben".into(), &"d".into())).await.unwrap();
    assert_eq!((row.message_count, row.title.as_deref()), (1, Some("painted blue")));
}

/// Panics at some events of conversations: at a title of the one, at an edit of the other.
struct Panics;

impl Projection for Panics {
    fn version(&self) -> u32 {
        1
    }

    fn table(&self) -> Table {
        UserRow::TABLE
    }

    fn keys(&self, fact: &Fact, _: &mut Rows) {
        let edited = matches!(fact.event, Event::Conversation(ConversationEvent::MessageEdited(_)));
        assert!(!(edited && fact.stream.as_str() == "conversation-d"), "as planned");
    }

    fn apply(&self, fact: &Fact, _: &Rows, _: &mut Writes) {
        let renamed = matches!(fact.event, Event::Conversation(ConversationEvent::Renamed(_)));
        assert!(!(renamed && fact.stream.as_str() == "conversation-c"), "as planned");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_are_the_fold_of_the_log_once_a_parked_stream_has_been_read_on(
        steps in prop::collection::vec((0_u8..18, 0_u8..3, 0_u8..4, 0_u8..4), 1..60),
        damaged in any::<prop::sample::Index>(),
        batches in prop::collection::vec(1_usize..12, 2),
    ) {
        let length = steps.len();
        let story = steps.into_iter().fold(opened("this log"), crate::runner::tests::random_step);
        let number = 1 + damaged.index(length);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (lived, refilled, end) = runtime.block_on(async {
            let side = ReadSide::over(Arc::new(MemoryLog::with_stride(STRIDE)), limits(batches[0])).await;
            let given = Given::over(side, &story).await;
            given.log.damage(number, Damage::Bit).await;
            given.run().await.stop().await;
            let lived = given.side.dump().await;
            let Given { side, log } = given;
            let given = Given { side: side.rebuilt(limits(batches[1])).await, log };
            let running = given.run().await;
            let refilled = given.side.dump().await;
            let stream = given.parked().await[0].stream.clone();
            given.log.repair(number).await;
            let end = match given.read_on(stream.as_str()).await {
                ReadOn::Done(_) => Some(given.side.dump().await),
                ReadOn::OutOfOrder => None,
                other @ (ReadOn::NotParked | ReadOn::StillParked(..)) => panic!("{other:?}"),
            };
            running.stop().await;
            (lived, refilled, end)
        });
        prop_assert_eq!(lived, refilled);
        if let Some(end) = end {
            prop_assert_eq!(end, dump(&story.fold_with_stride(STRIDE)));
        }
    }
}

fn limits(batch_events_max: usize) -> RunnerLimits {
    RunnerLimits { batch_events_max, ..RunnerLimits::default() }
}
