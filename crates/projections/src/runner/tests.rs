//! What the runner promises: rows are the fold of the log whatever happens on the way, one owner writes, and
//! changes tell what moved.

mod flaky;

use super::*;
use crate::{
    Reader, Waited, changes, conversations, generations,
    given::{
        Story, dump, opened,
        read_side::{PATIENCE, ReadSide, empty},
    },
    store::Statement,
};
use advisor_bus::{BusMessage, Topic};
use advisor_eventlog::{Expected, MemoryLog, NewEvent, Position};
use advisor_events::{
    StreamName,
    advisor::Visibility,
    conversation::{ReplyFailure, TitleSource},
};
use flaky::{Fault, Flaky};
use proptest::prelude::*;
use uuid::Uuid;

const AT: (&str, &str) = ("c", "ana");
const STRIDE: u64 = 3;

#[tokio::test]
async fn a_running_read_side_shows_what_was_appended() {
    let side = empty().await;
    let story = opened("this log");
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;

    let story = story.registered("ana").started("c", "ana").sent(AT, "m", &["r"]);
    let head = side.tell(&story).await;

    let read = side.read_at(conversations::by_id(&"ana".into(), &"c".into())).await;
    assert_eq!((read.position, read.generation), (head, 1));
    assert_eq!(read.value.unwrap().message_count, 1);
    running.stop().await;
    assert_eq!(side.dump().await, dump(&story.fold_with_stride(STRIDE)));
}

#[tokio::test]
async fn filling_a_new_generation_gives_the_same_bytes_as_living_through_it() {
    let side = empty().await;
    let mut story = opened("this log");
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    for step in long_story() {
        story = step(story);
        side.tell(&story).await;
    }
    running.stop().await;
    let lived = side.dump().await;

    let side = side.rebuilt(limits(7)).await;
    let running = side.run().await;
    side.reach_head().await;
    running.stop().await;

    assert_eq!(side.dump().await, lived);
    assert_eq!(lived, dump(&story.fold_with_stride(STRIDE)));
}

#[tokio::test]
async fn a_generation_that_has_never_come_to_the_end_of_the_log_is_not_taken_for_the_whole() {
    let story = long_story().into_iter().fold(opened("this log"), |story, step| step(story));
    let whole = dump(&story.fold_with_stride(STRIDE));
    let mut parts = 0;
    for yields in 0..40 {
        let side = killed_on_its_way(&story, yields).await;
        match side.reader().run_whole(generations::dump()).await {
            Ok(read) => assert_eq!(String::from_utf8(read.value).unwrap(), whole),
            Err(StoreError::Unavailable(_)) => parts += 1,
            Err(error) => panic!("{error}"),
        }
        let running = side.run().await;
        side.reader().filled(PATIENCE).await.unwrap();
        let read = side.reader().run_whole(generations::dump()).await.unwrap();
        assert_eq!(String::from_utf8(read.value).unwrap(), whole);
        running.stop().await;
    }
    assert!(parts > 0, "none was killed on its way");
}

#[tokio::test]
async fn a_runner_that_is_killed_anywhere_goes_on_where_it_had_committed() {
    let story = long_story().into_iter().fold(opened("this log"), |story, step| step(story));
    for yields in 0..40 {
        let side = killed_on_its_way(&story, yields).await;
        let running = side.run().await;
        side.reach_head().await;
        running.stop().await;

        assert_eq!(side.dump().await, dump(&story.fold_with_stride(STRIDE)), "killed after {yields}");
    }
}

#[tokio::test]
async fn a_commit_that_fails_or_panics_or_whose_answer_is_lost_is_made_once() {
    let story = long_story().into_iter().fold(opened("this log"), |story, step| step(story));
    for fault in [Fault::Before, Fault::After, Fault::Panic] {
        let side = ReadSide::over(Arc::new(MemoryLog::with_stride(STRIDE)), limits(3)).await;
        story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
        let flaky = Flaky::over(side.generation.store(), fault);
        let generation = Generation::over(1, Arc::new(flaky)).await.unwrap();
        let side = ReadSide { generation, ..side };

        let running = side.run().await;
        side.reach_head().await;
        running.stop().await;

        assert_eq!(side.dump().await, dump(&story.fold_with_stride(STRIDE)), "{fault:?}");
    }
}

#[tokio::test]
async fn a_read_side_that_could_not_be_written_is_not_live_until_it_has_caught_up_again() {
    let story = opened("this log").registered("ana");
    let side = ReadSide::over(Arc::new(MemoryLog::with_stride(STRIDE)), limits(1)).await;
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let flaky = Flaky::over(side.generation.store(), Fault::Before);
    let generation = Generation::over(1, Arc::new(flaky)).await.unwrap();
    let side = ReadSide { generation, ..side };
    let mut progress = side.generation.progress().subscribe();
    let running = side.run().await;
    progress.wait_for(|progress| progress.state == State::Live).await.unwrap();

    // Every fifth write fails, so one of these does.
    let story = (0..5).fold(story, |story, n| story.registered(&format!("user{n}")));
    let appending = story.append_to(side.log.as_ref(), side.keys.as_ref());
    let standing = progress.wait_for(|progress| progress.state == State::CatchingUp);
    let ((), standing) = tokio::join!(appending, tokio::time::timeout(Duration::from_secs(10), standing));

    assert!(standing.is_ok_and(|standing| standing.is_ok()), "it says that it stands still");
    side.generation.progress().subscribe().wait_for(|progress| progress.state == State::Live).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_paused_old_owner_cannot_write() {
    let side = empty().await;
    let story = opened("this log").started("c", "ana");
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let old = side.run().await;
    side.reach_head().await;

    let new = side.run().await;
    let head = side.tell(&story.sent(AT, "m", &[])).await;

    let error = tokio::time::timeout(PATIENCE, old.task).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, RunnerError::Store(StoreError::Superseded)), "{error:?}");
    assert_eq!(side.read_at(generations::dump()).await.position, head);
    new.stop().await;
}

#[tokio::test]
async fn a_log_that_was_never_opened_is_refused() {
    let side = empty().await;

    let error = Runner::open(side.parts()).await.err().unwrap();

    assert!(matches!(error, RunnerError::Identity(IdentityError::NotOpened)), "{error:?}");
}

#[tokio::test]
async fn another_log_or_another_past_is_refused() {
    let story = opened("this log").started("c", "ana").sent(AT, "m", &[]);
    let refused = |told: Story| {
        let story = story.clone();
        async move {
            let mut side = empty().await;
            story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
            let running = side.run().await;
            side.reach_head().await;
            running.stop().await;
            side.log = Arc::new(MemoryLog::with_stride(STRIDE));
            told.append_to(side.log.as_ref(), side.keys.as_ref()).await;
            Runner::open(side.parts()).await.err().unwrap()
        }
    };

    let error = refused(opened("another log").started("c", "ana").sent(AT, "m", &[])).await;
    assert!(matches!(error, RunnerError::OtherLog), "{error:?}");
    let error = refused(opened("this log").started("c", "ana")).await;
    assert!(matches!(error, RunnerError::AheadOfLog), "{error:?}");
}

#[tokio::test]
async fn a_log_whose_event_at_the_checkpoint_is_another_one_is_refused() {
    let mut side = empty().await;
    let story = opened("this log").started("c", "ana");
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    side.reach_head().await;
    running.stop().await;

    side.log = Arc::new(MemoryLog::with_stride(STRIDE));
    opened("this log").append_to(side.log.as_ref(), side.keys.as_ref()).await;
    append_raw(&side, "conversation.started.v1").await;

    let error = Runner::open(side.parts()).await.err().unwrap();
    assert!(matches!(error, RunnerError::OtherPast), "{error:?}");
}

#[tokio::test]
async fn an_event_that_this_build_does_not_know_stops_the_runner_before_it() {
    let side = empty().await;
    let story = opened("this log").started("c", "ana");
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    let known = side.reach_head().await;

    append_raw(&side, "conversation.painted_blue.v1").await;

    let error = tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap().unwrap_err();
    let unknown = matches!(&error, RunnerError::Event { source: DecodeError::UnknownType(_), .. });
    assert!(unknown, "{error:?}");
    let progress = side.reader().progress().borrow().clone();
    assert_eq!(progress.position, known);
    assert!(matches!(progress.state, State::Stopped(_)));
    let head = side.log.head().await.unwrap();
    assert_eq!(side.reader().wait_for(head, PATIENCE).await, Waited::Stalled(known));
}

#[tokio::test]
async fn words_under_a_destroyed_key_become_rows_without_text() {
    let side = empty().await;
    let story = opened("this log").registered("ana").started("c", "ana").sent(AT, "m", &[]);
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    side.keys.destroy(&"ana".into()).await.unwrap();

    let running = side.run().await;
    side.reach_head().await;
    running.stop().await;

    let message = side.read(crate::messages::find(&"m".into())).await.unwrap();
    assert_eq!(message.content, "");
    assert_eq!(side.read(crate::users::by_id(&"ana".into())).await.unwrap().email, None);
}

#[tokio::test]
async fn changes_are_told_from_the_moment_on_that_the_log_was_caught_up_with() {
    let side = empty().await;
    let before = opened("this log").started("c", "ana").sent(AT, "m", &["r"]);
    before.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    assert_eq!(side.read(changes::kept_after()).await, None);
    let mut bell = side.bus.listen(&Topic::Changes).await.unwrap();

    let running = side.run().await;
    let caught_up = side.reach_head().await;
    let head = side.tell(&before.completed(AT, "r", "an answer")).await;

    assert_eq!(side.read(changes::kept_after()).await, Some(caught_up));
    assert!(side.read(changes::between(&["ana"], Position::START, caught_up)).await.is_empty());
    let moved = side.read(changes::between(&["ana"], caught_up, head)).await;
    // Who stands at a position has seen what happened there.
    assert!(side.read(changes::between(&["ana"], head, head)).await.is_empty());
    assert!(side.read(conversations::changed(&"ana".into(), head)).await.is_empty());
    let keys: Vec<_> = moved.iter().map(|change| (change.projection.as_str(), change.key.as_str())).collect();
    assert_eq!(keys, [("conversations", "c"), ("messages", "r"), ("replies", "r")]);
    let Some(BusMessage::Changes(rung)) = bell.next().await else { panic!("the bus rings") };
    assert_eq!((rung.generation, rung.from, rung.to), (1, caught_up.0, head.0));
    assert_eq!(rung.changes.iter().filter(|change| moved.contains(change)).count(), 3);
    running.stop().await;
}

#[tokio::test]
async fn many_changes_ring_in_several_messages() {
    let side = empty().await;
    let story = opened("this log");
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    side.reach_head().await;
    running.stop().await;
    let many = (0..1_200).fold(story, |story, number| story.started(&format!("c{number}"), "ana"));
    many.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let mut bell = side.bus.listen(&Topic::Changes).await.unwrap();

    let running = side.run().await;
    let head = side.reach_head().await;

    let mut changes = 0;
    while changes < 1_200 {
        let Some(BusMessage::Changes(rung)) = bell.next().await else { panic!("the bus rings") };
        assert!(rung.changes.len() <= 500, "{}", rung.changes.len());
        // A part follows on nothing, so that whoever has lost another part looks by itself.
        assert_eq!((rung.from, rung.to), (head.0, head.0));
        changes += rung.changes.len();
    }
    assert_eq!(changes, 1_200);
    running.stop().await;
}

#[tokio::test]
async fn change_rows_are_kept_up_to_their_number() {
    let mut side = empty().await;
    side.limits.changes_kept_max = 10;
    let mut story = opened("this log").started("c", "ana");
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    let first = side.reach_head().await;

    let mut head = first;
    for number in 0..20 {
        story = story.renamed("c", "ana", &format!("title {number}"), TitleSource::User);
        head = side.tell(&story).await;
    }
    running.stop().await;

    let kept_after = side.read(changes::kept_after()).await.unwrap();
    assert!(first < kept_after && kept_after < head, "{kept_after}");
    let rows =
        side.generation.store().read(vec![Statement::new("SELECT min(position), count(*) FROM changes", vec![])]);
    let mut cells = rows.await.unwrap().remove(0).remove(0).into_cells();
    assert!(cells.position().unwrap() > kept_after);
    assert!((10..=11).contains(&cells.int().unwrap()));
}

#[tokio::test]
async fn who_waits_for_a_position_that_does_not_come_is_told_so_and_those_after_at_once() {
    let side = empty().await;
    opened("this log").append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let (reader, target) = (side.reader(), Position(STRIDE));

    let begun = std::time::Instant::now();
    assert_eq!(reader.wait_for(target, Duration::from_millis(100)).await, Waited::Expired(Position::START));
    assert_eq!(reader.wait_for(target, PATIENCE).await, Waited::Stalled(Position::START));
    assert!(begun.elapsed() < PATIENCE / 2);
    let begun = std::time::Instant::now();
    assert_eq!(reader.wait_for(target, PATIENCE).await, Waited::Stalled(Position::START));
    assert!(begun.elapsed() < Duration::from_millis(400));

    let running = side.run().await;
    assert_eq!(waits(&reader, target).await, Waited::Reached(target));
    running.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_are_the_fold_of_the_log_in_any_batching(
        steps in prop::collection::vec((0_u8..18, 0_u8..3, 0_u8..4, 0_u8..4), 0..60),
        batches in prop::collection::vec(1_usize..12, 3),
        kept in 0_usize..6,
    ) {
        let story = steps.into_iter().fold(opened("this log"), random_step);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (seen, expected) = runtime.block_on(async {
            let mut side = ReadSide::over(Arc::new(MemoryLog::with_stride(STRIDE)), limits(1)).await;
            story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
            let mut seen = Vec::new();
            for batch in batches {
                side = side.rebuilt(RunnerLimits { rows_cached_max: kept, ..limits(batch) }).await;
                let running = side.run().await;
                side.reach_head().await;
                running.stop().await;
                seen.push(side.dump().await);
            }
            (seen, dump(&story.fold_with_stride(STRIDE)))
        });
        for seen in seen {
            prop_assert_eq!(seen, expected.clone());
        }
    }
}

/// Waits again while a moment before the read side was thought to stand still.
async fn waits(reader: &Reader, position: Position) -> Waited {
    let mut progress = reader.progress();
    let reached = progress.wait_for(|progress| progress.position >= position);
    tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
    reader.wait_for(position, PATIENCE).await
}

/// A read side whose runner was killed at some moment, opened again.
async fn killed_on_its_way(story: &Story, yields: usize) -> ReadSide {
    let side = ReadSide::over(Arc::new(MemoryLog::with_stride(STRIDE)), limits(2)).await;
    story.append_to(side.log.as_ref(), side.keys.as_ref()).await;
    let running = side.run().await;
    for _ in 0..yields * 5 {
        tokio::task::yield_now().await;
    }
    running.kill().await;
    side.reopened().await
}

fn limits(batch_events_max: usize) -> RunnerLimits {
    RunnerLimits { batch_events_max, ..RunnerLimits::default() }
}

/// One step of a story in which anything may follow anything.
pub(super) fn random_step(story: Story, (kind, place, first, second): (u8, u8, u8, u8)) -> Story {
    // Conversations belong to one person each, messages and replies to one conversation each.
    let (conversation, user) = (format!("c{place}"), format!("u{}", place % 2));
    let at = (conversation.as_str(), user.as_str());
    let message = format!("m{place}{first}");
    let (reply, other) = (format!("r{place}{first}"), format!("r{place}{second}"));
    let advisor = format!("a{first}");
    match kind {
        0 => story.registered(&user),
        1 => story.user_deleted(&user),
        2 => story.advisor(&advisor, Some(&user), Visibility::Private),
        3 => story.advisor_event(&advisor, Some(&user), published()),
        4 | 5 => story.started(at.0, at.1),
        6 => story.renamed(at.0, at.1, "A title", TitleSource::Content),
        7 | 8 => story.sent(at, &message, &[&reply]),
        9 => story.sent(at, &message, &[&reply, &other]),
        10 => story.edited(at, &message, "edited"),
        11 => story.message_deleted(at, &message),
        12 => story.reply_started(at, &reply, u32::from(second)),
        13 => story.completed(at, &reply, "an answer"),
        14 => story.stopped(at, &reply, if second == 0 { "" } else { "half" }),
        15 => story.failed(at, &reply, ReplyFailure::AiApiError),
        16 => story.message_deleted(at, &reply),
        _ => story.deleted(at),
    }
}

fn published() -> advisor_events::advisor::AdvisorEvent {
    advisor_events::advisor::AdvisorEvent::VisibilityChanged(advisor_events::advisor::VisibilityChanged {
        visibility: Visibility::Public,
        document: crate::given::document(Visibility::Public, "Nadia Okafor"),
    })
}

type Step = fn(Story) -> Story;

/// A bit of everything, step by step.
fn long_story() -> Vec<Step> {
    vec![
        |story| story.registered("ana").registered("ben"),
        |story| story.advisor("nadia", None, Visibility::Public).advisor("mine", Some("ana"), Visibility::Private),
        |story| story.started("c", "ana").sent(AT, "m", &["r", "s"]),
        |story| story.reply_started(AT, "r", 1).reply_started(AT, "s", 1).completed(AT, "r", "an answer"),
        |story| story.failed(AT, "s", ReplyFailure::NoAiResponse),
        |story| story.sent(AT, "n", &["t"]).edited(AT, "m", "edited"),
        |story| story.stop_requested(AT, "t").stopped(AT, "t", "half").message_deleted(AT, "t"),
        |story| story.started("d", "ben").sent(("d", "ben"), "o", &["u"]).user_deleted("ben"),
        |story| story.advisor_event("mine", Some("ana"), published()),
        |story| story.started("e", "ana").sent(("e", "ana"), "p", &[]).deleted(("e", "ana")),
        |story| story.renamed("c", "ana", "A title", TitleSource::User),
    ]
}

async fn append_raw(side: &ReadSide, type_name: &str) {
    let metadata = r#"{"recordedAt":"2025-09-16T08:15:30.123Z","actor":{"kind":"worker","id":"test"},
        "commandId":"k","bodyHash":"","checksum":"a3a6bf43"}"#;
    let event = NewEvent {
        id: Uuid::from_u128(77),
        type_name: type_name.to_owned(),
        data: b"{}".to_vec(),
        metadata: metadata.as_bytes().to_vec(),
    };
    let stream = StreamName::from_text("conversation-other");
    side.log.append(&stream, Expected::NoStream, vec![event]).await.unwrap();
}
