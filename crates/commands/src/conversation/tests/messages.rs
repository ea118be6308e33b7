//! Messages: sent, edited, deleted.

use super::*;
use crate::specification::given;
use advisor_events::conversation::MessageEdited;

#[test]
fn a_message_to_the_active_advisor_is_sent() {
    given::<Conversation>([started()]).when(send(message("m1", &["alex"]))).then(vec![sent("m1", &["alex"])]);
}

#[test]
fn the_first_who_shall_reply_becomes_the_active_advisor() {
    given::<Conversation>([started()])
        .when(send(message("m1", &["bea", "alex"])))
        .then(vec![assigned("bea"), sent("m1", &["bea", "alex"])]);
}

#[test]
fn a_message_to_nobody_leaves_the_active_advisor() {
    given::<Conversation>([started()]).when(send(message("m1", &[]))).then(vec![sent("m1", &[])]);
}

#[test]
fn what_came_with_a_message_is_kept() {
    let json = serde_json::json!({"mood": "curious"});
    let new = NewMessage {
        content_json: Some(json.clone()),
        mentions: vec!["alex".into(), "bea".into()],
        ..message("m1", &["alex"])
    };
    given::<Conversation>([started()]).when(send(new)).then(vec![ConversationEvent::MessageSent(MessageSent {
        message_id: "m1".into(),
        content: "What now?".to_owned().into(),
        content_json: Some(json.into()),
        mentions: vec!["alex".into(), "bea".into()],
        replies: vec![requested("m1-alex", "alex")],
    })]);
}

#[test]
fn a_message_may_ask_for_five_replies_and_not_for_six() {
    let five = ["a", "b", "c", "d", "e"];
    given::<Conversation>([started_for(Some("a"))]).when(send(message("m1", &five))).then(vec![sent("m1", &five)]);
    let six = ["a", "b", "c", "d", "e", "f"];
    given::<Conversation>([started()])
        .when(send(message("m1", &six)))
        .then_refused(ConversationRefusal::TooManyReplies);
    given::<Conversation>([]).when(start_with(message("m1", &six))).then_refused(ConversationRefusal::TooManyReplies);
}

#[test]
fn asking_an_advisor_twice_for_a_reply_to_one_message_is_refused() {
    for replies in [
        vec![requested("r1", "alex"), requested("r2", "alex")],
        vec![requested("r1", "alex"), requested("r1", "bea")],
        vec![requested("m1", "alex")],
    ] {
        given::<Conversation>([started()])
            .when(send(NewMessage { replies, ..message("m1", &[]) }))
            .then_refused(ConversationRefusal::SameReplyTwice);
    }
}

#[test]
fn a_message_or_reply_whose_id_is_known_is_refused() {
    let given_so_far =
        [started(), sent("m1", &["alex"]), reply_started("m1-alex", 1), completed("m1-alex", 1), sent("m2", &["alex"])];
    for new in [
        message("m1", &[]),
        message("m1-alex", &[]),
        message("m2-alex", &[]),
        NewMessage { replies: vec![requested("m1-alex", "alex")], ..message("m3", &[]) },
        NewMessage { replies: vec![requested("m2-alex", "alex")], ..message("m3", &[]) },
    ] {
        given::<Conversation>(given_so_far.clone()).when(send(new)).then_refused(ConversationRefusal::AlreadySent);
    }
}

#[test]
fn a_conversation_takes_as_many_messages_and_replies_as_it_may_and_no_more() {
    let so_far = [started(), sent("m1", &["alex"]), sent("m2", &[])];
    given::<Conversation>(so_far.clone()).when(send_within(4, message("m3", &[]))).then(vec![sent("m3", &[])]);
    // A message comes with all its replies or not at all.
    for (messages_max, new) in [(3, message("m3", &[])), (4, message("m3", &["alex"]))] {
        given::<Conversation>(so_far.clone())
            .when(send_within(messages_max, new))
            .then_refused(ConversationRefusal::Full);
    }
    let six = message("m1", &["a", "b", "c", "d", "e"]);
    let ConversationCommand::SendMessage { user_id, start, .. } = start_with(six.clone()) else { panic!("a message") };
    let too_many = ConversationCommand::SendMessage { user_id, start, message: six, messages_max: 5 };
    given::<Conversation>([]).when(too_many).then_refused(ConversationRefusal::Full);
}

#[test]
fn what_was_deleted_or_never_answered_has_taken_its_room() {
    given::<Conversation>([
        started(),
        sent("m1", &["alex"]),
        failed("m1-alex", 0, ReplyFailure::AiApiError),
        message_deleted("m1"),
    ])
    .when(send_within(2, message("m2", &[])))
    .then_refused(ConversationRefusal::Full);
}

#[test]
fn in_a_full_conversation_replies_end_and_everything_else_goes_on() {
    let full = [started(), sent("m1", &["alex", "bea"]), reply_started("m1-alex", 1)];
    given::<Conversation>(full.clone())
        .when(send_within(3, message("m2", &[])))
        .then_refused(ConversationRefusal::Full);
    given::<Conversation>(full.clone()).when(complete("m1-alex", 1)).then(vec![completed("m1-alex", 1)]);
    given::<Conversation>(full.clone()).when(start_reply("m1-bea", 1)).then(vec![reply_started("m1-bea", 1)]);
    given::<Conversation>(full.clone()).when(rename()).then(vec![renamed("Pricing", TitleSource::User)]);
    given::<Conversation>(full).when(delete()).then(vec![deleted()]);
}

#[test]
fn a_message_of_the_user_is_edited() {
    given::<Conversation>([started(), sent("m1", &[])]).when(edit("m1")).then(vec![ConversationEvent::MessageEdited(
        MessageEdited { message_id: "m1".into(), content: "Or now?".to_owned().into() },
    )]);
}

#[test]
fn editing_an_advisors_message_is_refused() {
    given::<Conversation>([started(), sent("m1", &["alex"]), reply_started("m1-alex", 1), completed("m1-alex", 1)])
        .when(edit("m1-alex"))
        .then_refused(ConversationRefusal::NotAUserMessage);
}

#[test]
fn editing_or_deleting_what_is_no_message_is_refused() {
    for id in ["m2", "m1-alex"] {
        for command in [edit(id), delete_message(id)] {
            given::<Conversation>([started(), sent("m1", &["alex"])])
                .when(command)
                .then_refused(ConversationRefusal::MessageNotFound);
        }
    }
}

#[test]
fn deleting_a_message_ends_its_open_replies_and_no_others() {
    given::<Conversation>([
        started(),
        sent("m1", &["alex", "bea", "cy"]),
        sent("m2", &["alex"]),
        reply_started("m1-alex", 1),
        reply_started("m1-bea", 1),
        completed("m1-bea", 1),
    ])
    .when(delete_message("m1"))
    .then(vec![
        message_deleted("m1"),
        failed("m1-alex", 1, ReplyFailure::MessageDeleted),
        failed("m1-cy", 0, ReplyFailure::MessageDeleted),
    ]);
}

#[test]
fn deleting_an_advisors_message_deletes_it_alone() {
    given::<Conversation>([
        started(),
        sent("m1", &["alex", "bea"]),
        reply_started("m1-alex", 1),
        completed("m1-alex", 1),
    ])
    .when(delete_message("m1-alex"))
    .then(vec![message_deleted("m1-alex")]);
}

#[test]
fn a_stopped_reply_that_had_begun_can_be_deleted() {
    given::<Conversation>([
        started(),
        sent("m1", &["alex"]),
        reply_started("m1-alex", 1),
        stop_requested("m1-alex"),
        stopped("m1-alex", 1, "Thi"),
    ])
    .when(delete_message("m1-alex"))
    .then(vec![message_deleted("m1-alex")]);
}

#[test]
fn a_reply_that_was_stopped_before_it_began_is_no_message() {
    given::<Conversation>([started(), sent("m1", &["alex"]), stopped_before_it_began("m1-alex")])
        .when(delete_message("m1-alex"))
        .then_refused(ConversationRefusal::MessageNotFound);
}

#[test]
fn deleting_a_deleted_message_is_refused() {
    given::<Conversation>([started(), sent("m1", &[]), message_deleted("m1")])
        .when(delete_message("m1"))
        .then_refused(ConversationRefusal::MessageNotFound);
}

#[test]
fn a_reply_that_ended_with_its_message_does_not_come_back() {
    let given_so_far = [
        started(),
        sent("m1", &["alex"]),
        reply_started("m1-alex", 1),
        message_deleted("m1"),
        failed("m1-alex", 1, ReplyFailure::MessageDeleted),
    ];
    for command in [complete("m1-alex", 1), start_reply("m1-alex", 2), stop("m1-alex"), end_stopped("m1-alex", 1)] {
        given::<Conversation>(given_so_far.clone()).when(command).then_refused(ConversationRefusal::ReplyEnded);
    }
}
