//! What every adapter must do, as tests: each case once, for all of them.
//!
//! An adapter's test module implements [`Fixture`] and calls [`contract_tests!`](crate::contract_tests),
//! which makes one test of each case. Cases name their streams uniquely and never assume an empty log.

pub mod appends;
pub mod limits;
pub mod model;
pub mod proxy;
pub mod reads;
pub mod repeats;
pub mod scene;
pub mod subscriptions;

use crate::port::EventLog;
use async_trait::async_trait;
use std::sync::Arc;

/// How an adapter's tests come by a log.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A log that works. It may hold events of others.
    async fn open(&self) -> Arc<dyn EventLog>;

    /// The same log, after what held it in this process has been let go; `None` if that would lose it.
    async fn reopen(&self, log: Arc<dyn EventLog>) -> Option<Arc<dyn EventLog>>;

    /// Whether there is a backend to test. Only one that this machine can't have says no, and says so aloud.
    fn is_there(&self) -> bool {
        true
    }

    /// Whether others, who have logs of their own, write to the same backend meanwhile.
    fn is_shared(&self) -> bool {
        false
    }
}

/// Makes a test of each case of the contract. The expression gives a fresh [`Fixture`].
#[macro_export]
macro_rules! contract_tests {
    ($fixture:expr) => {
        $crate::contract_tests!(@cases $fixture; appends:
            the_first_append_begins_at_revision_0,
            an_append_at_the_last_revision_goes_on_from_it,
            no_stream_on_an_existing_stream_is_refused_with_the_actual_revision,
            new_events_below_the_last_revision_are_refused,
            an_append_above_the_last_revision_is_refused,
            thirty_two_writers_on_as_many_streams_all_land,
            of_thirty_two_writers_at_the_same_revision_exactly_one_wins,
            one_refused_append_among_others_leaves_theirs_alone,
            a_refused_append_leaves_nothing,
            an_append_of_many_events_stays_together_and_in_order,
        );
        $crate::contract_tests!(@cases $fixture; repeats:
            a_repeated_first_append_adds_nothing,
            a_repeated_append_adds_nothing_even_after_later_events,
            the_repeat_of_a_prefix_adds_nothing,
            a_repeat_with_one_event_more_is_refused,
            the_same_ids_in_another_order_are_refused,
            the_same_ids_with_other_data_keep_the_old_data,
            a_repeat_after_reopening_adds_nothing,
            one_id_may_stand_in_two_streams,
            an_id_that_the_stream_has_already_may_be_appended_at_its_end,
        );
        $crate::contract_tests!(@cases $fixture; limits:
            what_no_backend_can_keep_is_refused_before_any_work,
            exactly_the_most_bytes_are_written_and_one_more_is_not,
            exactly_the_most_events_are_written_and_one_more_is_not,
            bytes_come_back_as_they_went,
        );
        $crate::contract_tests!(@cases $fixture; reads:
            a_stream_is_read_in_both_directions_from_anywhere,
            beyond_the_end_is_empty_and_a_missing_stream_is_an_error,
            pages_of_the_whole_log_join_without_gap_or_repeat,
            a_page_may_begin_after_an_event_that_the_filter_leaves_out,
            several_prefixes_let_pass_what_matches_any_of_them,
            the_order_in_a_stream_is_its_order_in_the_whole_log,
            no_event_arrives_behind_what_was_scanned,
            what_was_appended_is_read_at_once,
            an_event_is_found_where_it_stands,
            the_head_moves_and_is_what_a_scan_reaches,
        );
        $crate::contract_tests!(@cases $fixture; subscriptions:
            a_subscription_gives_what_is_there_and_then_says_so,
            a_subscription_begins_after_its_position,
            a_subscription_from_the_head_gives_only_what_comes,
            events_appended_during_catch_up_come_once_and_in_order,
            each_event_alone_wakes_a_subscriber,
            a_slow_subscriber_still_sees_all_once_and_in_order,
            checkpoints_pass_what_did_not_match_and_can_be_resumed_from,
            a_subscription_that_was_dropped_is_resumed_without_a_gap,
            two_subscribers_do_not_hinder_each_other,
            a_subscription_outlives_no_log_in_silence,
        );
        #[test]
        fn random_appends_agree_with_a_simple_model() {
            let fixture = $fixture;
            if $crate::contract::Fixture::is_there(&fixture) {
                $crate::contract::model::random_appends_agree_with_a_simple_model(&fixture);
            }
        }
    };
    (@cases $fixture:expr; $module:ident: $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = $fixture;
                if $crate::contract::Fixture::is_there(&fixture) {
                    $crate::contract::$module::$case(&fixture).await;
                }
            }
        )+
    };
}
