//! Trials that can't fail prove nothing: each promise is broken on purpose, in a build that is made for it, and the
//! trial of that promise must fail, for the reason that it should.

use super::{
    bit_rot, consumption, kills, logs_apart, made_anew, named_points, old_events, power_cuts, races, reads_own_writes,
    scaled::{frozen_owner, nothing_shown},
    shared_keys, shutdown,
};
use crate::{build::Build, floods::connections};
use advisor_proof::{Mutant, Point};
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio_util::task::TaskTracker;

/// How long a trial may need to find a fault.
const FOUND_WITHIN: Duration = Duration::from_mins(5);

/// Runs the trial of a mutant; gives nothing when it fails to fail.
async fn try_on(mutant: Mutant) {
    let build = Build::with(mutant);
    match mutant {
        Mutant::AnsweredBeforeCommit => named_points::trial(build, &[Point::BeforeCommit], 3).await,
        Mutant::LogNotSynced => power_cuts::trial(build, 3).await,
        Mutant::EventsCommittedOneByOne => named_points::trial(build, &[Point::BetweenEvents], 10).await,
        Mutant::RevisionsUnchecked => races::trial(build).await,
        Mutant::CheckpointBeforeRows | Mutant::CheckpointAfterRows => {
            named_points::trial(build, &[Point::WithinCheckpoint], 3).await;
        }
        Mutant::PastRewritten
        | Mutant::FollowersSkip
        | Mutant::RowsDependOnBatches
        | Mutant::ChangesLeftOut
        | Mutant::NewsLost
        | Mutant::RepeatsForgotten
        | Mutant::EndsRepeated
        | Mutant::PiecesGarbled
        | Mutant::WordsLogged => drop(kills::trial(build, 5).await),
        Mutant::EventDropped | Mutant::EventDoubled | Mutant::EventsSwapped => consumption::trial(build).await,
        Mutant::UnreadableSkipped | Mutant::ParkedApplied => bit_rot::trial(build).await,
        Mutant::MinPositionIgnored => reads_own_writes::trial(build).await,
        Mutant::EndsAtOnce => shutdown::trial(build).await,
        Mutant::CheckpointUncompared => logs_apart::older_log(build).await,
        Mutant::FenceIgnored => frozen_owner::trial(&build).await,
        Mutant::ClaimsIgnored | Mutant::PartsShown => made_anew::trial(build).await,
        Mutant::KeysUnscoped => shared_keys::trial(build).await,
        Mutant::RoomUnbounded => connections::trial_of_slow_bodies(&build).await,
        Mutant::AwayIsEmpty => nothing_shown::trial(&build).await,
        Mutant::OldVersionsForgotten => old_events::trial(build).await,
    }
}

/// What the trial may say when it fails: another failure is not the one that was planted.
fn expected(mutant: Mutant) -> &'static [&'static str] {
    match mutant {
        Mutant::AnsweredBeforeCommit => &["was acknowledged and left []"],
        // Read models that were moved into their file may be ahead of what is left of the log; or nothing is left.
        Mutant::LogNotSynced => {
            &["was acknowledged and left []", "ahead of the event log", "those of another event log"]
        }
        Mutant::EventsCommittedOneByOne => &["was acknowledged and left", "replies have no end"],
        Mutant::RevisionsUnchecked => &["not one of the racers alone has won"],
        Mutant::PastRewritten => &["the past was rewritten", "verify:"],
        // What is lost is a row that a query shows, or a question that the worker never saw.
        Mutant::FollowersSkip | Mutant::CheckpointBeforeRows | Mutant::RowsDependOnBatches => {
            &["the log does not say so", "replies have no end", "verify:"]
        }
        Mutant::CheckpointAfterRows => &["the log does not say so", "verify:"],
        Mutant::EventDropped => &["kind: dropped, at the position 40"],
        Mutant::EventDoubled => &["kind: doubled, at the position 40"],
        Mutant::EventsSwapped => &["kind: swapped, at the position 40"],
        Mutant::UnreadableSkipped => &["was passed over"],
        Mutant::ParkedApplied => &["what waits behind it was applied"],
        Mutant::ChangesLeftOut | Mutant::NewsLost => &["a watcher has another state"],
        Mutant::MinPositionIgnored => &["an older state was shown", "the message is not there"],
        Mutant::RepeatsForgotten => &["violations"],
        Mutant::EndsRepeated => &["has 2 ends"],
        Mutant::PiecesGarbled => &["was streamed of"],
        Mutant::WordsLogged => &["words of people were logged"],
        Mutant::EndsAtOnce => &["IncompleteMessage"],
        Mutant::CheckpointUncompared => &["an older log is taken"],
        // One that always comes second to the other has nothing to write, and goes on all the same.
        Mutant::FenceIgnored => &["more than one has written under a fence", "two are owners"],
        Mutant::ClaimsIgnored => &["a model was asked for a reply that had been given"],
        Mutant::PartsShown => &["a part was shown as if it were all"],
        Mutant::KeysUnscoped => &["two people's keys meet"],
        Mutant::RoomUnbounded => &["too much memory"],
        Mutant::AwayIsEmpty => &["is answered by who can't know"],
        Mutant::OldVersionsForgotten => &["what was written once is not read any more"],
    }
}

#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
async fn check_that_it_is_caught(mutant: Mutant) {
    let trial = tokio::time::timeout(FOUND_WITHIN, TaskTracker::new().spawn(try_on(mutant)));
    let failure = match trial.await {
        Ok(Err(failure)) => failure.into_panic(),
        Ok(Ok(())) => panic!("{} was planted, and the trial passes", mutant.name()),
        Err(Elapsed { .. }) => panic!("{} was planted, and the trial has no end", mutant.name()),
    };
    let said = failure.downcast_ref::<String>().cloned();
    let said = said.or_else(|| failure.downcast_ref::<&str>().map(|said| (*said).to_owned())).unwrap_or_default();
    println!("{}: {}", mutant.name(), said.chars().take(500).collect::<String>());
    assert!(expected(mutant).iter().any(|expected| said.contains(expected)), "another fault was found: {said}");
}

/// One test for each, so that they run side by side.
macro_rules! caught {
    ($($test:ident: $mutant:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                check_that_it_is_caught(Mutant::$mutant).await;
            }
        )*

        #[test]
        fn every_fault_that_can_be_planted_has_its_test() {
            assert_eq!([$(Mutant::$mutant),*], Mutant::ALL);
        }
    };
}

caught! {
    an_answer_before_the_commit_is_caught: AnsweredBeforeCommit,
    a_log_that_is_not_synced_is_caught_by_a_power_cut: LogNotSynced,
    half_a_command_is_caught: EventsCommittedOneByOne,
    a_revision_that_nobody_checks_is_caught: RevisionsUnchecked,
    a_past_that_is_rewritten_is_caught: PastRewritten,
    a_follower_that_skips_is_caught: FollowersSkip,
    a_checkpoint_before_its_rows_is_caught: CheckpointBeforeRows,
    a_checkpoint_after_its_rows_is_caught: CheckpointAfterRows,
    rows_that_depend_on_batches_are_caught: RowsDependOnBatches,
    an_event_that_is_dropped_is_named: EventDropped,
    an_event_that_is_doubled_is_named: EventDoubled,
    an_event_that_is_swapped_is_named: EventsSwapped,
    an_event_that_is_passed_over_is_caught: UnreadableSkipped,
    later_events_of_a_parked_stream_are_caught: ParkedApplied,
    a_change_that_is_left_out_is_caught: ChangesLeftOut,
    news_that_are_lost_are_caught: NewsLost,
    a_position_that_is_not_waited_for_is_caught: MinPositionIgnored,
    commands_that_are_forgotten_are_caught: RepeatsForgotten,
    a_reply_that_ends_twice_is_caught: EndsRepeated,
    pieces_of_another_text_are_caught: PiecesGarbled,
    words_in_the_log_are_caught: WordsLogged,
    an_end_without_order_is_caught: EndsAtOnce,
    read_models_of_another_log_are_caught: CheckpointUncompared,
    an_owner_that_goes_on_when_it_was_followed_is_caught: FenceIgnored,
    replies_that_are_given_anew_are_caught: ClaimsIgnored,
    keys_that_are_everybodys_are_caught: KeysUnscoped,
    bodies_without_a_bound_are_caught: RoomUnbounded,
    rows_that_are_shown_as_none_are_caught: AwayIsEmpty,
    parts_that_are_shown_as_all_are_caught: PartsShown,
    events_of_old_that_are_not_known_are_caught: OldVersionsForgotten,
}
