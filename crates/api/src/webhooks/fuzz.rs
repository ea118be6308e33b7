//! Deliveries by chance: none panics, and one that was signed is refused with anything changed.

use super::{
    news::News,
    svix::{Secret, Signed},
};
use crate::fuzz::{TIME, text_of};
use advisor_events::Timestamp;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW_S: i64 = 1_758_010_530;

#[test]
fn a_delivery_is_accepted_as_it_was_signed_and_in_no_other_way() {
    const PIECES: &[&str] = &["v1,", "v1", "v0,", " ", ",", "AAAA", "=", "1758010530", "-", "+", "é"];
    let secret: Secret = format!("whsec_{}", STANDARD.encode(KEY)).parse().unwrap();
    bolero::check!().with_type::<(u8, usize, Vec<u8>, Vec<u8>)>().with_test_time(TIME).for_each(
        |(changed, bit, put, body)| {
            let mut parts = [b"msg_1".to_vec(), NOW_S.to_string().into_bytes(), Vec::new(), body.clone()];
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(KEY).unwrap();
            mac.update(&[&parts[0][..], b".", &parts[1], b".", body].concat());
            parts[2] = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())).into_bytes();
            assert!(accepted(&secret, &parts));

            let good = parts.clone();
            let part = &mut parts[usize::from(*changed) % 4];
            if put.is_empty() && !part.is_empty() {
                let bit = bit % (part.len() * 8);
                part[bit / 8] ^= 1 << (bit % 8);
            } else {
                *part = text_of(put, PIECES).into_bytes();
            }
            // More signatures, or the same with blanks around it, are the sender's right.
            let signed = std::str::from_utf8(&good[2]).unwrap();
            let still_there = std::str::from_utf8(&parts[2]).is_ok_and(|all| all.split(' ').any(|one| one == signed));
            assert!(!accepted(&secret, &parts) || (parts[..2] == good[..2] && parts[3] == good[3] && still_there));
        },
    );
}

#[test]
fn what_is_told_by_chance_is_understood_or_refused() {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"type\"",
        "\"user.created\"",
        "\"user.deleted\"",
        "\"session.ended\"",
        "\"data\"",
        "\"id\"",
        "\"user_1\"",
        "\"timestamp\"",
        "\"updated_at\"",
        "1758010530000",
        "-1",
        "1e300",
        "null",
        "{\"type\":\"user.updated\",\"data\":{\"id\":\"user_1\"",
        "{\"type\":\"session.revoked\",\"data\":",
        "\"email_addresses\"",
        "\"first_name\"",
        "\"public_metadata\"",
        "{\"plan\":\"pro\"}",
        "\"a\\u0000\"",
    ];
    bolero::check!().with_type::<(i64, Vec<u8>)>().with_test_time(TIME).for_each(|(sent_at, bytes)| {
        match News::read(&text_of(bytes, PIECES).into_bytes(), Timestamp(*sent_at)) {
            Ok(News::Account { user_id, .. } | News::Deletion { user_id }) => {
                assert!((1..=128).contains(&user_id.as_str().len()) && user_id.as_str().is_ascii(), "{user_id}");
            }
            Ok(News::SessionEnd { session_id }) => assert!((1..=256).contains(&session_id.len())),
            Ok(News::OfNoConcern) => {}
            Err(problem) => assert!(problem.status_code().is_client_error()),
        }
    });
}

fn accepted(secret: &Secret, [id, timestamp, signatures, body]: &[Vec<u8>; 4]) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in [("svix-id", id), ("svix-timestamp", timestamp), ("svix-signature", signatures)] {
        let Ok(value) = HeaderValue::from_bytes(value) else { return false };
        headers.insert(name, value);
    }
    Signed::read(&headers, Timestamp(NOW_S * 1_000)).is_ok_and(|signed| secret.verify(&signed, body).is_ok())
}
