//! Which deliveries are accepted: Svix's own example, and that example with something changed.

use super::*;
use http::HeaderValue;

/// Of Svix's documentation.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SENT_AT: i64 = 1_614_265_330;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const BODY: &str = r#"{"test": 2432232314}"#;

/// A signature of the right form.
const OTHER: &str = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn a_delivery_that_svix_signed_is_accepted() {
    assert_eq!(verified(&[], BODY), Ok(()));
}

#[test]
fn a_body_that_is_not_byte_for_byte_what_was_signed_is_refused() {
    for body in [r#"{"test":2432232314}"#, r#"{"test": 2432232314} "#, r#"{"test": 2432232315}"#, ""] {
        assert_eq!(verified(&[], body), Err(SvixFault::Signature), "{body}");
    }
}

#[test]
fn the_signature_is_over_the_id_and_the_time_too() {
    assert_eq!(verified(&[("svix-id", "msg_other")], BODY), Err(SvixFault::Signature));
    assert_eq!(verified(&[("svix-timestamp", "1614265331")], BODY), Err(SvixFault::Signature));
    // The same number, written in another way.
    assert_eq!(verified(&[("svix-timestamp", "01614265330")], BODY), Err(SvixFault::Signature));
}

#[test]
fn another_secret_signs_nothing_here() {
    let signed = headers(&[]);
    let signed = Signed::read(&signed, at(0)).unwrap();
    let other: Secret = "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    assert_eq!(other.verify(&signed, BODY.as_bytes()), Err(SvixFault::Signature));
}

#[test]
fn one_good_signature_among_others_is_enough_and_those_of_other_schemes_are_none() {
    let bare = SIGNATURE.strip_prefix("v1,").unwrap();
    for (signatures, verdict) in [
        (format!("{OTHER} {SIGNATURE}"), Ok(())),
        (format!("{SIGNATURE} {OTHER}"), Ok(())),
        (format!("  {SIGNATURE}  "), Ok(())),
        (format!("v1,*** {SIGNATURE}"), Ok(())),
        (format!("v1a,{bare} v2,{bare} {SIGNATURE}"), Ok(())),
        (OTHER.to_owned(), Err(SvixFault::Signature)),
        (SIGNATURE.replace("g0", "h0"), Err(SvixFault::Signature)),
        ("v1,AAAA".to_owned(), Err(SvixFault::Signature)),
        (format!("v0,{bare}"), Err(SvixFault::Signature)),
        (format!("v1a,{bare}"), Err(SvixFault::Signature)),
        (format!("V1,{bare}"), Err(SvixFault::Signature)),
        (bare.to_owned(), Err(SvixFault::Signature)),
        ("v1".to_owned(), Err(SvixFault::Signature)),
        (format!("v1,{}", bare.trim_end_matches('=')), Err(SvixFault::Malformed("svix-signature"))),
        ("v1,***".to_owned(), Err(SvixFault::Malformed("svix-signature"))),
        (String::new(), Err(SvixFault::Missing("svix-signature"))),
        (vec![SIGNATURE; SIGNATURES_MAX].join(" "), Ok(())),
        (vec![SIGNATURE; SIGNATURES_MAX + 1].join(" "), Err(SvixFault::TooManySignatures)),
        (vec!["v1,AAAA"; 10_000].join(" "), Err(SvixFault::TooManySignatures)),
        (vec!["x"; 10_000].join(" "), Err(SvixFault::TooManySignatures)),
    ] {
        assert_eq!(verified(&[("svix-signature", &signatures)], BODY), verdict, "{signatures:.80}");
    }
}

#[test]
fn a_delivery_is_of_the_last_or_the_next_five_minutes() {
    for (seconds, verdict) in [
        (0, Ok(())),
        (300, Ok(())),
        (301, Err(SvixFault::TooOld)),
        (-300, Ok(())),
        (-301, Err(SvixFault::TooNew)),
        (i64::MIN / 2_000, Err(SvixFault::TooNew)),
    ] {
        assert_eq!(Signed::read(&headers(&[]), at(seconds)).map(drop), verdict, "{seconds}");
    }
    for text in ["soon", "-1614265330", "+1614265330", "1614265330.0", "1.6e9", " 1614265330", "0x60", "①"] {
        let malformed = SvixFault::Malformed("svix-timestamp");
        assert_eq!(verified(&[("svix-timestamp", text)], BODY), Err(malformed), "{text}");
    }
    let beyond = "9".repeat(40);
    assert!(verified(&[("svix-timestamp", &beyond)], BODY).is_err());
    assert_eq!(verified(&[("svix-timestamp", &i64::MAX.to_string())], BODY), Err(SvixFault::TooNew));
}

#[test]
fn each_header_is_there_once() {
    for name in ["svix-id", "svix-timestamp", "svix-signature"] {
        let mut without = headers(&[]);
        let value = without.remove(name).unwrap();
        assert_eq!(Signed::read(&without, at(0)).map(drop), Err(SvixFault::Missing(name)));
        let mut twice = headers(&[]);
        twice.append(name, value);
        assert_eq!(Signed::read(&twice, at(0)).map(drop), Err(SvixFault::Missing(name)));
        assert_eq!(verified(&[(name, "")], BODY), Err(SvixFault::Missing(name)));
    }
    for id in ["a b", "é", &"a".repeat(ID_BYTES_MAX + 1)] {
        assert_eq!(verified(&[("svix-id", id)], BODY), Err(SvixFault::Malformed("svix-id")), "{id}");
    }
}

#[test]
fn a_secret_has_its_form_and_is_never_shown() {
    let secret: Secret = SECRET.parse().unwrap();
    assert_eq!(format!("{secret:?}"), "Secret(…)");
    for text in
        ["", "whsec_", "whsec_***", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    {
        assert!(text.parse::<Secret>().is_err(), "{text}");
    }
}

fn verified(changes: &[(&'static str, &str)], body: &str) -> Result<(), SvixFault> {
    let headers = headers(changes);
    let signed = Signed::read(&headers, at(0))?;
    SECRET.parse::<Secret>().unwrap().verify(&signed, body.as_bytes())
}

fn headers(changes: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let sent_at = SENT_AT.to_string();
    let usual = [("svix-id", ID), ("svix-timestamp", &sent_at), ("svix-signature", SIGNATURE)];
    for (name, value) in usual.iter().chain(changes) {
        headers.insert(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// So many seconds after the delivery was sent, at the end of that second.
fn at(seconds: i64) -> Timestamp {
    Timestamp((SENT_AT + seconds) * 1_000 + 999)
}
