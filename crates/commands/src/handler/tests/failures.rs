//! Appends that fail, or may have.

use super::*;
use doubles::Fault::{Lost, Overtaken, Unavailable, WrittenThenSilence, WrittenUnheard};

#[tokio::test(start_paused = true)]
async fn an_append_whose_answer_was_lost_is_repeated_and_written_once() {
    for faults in [vec![WrittenUnheard], vec![Lost], vec![Lost, Lost, WrittenUnheard, Lost, Unavailable]] {
        let world = World::with_conversation().await;
        let repeats = faults.len();
        let before = world.log.appends();
        world.log.will(faults);
        let outcome = world.handler().execute(&world.stream, send("m1"), by_ana("k")).await.unwrap();
        assert_eq!((outcome.revision, outcome.position, outcome.replayed), (2, Position(3), false));
        assert_eq!(world.log.appends(), before + repeats + 1);
        assert_eq!(world.recorded().await.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_lost_and_overtaken_is_decided_again() {
    let world = World::with_conversation().await;
    world.log.will([Lost, Overtaken]);
    let outcome = world.handler().execute(&world.stream, rename("a"), by_ana("k")).await.unwrap();
    assert_eq!((outcome.revision, world.recorded().await.len()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_told_so_in_time_and_asking_again_tells() {
    for first in [WrittenUnheard, Lost] {
        let world = World::with_conversation().await;
        let handler = world.handler();
        handler.execute(&world.stream, rename("before"), by_ana("before")).await.unwrap();
        world.log.will(std::iter::once(first).chain([Unavailable; 100]));
        let began = tokio::time::Instant::now();
        let answer = handler.execute(&world.stream, assign("bea"), by_ana("k")).await;
        assert!(matches!(answer, Err(CommandError::OutcomeUnknown(_))), "{answer:?}");
        assert!(began.elapsed() <= Duration::from_secs(5));
        world.log.will_be_well();
        // The facts that come with the command are others by now: the answer is what was written, if it was.
        let outcome = handler.execute(&world.stream, assign("cy"), by_ana("k")).await.unwrap();
        let advisor = if first == WrittenUnheard { "bea" } else { "cy" };
        assert_eq!(outcome.replayed, first == WrittenUnheard);
        let [ConversationEvent::AdvisorAssigned(assigned)] = &outcome.events[..] else { panic!("{outcome:?}") };
        assert_eq!(assigned.advisor_id.as_str(), advisor);
        assert_eq!(world.recorded().await.len(), 3);
    }
}

#[tokio::test]
async fn a_log_that_is_not_there_leaves_nothing_and_is_not_waited_for() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    world.log.will([Unavailable]);
    let answer = handler.execute(&world.stream, rename("a"), by_ana("k")).await;
    assert!(matches!(answer, Err(CommandError::Unavailable(_))), "{answer:?}");
    assert_eq!(world.recorded().await.len(), 1);
    let outcome = handler.execute(&world.stream, rename("a"), by_ana("k")).await.unwrap();
    assert!(!outcome.replayed);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_in_the_middle_of_an_append_finds_it_done() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    world.log.will([WrittenThenSilence]);
    let gone = handler.execute(&world.stream, assign("bea"), by_ana("k"));
    tokio::time::timeout(Duration::from_secs(1), gone).await.unwrap_err();
    let outcome = handler.execute(&world.stream, assign("cy"), by_ana("k")).await.unwrap();
    assert!(outcome.replayed);
    let [ConversationEvent::AdvisorAssigned(assigned)] = &outcome.events[..] else { panic!("{outcome:?}") };
    assert_eq!(assigned.advisor_id.as_str(), "bea");
    assert_eq!(world.recorded().await.len(), 2);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_leaves_nothing() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    let answer = handler.execute(&world.stream, send_text("m1", "x".repeat(1_000_000)), by_ana("k1")).await;
    assert!(matches!(answer, Err(CommandError::TooLarge)), "{answer:?}");
    assert_eq!(world.recorded().await.len(), 1);
    handler.execute(&world.stream, send("m1"), by_ana("k2")).await.unwrap();
}
