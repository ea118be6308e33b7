//! Tokens that must not open anything, and what a token's claims may say, against issuers of the tests' own.

use super::{check_problem, issuer_keys::JwksServer};
use crate::server::{Client, Server};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

pub(crate) const PARTY: &str = "https://app.example.com";

#[tokio::test]
async fn tokens_that_are_none_open_nothing_under_a_key_that_is_configured() {
    let issuer = Issuer::new("https://clerk.example.com");
    let pem = issuer.public_pem();
    let server = Server::start_with(&[
        ("CLERK_ISSUER", issuer.name.as_str()),
        ("CLERK_JWT_KEY", pem.as_str()),
        ("CLERK_AUTHORIZED_PARTIES", PARTY),
        ("ADVISOR_ROLE_CLAIM", "public_metadata.role"),
    ]);
    check_tokens(&server, &issuer).await;
}

#[tokio::test]
async fn tokens_that_are_none_open_nothing_under_keys_that_are_fetched() {
    let jwks = JwksServer::start();
    let mut issuer = Issuer::new(&jwks.url);
    jwks.serve(&issuer);
    let url = format!("{}/keys", jwks.url);
    let server = Server::start_with(&[
        ("CLERK_ISSUER", issuer.name.as_str()),
        ("CLERK_JWKS_URL", url.as_str()),
        ("CLERK_AUTHORIZED_PARTIES", PARTY),
        ("ADVISOR_ROLE_CLAIM", "public_metadata.role"),
    ]);
    check_tokens(&server, &issuer).await;
    assert_eq!(jwks.fetches(), 1, "the keys are kept");

    // Unknown keys cost one more fetch, however many tokens name them.
    for key_id in ["unknown", "../../dev/null", "'; DROP TABLE keys; --", &"k".repeat(256), "x", "y"] {
        issuer.key_id = key_id.to_owned();
        check_refused(&server, &issuer.token(&claims(&issuer, &json!({}))), key_id).await;
    }
    assert_eq!(jwks.fetches(), 2);
}

/// The issuer's good tokens work, and all the others don't.
async fn check_tokens(server: &Server, issuer: &Issuer) {
    let good = issuer.token(&claims(issuer, &json!({})));
    let me = client(server, &good).get("/api/me").await;
    assert_eq!((&me["id"], &me["roles"]), (&json!("user_ana"), &json!(["user"])));
    let metadata = json!({"public_metadata": {"role": "operator", "plan": "pro"}, "sub": "user_ops"});
    let me = client(server, &issuer.token(&claims(issuer, &metadata))).get("/api/me").await;
    assert_eq!((&me["roles"], &me["tier"]), (&json!(["user", "operator"]), &json!("base")));
    // What the user can edit gives no role.
    let metadata = json!({"unsafe_metadata": {"role": "operator"}, "role": "operator", "sub": "user_mal"});
    let me = client(server, &issuer.token(&claims(issuer, &metadata))).get("/api/me").await;
    assert_eq!(me["roles"], json!(["user"]));

    let none = crate::raw_http::request("GET /api/me", &[], b"");
    let answer = crate::raw_http::exchange(&server.url, &none).await.unwrap();
    check_unsigned(&answer, "no token");
    for (what, token) in faults(issuer) {
        check_refused(server, &token, what).await;
    }
    check_refused(server, &server.token("user_ana", &[]), "a token of the server's own").await;
    check_refused(server, &server.token("user_ops", &["--role", "operator"]), "an operator of the server's own").await;
    // The good one still works, in the cookie too, and with both only when they agree.
    assert_eq!(client(server, &good).get("/api/me").await["id"], "user_ana");
    for (head, status) in [
        (vec![format!("cookie: a=b; __session={good}")], 200),
        (vec![format!("cookie: __session={good}"), format!("authorization: bearer {good}")], 200),
        (vec![format!("cookie: __session={good}x"), format!("authorization: Bearer {good}")], 400),
        (vec![format!("authorization: Bearer {good}"), format!("authorization: Bearer {good}")], 400),
        (vec![format!("authorization: Basic {good}")], 401),
        (vec![format!("x-authorization: Bearer {good}"), "x-user-id: user_ana".to_owned()], 401),
    ] {
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let request = crate::raw_http::request(&format!("GET /api/me?token={good}&__session={good}"), &head, b"");
        assert_eq!(crate::raw_http::exchange(&server.url, &request).await.unwrap().status, status, "{head:?}");
    }
}

/// Everything that is wrong in one way.
fn faults(issuer: &Issuer) -> Vec<(&'static str, String)> {
    let of = |changes: &Value| issuer.token(&claims(issuer, changes));
    let with_header = |header: &Value| issuer.token_of(&header.to_string(), &claims(issuer, &json!({})).to_string());
    let good = of(&json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let now = now();
    let unsigned = |algorithm: &str| {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": issuer.key_id}).to_string();
        let claims = claims(issuer, &json!({"sub": "user_ops"})).to_string();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    };
    let keyed = |key: &[u8]| {
        let signed = unsigned("HS256");
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let mut attacker = Issuer::new(&issuer.name);
    attacker.key_id.clone_from(&issuer.key_id);
    let twice = claims(issuer, &json!({})).to_string().replacen('{', "{\"sub\":\"user_ops\",", 1);
    vec![
        ("malformed", "not-a-token".to_owned()),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.x")),
        ("no signature", format!("{signed}.")),
        ("a signature with a bit changed", format!("{signed}.{}", flip(signature))),
        (
            "other claims under the signature",
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("{\"sub\":\"x\"}")),
        ),
        ("no JSON", format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("x"))),
        ("a very long one", format!("{header}.{}.{signature}", "A".repeat(9_000))),
        ("expired", of(&json!({"exp": now - 6}))),
        ("of the future", of(&json!({"nbf": now + 60, "iat": now + 60, "exp": now + 120}))),
        ("without an end", of(&json!({"exp": null}))),
        ("an end that is a text", of(&json!({"exp": (now + 60).to_string()}))),
        ("an end far too late", of(&json!({"exp": now + 10 * 365 * 86_400}))),
        ("an end beyond all numbers", of(&json!({"exp": 1e300}))),
        ("without a beginning", of(&json!({"nbf": null}))),
        ("a wrong issuer", of(&json!({"iss": "https://clerk.evil.example"}))),
        ("an issuer with a slash more", of(&json!({"iss": format!("{}/", issuer.name)}))),
        ("no issuer", of(&json!({"iss": null}))),
        ("alg none", format!("{}.", unsigned("none"))),
        ("alg None with a signature", format!("{}.{signature}", unsigned("None"))),
        ("alg nOnE", format!("{}.AA", unsigned("nOnE"))),
        ("HS256 with the public key's PEM", keyed(issuer.public_pem().as_bytes())),
        ("HS256 with the public key's DER", keyed(&issuer.public_der())),
        ("HS256 with the JWK", keyed(issuer.jwk().to_string().as_bytes())),
        ("RS512 in the header", with_header(&json!({"alg": "RS512", "kid": issuer.key_id}))),
        ("somebody else's key", attacker.token(&claims(issuer, &json!({})))),
        ("a key in the header", with_header(&json!({"alg": "RS256", "kid": issuer.key_id, "jwk": attacker.jwk()}))),
        (
            "a key's URL in the header",
            with_header(&json!({"alg": "RS256", "kid": issuer.key_id, "jku": "http://127.0.0.1:1/"})),
        ),
        ("an unknown extension", with_header(&json!({"alg": "RS256", "kid": issuer.key_id, "crit": ["x"], "x": 1}))),
        ("a foreign party", of(&json!({"azp": "https://app.example.com.evil.example"}))),
        ("a party in capitals", of(&json!({"azp": "HTTPS://APP.EXAMPLE.COM"}))),
        ("no party", of(&json!({"azp": null}))),
        ("an audience that is not ours", of(&json!({"aud": "convex"}))),
        ("no session", of(&json!({"sid": null}))),
        ("no subject", of(&json!({"sub": null}))),
        ("an empty subject", of(&json!({"sub": ""}))),
        ("a subject with a star", of(&json!({"sub": "user_*"}))),
        ("a subject with a NUL", of(&json!({"sub": "user_\0"}))),
        ("a list of subjects", of(&json!({"sub": ["user_ana"]}))),
        ("two subjects", issuer.token_of(&issuer.header(), &twice)),
    ]
}

async fn check_refused(server: &Server, token: &str, what: &str) {
    let head = format!("authorization: Bearer {token}");
    for line in ["GET /api/me", "GET /api/advisors", "POST /api/commands/StartConversation"] {
        let request = crate::raw_http::request(line, &[&head, super::JSON, "content-length: 2"], b"{}");
        let answer = crate::raw_http::exchange(&server.url, &request).await.unwrap();
        check_unsigned(&answer, &format!("{what}: {line}"));
    }
}

fn check_unsigned(answer: &crate::raw_http::RawAnswer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    assert_eq!(answer.json()["code"], 401, "{what}");
    assert_eq!(answer.json()["error"], "AUTH_REQUIRED", "{what}");
    assert!(answer.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")), "{what}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
}

#[tokio::test]
async fn a_pending_session_is_forbidden_and_says_so() {
    let issuer = Issuer::new("https://clerk.example.com");
    let pem = issuer.public_pem();
    let server = Server::start_with(&[("CLERK_ISSUER", issuer.name.as_str()), ("CLERK_JWT_KEY", pem.as_str())]);
    let user = client(&server, &issuer.token(&claims(&issuer, &json!({"sts": "pending"}))));
    check_problem(&user.raw("GET /api/me", &[], b"").await, 403, "SESSION_PENDING", "pending");
}

pub(crate) fn client(server: &Server, token: &str) -> Client {
    Client { http: reqwest::Client::new(), url: server.url.clone(), token: token.to_owned() }
}

/// Claims that are accepted, with changes; `null` takes a claim away.
pub(crate) fn claims(issuer: &Issuer, changes: &Value) -> Value {
    let now = now();
    let mut claims = json!({
        "iss": issuer.name, "sub": "user_ana", "sid": "sess_1", "azp": PARTY,
        "iat": now, "nbf": now - 10, "exp": now + 600
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[expect(clippy::disallowed_methods, reason = "The issuer's clock is the machine's.")]
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn flip(signature: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[7] ^= 1;
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer with a key of its own.
pub(crate) struct Issuer {
    pub(crate) name: String,
    key_id: String,
    pair: KeyPair,
}

impl Issuer {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), key_id: "ins_1".to_owned(), pair: KeyPair::generate(KeySize::Rsa2048).unwrap() }
    }

    fn public_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    pub(crate) fn public_pem(&self) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(self.public_der()))
    }

    pub(super) fn jwk(&self) -> Value {
        let key = self.pair.public_key();
        let modulus = URL_SAFE_NO_PAD.encode(key.modulus().big_endian_without_leading_zero());
        let exponent = URL_SAFE_NO_PAD.encode(key.exponent().big_endian_without_leading_zero());
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id, "n": modulus, "e": exponent})
    }

    fn header(&self) -> String {
        json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id}).to_string()
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_of(&self.header(), &claims.to_string())
    }

    /// Signed with this key whatever the header says.
    fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
