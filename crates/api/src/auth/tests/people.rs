//! Registration on first sight, plans, remembered tokens, and the program as its own issuer.

use super::*;
use crate::auth::{
    own_issuer::{OwnIssuerError, TokenRequest},
    test_issuer::authenticator_that_refuses,
};
use crate::traffic::Meter;
use advisor_events::{Clock, Timestamp, UserId};
use advisor_projections::side::revocations::Subject;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn a_person_is_registered_once_whatever_they_ask() {
    let (clock, people) = (TestClock::new(), Arc::new(TestPeople::default()));
    let router = router(&clerk_authenticator(&clock, &people));
    for session in ["sess_1", "sess_1", "sess_2"] {
        let token = CLERK.token(&claims_with(json!({"sid": session})));
        assert_eq!(read(router.clone(), bearer(&token)).await.0, StatusCode::OK);
    }
    assert_eq!(*people.calls.lock().unwrap(), ["register user_ana free"]);
}

#[tokio::test]
async fn a_deleted_person_is_401_with_a_token_that_is_still_good() {
    let (clock, people) = (TestClock::new(), Arc::new(TestPeople::default()));
    people.deleted.lock().unwrap().insert("user_ana".to_owned());
    let router = router(&clerk_authenticator(&clock, &people));
    assert_eq!(read(router, bearer(&CLERK.token(&claims()))).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_that_was_let_in_is_401_once_its_session_or_its_person_is_revoked() {
    for subject in [Subject::Session("sess_1".to_owned()), Subject::Person("user_ana".into())] {
        let (clock, people) = (TestClock::new(), Arc::new(TestPeople::default()));
        let revoked = test_issuer::revoked(&clock);
        let issuer = issuer(IssuerKeys::from_pem(&CLERK.public_pem()).unwrap());
        let router = router(&authenticator_that_refuses(Arc::clone(&revoked), issuer, &clock, &people));
        let known = CLERK.token(&claims());
        assert_eq!(read(router.clone(), bearer(&known)).await.0, StatusCode::OK);

        revoked.revoke(subject).await.unwrap();

        let unknown = CLERK.token(&claims_with(json!({"exp": NOW + 50})));
        let of_others = CLERK.token(&claims_with(json!({"sub": "user_bo", "sid": "sess_2"})));
        for (token, status) in [(known, BAD), (unknown, BAD), (of_others, GOOD)] {
            assert_eq!(read(router.clone(), bearer(&token)).await.0, status);
        }
        assert_eq!(*people.calls.lock().unwrap(), ["register user_ana free", "register user_bo free"]);
    }
}

#[tokio::test]
async fn who_was_registered_an_hour_ago_is_looked_for_again() {
    let (clock, people) = (TestClock::new(), Arc::new(TestPeople::default()));
    let router = router(&clerk_authenticator(&clock, &people));
    let let_in = async |seconds: i64| {
        let times = json!({"iat": NOW + seconds, "nbf": NOW + seconds, "exp": NOW + seconds + 60});
        read(router.clone(), bearer(&CLERK.token(&claims_with(times)))).await.0
    };
    assert_eq!(let_in(0).await, StatusCode::OK);
    people.deleted.lock().unwrap().insert("user_ana".to_owned());
    clock.advance(3_599);
    assert_eq!(let_in(3_599).await, StatusCode::OK);
    clock.advance(1);
    assert_eq!(let_in(3_600).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_plan_follows_the_newest_token_that_names_one() {
    let (clock, people) = (TestClock::new(), Arc::new(TestPeople::default()));
    let router = router(&clerk_authenticator(&clock, &people));
    for (issued_at, plan) in
        [(NOW - 5, json!("base")), (NOW, json!("premium")), (NOW - 4, json!("base")), (NOW + 1, Value::Null)]
    {
        let metadata = if plan.is_null() { Value::Null } else { json!({"plan": plan}) };
        let token = CLERK.token(&claims_with(json!({"iat": issued_at, "public_metadata": metadata})));
        assert_eq!(read(router.clone(), bearer(&token)).await.0, StatusCode::OK);
    }
    let calls = people.calls.lock().unwrap().clone();
    assert_eq!(calls, ["register user_ana base", "plan user_ana base", "plan user_ana premium"]);
}

#[tokio::test]
async fn a_remembered_token_ends_when_it_expires() {
    let (clock, people) = (TestClock::new(), Arc::new(TestPeople::default()));
    let router = router(&clerk_authenticator(&clock, &people));
    let token = CLERK.token(&claims());
    for (advance, status) in [(0, StatusCode::OK), (64, StatusCode::OK), (1, StatusCode::UNAUTHORIZED)] {
        clock.advance(advance);
        assert_eq!(read(router.clone(), bearer(&token)).await.0, status, "{advance}");
    }
}

#[tokio::test]
async fn an_own_token_is_accepted_by_its_own_issuer_and_by_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = own_issuer::load_or_create(directory.path()).unwrap();
    let again = own_issuer::load_or_create(directory.path()).unwrap();
    let token = again.mint(&request(), Timestamp(NOW * 1_000)).unwrap();
    let people = Arc::new(TestPeople::default());
    let accepting = issuer.accepted([].into(), [].into());
    let own = test_issuer::authenticator(accepting, &TestClock::new(), &people);

    let person = own.person_of(&token, &Meter::off()).await.unwrap();

    assert_eq!(person.user_id, UserId::from("ana"));
    assert!(person.roles.operator && !person.roles.analyst);
    assert_eq!(person.plan.as_deref(), Some("premium"));
    assert_eq!(person.expires_at, TestClock::new().now().plus_ms(3_600_000));
    assert_eq!(*people.calls.lock().unwrap(), ["register ana premium", "plan ana premium"]);
    assert_eq!(read(router(&pem_authenticator()), bearer(&token)).await.0, StatusCode::UNAUTHORIZED);
}

#[test]
fn the_own_key_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    own_issuer::load_or_create(directory.path()).unwrap();
    let path = directory.path().join("issuer.pem");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(own_issuer::load_or_create(directory.path()), Err(OwnIssuerError::Exposed(_))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
    assert!(matches!(own_issuer::load_or_create(directory.path()), Err(OwnIssuerError::Damaged(_))));
}

#[test]
fn a_token_that_would_not_be_accepted_is_not_minted() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = own_issuer::load_or_create(directory.path()).unwrap();
    for wrong in [
        TokenRequest { user_id: "".into(), ..request() },
        TokenRequest { user_id: "a b".into(), ..request() },
        TokenRequest { user_id: "public".into(), ..request() },
        TokenRequest { user_id: "a".repeat(129).into(), ..request() },
        TokenRequest { ttl: Duration::ZERO, ..request() },
        TokenRequest { ttl: Duration::from_secs(24 * 3_600 + 1), ..request() },
    ] {
        assert!(matches!(issuer.mint(&wrong, Timestamp(0)), Err(OwnIssuerError::Refused(_))), "{wrong:?}");
    }
}

fn request() -> TokenRequest {
    TokenRequest {
        user_id: "ana".into(),
        roles: vec!["operator".to_owned()],
        plan: Some("premium".to_owned()),
        ttl: Duration::from_hours(1),
    }
}
