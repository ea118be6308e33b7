//! Tokens by chance: none panics, none is accepted that was not signed, and none that breaks a rule.

use super::super::{
    clerk::{Issuer, IssuerKeys},
    token::{self, TokenFault, Verified},
};
use super::*;
use crate::fuzz::{TIME, text_of};
use advisor_events::Timestamp;
use futures::FutureExt;
use std::sync::LazyLock;

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| issuer(IssuerKeys::from_pem(&CLERK.public_pem()).unwrap()));
static GOOD: LazyLock<String> = LazyLock::new(|| CLERK.token(&claims()));
static FOREIGN: LazyLock<String> = LazyLock::new(|| ATTACKER.token(&claims_with(json!({"sub": "user_bo"}))));

#[test]
fn any_text_is_refused_as_a_token() {
    const PIECES: &[&str] = &[".", "eyJhbGciOiJSUzI1NiJ9", "e30", "eyJ", "In0", "=", "-", "_", "é", "\0"];
    bolero::check!().with_type::<Vec<u8>>().with_test_time(TIME).for_each(|bytes| {
        assert!(verify(&text_of(bytes, PIECES)).is_err());
        assert!(verify(&String::from_utf8_lossy(bytes)).is_err());
    });
}

#[test]
fn a_token_that_was_changed_in_any_way_is_refused() {
    assert!(verify(&GOOD).is_ok());
    bolero::check!().with_type::<(u8, usize, usize, Vec<u8>)>().with_test_time(TIME).for_each(
        |(way, from, to, bytes)| {
            let changed = change(*way, *from, *to, bytes);
            if let Some(changed) = changed.filter(|changed| *changed != *GOOD) {
                assert!(verify(&changed).is_err(), "{changed}");
            }
        },
    );
}

#[test]
fn what_a_genuine_token_is_accepted_for_keeps_every_rule() {
    bolero::check!().with_type::<Vec<(u8, u8, i64)>>().with_test_time(TIME).for_each(|changes| {
        let mut said = claims();
        for (name, kind, number) in changes {
            const NAMES: &[&str] = &["iss", "sub", "sid", "azp", "iat", "nbf", "exp", "aud", "sts", "email"];
            said[NAMES[usize::from(*name) % NAMES.len()]] = value(*kind, *number);
        }
        let Ok(verified) = verify(&CLERK.token(&said)) else { return };
        assert_eq!((&said["iss"], &said["azp"]), (&json!(test_issuer::ISSUER), &json!("https://app.example.com")));
        assert_eq!(said["sub"], json!(verified.user_id.as_str()));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        assert!((1..=128).contains(&verified.user_id.as_str().len()) && verified.user_id.as_str().bytes().all(plain));
        assert!(said["sid"].as_str().is_some_and(|session| !session.is_empty()), "{said}");
        assert!(said.get("aud").is_none() && said["sts"] != "pending", "{said}");
        let moment = |name: &str| said[name].as_i64();
        assert!(moment("exp").is_some_and(|end| (NOW - 5..NOW + 86_400).contains(&end)), "{said}");
        assert!(moment("nbf").is_some_and(|start| start <= NOW + 5), "{said}");
        assert!(said.get("iat").is_none() || moment("iat").is_some_and(|start| start <= NOW + 5), "{said}");
    });
}

#[test]
fn credentials_by_chance_are_one_token_or_a_refusal() {
    const PIECES: &[&str] = &["Bearer ", "bearer", "Basic ", " ", "__session=", "; ", "a", ",", "=", "\t"];
    bolero::check!().with_type::<Vec<(bool, Vec<u8>)>>().with_test_time(TIME).for_each(|fields| {
        let mut headers = http::HeaderMap::new();
        for (in_cookie, bytes) in fields {
            let name = if *in_cookie { header::COOKIE } else { header::AUTHORIZATION };
            if let Ok(value) = http::HeaderValue::from_str(&text_of(bytes, PIECES)) {
                headers.append(name, value);
            }
        }
        if let Ok(Some(token)) = super::super::credentials::token(&headers) {
            assert!(!token.is_empty() && headers.get_all(header::AUTHORIZATION).iter().count() < 2, "{headers:?}");
            let whole = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.contains(token));
            assert!(headers.values().any(whole), "{token} in {headers:?}");
        }
    });
}

fn verify(token: &str) -> Result<Verified, TokenFault> {
    let parsed = token::parse(token)?;
    if !ISSUER.is_named(parsed.issuer()) {
        return Err(TokenFault::Issuer);
    }
    ISSUER.verify(&parsed, Timestamp(NOW * 1_000)).now_or_never().expect("a key that is known is not waited for")
}

/// The good token with one thing changed; `None` where the change would leave no text.
fn change(way: u8, from: usize, to: usize, bytes: &[u8]) -> Option<String> {
    let good = GOOD.as_bytes();
    let (from, to) = (from % good.len(), to % (good.len() + 1));
    let changed = match way % 5 {
        // One bit of the text.
        0 => {
            let mut changed = good.to_vec();
            changed[from] ^= 1 << (to % 8);
            changed
        }
        // One bit of what a part stands for.
        1 => {
            let mut parts: Vec<Vec<u8>> = GOOD.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
            let part = &mut parts[from % 3];
            let bit = to % (part.len() * 8);
            part[bit / 8] ^= 1 << (bit % 8);
            parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect::<Vec<_>>().join(".").into_bytes()
        }
        // A part of somebody else's token.
        2 => {
            let mut parts: Vec<&str> = GOOD.split('.').collect();
            parts[from % 3] = FOREIGN.split('.').nth(to % 3).unwrap();
            parts.join(".").into_bytes()
        }
        // Some bytes left out, and others put there.
        3 => [&good[..from.min(to)], bytes, &good[from.max(to)..]].concat(),
        // The end cut off or more behind it.
        _ => [&good[..if bytes.is_empty() { from } else { good.len() }], bytes].concat(),
    };
    String::from_utf8(changed).ok()
}

fn value(kind: u8, number: i64) -> Value {
    match kind % 12 {
        0 => json!(null),
        1 => json!(number),
        2 => json!(NOW + number % 100_000),
        3 => json!(NOW + number % 10),
        4 => json!(number.to_string()),
        #[expect(clippy::cast_precision_loss, reason = "Any number will do.")]
        5 => json!(number as f64),
        6 => json!("a".repeat(usize::try_from(number.unsigned_abs() % 200).unwrap())),
        7 => json!(["user_ana", "https://app.example.com"]),
        8 => json!({"sub": "user_ana"}),
        9 => json!("pending"),
        10 => json!("user_*.>\u{0}é"),
        _ => json!(true),
    }
}
