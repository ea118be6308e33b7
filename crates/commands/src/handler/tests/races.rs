//! Commands that meet: in one process, and in several over one log.

use super::*;
use std::collections::HashSet;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_with_one_id_append_once_and_hear_the_same() {
    let world = World::with_conversation().await;
    let handler = Arc::new(world.handler());
    let mut asked = JoinSet::new();
    for _ in 0..50 {
        let (handler, stream) = (Arc::clone(&handler), world.stream.clone());
        asked.spawn(async move { handler.execute(&stream, send("m1"), by_ana("k")).await.unwrap() });
    }
    let outcomes = asked.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1);
    let first = outcomes.iter().find(|outcome| !outcome.replayed).unwrap();
    for outcome in &outcomes {
        assert_eq!(outcome, &Outcome { replayed: outcome.replayed, ..first.clone() });
    }
    assert_eq!(world.recorded().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_processes_at_once_with_one_id_append_once_and_hear_the_same() {
    let world = World::with_conversation().await;
    let mut asked = JoinSet::new();
    for _ in 0..50 {
        let (handler, stream) = (world.handler(), world.stream.clone());
        asked.spawn(async move { handler.execute(&stream, send("m1"), by_ana("k")).await.unwrap() });
    }
    let outcomes = asked.join_all().await;
    let said = outcomes.into_iter().map(|outcome| (outcome.revision, outcome.position)).collect::<HashSet<_>>();
    assert_eq!(said, HashSet::from([(2, Position(3))]));
    assert_eq!(world.recorded().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_who_have_seen_the_same_one_wins() {
    for _ in 0..20 {
        let world = World::with_conversation().await;
        let shared = Arc::new(world.handler());
        let mut asked = JoinSet::new();
        for number in 0..50 {
            // Half of them in one process, the others in one each.
            let handler = if number % 2 == 0 { Arc::clone(&shared) } else { Arc::new(world.handler()) };
            let stream = world.stream.clone();
            let context = CommandContext { if_match: Some(1), ..by_ana(&format!("k{number}")) };
            asked.spawn(async move { handler.execute(&stream, rename("mine"), context).await });
        }
        let answers = asked.join_all().await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let beaten = |answer: &&ConversationAnswer| matches!(answer, Err(CommandError::PreconditionFailed));
        assert_eq!(answers.iter().filter(beaten).count(), 49);
        assert_eq!(world.recorded().await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_processes_that_race_each_one_is_written_once_or_told_that_the_stream_is_busy() {
    let world = World::with_conversation().await;
    let mut asked = JoinSet::new();
    for number in 0..50 {
        let (handler, stream) = (world.handler(), world.stream.clone());
        let context = by_ana(&format!("k{number}"));
        asked.spawn(async move { handler.execute(&stream, rename("mine"), context).await });
    }
    let mut revisions = HashSet::new();
    for answer in asked.join_all().await {
        match answer {
            Ok(outcome) => assert!(revisions.insert(outcome.revision), "each has a revision of its own"),
            Err(CommandError::Busy) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(world.recorded().await.len(), revisions.len() + 1);
}

#[tokio::test]
async fn a_command_that_lost_a_race_is_decided_again_five_times() {
    let world = World::with_conversation().await;
    world.log.will([Fault::Overtaken; 5]);
    let outcome = world.handler().execute(&world.stream, rename("a"), by_ana("k")).await.unwrap();
    assert_eq!((outcome.revision, world.recorded().await.len()), (6, 7));
}

#[tokio::test]
async fn a_command_that_lost_six_races_is_told_that_the_stream_is_busy() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    world.log.will([Fault::Overtaken; 6]);
    let answer = handler.execute(&world.stream, rename("a"), by_ana("k")).await;
    assert!(matches!(answer, Err(CommandError::Busy)), "{answer:?}");
    assert_eq!(world.recorded().await.len(), 7, "nothing of it is left");
    handler.execute(&world.stream, rename("a"), by_ana("k")).await.unwrap();
}

#[tokio::test]
async fn a_stale_fold_does_not_refuse() {
    let (world, stale) = world_that_went_on(send("m1")).await;
    let outcome = stale.execute(&world.stream, edit("m1"), by_ana("k")).await.unwrap();
    assert_eq!(outcome.revision, 4);
}

#[tokio::test]
async fn a_stale_fold_does_not_say_that_it_is_so_already() {
    let (world, stale) = world_that_went_on(assign("bea")).await;
    let outcome = stale.execute(&world.stream, assign("alex"), by_ana("k")).await.unwrap();
    assert_eq!((outcome.revision, outcome.events.len()), (3, 1));
}

#[tokio::test]
async fn a_stale_fold_does_not_allow_what_is_not_allowed_any_more() {
    let (world, stale) = world_that_went_on(delete()).await;
    let answer = stale.execute(&world.stream, rename("a"), by_ana("k")).await;
    assert_eq!(refusal(answer), ConversationRefusal::NotFound);
}

#[tokio::test]
async fn a_stale_fold_does_not_do_again_what_was_done_elsewhere() {
    let (world, stale) = world_that_went_on(send("m1")).await;
    let outcome = stale.execute(&world.stream, send("m1"), by_ana("elsewhere")).await.unwrap();
    assert!(outcome.replayed);
    assert_eq!(world.recorded().await.len(), 4);
}

#[tokio::test]
async fn a_stale_fold_does_not_hold_a_precondition_against_the_caller() {
    let (world, stale) = world_that_went_on(rename("b")).await;
    let context = CommandContext { if_match: Some(3), ..by_ana("k") };
    stale.execute(&world.stream, rename("a"), context).await.unwrap();
}

#[tokio::test]
async fn a_fold_of_another_past_is_made_anew() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    handler.execute(&world.stream, send("m1"), by_ana("k1")).await.unwrap();
    // The log is restored from a backup that had been made before, and went another way since.
    world.log.restore_to(1).await;
    world.log.append_rival(&world.stream).await;
    world.log.append_rival(&world.stream).await;
    let answer = handler.execute(&world.stream, edit("m2"), by_ana("k2")).await;
    assert_eq!(refusal(answer), ConversationRefusal::MessageNotFound);
    let answer = handler.execute(&world.stream, edit("m1"), by_ana("k3")).await;
    assert_eq!(refusal(answer), ConversationRefusal::MessageNotFound, "it is in no log any more");
    let outcome = handler.execute(&world.stream, send("m1"), by_ana("k1")).await.unwrap();
    assert_eq!((outcome.revision, outcome.replayed), (4, false));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_waits_for_another_one_for_two_seconds_is_told_that_the_stream_is_busy() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    world.log.will([Fault::WrittenThenSilence]);
    let silent = handler.execute(&world.stream, rename("a"), by_ana("k1"));
    let waiting = async {
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        let answer = handler.execute(&world.stream, rename("b"), by_ana("k2")).await;
        (answer, began.elapsed())
    };
    let (answer, waited) = tokio::select! {
        biased;
        _ = silent => panic!("the log never answers"),
        answer = waiting => answer,
    };
    assert!(matches!(answer, Err(CommandError::Busy)), "{answer:?}");
    assert!((Duration::from_secs(2)..Duration::from_millis(2_100)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn commands_of_other_streams_do_not_wait() {
    let world = World::with_conversation().await;
    let handler = world.handler();
    world.log.will([Fault::WrittenThenSilence]);
    let other = StreamName::conversation(&"other".into());
    tokio::select! {
        biased;
        _ = handler.execute(&world.stream, rename("a"), by_ana("k1")) => panic!("the log never answers"),
        answer = handler.execute(&other, start(), by_ana("k2")) => { answer.unwrap(); }
    }
}

/// A world in which another process has done a command since a handler has folded the conversation.
/// Two events stand before it; the command's id is `elsewhere`.
async fn world_that_went_on(command: ConversationCommand) -> (World, Handler<Conversation>) {
    let world = World::with_conversation().await;
    let stale = world.handler();
    stale.execute(&world.stream, rename("before"), by_ana("before")).await.unwrap();
    world.handler().execute(&world.stream, command, by_ana("elsewhere")).await.unwrap();
    (world, stale)
}
