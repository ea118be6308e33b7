//! What is read from events as Clerk sends them, from sparse ones, and from odd ones.

use super::*;
use serde_json::json;

#[test]
fn a_person_is_told_with_primary_address_whole_name_picture_and_plan() {
    let (profile, plan, told_at) = account(&clerk_user(&json!({})));

    assert_eq!(known(profile.email.as_ref()), Some("ana@example.org"));
    assert_eq!(known(profile.name.as_ref()), Some("Ana Brito"));
    assert_eq!(known(profile.image.as_ref()), Some("https://img.clerk.com/ana"));
    assert_eq!((plan.as_str(), told_at), ("premium", Timestamp(1_758_010_529_456)));
}

#[test]
fn a_person_without_a_name_is_called_by_their_username() {
    for (changes, name) in [
        (json!({"last_name": null}), Some("Ana")),
        (json!({"first_name": null}), Some("Brito")),
        (json!({"first_name": "", "last_name": "  "}), Some("ana_b")),
        (json!({"first_name": null, "last_name": null}), Some("ana_b")),
        (json!({"first_name": null, "last_name": null, "username": null}), None),
        (json!({"first_name": 7, "last_name": ["x"], "username": {"a": 1}}), None),
    ] {
        assert_eq!(known(account(&clerk_user(&changes)).0.name.as_ref()), name, "{changes}");
    }
}

#[test]
fn the_primary_address_is_told_or_the_first_where_none_is_called_so() {
    for (changes, email) in [
        (json!({"primary_email_address_id": "idn_1"}), Some("other@example.org")),
        (json!({"primary_email_address_id": null}), Some("other@example.org")),
        (json!({"primary_email_address_id": "idn_9"}), None),
        (json!({"email_addresses": []}), None),
        (json!({"email_addresses": null}), None),
        (json!({"email_addresses": [7, {"id": "idn_2"}]}), None),
    ] {
        assert_eq!(known(account(&clerk_user(&changes)).0.email.as_ref()), email, "{changes}");
    }
}

#[test]
fn a_person_of_whom_no_plan_is_told_is_on_the_free_one() {
    for metadata in [json!({}), Value::Null, json!({"plan": null}), json!({"plan": ""}), json!({"plan": 7}), json!("x")]
    {
        assert_eq!(account(&clerk_user(&json!({"public_metadata": metadata}))).1, "free", "{metadata}");
    }
    assert_eq!(account(&clerk_user(&json!({"public_metadata": {"plan": "x".repeat(65)}}))).1, "free");
    assert_eq!(account(&clerk_user(&json!({"public_metadata": {"plan": "enterprise"}}))).1, "enterprise");
}

#[test]
fn news_are_as_old_as_the_data_else_as_the_event_else_as_the_delivery() {
    for (updated_at, timestamp, told_at) in [
        (json!(5), json!(6), 5),
        (Value::Null, json!(6), 6),
        (json!("5"), json!(6), 6),
        (json!(-5), json!(1e300), SENT_AT.0),
        (json!(u64::MAX), Value::Null, SENT_AT.0),
    ] {
        let mut event = clerk_user(&json!({"updated_at": updated_at}));
        event["timestamp"] = timestamp;
        assert_eq!(account(&event).2, Timestamp(told_at), "{event}");
    }
}

#[test]
fn a_sparse_event_is_enough() {
    let (profile, plan, told_at) = account(&json!({"type": "user.created", "data": {"id": "user_ana"}}));
    assert_eq!((profile, plan.as_str(), told_at), (Profile::default(), "free", SENT_AT));
}

#[test]
fn what_can_not_be_kept_of_a_profile_is_left_out() {
    for name in ["a\u{0}b".to_owned(), "x".repeat(2_049)] {
        let event = clerk_user(&json!({"first_name": name, "last_name": null}));
        assert_eq!(known(account(&event).0.name.as_ref()), Some("ana_b"));
    }
}

#[test]
fn deletions_and_ends_of_sessions_are_told_by_their_id() {
    let deleted = json!({"type": "user.deleted", "data": {"id": "user_ana", "deleted": true, "object": "user"}});
    assert!(matches!(read(&deleted), Ok(News::Deletion { user_id }) if user_id.as_str() == "user_ana"));
    for kind in ["session.ended", "session.removed", "session.revoked"] {
        let event = json!({"type": kind, "data": {"id": "sess_1", "user_id": "user_ana", "status": "ended"}});
        assert!(matches!(read(&event), Ok(News::SessionEnd { session_id }) if session_id == "sess_1"), "{kind}");
    }
}

#[test]
fn events_of_other_types_are_of_no_concern_whatever_they_hold() {
    for event in [
        json!({"type": "session.created", "data": {"id": "sess_1"}}),
        json!({"type": "email.created", "data": []}),
        json!({"type": "", "data": null, "timestamp": "x"}),
        json!({"type": "user.deleted.v2"}),
        json!({"type": "organization.created", "data": {"x": 0.1}, "more": [1, 2]}),
    ] {
        assert!(matches!(read(&event), Ok(News::OfNoConcern)), "{event}");
    }
}

#[test]
fn what_is_no_event_or_about_nobody_is_a_bad_request() {
    for body in ["", "{", "[]", "7", "null", "{}", r#"{"type": 7}"#, r#"{"type": "a", "type": "b"}"#, "\u{feff}{}"] {
        let problem = News::read(body.as_bytes(), SENT_AT).err().unwrap();
        assert_eq!(problem.code(), Code::InvalidJson, "{body}");
    }
    for kind in ["user.created", "user.updated", "user.deleted", "session.ended"] {
        for data in [
            Value::Null,
            json!({}),
            json!([]),
            json!({"id": null}),
            json!({"id": 7}),
            json!({"id": ""}),
            json!({"id": "x".repeat(300)}),
        ] {
            let problem = read(&json!({"type": kind, "data": data})).err().unwrap();
            assert_eq!(problem.status_code(), http::StatusCode::BAD_REQUEST, "{kind} {data}");
        }
    }
    for id in ["public", "a b", "user_*", "user>", "é", "a\u{0}"] {
        assert!(read(&json!({"type": "user.deleted", "data": {"id": id}})).is_err(), "{id}");
    }
}

const SENT_AT: Timestamp = Timestamp(1_758_010_530_000);

/// An event as Clerk sends it, with some of the person's fields changed.
fn clerk_user(changes: &Value) -> Value {
    let mut event = json!({
        "type": "user.updated",
        "object": "event",
        "instance_id": "ins_1",
        "timestamp": 1_758_010_529_999_i64,
        "event_attributes": {"http_request": {"client_ip": "192.0.2.1", "user_agent": "x"}},
        "data": {
            "id": "user_ana",
            "object": "user",
            "first_name": "Ana",
            "last_name": "Brito",
            "username": "ana_b",
            "image_url": "https://img.clerk.com/ana",
            "primary_email_address_id": "idn_2",
            "email_addresses": [
                {"id": "idn_1", "object": "email_address", "email_address": "other@example.org"},
                {"id": "idn_2", "object": "email_address", "email_address": "ana@example.org"}
            ],
            "public_metadata": {"plan": "premium", "other": 1.5},
            "private_metadata": {},
            "created_at": 1_758_010_000_000_i64,
            "updated_at": 1_758_010_529_456_i64,
            "last_sign_in_at": null
        }
    });
    for (name, value) in changes.as_object().unwrap() {
        event["data"][name] = value.clone();
    }
    event
}

fn read(event: &Value) -> Result<News, Problem> {
    News::read(event.to_string().as_bytes(), SENT_AT)
}

fn account(event: &Value) -> (Profile, String, Timestamp) {
    match read(event) {
        Ok(News::Account { user_id, profile, plan, told_at }) => {
            assert_eq!(user_id.as_str(), "user_ana");
            (profile, plan, told_at)
        }
        Ok(News::Deletion { .. } | News::SessionEnd { .. } | News::OfNoConcern) => {
            panic!("{event} tells of an account")
        }
        Err(problem) => panic!("{event}: {problem:?}"),
    }
}

fn known(field: Option<&advisor_events::Personal<String>>) -> Option<&str> {
    field.and_then(|field| field.known()).map(String::as_str)
}
