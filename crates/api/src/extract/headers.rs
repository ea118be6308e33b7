//! Headers that mean something to commands and queries.

use crate::problem::{Code, Problem};
use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, header, request::Parts};
use uuid::Uuid;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest idempotency key.
pub const KEY_BYTES_MAX: usize = 128;
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The command's id: the client's `Idempotency-Key`, or a random one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        idempotency_key(&parts.headers)
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(IdempotencyKey(Uuid::new_v4().to_string())) };
    let plain = value.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte));
    match value.to_str() {
        Ok(key) if plain && !key.trim().is_empty() && key.len() <= KEY_BYTES_MAX && values.next().is_none() => {
            Ok(IdempotencyKey(key.to_owned()))
        }
        _ => Err(Problem::new(
            Code::InvalidIdempotencyKey,
            "Send one Idempotency-Key of 1 to 128 printable ASCII characters, or none.",
        )),
    }
}

/// `If-Match`: the position that the caller has seen as the thing's `ETag`; `None` without the header, or for `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<u64>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if_match(&parts.headers).map(Self)
    }
}

/// A tag that is well formed and none of ours can't match: 412, as for one that is too old.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" && values.next().is_none() {
        return Ok(None);
    }
    let tag = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match tag {
        Some(tag) if values.next().is_none() && !tag.contains('"') => {
            let position = tag.parse().ok().filter(|_| !text.starts_with("W/"));
            position
                .map(Some)
                .ok_or_else(|| Problem::new(Code::PreconditionFailed, "It was changed in the meantime. Read it again."))
        }
        _ => Err(Problem::new(Code::InvalidIfMatch, "Send one entity tag in If-Match, as it stood in ETag.")),
    }
}

/// What the caller prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// An answer once the read side shows the change (at most two seconds).
    Settled,
    /// An answer at once (`Prefer: respond-async`).
    RespondAsync,
}

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let asynchronous = values.any(|text| {
            text.split(',').any(|preference| {
                preference.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("respond-async"))
            })
        });
        Ok(if asynchronous { Self::RespondAsync } else { Self::Settled })
    }
}

/// The media type of the answer: of those offered (the default first) the one that `Accept` likes best.
pub fn negotiate(headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str, Problem> {
    let refused = || Problem::new(Code::NotAcceptable, format!("This route answers with {}.", offered.join(", ")));
    let accepted: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .collect();
    if accepted.iter().all(|range| range.trim().is_empty()) {
        return offered.first().copied().ok_or_else(refused);
    }
    let mut best: Option<(u16, &'static str)> = None;
    for media_type in offered {
        let quality = quality(media_type, &accepted);
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, media_type));
        }
    }
    best.map(|(_, media_type)| media_type).ok_or_else(refused)
}

/// How much `media_type` is liked, in thousandths: the most precise range that covers it tells.
fn quality(media_type: &str, accepted: &[&str]) -> u16 {
    let kind = media_type.split('/').next().unwrap_or_default();
    let mut found: Option<(u8, u16)> = None;
    for range in accepted {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let precision = if name == media_type {
            3
        } else if name.strip_suffix("/*").is_some_and(|wanted| wanted == kind) {
            2
        } else if name == "*/*" {
            1
        } else {
            continue;
        };
        let weight = parts
            .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")))
            .map_or(1_000, thousandths);
        if found.is_none_or(|(best, _)| precision > best) {
            found = Some((precision, weight));
        }
    }
    found.map_or(0, |(_, weight)| weight)
}

/// `0.8` is 800; what is no number is 0.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole.parse::<u16>(), digits.parse::<u16>()) {
        (Ok(0), Ok(fraction)) => fraction,
        (Ok(_), Ok(_)) => 1_000,
        (Err(_), _) | (_, Err(_)) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_key_is_taken_as_it_stands_and_made_when_there_is_none() {
        assert_eq!(key(&[b"abc-1 2"]).unwrap().0, "abc-1 2");
        assert_eq!(key(&["k".repeat(128).as_bytes()]).unwrap().0.len(), 128);
        assert_ne!(key(&[]).unwrap(), key(&[]).unwrap());
    }

    #[test]
    fn a_key_that_is_empty_or_long_or_not_plain_or_twice_is_refused() {
        let long = "k".repeat(129);
        for values in [&[&b""[..]][..], &[b"  "], &[long.as_bytes()], &["é".as_bytes()], &[b"a\tb"], &[b"a", b"a"]] {
            assert_eq!(key(values).unwrap_err().code(), Code::InvalidIdempotencyKey, "{values:?}");
        }
    }

    #[test]
    fn if_match_is_one_position_in_quotes() {
        assert_eq!(matched(&[]).unwrap(), None);
        assert_eq!(matched(&["*"]).unwrap(), None);
        assert_eq!(matched(&["\"17\""]).unwrap(), Some(17));
        for tag in ["\"abc\"", "\"\"", "W/\"17\"", "\"99999999999999999999\""] {
            assert_eq!(matched(&[tag]).unwrap_err().code(), Code::PreconditionFailed, "{tag}");
        }
        for tags in [&["17"][..], &["\"1\", \"2\""], &["\"1\"", "\"2\""], &["\""]] {
            assert_eq!(matched(tags).unwrap_err().code(), Code::InvalidIfMatch, "{tags:?}");
        }
    }

    #[test]
    fn the_answer_has_the_media_type_that_is_liked_best() {
        const OFFERED: &[&str] = &["application/json", "text/event-stream"];
        for (accept, chosen) in [
            ("", Some("application/json")),
            ("*/*", Some("application/json")),
            ("text/event-stream", Some("text/event-stream")),
            ("text/*", Some("text/event-stream")),
            ("Application/JSON; charset=utf-8", Some("application/json")),
            ("application/json;q=0.5, text/event-stream", Some("text/event-stream")),
            ("text/event-stream;q=0.8, */*;q=0.9", Some("application/json")),
            ("*/*, application/json;q=0", Some("text/event-stream")),
            ("text/html, application/xml", None),
            ("text/event-stream;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(negotiate(&headers, OFFERED).ok(), chosen, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), OFFERED).unwrap(), "application/json");
    }

    fn key(values: &[&[u8]]) -> Result<IdempotencyKey, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        idempotency_key(&headers)
    }

    fn matched(values: &[&'static str]) -> Result<Option<u64>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_static(value));
        }
        if_match(&headers)
    }
}
