//! Which requests are let in: the rows 1 to 17 of the table of attacks, through the extractors.

mod fuzz;
mod keys;
mod people;
mod registered;
mod vectors;

use super::test_issuer::{
    ATTACKER, CLERK, NOW, TestClock, TestPeople, claims, claims_with, clerk_authenticator, issuer,
};
use super::{Authenticator, MaybeViewer, Operator, Viewer, clerk::IssuerKeys, own_issuer, test_issuer};
use axum::{Router, body::Body, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tower::ServiceExt;

const GOOD: StatusCode = StatusCode::OK;
const BAD: StatusCode = StatusCode::UNAUTHORIZED;

#[tokio::test]
async fn a_good_token_in_header_or_cookie_is_its_person() {
    let token = CLERK.token(&claims());
    for request in [
        bearer(&token),
        get_viewer().header(header::AUTHORIZATION, format!("bearer {token}")).body(Body::empty()).unwrap(),
        get_viewer().header(header::AUTHORIZATION, format!("BEARER  {token}")).body(Body::empty()).unwrap(),
        get_viewer().header(header::COOKIE, format!("a=b; __session={token}")).body(Body::empty()).unwrap(),
        get_viewer()
            .header(header::COOKIE, format!("__session={token}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap(),
    ] {
        assert_eq!(ask(request).await, (StatusCode::OK, "user_ana".to_owned()));
    }
}

#[tokio::test]
async fn without_a_token_the_handler_is_not_entered() {
    let response = router(&pem_authenticator()).oneshot(get_viewer().body(Body::empty()).unwrap()).await.unwrap();

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&body["error"], &body["code"]), (&json!("AUTH_REQUIRED"), &json!(401)));
}

#[test]
fn a_key_may_come_in_one_line_as_environment_files_have_it() {
    assert!(IssuerKeys::from_pem(&CLERK.public_pem().replace('\n', "\\n")).is_ok());
    assert!(IssuerKeys::from_pem("no key").is_err());
}

#[tokio::test]
async fn a_token_in_the_query_is_never_read() {
    let uri = format!("/viewer?token={}&access_token={0}&__session={0}", CLERK.token(&claims()));
    let request = Request::get(uri).body(Body::empty()).unwrap();
    assert_eq!(ask(request).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn credentials_that_disagree_are_a_bad_request() {
    let (one, other) = (CLERK.token(&claims()), CLERK.token(&claims_with(json!({"sub": "user_bo"}))));
    for request in [
        get_viewer()
            .header(header::AUTHORIZATION, format!("Bearer {one}"))
            .header(header::AUTHORIZATION, format!("Bearer {one}")),
        get_viewer()
            .header(header::AUTHORIZATION, format!("Bearer {one}"))
            .header(header::COOKIE, format!("__session={other}")),
        get_viewer().header(header::COOKIE, format!("__session={one}; __session={other}")),
    ] {
        assert_eq!(ask(request.body(Body::empty()).unwrap()).await.0, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_route_that_works_signed_out_still_refuses_an_invalid_token() {
    let router = router(&pem_authenticator());
    let signed_out = Request::get("/maybe").body(Body::empty()).unwrap();
    assert_eq!(read(router.clone(), signed_out).await, (StatusCode::OK, "nobody".to_owned()));
    let invalid = Request::get("/maybe").header(header::AUTHORIZATION, "Bearer x.y.z").body(Body::empty()).unwrap();
    assert_eq!(read(router, invalid).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_eight_faults_of_a_token_are_all_401() {
    let hs256 = json!({"alg": "HS256", "typ": "JWT", "kid": CLERK.key_id});
    let none = json!({"alg": "none", "typ": "JWT"});
    for (fault, authorization) in [
        ("malformed", "Bearer not-a-token".to_owned()),
        ("expired", format!("Bearer {}", CLERK.token(&claims_with(json!({"exp": NOW - 6}))))),
        ("future", format!("Bearer {}", CLERK.token(&claims_with(json!({"nbf": NOW + 6}))))),
        ("issuer", format!("Bearer {}", CLERK.token(&claims_with(json!({"iss": "https://other.example.com"}))))),
        ("alg none", format!("Bearer {}", unsigned(&none))),
        ("HS256", format!("Bearer {}", hmac_signed(&hs256, CLERK.public_pem().as_bytes()))),
        ("azp", format!("Bearer {}", CLERK.token(&claims_with(json!({"azp": "https://evil.example.com"}))))),
        ("scheme", format!("Basic {}", CLERK.token(&claims()))),
    ] {
        let request = get_viewer().header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap();
        assert_eq!(ask(request).await.0, StatusCode::UNAUTHORIZED, "{fault}");
    }
}

#[tokio::test]
async fn no_other_algorithm_is_taken() {
    for algorithm in ["none", "None", "nOnE", "NONE", "", "RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256", "rs256"]
    {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": CLERK.key_id});
        for token in [unsigned(&header), unsigned(&header) + "x", CLERK.token_with(&header, &claims())] {
            refuse(&token).await;
        }
    }
    refuse(&CLERK.token_with(&json!({"typ": "JWT"}), &claims())).await;
    refuse(&CLERK.token_with(&json!({"alg": ["RS256"]}), &claims())).await;
    let good = CLERK.token(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    refuse(&format!("{signed}.")).await;
}

#[tokio::test]
async fn the_public_key_is_no_secret_of_an_hmac() {
    let jwk = CLERK.jwk().to_string();
    let modulus = CLERK.jwk()["n"].as_str().unwrap().to_owned();
    for secret in [CLERK.public_pem().as_bytes(), &CLERK.public_der, jwk.as_bytes(), modulus.as_bytes()] {
        for algorithm in ["HS256", "RS256"] {
            refuse(&hmac_signed(&json!({"alg": algorithm, "typ": "JWT", "kid": CLERK.key_id}), secret)).await;
        }
    }
}

#[tokio::test]
async fn a_token_can_not_bring_its_own_key_or_extension() {
    for (name, value) in [
        ("jwk", ATTACKER.jwk()),
        ("jku", json!("https://evil.example.com/jwks.json")),
        ("x5u", json!("https://evil.example.com/cert")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp2"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("typ", json!("at+jwt")),
        ("kid", json!(["ins_1"])),
        ("kid", json!("k".repeat(10_000))),
    ] {
        let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": CLERK.key_id});
        header[name] = value;
        refuse(&CLERK.token_with(&header, &claims())).await;
        refuse(&ATTACKER.token_with(&header, &claims())).await;
    }
    refuse(&ATTACKER.token(&claims())).await;
}

#[tokio::test]
async fn times_are_whole_seconds_and_forgive_five_of_them() {
    for (changes, wanted) in [
        (json!({"exp": NOW - 4}), GOOD),
        (json!({"exp": NOW - 5}), BAD),
        (json!({"exp": NOW - 6}), BAD),
        (json!({"nbf": NOW + 4}), GOOD),
        (json!({"nbf": NOW + 6}), BAD),
        (json!({"iat": NOW + 86_400}), BAD),
        (json!({"iat": null}), GOOD),
        (json!({"exp": null}), BAD),
        (json!({"nbf": null}), BAD),
        (json!({"exp": NOW + 86_400 - 10}), GOOD),
        (json!({"exp": NOW + 10 * 365 * 86_400}), BAD),
        (json!({"exp": NOW + 60, "nbf": NOW - 10 * 86_400}), BAD),
    ] {
        expect(&claims_with(changes), wanted).await;
    }
    for name in ["exp", "nbf", "iat"] {
        for value in [
            "\"1758010590\"",
            "1e300",
            "1758010590.0",
            "1.5e9",
            "-1",
            "true",
            "[1758010590]",
            "{}",
            "18446744073709551615",
        ] {
            let marker = claims_with(json!({name: "MARK"})).to_string();
            let token = CLERK.token_of_texts(
                &json!({"alg": "RS256", "kid": CLERK.key_id}).to_string(),
                &marker.replace("\"MARK\"", value),
            );
            refuse(&token).await;
        }
        let null = claims().to_string().replacen(&format!("\"{name}\":"), &format!("\"{name}\":null,\"x\":"), 1);
        refuse(&CLERK.token_of_texts(&json!({"alg": "RS256"}).to_string(), &null)).await;
    }
}

#[tokio::test]
async fn issuer_party_audience_and_session_must_be_the_configured_ones() {
    for (changes, wanted) in [
        (json!({"iss": "https://clerk.example.com/"}), BAD),
        (json!({"iss": "advisor-dev"}), BAD),
        (json!({"iss": null}), BAD),
        (json!({"iss": ["https://clerk.example.com"]}), BAD),
        (json!({"azp": "https://app.example.com.evil.com"}), BAD),
        (json!({"azp": "https://APP.example.com"}), BAD),
        (json!({"azp": "https://app.example.com:8443"}), BAD),
        (json!({"azp": null}), BAD),
        (json!({"azp": ["https://app.example.com"]}), BAD),
        (json!({"sid": null}), BAD),
        (json!({"sid": ""}), BAD),
        (json!({"aud": "convex"}), BAD),
        (json!({"sts": "active"}), GOOD),
    ] {
        expect(&claims_with(changes), wanted).await;
    }
}

#[tokio::test]
async fn a_template_token_needs_a_configured_audience_and_no_session() {
    let mut issuer = issuer(IssuerKeys::from_pem(&CLERK.public_pem()).unwrap());
    issuer.audiences = vec!["convex".to_owned()];
    let router = router(&test_issuer::authenticator(issuer, &TestClock::new(), &Arc::new(TestPeople::default())));
    for (changes, wanted) in [
        (json!({"aud": "convex", "sid": null}), GOOD),
        (json!({"aud": ["other", "convex"], "sid": null}), GOOD),
        (json!({"aud": "Convex"}), BAD),
        (json!({"aud": ["other"]}), BAD),
        (json!({"aud": [7, "convex"]}), BAD),
        (json!({"sid": null}), BAD),
        (json!({}), GOOD),
    ] {
        let status = read(router.clone(), bearer(&CLERK.token(&claims_with(changes.clone())))).await.0;
        assert_eq!(status, wanted, "{changes}");
    }
}

#[tokio::test]
async fn a_pending_session_is_403() {
    let token = CLERK.token(&claims_with(json!({"sts": "pending"})));
    assert_eq!(ask(bearer(&token)).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_subject_that_could_name_no_person_is_401() {
    for subject in [
        json!(""),
        json!("a".repeat(129)),
        json!(["user_ana"]),
        json!("user\0"),
        json!("user_*"),
        json!("user.>"),
        json!("user ana"),
        json!("public"),
        json!("usér"),
        json!(7),
        json!({}),
    ] {
        expect(&claims_with(json!({"sub": subject})), BAD).await;
    }
    expect(&claims_with(json!({"sub": null})), BAD).await;
    expect(&claims_with(json!({"sub": "A-z_0.".repeat(21)})), GOOD).await;
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_refused_at_any_depth() {
    let header = json!({"alg": "RS256", "kid": CLERK.key_id}).to_string();
    let twice = claims().to_string().replacen('{', "{\"sub\":\"user_bo\",", 1);
    let deep = claims().to_string().replacen('{', "{\"public_metadata\":{\"plan\":\"a\",\"plan\":\"b\"},", 1);
    refuse(&CLERK.token_of_texts(&header, &twice)).await;
    refuse(&CLERK.token_of_texts(&header, &deep)).await;
    refuse(&CLERK.token_of_texts("{\"alg\":\"none\",\"alg\":\"RS256\"}", &claims().to_string())).await;
}

#[tokio::test]
async fn what_is_no_token_is_401_and_never_a_fault_of_ours() {
    let good = CLERK.token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for token in [
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        "=.=.=",
        &format!("{good}.x"),
        &format!("{good}="),
        &format!("{signed}.{}", signature.to_uppercase()),
        &format!("{}.{signature}", signed.replacen("ey", "eY", 1)),
        &"a".repeat(10_000),
        &CLERK.token_of_texts("{}", "{}"),
        &CLERK.token_of_texts("[]", "[]"),
        &CLERK.token_of_texts("{\"alg\":\"RS256\"}", &"[".repeat(2_000)),
    ] {
        refuse(token).await;
    }
}

#[tokio::test]
async fn only_an_operator_passes_the_operators_door() {
    let mut issuer = issuer(IssuerKeys::from_pem(&CLERK.public_pem()).unwrap());
    issuer.roles.claim = Some("public_metadata.role".to_owned());
    issuer.roles.operators = ["user_root".into()].into();
    let router = router(&test_issuer::authenticator(issuer, &TestClock::new(), &Arc::new(TestPeople::default())));
    for (changes, status) in [
        (json!({}), StatusCode::FORBIDDEN),
        (json!({"role": "operator", "unsafe_metadata": {"role": "operator"}}), StatusCode::FORBIDDEN),
        (json!({"public_metadata": {"role": "analyst"}}), StatusCode::FORBIDDEN),
        (json!({"public_metadata": {"role": "operator"}}), StatusCode::OK),
        (json!({"public_metadata": {"role": ["analyst", "operator"]}}), StatusCode::OK),
        (json!({"sub": "user_root"}), StatusCode::OK),
    ] {
        let authorization = format!("Bearer {}", CLERK.token(&claims_with(changes.clone())));
        let request =
            Request::get("/operator").header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap();
        assert_eq!(read(router.clone(), request).await.0, status, "{changes}");
    }
    let nobody = Request::get("/operator").body(Body::empty()).unwrap();
    assert_eq!(read(router, nobody).await.0, StatusCode::UNAUTHORIZED);
}

fn get_viewer() -> http::request::Builder {
    Request::get("/viewer")
}

fn bearer(token: &str) -> Request<Body> {
    get_viewer().header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap()
}

fn pem_authenticator() -> Arc<Authenticator> {
    clerk_authenticator(&TestClock::new(), &Arc::new(TestPeople::default()))
}

fn router(authenticator: &Arc<Authenticator>) -> Router {
    Router::new()
        .route("/viewer", get(async |viewer: Viewer| viewer.user_id().to_string()))
        .route("/operator", get(async |Operator(viewer): Operator| viewer.user_id().to_string()))
        .route(
            "/maybe",
            get(async |viewer: MaybeViewer| viewer.user_id().map_or_else(|| "nobody".to_owned(), ToString::to_string)),
        )
        .with_state(Arc::clone(authenticator))
}

async fn ask(request: Request<Body>) -> (StatusCode, String) {
    read(router(&pem_authenticator()), request).await
}

async fn read(router: Router, request: Request<Body>) -> (StatusCode, String) {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

async fn expect(claims: &Value, wanted: StatusCode) {
    let (status, body) = ask(bearer(&CLERK.token(claims))).await;
    assert_eq!(status, wanted, "{claims}: {body}");
}

async fn refuse(token: &str) {
    let value = http::HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).unwrap();
    let request = get_viewer().header(header::AUTHORIZATION, value).body(Body::empty()).unwrap();
    assert_eq!(ask(request).await.0, StatusCode::UNAUTHORIZED, "{token}");
}

fn unsigned(header: &Value) -> String {
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims().to_string()))
}

fn hmac_signed(header: &Value, secret: &[u8]) -> String {
    let signed = unsigned(header);
    let signed = signed.trim_end_matches('.');
    let key = EncodingKey::from_secret(secret);
    format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap())
}
