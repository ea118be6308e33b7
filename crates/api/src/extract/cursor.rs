//! Pages: opaque cursors that only the person and the route they were given to can use, and a limit.

use crate::problem::{Code, Problem};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer};
use sha2::Sha256;
use std::fmt;

const TAG_BYTES: usize = 16;
/// Longest cursor.
pub const CURSOR_BYTES_MAX: usize = 1_024;
/// Largest page that may be asked for.
pub const LIMIT_MAX: usize = 100;

/// Signs cursors. The same on every process and after a restart.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A cursor that means `place` within `scope`: the route, and whose page it is.
    pub fn seal(&self, scope: &[&str], place: &str) -> String {
        let mut bytes = self.tag(scope, place.as_bytes()).to_vec();
        bytes.extend_from_slice(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a cursor means; 400 when it was not given for this scope, or is not as it was given.
    pub fn open(&self, scope: &[&str], cursor: &str) -> Result<String, Problem> {
        let invalid = || Problem::new(Code::InvalidCursor, "The cursor is not one of this list's.");
        if cursor.len() > CURSOR_BYTES_MAX {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
        let (tag, place) = bytes.split_first_chunk::<TAG_BYTES>().ok_or_else(invalid)?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&tag[..], &self.tag(scope, place)[..])) {
            return Err(invalid());
        }
        String::from_utf8(place.to_vec()).map_err(|_| invalid())
    }

    fn tag(&self, scope: &[&str], place: &[u8]) -> [u8; TAG_BYTES] {
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes keys of any length")
        };
        for part in scope.iter().map(|part| part.as_bytes()).chain([place]) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut tag = [0; TAG_BYTES];
        for (to, from) in tag.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
        tag
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

/// `limit` of a query, as it came; [`PageLimit::get`] tells whether it is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageLimit(Option<String>);

impl PageLimit {
    /// The limit, from 1 to 100; `default` where none was given.
    pub fn get(&self, default: usize) -> Result<usize, Problem> {
        let Some(text) = &self.0 else { return Ok(default) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(limit) if digits && (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => Err(Problem::new(Code::InvalidLimit, "limit must be between 1 and 100.")),
        }
    }
}

impl<'de> Deserialize<'de> for PageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Some(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_whom_and_what_it_was_made() {
        let key = CursorKey::from_bytes([7; 32]);
        let cursor = key.seal(&["messages", "ana", "c1"], "42");
        assert_eq!(key.open(&["messages", "ana", "c1"], &cursor).unwrap(), "42");
        for scope in [&["messages", "bo", "c1"][..], &["messages", "ana", "c2"], &["messages", "anac1"]] {
            assert_eq!(key.open(scope, &cursor).unwrap_err().code(), Code::InvalidCursor, "{scope:?}");
        }
        assert!(CursorKey::from_bytes([8; 32]).open(&["messages", "ana", "c1"], &cursor).is_err());
    }

    #[test]
    fn a_cursor_with_any_bit_changed_is_refused() {
        let key = CursorKey::from_bytes([7; 32]);
        let bytes = URL_SAFE_NO_PAD.decode(key.seal(&["x"], "42")).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&["x"], &URL_SAFE_NO_PAD.encode(changed)).is_err(), "{bit}");
        }
        for text in ["", "a", "****", &"A".repeat(5_000)] {
            assert!(key.open(&["x"], text).is_err());
        }
    }

    #[test]
    fn a_limit_is_from_1_to_100() {
        assert_eq!(PageLimit(None).get(50).unwrap(), 50);
        assert_eq!(PageLimit(Some("1".to_owned())).get(50).unwrap(), 1);
        assert_eq!(PageLimit(Some("100".to_owned())).get(50).unwrap(), 100);
        for text in ["0", "101", "-1", "1e9", "1e3.5", "", "+5", "99999999999999999999999"] {
            assert_eq!(PageLimit(Some(text.to_owned())).get(50).unwrap_err().code(), Code::InvalidLimit, "{text}");
        }
    }
}
