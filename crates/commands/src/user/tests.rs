//! What follows from each command on each situation of an account, and what holds in whatever order it is told.

mod laws;

use super::*;
use crate::specification::given;

#[test]
fn a_person_seen_for_the_first_time_is_registered() {
    given::<User>([]).when(register()).then(vec![registered()]);
}

#[test]
fn registering_a_registered_person_changes_nothing() {
    given::<User>([registered()]).when(register()).then_nothing();
}

#[test]
fn registering_a_deleted_person_is_refused() {
    given::<User>([registered(), deleted()]).when(register()).then_refused(UserRefusal::Deleted);
}

#[test]
fn a_person_whom_the_sign_in_service_tells_of_first_is_registered() {
    given::<User>([]).when(follow_account("Ana", "premium", 10)).then(vec![UserEvent::Registered(Registered {
        user_id: "ana".into(),
        profile: profile("Ana"),
        plan: "premium".into(),
        told_at: Some(Timestamp(10)),
    })]);
}

#[test]
fn what_the_sign_in_service_tells_replaces_the_profile_as_a_whole_and_the_plan_where_it_is_another() {
    given::<User>([registered()])
        .when(follow_account("Ana", "premium", 10))
        .then(vec![profile_changed("Ana", 10), plan_changed("premium", 10)]);
    given::<User>([registered()]).when(follow_account("Ana", "free", 10)).then(vec![profile_changed("Ana", 10)]);
}

#[test]
fn what_is_not_newer_than_what_was_told_changes_nothing() {
    for told_at in [9, 10] {
        given::<User>([registered(), profile_changed("Ana", 10)])
            .when(follow_account("Anna", "premium", told_at))
            .then_nothing();
    }
    given::<User>([registered(), profile_changed("Ana", 10)])
        .when(follow_account("Anna", "free", 11))
        .then(vec![profile_changed("Anna", 11)]);
}

#[test]
fn a_token_puts_a_person_on_the_plan_that_it_names() {
    given::<User>([registered()]).when(change_plan("premium", 10)).then(vec![plan_changed("premium", 10)]);
}

#[test]
fn a_person_who_is_on_the_plan_already_stays_there() {
    given::<User>([registered()]).when(change_plan("free", 10)).then_nothing();
    given::<User>([registered(), plan_changed("premium", 10)]).when(change_plan("premium", 11)).then_nothing();
}

#[test]
fn a_token_that_is_older_than_what_was_told_of_the_plan_changes_nothing() {
    for told in [plan_changed("premium", 10), profile_changed("Ana", 10)] {
        given::<User>([registered(), told.clone()]).when(change_plan("base", 9)).then_nothing();
        given::<User>([registered(), told]).when(change_plan("base", 10)).then(vec![plan_changed("base", 10)]);
    }
}

#[test]
fn what_is_told_of_a_person_leaves_the_plan_that_a_newer_token_names() {
    given::<User>([registered(), plan_changed("premium", 10)])
        .when(follow_account("Ana", "free", 9))
        .then(vec![profile_changed("Ana", 9)]);
}

#[test]
fn an_account_is_deleted() {
    given::<User>([registered()]).when(delete()).then(vec![deleted()]);
    given::<User>([registered()]).when(follow_deletion()).then(vec![deleted()]);
}

#[test]
fn a_deletion_that_comes_before_everything_else_keeps_the_person_out_for_ever() {
    given::<User>([]).when(follow_deletion()).then(vec![deleted()]);
    for command in [register(), follow_account("Ana", "free", 10), change_plan("premium", 10)] {
        given::<User>([deleted()]).when(command).then_refused(UserRefusal::Deleted);
    }
}

#[test]
fn a_deletion_that_is_told_again_changes_nothing() {
    given::<User>([registered(), deleted()]).when(follow_deletion()).then_nothing();
}

#[test]
fn of_an_unknown_person_no_plan_is_changed_and_by_a_slip_nobody_is_deleted() {
    for command in [change_plan("premium", 10), delete()] {
        given::<User>([]).when(command).then_refused(UserRefusal::NotFound);
    }
}

#[test]
fn a_deleted_account_refuses_everything() {
    for command in [follow_account("Ana", "free", 10), change_plan("premium", 10), delete()] {
        given::<User>([registered(), deleted()]).when(command).then_refused(UserRefusal::Deleted);
    }
}

#[test]
fn the_subject_is_the_person_from_the_first_command_on() {
    for command in [register(), follow_account("Ana", "free", 10), follow_deletion(), delete()] {
        assert_eq!(User::subject(&UserState::Unknown, &command), Some("ana".into()));
    }
    assert_eq!(User::subject(&UserState::Unknown, &change_plan("premium", 10)), None);
    let state = User::evolve(UserState::Unknown, &registered());
    assert_eq!(User::subject(&state, &change_plan("premium", 10)), Some("ana".into()));
    let state = User::evolve(state, &deleted());
    assert_eq!(User::subject(&state, &change_plan("premium", 10)), Some("ana".into()));
}

fn register() -> UserCommand {
    UserCommand::Register { user_id: "ana".into(), profile: Profile::default(), plan: "free".into() }
}

fn follow_account(name: &str, plan: &str, told_at: i64) -> UserCommand {
    let (user_id, told_at) = ("ana".into(), Timestamp(told_at));
    UserCommand::FollowAccount { user_id, profile: profile(name), plan: plan.into(), told_at }
}

fn follow_deletion() -> UserCommand {
    UserCommand::FollowDeletion { user_id: "ana".into() }
}

fn change_plan(plan: &str, told_at: i64) -> UserCommand {
    UserCommand::ChangePlan { plan: plan.into(), told_at: Timestamp(told_at) }
}

fn delete() -> UserCommand {
    UserCommand::Delete { user_id: "ana".into() }
}

fn registered() -> UserEvent {
    let (user_id, profile) = ("ana".into(), Profile::default());
    UserEvent::Registered(Registered { user_id, profile, plan: "free".into(), told_at: None })
}

fn profile_changed(name: &str, told_at: i64) -> UserEvent {
    UserEvent::ProfileChanged(ProfileChanged { profile: profile(name), told_at: Some(Timestamp(told_at)) })
}

fn plan_changed(plan: &str, told_at: i64) -> UserEvent {
    UserEvent::PlanChanged(PlanChanged { plan: plan.into(), told_at: Some(Timestamp(told_at)) })
}

fn deleted() -> UserEvent {
    UserEvent::Deleted(Deleted { user_id: "ana".into() })
}

fn profile(name: &str) -> Profile {
    Profile { name: Some(name.to_owned().into()), ..Profile::default() }
}
