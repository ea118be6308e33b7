//! The conversation as a whole: its beginning and end, its title, its active advisor, its owner.

use super::*;
use crate::specification::given;

#[test]
fn a_conversation_is_started() {
    given::<Conversation>([]).when(start()).then(vec![started()]);
}

#[test]
fn starting_a_started_conversation_is_refused() {
    given::<Conversation>([started()]).when(start()).then_refused(ConversationRefusal::AlreadyStarted);
    given::<Conversation>([started()])
        .when(start_with(message("m1", &["alex"])))
        .then_refused(ConversationRefusal::AlreadyStarted);
}

#[test]
fn a_conversation_begins_with_its_first_message_and_its_advisor() {
    given::<Conversation>([])
        .when(start_with(message("m1", &["bea", "alex"])))
        .then(vec![started_for(Some("bea")), sent("m1", &["bea", "alex"])]);
}

#[test]
fn a_conversation_may_begin_with_a_message_to_nobody() {
    given::<Conversation>([]).when(start_with(message("m1", &[]))).then(vec![started_for(None), sent("m1", &[])]);
}

#[test]
fn a_conversation_that_was_not_started_refuses_everything_else() {
    for command in everything_but_starting() {
        given::<Conversation>([]).when(command).then_refused(ConversationRefusal::NotFound);
    }
}

#[test]
fn a_deleted_conversation_refuses_everything() {
    for command in everything() {
        given::<Conversation>([started(), sent("m1", &["alex"]), deleted()])
            .when(command)
            .then_refused(ConversationRefusal::NotFound);
    }
}

#[test]
fn somebody_else_is_answered_as_if_there_were_no_conversation() {
    for command in everything().into_iter().filter_map(asked_by_ben) {
        given::<Conversation>([started(), sent("m1", &["alex"])])
            .when(command)
            .then_refused(ConversationRefusal::NotFound);
    }
}

#[test]
fn a_conversation_is_renamed_by_its_owner_as_often_as_they_like() {
    let renamed = renamed("Pricing", TitleSource::User);
    given::<Conversation>([started()]).when(rename()).then(vec![renamed.clone()]);
    given::<Conversation>([started(), renamed.clone()]).when(rename()).then(vec![renamed]);
}

#[test]
fn a_title_is_made_from_the_content_once() {
    let made = renamed("Pricing Advice", TitleSource::Content);
    given::<Conversation>([started()]).when(make_title()).then(vec![made.clone()]);
    given::<Conversation>([started(), made]).when(make_title()).then_refused(ConversationRefusal::TitleTaken);
}

#[test]
fn a_title_is_never_made_over_one_that_the_user_set() {
    given::<Conversation>([started(), renamed("Pricing", TitleSource::User)])
        .when(make_title())
        .then_refused(ConversationRefusal::TitleTaken);
}

#[test]
fn another_advisor_becomes_the_active_one() {
    given::<Conversation>([started()]).when(assign("bea")).then(vec![assigned("bea")]);
    given::<Conversation>([started_for(None)]).when(assign("bea")).then(vec![assigned("bea")]);
}

#[test]
fn assigning_the_active_advisor_changes_nothing() {
    given::<Conversation>([started()]).when(assign("alex")).then_nothing();
    given::<Conversation>([started(), assigned("bea")]).when(assign("bea")).then_nothing();
}

#[test]
fn title_and_advisor_change_at_once_or_each_for_itself() {
    let renamed = renamed("Both", TitleSource::User);
    given::<Conversation>([started()])
        .when(change(Some("Both"), Some("bea")))
        .then(vec![renamed.clone(), assigned("bea")]);
    given::<Conversation>([started()]).when(change(Some("Both"), Some("alex"))).then(vec![renamed]);
    given::<Conversation>([started()]).when(change(None, Some("bea"))).then(vec![assigned("bea")]);
    given::<Conversation>([started()]).when(change(None, None)).then_nothing();
}

#[test]
fn a_conversation_is_deleted_with_all_that_is_open_in_it() {
    given::<Conversation>([started(), sent("m1", &["alex"]), reply_started("m1-alex", 1)])
        .when(delete())
        .then(vec![deleted()]);
}

#[test]
fn the_subject_is_the_owner_from_the_start_until_after_the_end() {
    let mut state = ConversationState::Unknown;
    assert_eq!(Conversation::subject(&state, &start()), Some(ANA.into()));
    assert_eq!(Conversation::subject(&state, &make_title()), None);
    for event in [started(), deleted()] {
        state = Conversation::evolve(state, &event);
        assert_eq!(Conversation::subject(&state, &make_title()), Some(ANA.into()));
    }
}

fn everything() -> Vec<ConversationCommand> {
    let starts = [start(), start_with(message("m2", &["alex"]))];
    starts.into_iter().chain(everything_but_starting()).collect()
}

fn everything_but_starting() -> Vec<ConversationCommand> {
    vec![
        rename(),
        assign("bea"),
        change(Some("Both"), Some("bea")),
        delete(),
        send(message("m2", &["alex"])),
        edit("m1"),
        delete_message("m1"),
        stop("m1-alex"),
        start_reply("m1-alex", 1),
        complete("m1-alex", 1),
        fail("m1-alex", 0),
        end_stopped("m1-alex", 1),
        make_title(),
    ]
}

/// The same asked by somebody else; `None` for what only workers ask.
fn asked_by_ben(command: ConversationCommand) -> Option<ConversationCommand> {
    let user_id: UserId = BEN.into();
    match command {
        ConversationCommand::Start { conversation_id, title, active_advisor_id, .. } => {
            Some(ConversationCommand::Start { conversation_id, user_id, title, active_advisor_id })
        }
        ConversationCommand::Rename { title, .. } => Some(ConversationCommand::Rename { user_id, title }),
        ConversationCommand::AssignAdvisor { advisor_id, .. } => {
            Some(ConversationCommand::AssignAdvisor { user_id, advisor_id })
        }
        ConversationCommand::Change { title, advisor_id, .. } => {
            Some(ConversationCommand::Change { user_id, title, advisor_id })
        }
        ConversationCommand::Delete { .. } => Some(ConversationCommand::Delete { user_id }),
        ConversationCommand::SendMessage { start, message, messages_max, .. } => {
            Some(ConversationCommand::SendMessage { user_id, start, message, messages_max })
        }
        ConversationCommand::EditMessage { message_id, content, .. } => {
            Some(ConversationCommand::EditMessage { user_id, message_id, content })
        }
        ConversationCommand::DeleteMessage { message_id, .. } => {
            Some(ConversationCommand::DeleteMessage { user_id, message_id })
        }
        ConversationCommand::StopReply { reply_id, .. } => Some(ConversationCommand::StopReply { user_id, reply_id }),
        ConversationCommand::StartReply { .. }
        | ConversationCommand::CompleteReply { .. }
        | ConversationCommand::FailReply { .. }
        | ConversationCommand::EndStoppedReply { .. }
        | ConversationCommand::MakeTitle { .. } => None,
    }
}
