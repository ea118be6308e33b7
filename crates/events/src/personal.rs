//! A person's words: sealed in the log, opened only when somebody asks for them.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under a key of the person's own, with a random
//! 24-byte nonce; the stream and the event id are the associated data, so that a box can't be moved
//! to another event. In JSON a field is `{"sealed": "<base64 of nonce and box>"}`.

use crate::{StreamName, keys::PersonKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser};
use std::{borrow::Cow, fmt};
use uuid::Uuid;

/// Text or JSON that belongs to a person.
#[derive(Clone, PartialEq, Eq)]
pub enum Personal<T> {
    /// In the clear: in memory only, it can't be serialized.
    Known(T),
    /// As it stands in the log: nonce and box.
    Sealed(Vec<u8>),
    /// Its key has been destroyed, or the box is not what was sealed.
    Erased,
}

impl<T> Personal<T> {
    /// The words, unless they are sealed or erased.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Sealed(_) | Self::Erased => None,
        }
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

/// Words never reach a log or an error by being debugged.
impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known(_) => "Known(…)",
            Self::Sealed(_) => "Sealed(…)",
            Self::Erased => "Erased",
        })
    }
}

/// Where a box stands: what its seal is bound to.
#[derive(Clone, Copy, Debug)]
pub struct SealContext<'a> {
    /// The stream of the event.
    pub stream: &'a StreamName,
    /// The event's id.
    pub event_id: Uuid,
}

impl SealContext<'_> {
    /// The bytes that a seal is bound to.
    pub fn associated_data(&self) -> Vec<u8> {
        let mut data = self.stream.as_str().as_bytes().to_vec();
        data.push(0);
        data.extend_from_slice(self.event_id.as_bytes());
        data
    }
}

/// What came of opening boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The words are there, or their key is not any more: then they are erased.
    AsMeant,
    /// The person has a key, and a box does not open under it: it is damaged.
    Damaged,
}

impl Opened {
    /// Of these and others together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::AsMeant => other,
            Self::Damaged => Self::Damaged,
        }
    }
}

/// One personal field of an event, whatever its type.
pub trait PersonalField {
    /// Replaces known words by their box.
    fn seal(&mut self, key: &PersonKey, context: SealContext<'_>) -> Result<(), SealError>;
    /// Replaces a box by its words; without a key, or where the box does not open, by `Erased`. Tells which.
    fn open(&mut self, key: Option<&PersonKey>, context: SealContext<'_>) -> Opened;
}

/// Sealing failed: the words can't be written as JSON, or the machine has no randomness.
#[derive(Debug, thiserror::Error)]
#[error("a personal field can't be sealed")]
pub struct SealError;

impl<T: Serialize + DeserializeOwned> PersonalField for Personal<T> {
    fn seal(&mut self, key: &PersonKey, context: SealContext<'_>) -> Result<(), SealError> {
        if let Self::Known(value) = self {
            let clear = serde_json::to_vec(value).map_err(|_| SealError)?;
            *self = Self::Sealed(key.seal(&clear, &context.associated_data())?);
        }
        Ok(())
    }

    fn open(&mut self, key: Option<&PersonKey>, context: SealContext<'_>) -> Opened {
        let Self::Sealed(sealed) = self else { return Opened::AsMeant };
        let Some(key) = key else {
            *self = Self::Erased;
            return Opened::AsMeant;
        };
        let clear = key.open(sealed, &context.associated_data());
        let value = clear.and_then(|clear| serde_json::from_slice(&clear).ok());
        let opened = if value.is_some() { Opened::AsMeant } else { Opened::Damaged };
        *self = value.map_or(Self::Erased, Self::Known);
        opened
    }
}

/// The JSON form of a sealed field.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    /// Base64 of a 24-byte nonce and the box.
    #[serde(borrow)]
    sealed: Cow<'a, str>,
}

/// A field that nobody sealed does not serialize: an event can't leave with clear words by mistake.
impl<T> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sealed(sealed) => Wire { sealed: STANDARD.encode(sealed).into() }.serialize(serializer),
            Self::Known(_) => Err(ser::Error::custom("a personal field is not sealed")),
            Self::Erased => Err(ser::Error::custom("a personal field is erased")),
        }
    }
}

impl<'de, T> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        STANDARD.decode(wire.sealed.as_bytes()).map(Self::Sealed).map_err(serde::de::Error::custom)
    }
}

/// The sealed form; the schema's name begins with `Personal` and ends with what is inside.
impl<T: JsonSchema> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Personal_{}", T::schema_name()).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A person's words, sealed under a key of that person's own.",
            "properties": {
                "sealed": {
                    "type": "string",
                    "contentEncoding": "base64",
                    "description": "Base64 of a 24-byte nonce and the XChaCha20-Poly1305 box of the words' JSON; \
                                    associated data: stream name, NUL, the 16 bytes of the event id.",
                },
            },
            "required": ["sealed"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    #[test]
    fn known_words_refuse_to_be_serialized() {
        assert!(serde_json::to_string(&Personal::Known("canary")).is_err());
        assert!(serde_json::to_string(&Personal::<String>::Erased).is_err());
    }

    #[test]
    fn no_words_are_shown_by_debugging() {
        let shown = format!(
            "{:?} {:?} {:?}",
            Personal::Known("canary"),
            Personal::<String>::Sealed(b"canary".to_vec()),
            Personal::<String>::Erased
        );

        assert_eq!(shown, "Known(…) Sealed(…) Erased");
    }

    #[test]
    fn a_box_opens_where_it_was_sealed_and_nowhere_else() {
        let sealed = sealed("canary", &key(1), here());

        for (case, key, context) in [
            ("another key", key(2), here()),
            ("another stream", key(1), SealContext { stream: &StreamName::from_text("user-b"), ..here() }),
            ("another event", key(1), SealContext { event_id: Uuid::from_u128(2), ..here() }),
        ] {
            let mut field = sealed.clone();
            assert_eq!(field.open(Some(&key), context), Opened::Damaged, "{case}");
            assert_eq!(field, Personal::Erased, "{case}");
        }
        let mut field = sealed;
        assert_eq!(field.open(Some(&key(1)), here()), Opened::AsMeant);
        assert_eq!(field, Personal::Known("canary".to_owned()));
    }

    #[test]
    fn words_whose_key_is_gone_are_erased_and_not_damaged() {
        let mut field = sealed("canary", &key(1), here());

        assert_eq!(field.open(None, here()), Opened::AsMeant);
        assert_eq!(field, Personal::Erased);
    }

    #[test]
    fn a_box_with_any_bit_flipped_or_cut_short_is_erased() {
        let Personal::Sealed(bytes) = sealed("canary", &key(1), here()) else { panic!("sealed") };

        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(flipped), Personal::Erased, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(opened(bytes[..length].to_vec()), Personal::Erased, "{length} bytes");
        }
    }

    #[test]
    fn the_same_words_are_never_sealed_into_the_same_box() {
        assert_ne!(sealed("canary", &key(1), here()), sealed("canary", &key(1), here()));
    }

    fn key(byte: u8) -> PersonKey {
        PersonKey::from_bytes([byte; 32])
    }

    fn here() -> SealContext<'static> {
        static STREAM: LazyLock<StreamName> = LazyLock::new(|| StreamName::from_text("user-a"));
        SealContext { stream: &STREAM, event_id: Uuid::from_u128(1) }
    }

    fn sealed(words: &str, key: &PersonKey, context: SealContext<'_>) -> Personal<String> {
        let mut field = Personal::Known(words.to_owned());
        field.seal(key, context).unwrap();
        field
    }

    fn opened(bytes: Vec<u8>) -> Personal<String> {
        let mut field = Personal::Sealed(bytes);
        field.open(Some(&key(1)), here());
        field
    }
}
