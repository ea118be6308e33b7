//! Keys that are fetched: rotation, unknown keys, an issuer that is down, slow or garbled.

use super::*;
use crate::auth::{
    jwks::{Jwks, JwksLimits},
    test_issuer::TestIssuer,
};
use crate::traffic::Meter;
use advisor_events::Clock;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

#[tokio::test]
async fn known_keys_cost_one_fetch_an_hour() {
    let (server, clock) = (serving(json!([CLERK.jwk()])).await, TestClock::new());
    let authenticator = fetching(&server, &clock);
    for session in 0..20 {
        authenticator.person_of(&token_of(&CLERK, session), &Meter::off()).await.unwrap();
    }
    assert_eq!(fetches(&server).await, 1);
    clock.advance(3_601);
    let claims = claims_with(json!({"iat": NOW + 3_601, "nbf": NOW + 3_601, "exp": NOW + 3_700}));
    authenticator.person_of(&CLERK.token(&claims), &Meter::off()).await.unwrap();
    assert_eq!(fetches(&server).await, 2);
}

#[tokio::test]
async fn a_rotated_key_is_accepted_after_one_fetch() {
    let (server, clock) = (serving(json!([CLERK.jwk()])).await, TestClock::new());
    let authenticator = fetching(&server, &clock);
    authenticator.person_of(&token_of(&CLERK, 1), &Meter::off()).await.unwrap();
    let next = TestIssuer::new("ins_2");
    server.reset().await;
    answer(&server, ok(&json!([CLERK.jwk(), next.jwk()]))).await;

    authenticator.person_of(&token_of(&next, 2), &Meter::off()).await.unwrap();

    authenticator.person_of(&token_of(&CLERK, 3), &Meter::off()).await.unwrap();
    assert_eq!(fetches(&server).await, 1);
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cost_at_most_two_fetches_in_five_minutes() {
    let (server, clock) = (serving(json!([CLERK.jwk()])).await, TestClock::new());
    let authenticator = fetching(&server, &clock);
    let good = CLERK.token(&claims());
    let (_, rest) = good.split_once('.').unwrap();
    let unknown =
        |kid: &str| format!("{}.{rest}", URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "kid": kid}).to_string()));
    for kid in (0..10_000).map(|number| format!("ins_{number}x")) {
        assert!(authenticator.person_of(&unknown(&kid), &Meter::off()).await.is_err());
    }
    for kid in ["../../dev/null", "' OR 1=1 --"] {
        assert!(authenticator.person_of(&unknown(kid), &Meter::off()).await.is_err());
    }
    assert_eq!(fetches(&server).await, 2);
    clock.advance(300);
    let claims = claims_with(json!({"exp": NOW + 400}));
    assert!(
        authenticator
            .person_of(&ATTACKER.token_with(&json!({"alg": "RS256", "kid": "new"}), &claims), &Meter::off())
            .await
            .is_err()
    );
    assert_eq!(fetches(&server).await, 3);
}

#[tokio::test]
async fn many_requests_at_once_share_one_fetch() {
    let (server, clock) = (MockServer::start().await, TestClock::new());
    answer(&server, ok(&json!([CLERK.jwk()])).set_delay(Duration::from_millis(50))).await;
    let authenticator = fetching(&server, &clock);
    let tokens: Vec<String> = (0..30).map(|session| token_of(&CLERK, session)).collect();
    let meter = Meter::off();
    let people = futures::future::join_all(tokens.iter().map(|token| authenticator.person_of(token, &meter))).await;
    assert!(people.iter().all(Result::is_ok));
    assert_eq!(fetches(&server).await, 1);
}

#[tokio::test]
async fn old_keys_go_on_for_a_day_while_the_issuer_is_down() {
    let (server, clock) = (serving(json!([CLERK.jwk()])).await, TestClock::new());
    let authenticator = fetching(&server, &clock);
    authenticator.person_of(&token_of(&CLERK, 1), &Meter::off()).await.unwrap();
    server.reset().await;
    answer(&server, ResponseTemplate::new(500)).await;
    for (advance, status) in [(7_200, None), (22 * 3_600 - 1, None), (2, Some(StatusCode::SERVICE_UNAVAILABLE))] {
        clock.advance(advance);
        let now = clock.now().0 / 1_000;
        let claims = claims_with(json!({"iat": now, "nbf": now, "exp": now + 60}));
        let problem = authenticator.person_of(&CLERK.token(&claims), &Meter::off()).await.err();
        assert_eq!(problem.map(|problem| problem.status_code()), status, "{advance}");
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_in_time_or_answers_garbage_is_down() {
    let never = ResponseTemplate::new(200).set_delay(Duration::from_hours(1));
    let garbage = ResponseTemplate::new(200).set_body_bytes(vec![b'['; 10_000_000]);
    for answered in [never, garbage] {
        let (server, clock) = (serving(json!([CLERK.jwk()])).await, TestClock::new());
        let limits = JwksLimits { timeout: Duration::from_secs(1), ..JwksLimits::default() };
        let authenticator = fetching_within(limits, &server, &clock);
        authenticator.person_of(&token_of(&CLERK, 1), &Meter::off()).await.unwrap();
        server.reset().await;
        answer(&server, answered).await;
        clock.advance(3_601);
        let later = |session: usize| {
            let times =
                json!({"iat": NOW + 3_601, "nbf": NOW + 3_601, "exp": NOW + 3_700, "sid": format!("s{session}")});
            CLERK.token(&claims_with(times))
        };
        assert!(authenticator.person_of(&later(1), &Meter::off()).await.is_ok(), "the key is known");
        assert!(
            authenticator.person_of(&later(2), &Meter::off()).await.is_ok(),
            "and nobody waits for the issuer again"
        );
        assert_eq!(fetches(&server).await, 1);
    }
}

#[tokio::test]
async fn a_key_that_the_issuer_has_taken_back_is_refused_once_its_keys_are_fetched_anew() {
    let (server, clock) = (serving(json!([CLERK.jwk()])).await, TestClock::new());
    let authenticator = fetching(&server, &clock);
    authenticator.person_of(&token_of(&CLERK, 1), &Meter::off()).await.unwrap();
    let next = TestIssuer::new("ins_2");
    server.reset().await;
    answer(&server, ok(&json!([next.jwk()]))).await;

    authenticator.person_of(&token_of(&next, 2), &Meter::off()).await.unwrap();

    let refused = authenticator.person_of(&token_of(&CLERK, 3), &Meter::off()).await.unwrap_err();
    assert_eq!(refused.status_code(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_keys_nobody_is_let_in_and_no_redirect_is_followed() {
    let elsewhere = serving(json!([CLERK.jwk()])).await;
    let huge = json!([CLERK.jwk(), {"kty": "oct", "k": "x".repeat(10_000_000)}]);
    for answered in [
        ResponseTemplate::new(500),
        ResponseTemplate::new(302).insert_header("location", elsewhere.uri()),
        ResponseTemplate::new(200).set_body_string("<html>"),
        ResponseTemplate::new(200).set_body_json(json!({"keys": []})),
        ok(&json!([{"kty": "RSA", "kid": "ins_1", "use": "enc", "n": "AQAB", "e": "AQAB"}])),
        ok(&json!([{"kty": "EC", "kid": "ins_1", "crv": "P-256", "x": "a", "y": "b"}])),
        ok(&huge),
    ] {
        let (server, clock) = (MockServer::start().await, TestClock::new());
        answer(&server, answered).await;
        let authenticator = fetching(&server, &clock);
        for session in 0..5 {
            let problem = authenticator.person_of(&token_of(&CLERK, session), &Meter::off()).await.unwrap_err();
            assert_eq!(problem.status_code(), StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(fetches(&server).await, 1);
    }
    assert_eq!(fetches(&elsewhere).await, 0);
}

#[tokio::test]
async fn a_header_with_a_key_url_causes_no_request() {
    let (evil, server) = (serving(json!([ATTACKER.jwk()])).await, serving(json!([CLERK.jwk()])).await);
    let authenticator = fetching(&server, &TestClock::new());
    for name in ["jku", "x5u"] {
        let header = json!({"alg": "RS256", "kid": "evil", (name): evil.uri()});
        assert!(authenticator.person_of(&ATTACKER.token_with(&header, &claims()), &Meter::off()).await.is_err());
    }
    assert_eq!((fetches(&evil).await, fetches(&server).await), (0, 0));
}

async fn serving(keys: Value) -> MockServer {
    let server = MockServer::start().await;
    answer(&server, ok(&keys)).await;
    server
}

fn ok(keys: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"keys": keys}))
}

async fn answer(server: &MockServer, template: ResponseTemplate) {
    Mock::given(any()).respond_with(template).mount(server).await;
}

async fn fetches(server: &MockServer) -> usize {
    server.received_requests().await.unwrap_or_default().len()
}

fn fetching(server: &MockServer, clock: &Arc<TestClock>) -> Arc<Authenticator> {
    fetching_within(JwksLimits::default(), server, clock)
}

fn fetching_within(limits: JwksLimits, server: &MockServer, clock: &Arc<TestClock>) -> Arc<Authenticator> {
    let shared: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    let keys = IssuerKeys::Jwks(Jwks::new(format!("{}/jwks.json", server.uri()), shared, limits).unwrap());
    test_issuer::authenticator(issuer(keys), clock, &Arc::new(TestPeople::default()))
}

fn token_of(issuer: &TestIssuer, session: usize) -> String {
    issuer.token(&claims_with(json!({"sid": format!("sess_{session}")})))
}
