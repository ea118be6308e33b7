//! A person's words: sealed in the log, opened only when somebody asks for them.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under a key of the person's own, with a random
//! 24-byte nonce; the stream and the event id are the associated data, so that a box can't be moved
//! to another event. In JSON a field is `{"sealed": "<base64 of nonce and box>"}`.

use crate::{StreamName, keys::PersonKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser};
use std::fmt;
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
    fn associated_data(&self) -> Vec<u8> {
        let mut data = self.stream.as_str().as_bytes().to_vec();
        data.push(0);
        data.extend_from_slice(self.event_id.as_bytes());
        data
    }
}

/// One personal field of an event, whatever its type.
pub trait PersonalField {
    /// Replaces known words by their box.
    fn seal(&mut self, key: &PersonKey, context: SealContext<'_>) -> Result<(), SealError>;
    /// Replaces a box by its words; without a key, or where the box does not open, by `Erased`.
    fn open(&mut self, key: Option<&PersonKey>, context: SealContext<'_>);
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

    fn open(&mut self, key: Option<&PersonKey>, context: SealContext<'_>) {
        if let Self::Sealed(sealed) = self {
            *self = key
                .and_then(|key| key.open(sealed, &context.associated_data()))
                .and_then(|clear| serde_json::from_slice(&clear).ok())
                .map_or(Self::Erased, Self::Known);
        }
    }
}

/// The JSON form of a sealed field.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Sealed")]
struct Wire<'a> {
    /// Base64 of a 24-byte nonce and the box.
    #[serde(borrow)]
    sealed: std::borrow::Cow<'a, str>,
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

impl<T> JsonSchema for Personal<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Personal".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Wire::json_schema(generator)
    }
}
