//! Replies: begun, completed, failed, stopped.

use super::*;
use crate::specification::given;

#[test]
fn a_reply_is_begun() {
    given::<Conversation>(asked()).when(start_reply("m1-alex", 1)).then(vec![reply_started("m1-alex", 1)]);
}

#[test]
fn the_replies_to_one_message_are_begun_in_any_order() {
    given::<Conversation>([started(), sent("m1", &["alex", "bea"])])
        .when(start_reply("m1-bea", 1))
        .then(vec![reply_started("m1-bea", 1)]);
}

#[test]
fn a_reply_waits_for_the_replies_to_earlier_messages() {
    let both = [started(), sent("m1", &["alex"]), sent("m2", &["alex"]), reply_started("m1-alex", 1)];
    given::<Conversation>(both.clone()).when(start_reply("m2-alex", 1)).then_refused(ConversationRefusal::NotYet);
    given::<Conversation>(both.into_iter().chain([completed("m1-alex", 1)]))
        .when(start_reply("m2-alex", 1))
        .then(vec![reply_started("m2-alex", 1)]);
}

#[test]
fn only_the_attempt_after_the_last_one_is_begun() {
    for attempt in [0, 2] {
        given::<Conversation>(asked())
            .when(start_reply("m1-alex", attempt))
            .then_refused(ConversationRefusal::NotYourAttempt);
    }
    for attempt in [0, 1, 3, u32::MAX] {
        given::<Conversation>(begun())
            .when(start_reply("m1-alex", attempt))
            .then_refused(ConversationRefusal::NotYourAttempt);
    }
    given::<Conversation>(begun()).when(start_reply("m1-alex", 2)).then(vec![reply_started("m1-alex", 2)]);
}

#[test]
fn a_fourth_attempt_is_refused() {
    given::<Conversation>([
        started(),
        sent("m1", &["alex"]),
        reply_started("m1-alex", 1),
        reply_started("m1-alex", 2),
        reply_started("m1-alex", 3),
    ])
    .when(start_reply("m1-alex", 4))
    .then_refused(ConversationRefusal::AttemptsExhausted);
}

#[test]
fn attempts_after_a_release_are_not_counted() {
    let two_counted = [
        started(),
        sent("m1", &["alex"]),
        reply_started("m1-alex", 1),
        released_reply_started("m1-alex", 2),
        released_reply_started("m1-alex", 3),
        reply_started("m1-alex", 4),
    ];
    given::<Conversation>(two_counted.clone()).when(start_reply("m1-alex", 5)).then(vec![reply_started("m1-alex", 5)]);
    let three_counted = || two_counted.clone().into_iter().chain([reply_started("m1-alex", 5)]);
    given::<Conversation>(three_counted())
        .when(start_reply("m1-alex", 6))
        .then_refused(ConversationRefusal::AttemptsExhausted);
    given::<Conversation>(three_counted())
        .when(restart_released("m1-alex", 6))
        .then(vec![released_reply_started("m1-alex", 6)]);
}

#[test]
fn a_reply_is_completed_by_its_attempt() {
    given::<Conversation>(begun()).when(complete("m1-alex", 1)).then(vec![completed("m1-alex", 1)]);
}

#[test]
fn a_reply_fails_by_its_attempt_or_before_any_has_begun() {
    let failed = |attempt| vec![failed("m1-alex", attempt, ReplyFailure::AiApiError)];
    given::<Conversation>(begun()).when(fail("m1-alex", 1)).then(failed(1));
    given::<Conversation>(asked()).when(fail("m1-alex", 0)).then(failed(0));
}

#[test]
fn an_older_or_unknown_attempt_ends_nothing() {
    let second = || begun().into_iter().chain([reply_started("m1-alex", 2)]);
    for attempt in [0, 1, 3] {
        for command in [complete("m1-alex", attempt), fail("m1-alex", attempt), end_stopped("m1-alex", attempt)] {
            given::<Conversation>(second()).when(command).then_refused(ConversationRefusal::NotYourAttempt);
        }
    }
}

#[test]
fn what_has_not_begun_has_no_text_to_end_with() {
    for command in [complete("m1-alex", 0), end_stopped("m1-alex", 0)] {
        given::<Conversation>(asked()).when(command).then_refused(ConversationRefusal::NotYourAttempt);
    }
}

#[test]
fn a_reply_that_has_not_begun_is_stopped_at_once() {
    given::<Conversation>(asked()).when(stop("m1-alex")).then(vec![stopped_before_it_began("m1-alex")]);
}

#[test]
fn a_running_reply_is_asked_to_stop() {
    given::<Conversation>(begun()).when(stop("m1-alex")).then(vec![stop_requested("m1-alex")]);
}

#[test]
fn stopping_once_more_changes_nothing() {
    given::<Conversation>(stopping()).when(stop("m1-alex")).then_nothing();
    given::<Conversation>(stopping().into_iter().chain([stopped("m1-alex", 1, "Thi")]))
        .when(stop("m1-alex"))
        .then_nothing();
    given::<Conversation>(asked().into_iter().chain([stopped_before_it_began("m1-alex")]))
        .when(stop("m1-alex"))
        .then_nothing();
}

#[test]
fn a_reply_that_was_asked_to_stop_ends_with_the_text_so_far() {
    given::<Conversation>(stopping()).when(end_stopped("m1-alex", 1)).then(vec![stopped("m1-alex", 1, "Thi")]);
}

#[test]
fn a_reply_that_was_asked_to_stop_ends_as_stopped_even_when_it_is_whole() {
    given::<Conversation>(stopping()).when(complete("m1-alex", 1)).then(vec![stopped("m1-alex", 1, "This.")]);
}

#[test]
fn a_reply_that_was_asked_to_stop_may_fail() {
    given::<Conversation>(stopping()).when(fail("m1-alex", 1)).then(vec![failed(
        "m1-alex",
        1,
        ReplyFailure::AiApiError,
    )]);
}

#[test]
fn no_attempt_begins_once_a_stop_was_asked_for() {
    for command in [start_reply("m1-alex", 2), restart_released("m1-alex", 2)] {
        given::<Conversation>(stopping()).when(command).then_refused(ConversationRefusal::StopRequested);
    }
}

#[test]
fn a_reply_that_nobody_asked_to_stop_does_not_end_as_stopped() {
    given::<Conversation>(begun()).when(end_stopped("m1-alex", 1)).then_refused(ConversationRefusal::StopNotRequested);
}

#[test]
fn an_ended_reply_does_not_end_again() {
    for end in [completed("m1-alex", 1), failed("m1-alex", 1, ReplyFailure::NoAiResponse), stopped("m1-alex", 1, "Thi")]
    {
        for command in
            [start_reply("m1-alex", 2), complete("m1-alex", 1), fail("m1-alex", 1), end_stopped("m1-alex", 1)]
        {
            given::<Conversation>(begun().into_iter().chain([end.clone()]))
                .when(command)
                .then_refused(ConversationRefusal::ReplyEnded);
        }
    }
}

#[test]
fn stopping_a_completed_or_failed_reply_is_refused() {
    for end in [completed("m1-alex", 1), failed("m1-alex", 1, ReplyFailure::NoAiResponse)] {
        given::<Conversation>(begun().into_iter().chain([end]))
            .when(stop("m1-alex"))
            .then_refused(ConversationRefusal::ReplyEnded);
    }
}

#[test]
fn a_reply_that_nobody_asked_for_is_not_found() {
    for command in
        [stop("other"), start_reply("other", 1), complete("other", 1), fail("other", 0), end_stopped("other", 1)]
    {
        given::<Conversation>(begun()).when(command).then_refused(ConversationRefusal::ReplyNotFound);
    }
}

fn asked() -> Vec<ConversationEvent> {
    vec![started(), sent("m1", &["alex"])]
}

fn begun() -> Vec<ConversationEvent> {
    vec![started(), sent("m1", &["alex"]), reply_started("m1-alex", 1)]
}

fn stopping() -> Vec<ConversationEvent> {
    vec![started(), sent("m1", &["alex"]), reply_started("m1-alex", 1), stop_requested("m1-alex")]
}
